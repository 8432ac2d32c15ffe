"""The RUN pane: stage bar, current step with its progress, rates and losses, and what the gate has said so far."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from textual.content import Content

from app.fold import stage_of
from app.state import GateView, RunView, StepView
from app.tui import fmt
from app.tui.lines import clean
from app.tui.picture import ENDED, LIVE, Picture, step_name
from app.tui.widgets.gauge import gauge
from app.tui.widgets.panel import MUTED, Panel, pack, spread, text
from app.tui.widgets.signs import run_sign, step_glyph, verdict_sign
from app.tui.widgets.spark import spark
from app.tui.widgets.stage_bar import stage_bar


class RunPanel(Panel):
    """The run that is followed; without one, how to begin."""

    def heading(self, picture: Picture) -> tuple[Content, Content]:
        run = picture.run
        if run is None:
            return text(("RUN", "bold")), text(("none yet", MUTED))
        title = text(("RUN ", "bold"), clean(run.run_id), (f" {clean(run.recipe)}" if run.recipe else "", MUTED))
        gate = newest_gate(run, picture.step)
        right = [run_sign(run.state, picture.glyphs, gate.verdict if gate else None)]
        if run.state in ENDED:
            right.append(text("pulled, verified" if run.pulled else ("not pulled yet", "$warning")))
        took = elapsed(picture, run)
        if took is not None:
            right.append(text((fmt.age(took), MUTED)))
        if picture.run_stale:
            known = picture.run_age is not None
            right.insert(1, text((f"stale {fmt.age(picture.run_age)}" if known else "no word yet", "bold $warning")))
        return title, Content(f" {picture.glyphs.dot} ").join(right)

    def draw(self, picture: Picture, width: int, height: int) -> Sequence[Content]:
        run = picture.run
        self.set_class(picture.run_stale, "-stale")
        if run is None:
            return how_to_begin(picture, width)
        lines = [chain_line(picture, run, width)]
        step = picture.step
        if step is not None:
            lines += [progress_line(picture, step, width), detail_line(picture, run, step, width)]
        else:
            lines += resting_lines(run)
        lines.append(gate_line(picture, run))
        if height > len(lines):
            lines.append(life_line(picture, run, width))
        return lines


def elapsed(picture: Picture, run: RunView) -> float | None:
    """Seconds from the run's start to its end, or to now while it is alive."""
    end = run.finished_at if run.state in ENDED else picture.now
    return None if run.started_at is None or end is None else max(0.0, end - run.started_at)


BEGIN = (
    ("r", "start a run", "pod, code, recipe, and verified results back"),
    ("s", "start the pod", "only that; the header says what it costs"),
    (":", "every command", "by name, with its key"),
    ("?", "help", "every key, searchable"),
)


def how_to_begin(picture: Picture, width: int) -> list[Content]:
    """What a first look should say."""
    state = picture.state
    lines = [text(("No run yet.", "bold"))]
    if state.replay is not None:
        lines[0] = text("The recording has not come to a run yet: space lets it go on, ) goes to the next step.")
    elif state.readonly:
        lines[0] = text("No run is followed here, and this panel is read-only.")
    for key, name, what in BEGIN if picture.acts else BEGIN[2:]:
        line = text((f"{key}  ", "bold $accent"), f"{name:<14}")
        lines.append(text(line, (f" {what}", MUTED)))
    hint = textwrap.wrap(clean(state.hint), width) if state.hint else []
    return [*lines, text(""), *(text((line, MUTED)) for line in hint)]


def chain_line(picture: Picture, run: RunView, width: int) -> Content:
    """The stage bar, and `step 4/9` at its right."""
    over = sum(step.state in ("done", "reused", "skipped") for step in run.steps)
    right = text((f"{over}/{len(run.steps)} steps done" if run.steps else "no plan received yet", MUTED))
    return spread(stage_bar(run, max(10, width - right.cell_length - 2), picture.glyphs), right, width)


def progress_line(picture: Picture, step: StepView, width: int) -> Content:
    """`▶ sft  ████████▌  228/375 steps  61%`; without a total the bar is left out."""
    glyph, style = step_glyph(step.state, picture.glyphs)
    left = text((f"{glyph} {clean(step_name(step.step))}", style))
    attempt = f" attempt {step.attempt}" if step.attempt > 1 else ""
    if step.done is None or not step.total:
        known = f"{fmt.count(step.done)} {clean(step.unit or '')}" if step.done is not None else step.state
        return text(left, (attempt, "$warning"), f"  {known}")
    fraction = step.done / step.total
    right = text(
        f"{fmt.count(step.done)}/{fmt.count(step.total)} {clean(step.unit or '')}".rstrip(),
        f" {floor_percent(fraction):>4}",
    )
    room = width - left.cell_length - len(attempt) - right.cell_length - 4
    style = "$error" if step.state == "failed" else "$primary"
    return text(left, (attempt, "$warning"), "  ", gauge(fraction, max(4, room), picture.glyphs, style), "  ", right)


