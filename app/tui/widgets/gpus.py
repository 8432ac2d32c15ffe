"""Cards, host and processes from the telemetry store: panels that draw what was measured and how old it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.content import Content

from app.tui import fmt
from app.tui.lines import clean
from app.tui.meters import RANGES
from app.tui.picture import Picture
from app.tui.widgets.gauge import gauge
from app.tui.widgets.panel import MUTED, Panel, pack, pad, text
from app.tui.widgets.plot import Plot, plot_lines
from app.tui.widgets.spark import spark

if TYPE_CHECKING:
    from remote.watch.gpu import GpuSample

LOW_UTIL = 5.0
"""Percent under which a card that costs money is idle."""


def freshness(picture: Picture) -> Content:
    """`live`, `stale 12 s: nvidia-smi hangs`, or why there is nothing."""
    meters = picture.meters
    telemetry = meters.telemetry
    if telemetry is None:
        up = picture.state.link.state == "up"
        none = "no link to a pod: s starts one" if picture.acts else picture.absent("no link to a pod")
        why = meters.trouble or ("asking the pod" if up else none)
        return text((clean(why), "$warning" if meters.trouble else MUTED))
    if not telemetry.newest and telemetry.machine is not None:
        age = max(0.0, picture.now - telemetry.machine.at)
        old = age > 10
        return text((f"host only{f', stale {age:.0f} s' if old else ''}", "bold $warning" if old else MUTED))
    stale = telemetry.staleness(picture.now)
    g = picture.glyphs
    return text((f"{g.wait} {clean(stale)}", "bold $warning")) if stale else text((f"{g.on} live", "$success"))


def host_only(picture: Picture) -> bool:
    """A pod that has no card by its own description."""
    pod = picture.state.pod
    return pod is not None and pod.gpu_count == 0


class GpuPanel(Panel):
    """Every card: numbers, bars, and its history as high as there is room."""

    def heading(self, picture: Picture) -> tuple[Content, Content]:
        stretch = RANGES[picture.meters.range][0]
        return text(("GPU", "bold"), (f" {picture.glyphs.dot} {stretch}", MUTED)), freshness(picture)

    def draw(self, picture: Picture, width: int, height: int) -> Sequence[Content]:
        telemetry = picture.meters.telemetry
        stale = telemetry is not None and bool(telemetry.newest) and bool(telemetry.staleness(picture.now))
        self.set_class(stale, "-stale")
        cards = sorted(telemetry.newest.items()) if telemetry is not None else []
        if not cards:
            said = "this pod has no GPU" if host_only(picture) else "no card has been seen yet"
            return [text((picture.absent(said), MUTED))]
        each = max(1, height // len(cards))
        lines: list[Content] = []
        for _index, sample in cards:
            lines += card_lines(picture, sample, width, each)
        return lines


def card_lines(picture: Picture, sample: GpuSample, width: int, height: int) -> list[Content]:
    """One card in `height` lines: one line of numbers, then memory, then plots."""
    lines = [card_line(picture, sample, width)]
    if height >= 2:
        lines.append(memory_line(sample, width, picture))
    if height >= 5:
        lines += history_lines(picture, sample, width, height - 2)
    return lines


def card_line(picture: Picture, sample: GpuSample, width: int) -> Content:
    """`0 H100  98% ▁▂▄▆█  61.4/80.0 G  67°C  388/400 W`; low utilisation warns, for idle is the expensive state."""
    idle = sample.util is not None and sample.util < LOW_UTIL
    style = "bold $warning" if idle else "bold"
    util = "unknown" if sample.util is None else f"{sample.util:.0f}%"
    name = clean(sample.name or "GPU").removeprefix("NVIDIA ")
    parts = [
        text(f"{sample.index} {name}"),
        text((f"{util:>4}", style), (" idle" if idle else "", style)),
        text(("mem ", MUTED), gib_of(sample)),
        text(of(sample.temperature, None, "C" if picture.glyphs.ascii else "°C")),
        text(of(sample.power, sample.power_limit, " W")),
        text((clean(sample.pstate or ""), MUTED)),
    ]
    line = pack([part for part in parts if part.cell_length], width, "  ")
    room = width - line.cell_length - 2
    series = picture.meters.telemetry.gpus.get(sample.index) if picture.meters.telemetry else None
    if series is None or room < 8:
        return line
    values = [value for value in series.column("util", series.fine(60)) if value is not None]
    return text(line, "  ", spark(values, min(room, 60), picture.glyphs, low=0.0, high=100.0))


def memory_line(sample: GpuSample, width: int, picture: Picture) -> Content:
    """The memory as a bar."""
    share = sample.memory_used / sample.memory_total if sample.memory_used is not None and sample.memory_total else None
    return text(
        (f"  {'memory':<8}", MUTED), gauge(share, max(8, min(60, width - 30)), picture.glyphs), f" {gib_of(sample)}"
    )


def history_lines(picture: Picture, sample: GpuSample, width: int, height: int) -> list[Content]:
    """Utilisation, memory and power over the chosen stretch, side by side where there is room."""
    meters = picture.meters
    series = meters.telemetry.gpus.get(sample.index) if meters.telemetry else None
    if series is None:
        return []
    total = sample.memory_total
    plots = [
        Plot("util %", meters.column(series, "util", picture.now), low=0.0, high=100.0),
        Plot("memory MiB", meters.column(series, "memory_used", picture.now), low=0.0, high=total),
        Plot("power W", meters.column(series, "power", picture.now), low=0.0, high=sample.power_limit),
    ][: max(1, min(3, width // 40))]
    each = (width - 2 * (len(plots) - 1)) // len(plots)
    columns = []
    for plot in plots:
        drawn = plot_lines(plot, each, height - 1, picture.glyphs)
        drawn += [text("")] * (height - 1 - len(drawn))
        columns.append([pad(text((plot.title, MUTED)), each), *(pad(line, each) for line in drawn)])
    return [Content("  ").join(row) for row in zip(*columns, strict=True)]


class HostPanel(Panel):
    """Processors, memory and free space of the pod's machine."""

    def heading(self, picture: Picture) -> tuple[Content, Content]:
        return text(("HOST", "bold")), freshness(picture) if host_only(picture) else text("")

    def draw(self, picture: Picture, width: int, height: int) -> Sequence[Content]:
        telemetry = picture.meters.telemetry
        host = telemetry.machine if telemetry is not None else None
        if telemetry is None or host is None:
            return [text((picture.absent("not measured yet"), MUTED))]
        g, meters = picture.glyphs, picture.meters
        cpu = None if host.cpu is None or not host.cpus else host.cpu / host.cpus
        share = None if host.memory is None or not host.memory_limit else host.memory / host.memory_limit
        cpus = "?" if host.cpus is None else f"{host.cpus:.0f}"
        used = "unknown" if host.cpu is None else f"{host.cpu:.1f} of {cpus}"
        bar = max(6, min(30, width - 44))
        lines = [
            text((f"{'cpu':<8}", MUTED), gauge(cpu, bar, g), f" {used}"),
            text((f"{'memory':<8}", MUTED), gauge(share, bar, g), f" {gib(host.memory)} of {gib(host.memory_limit)}"),
            text(
                (f"{'free':<8}", MUTED),
                f"{gib(host.free_root)} on the volume, {gib(host.free_system)} on the container disk",
            ),
        ]
        if not host.volume_answers:
            lines.append(text((f"{g.bad} THE VOLUME DOES NOT ANSWER", "bold $error")))
        if host.free_names is not None:
            lines.append(text((f"{'files':<8}", MUTED), f"{fmt.count(host.free_names)} more can be made"))
        if height >= len(lines) + 4:
            values = meters.column(telemetry.host, "cpu", picture.now)
            plot = Plot("processors in use", values, low=0.0, high=host.cpus)
            lines += [text(""), text((f"processors in use, {RANGES[meters.range][0]}", MUTED))]
            lines += plot_lines(plot, width, min(12, height - len(lines)), g)
        return lines


