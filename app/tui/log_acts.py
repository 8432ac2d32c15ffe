"""What the keys of a log do, by action id."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from app.tui import clipboard
from app.tui.export import name_for, save

if TYPE_CHECKING:
    from app.tui.app import PanelApp

SAVED = "saved-logs"
"""Folder beside the spools that saved lines go to: never pushed."""


def switch(what: str) -> Callable[[PanelApp], None]:
    """An act that switches a way of showing on or off."""

    def flip(app: PanelApp) -> None:
        app.log_view.toggle(what)
        app.repaint()

    return flip


def mark(app: PanelApp) -> None:
    """Put a mark after the last line."""
    view = app.log_view
    if view.spool is not None:
        view.spool.add_mark(f"{time.strftime('%H:%M:%S', time.localtime(app.clock()))} mark")
    app.repaint()


def copy_line(app: PanelApp) -> None:
    """Copy what is selected, else the line in hand."""
    text = app.screen.get_selected_text() or app.log_view.text_in_hand()
    app.go(_copy(app, text))


def copy_screen(app: PanelApp) -> None:
    """Copy the lines in sight."""
    app.go(_copy(app, "\n".join(app.log_view.screenful())))


def clear(app: PanelApp) -> None:
    """End the filter, else the find, else the selection."""
    view = app.log_view
    if view.filter is not None:
        view.show_only(None)
    elif view.find is not None:
        view.look_for(None)
    else:
        app.screen.clear_selection()
    app.repaint()


def save_lines(app: PanelApp) -> None:
    """Write the lines in the view to a file of the workspace."""
    app.go(_save(app))


def detail(app: PanelApp) -> None:
    """Open the line in hand."""
    from app.tui.modals.line import LineDetail  # not needed for the first frame

    if app.log_view.in_hand() is None:
        app.say("no line here", "warning")
    else:
        app.push_screen(LineDetail(app.log_view))


async def _copy(app: PanelApp, text: str | None) -> None:
    if not text:
        app.say("nothing to copy", "warning")
        return
    lines = text.count("\n") + 1
    try:
        how = await clipboard.copy(text, os.environ, app.copy_to_clipboard)
    except ValueError as error:
        app.say(str(error), "warning")
    else:
        app.say(f"copied {lines:,} line{'s' if lines > 1 else ''} through {how}")


async def _save(app: PanelApp) -> None:
    view, logs = app.log_view, app.bridge.logs
    name, spool = logs.showing(app.controller.state), view.spool
    if name is None or spool is None:
        app.say("no log here yet", "warning")
        return
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(app.clock()))
    path = app.controller.workspace.state_dir / SAVED / name_for(name, stamp)
    only = view.filter.pattern if view.filter else None
    try:
        count = await asyncio.to_thread(save, spool, only, path)
    except (OSError, RuntimeError) as error:
        app.say(f"not saved: {error}", "error")
    else:
        app.say(f"{count:,} lines saved to {path}")


def where_a_log_is(act: Callable[[PanelApp], None]) -> Callable[[PanelApp], None]:
    """The act, or why not: the palette offers it in every view."""

    def guarded(app: PanelApp) -> None:
        if app.has_log:
            act(app)
        else:
            app.say("no log in this view: 3 shows the logs", "warning")

    return guarded


LOG_ACTS: Mapping[str, Callable[[PanelApp], None]] = {
    "view.wrap": where_a_log_is(switch("wrap")),
    "view.stamps": where_a_log_is(switch("stamps")),
    "view.mark": where_a_log_is(mark),
    "view.copy": where_a_log_is(copy_line),
    "view.copy_screen": where_a_log_is(copy_screen),
    "view.save": where_a_log_is(save_lines),
    "view.detail": where_a_log_is(detail),
    "view.clear": where_a_log_is(clear),
}
