"""The chain as a list: stages, their steps with durations and ETA, gates as diamonds. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from textual.content import Content

from app.fold import stage_of
from app.state import GateView, RunView, StepView
from app.tui import fmt
from app.tui.lines import clean
from app.tui.picture import Picture, latest_gates, step_name
from app.tui.theme import Glyphs
from app.tui.widgets.panel import MUTED, pack, spread, text
from app.tui.widgets.signs import step_glyph
from app.tui.widgets.stage_bar import stage_state


class Entry(Struct, frozen=True):
    """One line of the list. A stage's own line has neither step nor gate of its own to show but all its steps'."""

    stage: int | None
    kind: str  # stage | step | gate
    step: StepView | None = None
    gate: GateView | None = None
    steps: tuple[StepView, ...] = ()

    @property
    def key(self) -> tuple[int | None, str, str]:
        return self.stage, self.kind, self.step.step if self.step else ""


def entries(run: RunView) -> list[Entry]:
    """Every stage with its steps, in planned order; the gate's step is the gate."""
    gates, found = latest_gates(run), []
    for stage in dict.fromkeys(stage_of(step.step) for step in run.steps):
        steps = tuple(step for step in run.steps if stage_of(step.step) == stage)
        gate = gates.get(stage) if stage is not None else None
        found.append(Entry(stage, "stage", None, gate, steps))
        for step in steps:
            gated = stage is not None and step_name(step.step) == "gate"
            found.append(Entry(stage, "gate" if gated else "step", step, gate if gated else None))
    return found


def at_work(found: Sequence[Entry]) -> int:
    """Where to look first: the step that runs or failed, else the last one that ended."""
    steps = [(place, entry.step) for place, entry in enumerate(found) if entry.step is not None]
    for state in ("running", "failed"):
        for place, step in steps:
            if step.state == state:
                return place
    return max((place for place, step in steps if step.state in ("done", "reused")), default=0)


def entry_line(picture: Picture, entry: Entry, width: int) -> Content:
    """`▶ 2 implicit  12m`, `  ✔ generate  1h06m`, `  ◆ gate 79% (69–87) ≥65%`."""
    if entry.kind == "stage":
        return _stage_line(picture, entry, width)
    if entry.kind == "gate":
        left = text("  ", gate_line(entry.gate, picture.glyphs))
        return spread(left, _time(picture, entry.step), width)
    assert entry.step is not None
    return _step_line(picture, entry.step, width)


def _stage_line(picture: Picture, entry: Entry, width: int) -> Content:
    state = stage_state(list(entry.steps))
    if state == "running" and picture.run is not None and picture.run.state not in ("running", "pending"):
        state = "planned"  # it can be resumed
    glyph, style = step_glyph(state, picture.glyphs)
    name = clean(entry.gate.name) if entry.gate and entry.gate.name else ""
    if entry.stage is None:
        name = "outside the stages"
    elif not any(step_name(step.step) == "gate" for step in entry.steps):
        name = name or "baseline"
    number = "" if entry.stage is None else f" stage {entry.stage}" if not name else f" {entry.stage}"
    known = [took for step in entry.steps if (took := picture.elapsed(step)) is not None]
    spent = fmt.age(sum(known)) if known else ""
    return spread(text((f"{glyph}{number} {name}".rstrip(), f"bold {style}")), text((spent, MUTED)), width)


def _step_line(picture: Picture, step: StepView, width: int) -> Content:
    glyph, style = step_glyph(step.state, picture.glyphs)
    share = f" {int(100 * step.done / step.total)}%" if step.done is not None and step.total else ""
    attempt = f" attempt {step.attempt}" if step.attempt > 1 else ""
    word = style if step.state in ("running", "failed") else MUTED if step.state in ("planned", "skipped") else ""
    name = text((f"  {glyph} ", style), (clean(step_name(step.step)), word), (attempt, "$warning"))
    running = step.state == "running"
    parts = [name, text((share if running else "", "bold"))]
    if step.state in ("reused", "skipped", "failed"):
        parts.append(text((step.state, style)))
    if running and step.eta_s is not None:
        parts.append(text((f"ETA {fmt.span(step.eta_s)}", "$accent")))
    elif step.state == "planned" and step.forecast_s is not None:
        parts.append(text((f"{picture.glyphs.about}{fmt.span(step.forecast_s)}", MUTED)))
    time = _time(picture, step)
    return spread(pack(parts, width - time.cell_length - 1, " "), time, width)


def _time(picture: Picture, step: StepView | None) -> Content:
    took = None if step is None else picture.elapsed(step)
    if step is None or took is None:
        return text("")
    return text((fmt.age(took) if step.state == "running" else fmt.span(took), MUTED))


def gate_line(gate: GateView | None, glyphs: Glyphs) -> Content:
    """`◇ gate, no result yet`, `◆ gate PASS 79% (69–87) ≥65%`. Only what passed gets the full diamond."""
    if gate is None:
        return text((f"{glyphs.gate} gate, no result yet", MUTED))
    passed = gate.verdict in ("PASS", "NO_HEADROOM")
    open_ = gate.verdict in ("INCONCLUSIVE", "MISSING")
    style = "bold $success" if gate.verdict == "PASS" else "bold $warning" if passed or open_ else "bold $error"
    glyph = glyphs.passed if passed else glyphs.gate if open_ else glyphs.bad
    between = (
        "" if gate.low is None or gate.high is None else f" ({100 * gate.low:.0f}{glyphs.dash}{100 * gate.high:.0f})"
    )
    rate = "" if gate.rate is None else f" {fmt.percent(gate.rate)}{between}"
    least = "" if gate.threshold is None else f" {glyphs.least}{fmt.percent(gate.threshold)}"
    return text((f"{glyph} gate {clean(gate.verdict)}", style), rate, (least, MUTED))