class ProcessPanel(Panel):
    """What runs on the cards."""

    def heading(self, _picture: Picture) -> tuple[Content, Content]:
        return text(("PROCESSES", "bold")), text("")

    def draw(self, picture: Picture, _width: int, _height: int) -> Sequence[Content]:
        telemetry = picture.meters.telemetry
        if telemetry is None or telemetry.processes is None:
            said = "this pod has no GPU to run on" if host_only(picture) else "not listed yet"
            return [text((picture.absent(said), MUTED))]
        if not telemetry.processes:
            return [text(("no process uses a GPU", MUTED))]
        return [
            text(
                f"{one.pid:>8}  ",
                "unknown" if one.memory is None else f"{one.memory / 1024:6.1f} G",
                f"  {clean(one.name)}",
            )
            for one in telemetry.processes
        ]


class MeterPanel(Panel):
    """The overview's GPU pane: a line a card, the host, and when the pod's own watchdog would stop it."""

    def heading(self, picture: Picture) -> tuple[Content, Content]:
        return text(("GPU", "bold"), (" util, memory, temperature, power, last minute", MUTED)), freshness(picture)

    def draw(self, picture: Picture, width: int, height: int) -> Sequence[Content]:
        telemetry = picture.meters.telemetry
        lines = []
        for _index, sample in sorted(telemetry.newest.items()) if telemetry is not None else []:
            lines.append(card_line(picture, sample, width))
        if not lines:
            said = "this pod has no GPU" if host_only(picture) else picture.absent("no card has been seen yet")
            lines.append(text((said, MUTED)))
        host = telemetry.machine if telemetry is not None else None
        if host is not None:
            cpu = "?" if host.cpu is None else f"{host.cpu:.1f}"
            parts = [
                text(("host cpu ", MUTED), f"{cpu} of {'?' if host.cpus is None else f'{host.cpus:.0f}'}"),
                text(("memory ", MUTED), f"{gib(host.memory)} of {gib(host.memory_limit)}"),
                text(("free ", MUTED), gib(host.free_root)),
            ]
            lines.append(pack(parts, width, "   "))
        watch = picture.state.watch
        if watch is not None:
            until = "" if watch.until is None else f" in {fmt.span(max(0.0, watch.until - picture.now))}"
            style = {"green": "$success", "amber": "bold $warning"}.get(watch.level, "bold $error")
            lines.append(
                text(("watchdog ", MUTED), (f"{clean(watch.level)}{until}", style), (f"  {clean(watch.reason)}", MUTED))
            )
        return lines[:height]


def gib_of(sample: GpuSample) -> str:
    """`61.4/80.0 G`."""
    used, total = (None if value is None else value / 1024 for value in (sample.memory_used, sample.memory_total))
    return of(used, total, " G", 1)


def of(value: float | None, whole: float | None, unit: str, digits: int = 0) -> str:
    """`388/400 W`, `67°C`; unknown is a question mark."""
    said = "?" if value is None else f"{value:.{digits}f}"
    return said + ("" if whole is None else f"/{whole:.{digits}f}") + unit


def gib(octets: float | None) -> str:
    """Bytes as `61.4 GB`."""
    return "?" if octets is None else fmt.size(round(octets))
