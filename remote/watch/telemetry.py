"""What a pod's cards and machine did over time, in bounded memory, and how fresh that is. No display, no files."""

from __future__ import annotations

import asyncio
import json
import math
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import aclosing
from itertools import islice
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from remote.agent.client import Agent
from remote.watch.gpu import MAX_GPUS, GpuProcess, GpuSample, GpuTrouble, parse_processes, samples

FINE, FINE_S = 3600, 1.0  # points and seconds between them: an hour
COARSE, COARSE_S = 8640, 10.0  # a day
STALE_S = 10.0
_GPU = ("util", "memory_used", "temperature", "power", "clock", "memory_util")
_HOST = ("cpu", "memory", "free_root", "free_system")


class HostSample(Struct, frozen=True):
    """The pod's machine at one moment; `at` is the laptop's unix time of arrival. What cannot be read is None.

    `cpu` is how many processors were in use since the sample before, out of `cpus`; memory and free space in bytes;
    `free_names` is how many more files the volume can hold. `volume_answers` is False while asking it hangs.
    """

    at: float
    cpu: float | None
    cpus: float | None
    memory: float | None
    memory_limit: float | None
    free_root: float | None
    free_system: float | None
    free_names: float | None
    volume_answers: bool


Sample = GpuSample | HostSample | GpuTrouble


def parse_host(frame: Mapping[str, Any], at: float) -> HostSample:
    """A frame of the agent's `host` verb. Whatever it holds, this never raises."""
    free = frame.get("free")
    space: Mapping[str, Any] = free if isinstance(free, Mapping) else {}
    return HostSample(
        at=at,
        cpu=_amount(frame.get("cpu")),
        cpus=_amount(frame.get("cpus")),
        memory=_amount(frame.get("memory")),
        memory_limit=_amount(frame.get("memory_limit")),
        free_root=_amount(space.get("root")),
        free_system=_amount(space.get("system")),
        free_names=_amount(space.get("names")),
        volume_answers=isinstance(free, Mapping),
    )


