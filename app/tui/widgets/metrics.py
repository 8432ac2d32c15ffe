"""The METRICS pane: the last value and the history of every metric the run has reported, newest first."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from app.tui import fmt
from app.tui.lines import clean
from app.tui.picture import Picture, step_name
from app.tui.widgets.panel import MUTED, Panel, pad, text
from app.tui.widgets.spark import spark


class MetricsPanel(Panel):
    """One line a metric: step and name, last value, history."""

    def heading(self, _picture: Picture) -> tuple[Content, Content]:
        return text(("METRICS", "bold")), text(("last value, history", MUTED))

    def draw(self, picture: Picture, width: int, height: int) -> Sequence[Content]:
        metrics = picture.run.metrics if picture.run else {}
        if not metrics:
            return [text(("reported by training and evaluation steps", MUTED))]
        newest = list(metrics.items())[::-1][:height]
        name = min(22, max(len(label(key)) for key, _ in newest))
        lines = []
        for key, (_, value) in newest:
            room = max(0, width - name - 12)
            history = spark(picture.series.values(key), room, picture.glyphs)
            lines.append(text(pad(text((label(key), MUTED)), name), f" {fmt.number(value):>9}  ", history))
        return lines


def label(key: str) -> str:
    """`sft loss` of `stage-1/sft loss`."""
    step, _, name = clean(key).partition(" ")
    return f"{step_name(step)} {name}".strip()
