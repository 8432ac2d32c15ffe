"""The chain of stages on one line: `✔ 1 explicit ◆96%  ▶ stage 2 ◇ gate`. Pure.

A gate without a result reads as not passed.
"""

from __future__ import annotations

from textual.content import Content

from app.fold import stage_of
from app.state import GateView, RunView, StepView
from app.tui import fmt
from app.tui.lines import clean
from app.tui.picture import latest_gates
from app.tui.theme import Glyphs
from app.tui.widgets.signs import step_glyph


def stage_bar(run: RunView, width: int, glyphs: Glyphs) -> Content:
    """Every stage of the plan with its gate; names shorten before stages are left out."""
    stages = sorted({stage for step in run.steps if (stage := stage_of(step.step)) is not None})
    gates = latest_gates(run)
    for long in (True, False):
        bar = Content("  ").join([_stage(run, stage, gates.get(stage), glyphs, long) for stage in stages])
        if bar.cell_length <= width:
            return bar
    return bar.truncate(width, ellipsis=True)


def stage_state(steps: list[StepView]) -> str:
    """A stage's state from its steps': failed, running, done, or planned."""
    states = {step.state for step in steps}
    if "failed" in states:
        return "failed"
    if "running" in states:
        return "running"
    if states <= {"done", "reused", "skipped"}:
        return "done"
    return "running" if states & {"done", "reused"} else "planned"


def _stage(run: RunView, stage: int, gate: GateView | None, glyphs: Glyphs, long: bool) -> Content:
    state = stage_state([step for step in run.steps if stage_of(step.step) == stage])
    if state == "running" and run.state not in ("running", "pending"):
        state = "planned"
    gated = any(step.step == f"stage-{stage}/gate" for step in run.steps)
    if state == "done" and gated and (gate is None or gate.verdict not in ("PASS", "NO_HEADROOM")):
        state = "running" if gate is None and run.state == "running" else ("failed" if gate else "planned")
    glyph, style = step_glyph(state, glyphs)
    if gate is not None and state == "failed" and gate.verdict in ("INCONCLUSIVE", "MISSING"):
        glyph, style = glyphs.off, "bold $warning"
    name = f" {clean(gate.name)}" if gate and gate.name and long else ""
    if not gated and long:
        name = " baseline"  # stage 0 only measures
    title = f"{glyph} {'stage ' if long and not name else ''}{stage}{name} "
    return Content.assemble((title, style), gate_mark(gate, glyphs) if gated else "")


def gate_mark(gate: GateView | None, glyphs: Glyphs) -> Content:
    """`◇` open, `◇≥80%` open with a known threshold, `◆96%` passed, `✖41%` not passed."""
    if gate is None:
        return Content.assemble((f"{glyphs.gate} gate", "$foreground-muted"))
    rate = fmt.percent(gate.rate)
    least = "" if gate.threshold is None else f"{glyphs.least}{fmt.percent(gate.threshold)}"
    if gate.verdict in ("PASS", "NO_HEADROOM"):
        return Content.assemble(
            (f"{glyphs.passed}{rate}", "bold $success" if gate.verdict == "PASS" else "bold $warning")
        )
    if gate.verdict in ("INCONCLUSIVE", "MISSING"):
        return Content.assemble((f"{glyphs.gate}{rate} {least}".rstrip(), "bold $warning"))
    return Content.assemble((f"{glyphs.bad}{rate} {least}".rstrip(), "bold $error"))
