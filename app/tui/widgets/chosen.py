"""What widgets tell the panel: somebody clicked for an action, or what is drawn is out of date."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message


@dataclass
class Chosen(Message):
    """Somebody clicked what stands for this action."""

    action_id: str


class Outdated(Message):
    """A widget has another size or content than when it was last drawn."""