def _amount(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


class Point(Struct, frozen=True):
    """Values at `at` (unix seconds), in the order of the series' names."""

    at: float
    values: tuple[float | None, ...]


class Series:
    """Several values over time: every second for an hour, means of ten seconds for a day, never more."""

    def __init__(self, names: tuple[str, ...], fine: int = FINE, coarse: int = COARSE) -> None:
        self.names = names
        self._fine: deque[Point] = deque(maxlen=fine)
        self._coarse: deque[Point] = deque(maxlen=coarse)
        self._bucket: list[Point] = []

    def add(self, at: float, values: tuple[float | None, ...]) -> None:
        """Append; a second value of one second replaces the first. A clock that was set back stands still instead."""
        at = max(at, self._fine[-1].at) if self._fine else at
        point = Point(at, values)
        if self._fine and _slot(self._fine[-1].at, FINE_S) == _slot(at, FINE_S):
            self._fine.pop()
            if self._bucket:
                self._bucket.pop()
        self._fine.append(point)
        if self._bucket and _slot(self._bucket[0].at, COARSE_S) != _slot(at, COARSE_S):
            self._coarse.append(_mean(self._bucket))
            self._bucket = []
        self._bucket.append(point)

    def fine(self, count: int = FINE) -> list[Point]:
        """The newest `count` points, oldest first."""
        return list(islice(self._fine, max(0, len(self._fine) - count), None))

    def coarse(self, count: int = COARSE) -> list[Point]:
        """The newest `count` ten-second means, oldest first; the last may still grow."""
        whole = [*self._coarse, _mean(self._bucket)] if self._bucket else list(self._coarse)
        return whole[-min(count, self._coarse.maxlen or count) :] if count > 0 else []

    def column(self, name: str, points: list[Point]) -> list[float | None]:
        """One value of each point."""
        place = self.names.index(name)
        return [point.values[place] for point in points]


def _slot(at: float, width: float) -> int:
    return int(at // width)


def _mean(points: list[Point]) -> Point:
    """The mean of what is known of each value, at the beginning of its ten seconds."""
    columns = zip(*(point.values for point in points), strict=True)
    known = ([value for value in column if value is not None] for column in columns)
    return Point(
        _slot(points[0].at, COARSE_S) * COARSE_S,
        tuple(math.fsum(values) / len(values) if values else None for values in known),
    )


class Telemetry:
    """All that is known of one pod: series, newest samples, and what is wrong with them."""

    def __init__(self) -> None:
        self.gpus: dict[int, Series] = {}
        self.host = Series(_HOST)
        self.newest: dict[int, GpuSample] = {}
        self.machine: HostSample | None = None
        self.processes: tuple[GpuProcess, ...] | None = None
        self.trouble: GpuTrouble | None = None

    def add(self, sample: Sample) -> None:
        """Take in one sample, or why there is none."""
        if isinstance(sample, GpuTrouble):
            self.trouble = sample
        elif isinstance(sample, HostSample):
            self.machine = sample
            self.host.add(sample.at, tuple(getattr(sample, name) for name in _HOST))
        elif 0 <= sample.index < MAX_GPUS:
            self.trouble = None
            self.newest[sample.index] = sample
            series = self.gpus.setdefault(sample.index, Series(_GPU))
            series.add(sample.at, tuple(getattr(sample, name) for name in _GPU))

    def age_s(self, now: float) -> float | None:
        """Seconds since the newest sample of any card, None when there was none."""
        return max(0.0, now - max(sample.at for sample in self.newest.values())) if self.newest else None

    def staleness(self, now: float) -> str:
        """ "" while samples come, else "stale 12 s", with the reason where one is known."""
        age = self.age_s(now)
        reason = f": {self.trouble.why}" if self.trouble else ""
        if age is None:
            return f"no samples{reason}"
        return f"stale {age:.0f} s{reason}" if age > STALE_S or self.trouble else ""


async def collect(
    agent: Agent,
    telemetry: Telemetry,
    clock: Callable[[], float],
    on_sample: Callable[[Sample], None] | None = None,
    interval_s: float = 1.0,
) -> None:
    """Fill `telemetry` from one pod until cancelled, over two channels; `on_sample` hears of each, too.

    A card that hangs or vanishes is trouble in `telemetry` and nothing more. Raises SshError when the link breaks.
    """

    def take(sample: Sample) -> None:
        telemetry.add(sample)
        if on_sample is not None:
            on_sample(sample)

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_cards(agent, take, clock))
            group.create_task(_machine(agent, telemetry, take, clock, interval_s))
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _cards(agent: Agent, take: Callable[[Sample], None], clock: Callable[[], float]) -> None:
    async with aclosing(samples(agent.conn, clock)) as found:
        async for sample in found:
            take(sample)


async def _machine(
    agent: Agent, telemetry: Telemetry, take: Callable[[Sample], None], clock: Callable[[], float], interval_s: float
) -> None:
    async with agent.frames({"interval_s": interval_s}, "host") as frames:
        while (frame := await frames.next()) is not None:
            if isinstance(listing := frame[0].get("apps"), str):
                telemetry.processes = parse_processes(listing)
            take(parse_host(frame[0], clock()))


_KINDS = {"gpu": GpuSample, "host": HostSample, "trouble": GpuTrouble}


def record(sample: Sample) -> bytes:
    """One line of a telemetry.jsonl: {"kind": "gpu" | "host" | "trouble", "at": …}."""
    kind = next(name for name, made in _KINDS.items() if isinstance(sample, made))
    return json.dumps({"kind": kind, **asdict(sample)}, separators=(",", ":")).encode() + b"\n"


def recorded(line: bytes) -> Sample | None:
    """The sample in a line that `record` made; None for any other."""
    try:
        raw = json.loads(line)
        made = _KINDS[raw.pop("kind")]
        if set(raw) != set(made.__struct_fields__) or _amount(raw["at"]) is None:
            return None
        return made(**raw)  # type: ignore[no-any-return]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
