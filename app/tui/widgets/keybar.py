"""The bottom line: the most wanted keys, made from the actions; what is refused now is dimmed. Clickable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

from textual import events
from textual.content import Content
from textual.widgets import Static

from app.actions.base import Action
from app.tui.keys import shown_key
from app.tui.widgets.chosen import Chosen, Outdated
from app.tui.widgets.panel import MUTED

WANTED = (
    "view.help",
    "view.quit",
    "pod.stop",
    "view.palette",
    "task.new",
    "view.advance",
    "task.block",
    "task.note",
    "review.request",
    "review.import",
    "review.tasks",
    "run.start",
    "pod.start",
    "push",
    "pull",
    "replay.pause",
    "replay.slower",
    "replay.faster",
    "replay.next",
    "view.find",
    "view.follow",
    "run.cancel",
    "run.resume",
    "run.report",
    "view.find_next",
    "view.filter",
    "view.bottom",
)
"""What stays longest when the line gets short, most wanted first; acts of the board and of reviews are there only."""

GAP = "  "

SHORT = {
    "run.start": "Run",
    "pod.start": "Start",
    "pod.stop": "Stop",
    "view.palette": "Cmd",
    "run.cancel": "Cancel",
    "run.resume": "Resume",
    "run.report": "Report",
    "view.find_next": "Next",
    "view.advance": "Advance",
    "task.new": "New",
    "task.note": "Note",
    "review.request": "New",
    "review.tasks": "Tasks",
    "replay.next": "Step",
}


class KeyBar(Static):
    """Keys by what fits."""

    def __init__(self) -> None:
        super().__init__(id="keys", markup=False)
        self._drawn: object = None
        self._ends: list[tuple[int, str]] = []

    def show(self, actions: Sequence[Action], reason: Callable[[str], str | None]) -> None:
        """Draw, if it differs from what is there."""
        by_id = {action.id: action for action in actions}
        wanted = [by_id[name] for name in WANTED if name in by_id and by_id[name].keys]
        refused = {action.id: reason(action.id) for action in wanted}
        drawn = (self.size.width, tuple((action.id, action.keys, refused[action.id] is None) for action in wanted))
        if drawn == self._drawn:
            return
        self._drawn = drawn
        parts = {action.id: key_part(action, refused[action.id]) for action in wanted}
        taken = accumulate(parts[action.id].cell_length + len(GAP) for action in wanted)
        kept = {action.id for action, end in zip(wanted, taken, strict=True) if end - len(GAP) <= self.size.width - 2}
        shown = [action.id for action in actions if action.id in kept]
        bar = Content(GAP).join([parts[name] for name in shown])
        ends = accumulate(parts[name].cell_length + len(GAP) for name in shown)
        self._ends = list(zip(ends, shown, strict=True))
        self.update(bar, layout=False)

    def on_resize(self, _event: events.Resize) -> None:
        self.post_message(Outdated())

    def on_click(self, event: events.Click) -> None:
        """A click does what the key does."""
        at = event.get_content_offset(self)
        for end, action_id in self._ends:
            if at is not None and at.x < end:
                self.post_message(Chosen(action_id))
                return


def key_part(action: Action, refused: str | None) -> Content:
    """`s Start`, dimmed when refused."""
    name = SHORT.get(action.id, action.title.split()[0])
    if refused is not None:
        return Content.assemble((f"{shown_key(action)} {name}", f"{MUTED} dim"))
    return Content.assemble((shown_key(action), "bold $accent"), f" {name}")
