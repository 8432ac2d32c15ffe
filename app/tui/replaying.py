"""The panel over a recording."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from app.errors import FAILED
from app.tui.app import PanelApp
from app.tui.theme import wants_ascii

if TYPE_CHECKING:
    from app.controller import Controller
    from app.replay import Player


def run_replay(player: Player) -> int:
    """Show a recording until it is left. Ages are as they were then. Returns an exit code."""
    app = PanelApp(cast("Controller", player), ascii_only=wants_ascii(os.environ), clock=player.clock)
    result = app.run()
    return result if result is not None else app.return_code or FAILED
