"""What is left in a terminal too small for the panel: state, money, progress on one line, and how to see more. Pure."""

from __future__ import annotations

from textual.content import Content

from app.tui import fmt
from app.tui.lines import clean
from app.tui.picture import Picture, step_name
from app.tui.widgets.cost_meter import per_hour
from app.tui.widgets.header import countdown_part, replay_mark
from app.tui.widgets.panel import MUTED, fitting, pack, text
from app.tui.widgets.signs import pod_sign, run_sign, verdict_sign


def compact_line(picture: Picture, width: int, height: int) -> Content:
    """One line and, with two rows or more, a hint to enlarge."""
    state, g, run = picture.state, picture.glyphs, picture.run
    parts = [replay_mark(state)] if state.replay is not None else []
    parts += countdown_part(picture)
    parts += [pod_sign(state.pod, g), text((per_hour(state.cost, state.pod), "bold"))]
    step = picture.step
    if run is not None and step is not None:
        share = f" {int(100 * step.done / step.total)}%" if step.done is not None and step.total else ""
        parts.append(text((f"{g.now} {clean(step_name(step.step))}{share}", "$primary")))
        if picture.run_stale:
            parts.append(text((f"stale {fmt.age(picture.run_age)}", "bold $warning")))
    elif run is not None:
        parts.append(verdict_sign(run.gates[-1].verdict, g) if run.gates else run_sign(run.state, g))
    line = pack(parts, width, " ")
    if height >= 2:
        hint = text((f"60×14 shows all {g.dot} q quit", MUTED)).truncate(max(1, width))
        line = Content("\n").join([line, hint])
    return fitting(line, g)
