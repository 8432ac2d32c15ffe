"""The STEPS pane: every planned step with its state and duration, scrolled to the one that runs."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from app.fold import stage_of
from app.state import StepView
from app.tui import fmt
from app.tui.lines import clean
from app.tui.picture import Picture, step_name
from app.tui.widgets.panel import MUTED, Panel, pad, spread, text
from app.tui.widgets.signs import step_glyph

COLUMN = 30


class StepsPanel(Panel):
    """Steps in planned order, in as many columns as fit."""

    def heading(self, picture: Picture) -> tuple[Content, Content]:
        steps = picture.run.steps if picture.run else ()
        over = sum(step.state in ("done", "reused", "skipped") for step in steps)
        return text(("STEPS", "bold")), text((f"{over} of {len(steps)}" if steps else "", MUTED))

    def draw(self, picture: Picture, width: int, height: int) -> Sequence[Content]:
        steps = picture.run.steps if picture.run else ()
        if not steps:
            return [text(("the plan comes with a run", MUTED))]
        columns = min(max(1, (width + 2) // COLUMN), -(-len(steps) // height))
        each = (width - 2 * (columns - 1)) // columns
        many = len({stage_of(step.step) for step in steps}) > 1
        first = window(steps, columns * height)
        shown = [step_line(picture, step, each, many) for step in steps[first : first + columns * height]]
        rows = -(-len(shown) // columns)
        return [Content("  ").join([pad(line, each) for line in shown[row::rows]]) for row in range(rows)]


def window(steps: Sequence[StepView], room: int) -> int:
    """First step to show so that the one that runs (or failed, or was done last) is in view with what comes next."""
    at = max((i for i, step in enumerate(steps) if step.state not in ("planned", "skipped")), default=0)
    return max(0, min(at - room // 2, len(steps) - room))


def step_line(picture: Picture, step: StepView, width: int, many: bool) -> Content:
    """`▶ sft                35s`."""
    glyph, style = step_glyph(step.state, picture.glyphs)
    took = picture.elapsed(step)
    name = clean(step_name(step.step))
    if many and stage_of(step.step) is not None:
        name = f"{stage_of(step.step)}/{name}"
    running = step.state == "running"
    time = "" if took is None else fmt.age(took) if running else fmt.span(took)
    said = step.state if step.state in ("reused", "skipped", "failed") else ""
    right = text((said, style), " " if said and time else "", (time, "" if running else MUTED))
    word = style if step.state in ("running", "failed") else (MUTED if step.state in ("planned", "skipped") else "")
    left = text((f"{glyph} ", style), (name, word)).truncate(max(1, width - right.cell_length - 1), ellipsis=True)
    return spread(left, right, width)