def floor_percent(fraction: float) -> str:
    """Rounded down, so that 100% is said of the whole only."""
    return f"{int(100 * max(0.0, fraction) + 1e-9)}%"


def detail_line(picture: Picture, run: RunView, step: StepView, width: int) -> Content:
    """Time, rate and the step's own metrics, as many as fit."""
    parts = []
    took = picture.elapsed(step)
    if took is not None:
        parts.append(text((fmt.age(took), "")))
    if step.state == "running":
        eta = fmt.span(step.eta_s) if step.eta_s is not None else "unknown"
        parts.append(text(("ETA ", MUTED), eta))
    if step.rate is not None:
        parts.append(text(f"{fmt.number(step.rate)} {clean(step.unit or 'items')}/s"))
    parts += [metric_part(picture, key, value) for key, (_, value) in metrics_of(run, step)]
    if run.tokens_per_s is not None:
        parts.append(text(f"{fmt.count(run.tokens_per_s)} tok/s"))
    return pack(parts, width, "   ")


def metrics_of(run: RunView, step: StepView) -> list[tuple[str, tuple[float, float]]]:
    """The step's metrics, losses first; before it has any, the last loss of the run."""
    own = [(key, value) for key, value in run.metrics.items() if key.startswith(step.step + " ")]
    own.sort(key=lambda item: "loss" not in item[0])
    return own or [(key, value) for key, value in run.metrics.items() if key.endswith(" loss")][-1:]


def metric_part(picture: Picture, key: str, value: float) -> Content:
    """`loss 0.913 ▇▆▅▄▃`; the step's name before it when it is another step's."""
    step, _, name = key.partition(" ")
    other = picture.step is None or picture.step.step != step
    history = spark(picture.series.values(key), 10, picture.glyphs)
    label = f"{step_name(step)} {name}" if other else name
    return text((f"{clean(label)} ", MUTED), fmt.number(value), " " if history.cell_length else "", history)


def resting_lines(run: RunView) -> list[Content]:
    """What to say while no step runs: why it ended, or what it waits for."""
    if run.state in LIVE:
        return [text(("between two steps", MUTED)), text("")]
    if run.state == "pending":
        return [text(("waiting for its first sign of life", MUTED)), text("")]
    said = clean(run.reason) if run.reason else ""
    code = "" if run.exit_code is None else f"exit code {run.exit_code}"
    return [text(said or code), text((code if said else "", MUTED))]


def gate_line(picture: Picture, run: RunView) -> Content:
    """The newest gate's verdict with its rate, interval and p; open when there is none."""
    gate = newest_gate(run, picture.step)
    if gate is None:
        return text(("gate  ", MUTED), verdict_sign(None, picture.glyphs))
    return text(
        (f"gate {gate.stage}  ", MUTED), verdict_sign(gate.verdict, picture.glyphs), gate_numbers(gate, picture)
    )


def newest_gate(run: RunView, step: StepView | None) -> GateView | None:
    """The gate of the step's stage, else the last one that has decided."""
    stage = stage_of(step.step) if step else None
    gates = [gate for gate in run.gates if stage is None or gate.stage == stage]
    return max(gates, key=lambda gate: (gate.stage, gate.attempt), default=None)


def gate_numbers(gate: GateView, picture: Picture) -> Content:
    """`  tuned 68% (59–76) against ≥80%  p=0.0002  n=120  reason`."""
    dash, parts = picture.glyphs.dash, []
    if gate.rate is not None:
        bounds = "" if gate.low is None or gate.high is None else f" ({100 * gate.low:.0f}{dash}{100 * gate.high:.0f})"
        parts.append(f"{fmt.percent(gate.rate)}{bounds}")
    if gate.threshold is not None:
        parts.append(f"against {picture.glyphs.least}{fmt.percent(gate.threshold)}")
    if gate.p is not None:
        parts.append("p<0.0001" if gate.p < 1e-4 else f"p={gate.p:.2g}")
    if gate.n is not None:
        parts.append(f"n={gate.n}")
    return text("  " + "  ".join(parts), (f"  {clean(gate.reason)}" if gate.reason else "", MUTED))


def life_line(picture: Picture, run: RunView, width: int) -> Content:
    """Heartbeat, memory, warnings."""
    parts = []
    if run.heartbeat_at is not None:
        parts.append(text(("heartbeat ", MUTED), f"{fmt.age(max(0.0, picture.now - run.heartbeat_at))} ago"))
    if run.rss is not None:
        parts.append(text(("memory ", MUTED), fmt.size(run.rss)))
    if run.warnings:
        parts.append(text((f"{picture.glyphs.warn} {clean(run.warnings[-1])}", "$warning")))
    return pack(parts, width, "   ")
