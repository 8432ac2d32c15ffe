"""The CONDITIONS pane: success of every prompt condition, strict with its 95 % Wilson interval and lenient."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from textual.content import Content

from app.state import GateView, RunView
from app.text import measured, present_stage
from app.tui import fmt
from app.tui.lines import clean
from app.tui.picture import Picture
from app.tui.theme import Glyphs
from app.tui.widgets.panel import MUTED, Panel, pad, text
from app.tui.widgets.run_panel import newest_gate
from app.tui.widgets.signs import verdict_sign
from pipeline.protocol import CONDITIONS, OPTIONAL_CONDITIONS

NAME = 15

BAR_FROM = 70
"""Width (cells) from which the intervals are drawn as well."""


class ConditionsPanel(Panel):
    """Rates as the gate reported them; conditions without a result stay open."""

    def heading(self, picture: Picture) -> tuple[Content, Content]:
        run = picture.run
        gate = newest_gate(run, picture.step) if run else None
        verdict = verdict_sign(gate.verdict if gate else None, picture.glyphs)
        if run is None:
            return text(("CONDITIONS", "bold")), verdict
        rates = rates_of(run, gate)
        n = {_whole(rate.get("trials")) for rate in rates.values()}
        held_out = f" n={n.pop()}" if len(n) == 1 else ""
        stage = gate.stage if gate else present_stage(run)
        return text(("CONDITIONS", "bold"), f" stage {stage}", (held_out, MUTED)), verdict

    def draw(self, picture: Picture, width: int, height: int) -> Sequence[Content]:
        run, g = picture.run, picture.glyphs
        if run is None:
            return [text(("measured by a run's evaluate steps", MUTED))]
        gate = newest_gate(run, picture.step)
        rates = rates_of(run, gate)
        names = names_of(rates)
        lines = [head_line(width)]
        lines += [condition_line(name, rates.get(name), width, g, _threshold(gate, name)) for name in names]
        lines += [text(""), *reason_lines(gate, run, width)]
        titled = height > len(names)
        columns = "" if titled else f" strict {g.dot} 95% {g.dot} lenient "
        if (self.border_subtitle or "") != columns:  # where there is no room above the rates
            self.border_subtitle = columns
        return lines if titled else lines[1:]


def rates_of(run: RunView, gate: GateView | None, stage: int | None = None) -> Mapping[str, Mapping[str, Any]]:
    """What the gate has decided by; before it, what was measured so far on that, or the present, stage's set."""
    return gate.rates if gate else measured(run, stage)


def names_of(rates: Mapping[str, Any]) -> list[str]:
    """The conditions to list: those every stage has, and whatever else was measured."""
    names = [name for name in CONDITIONS if name in rates or name not in OPTIONAL_CONDITIONS]
    return names + [name for name in rates if name not in CONDITIONS]


def head_line(width: int) -> Content:
    """Column titles."""
    wide = width >= BAR_FROM
    titles = f"{'':<{NAME}}{'strict':>6} {'95% interval' if wide else '95%':<{12 if wide else 6}}{'lenient':>8}"
    return text((titles, MUTED), ("   strict, 0 to 100%" if wide else "", MUTED))


def condition_line(
    name: str, rate: Mapping[str, Any] | None, width: int, glyphs: Glyphs, threshold: float | None
) -> Content:
    """`tuned            68%  59–76     71%  ▕███████░░░`."""
    label = pad(text((clean(name), "bold" if name == "tuned" else "")), NAME)
    trials = _whole(rate.get("trials")) if rate else None
    if rate is None or not trials:
        return text(label, (f"{glyphs.todo} not measured yet", MUTED))
    strict, lenient = (_share(rate.get(key), trials) for key in ("successes", "lenient_successes"))
    low, high = rate.get("low"), rate.get("high")
    between = (
        f"{100 * low:.0f}{glyphs.dash}{100 * high:.0f}"
        if isinstance(low, float) and isinstance(high, float)
        else glyphs.dash
    )
    style = "bold $primary" if name == "tuned" else ""
    wide = 12 if width >= BAR_FROM else 6
    numbers = text((f"{fmt.percent(strict):>6}", style), (f" {between:<{wide}}", MUTED), f"{fmt.percent(lenient):>8}")
    line = text(label, numbers)
    if width < BAR_FROM:
        return line
    return text(line, "   ", interval_bar(strict, low, high, threshold, width - line.cell_length - 4, glyphs))


def interval_bar(
    strict: float | None, low: Any, high: Any, threshold: float | None, width: int, glyphs: Glyphs
) -> Content:
    """0 to 100 % in `width` cells: the interval as a band, the rate as a dot, the gate's threshold as a mark."""
    cells = [(" ", "")] * width

    def at(value: float) -> int:
        return min(width - 1, max(0, int(value * width)))

    for quarter in range(5):
        cells[at(quarter / 4)] = (glyphs.info, "$border")
    if isinstance(low, float) and isinstance(high, float):
        for cell in range(at(low), at(high) + 1):
            cells[cell] = (glyphs.line, "$primary")
    if threshold is not None:
        cells[at(threshold)] = (glyphs.mark, "bold $accent")
    if strict is not None:
        cells[at(strict)] = (glyphs.on, "bold $primary")
    return Content.assemble(*cells)


def reason_lines(gate: GateView | None, run: RunView, width: int) -> list[Content]:
    """Why the gate decided so, wrapped."""
    if gate is None:
        ended = run.state not in ("running", "pending")
        return [text(("no gate has decided" if ended else "the gate decides after evaluate", MUTED))]
    return [text(line) for line in wrap(clean(gate.reason), width)]


def wrap(words: str, width: int) -> list[str]:
    """Plain word wrap."""
    return textwrap.wrap(words, max(8, width)) or [""]


def _threshold(gate: GateView | None, name: str) -> float | None:
    return gate.threshold if gate is not None and name == "tuned" else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _share(successes: Any, trials: int) -> float | None:
    known = _whole(successes)
    return None if known is None else known / trials
