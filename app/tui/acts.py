"""Pure view acts by id, and how the panel asks and leaves."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from textual.widgets import ContentSwitcher

from app.actions.base import Action, Confirm
from app.errors import OK, exit_code, sentence
from app.events import Output
from app.tui.prompt import Prompt
from app.tui.widgets.cost_meter import per_hour

if TYPE_CHECKING:
    from app.tui.app import PanelApp

HANG_UP_GRACE_S = 3.0
"""Seconds the panel may take to end in order once its terminal is gone."""


def show_view(name: str) -> Callable[[PanelApp], None]:
    """An act that switches to a view."""

    def switch(app: PanelApp) -> None:
        app.screen_stack[0].query_one("#views", ContentSwitcher).current = name
        app.log_view.focus()
        app.call_after_refresh(app.repaint)

    return switch


def find(app: PanelApp) -> None:
    """Ask for text to find."""
    app.screen_stack[0].query_one(Prompt).ask(app.log_view, only=False)


def filter_lines(app: PanelApp) -> None:
    """Ask for an expression and show only its matches."""
    app.screen_stack[0].query_one(Prompt).ask(app.log_view, only=True)


def step(direction: int) -> Callable[[PanelApp], None]:
    """An act that goes to the next or previous match."""

    def go(app: PanelApp) -> None:
        view = app.log_view
        if view.find is None:
            app.say("nothing to find yet: / asks for text", "warning")
        elif view.step(direction) is None:
            app.say(f"no line has {view.find.pattern.asked!r}", "warning")
        app.repaint()

    return go


def follow(app: PanelApp) -> None:
    """Switch following on or off."""
    app.log_view.go_follow(not app.log_view.follow)
    app.repaint()


def bottom(app: PanelApp) -> None:
    """To the end, following."""
    app.log_view.go_follow(True)
    app.repaint()


def stream(direction: int) -> Callable[[PanelApp], None]:
    """An act that shows another stream."""

    def pick(app: PanelApp) -> None:
        app.bridge.logs.pick(app.controller.state, direction)
        app.repaint()

    return pick


def show_help(app: PanelApp) -> None:
    """Open the help."""
    from app.tui.modals.help import Help  # 40 ms of widgets nobody needs for the first frame

    app.push_screen(Help(app.offered(), app.controller.reason))


VIEW_ACTS: Mapping[str, Callable[[PanelApp], None]] = {
    "view.overview": show_view("overview"),
    "view.logs": show_view("logs"),
    "view.help": show_help,
    "view.palette": lambda app: app.action_command_palette(),
    "view.find": find,
    "view.filter": filter_lines,
    "view.find_next": step(1),
    "view.find_previous": step(-1),
    "view.follow": follow,
    "view.bottom": bottom,
    "view.previous_stream": stream(-1),
    "view.next_stream": stream(1),
    "view.quit": lambda app: app.go(leave(app)),
}
"""What the panel does itself. A view act that is not here has no key in this panel."""


async def agreed(app: PanelApp, question: Confirm) -> bool:
    """Ask an action's question; True only for a clear yes."""
    from app.tui.modals.confirm import ask

    return await app.push_screen_wait(ask(question)) == "y"


async def read_out(app: PanelApp, action: Action, args: Mapping[str, Any]) -> int:
    """Do an action that only prints, and show what it printed. Returns an exit code."""
    from app.tui.modals.help import Reader

    said = []
    try:
        async for event in app.controller.stream(action.id, args):
            if isinstance(event, Output):
                said.append(event.text)
    except Exception as error:
        app.say(sentence(error), "error")
        return exit_code(error)
    if said:
        app.push_screen(Reader(action.title, "\n".join(said)))
    return OK


async def leave(app: PanelApp) -> None:
    """Quit; with a pod running, say what it costs and offer to stop it first."""
    from app.tui.modals.confirm import Choice, Question

    state = app.controller.state
    pod = state.pod
    if pod is None or pod.status.upper() in ("STOPPED", "ABSENT", "GONE", "EXITED", "TERMINATED"):
        app.exit(OK)
        return
    run = f"run {state.run.run_id} goes on" if state.run and state.run.state in ("pending", "running") else ""
    lines = tuple(filter(None, (f"pod keeps running, {per_hour(state.cost, pod)}", run)))
    refused = app.controller.reason("pod.stop")
    choices = (Choice("q", "quit"), *(() if refused else (Choice("x", "stop the pod, then quit", danger=True),)))
    answer = await app.push_screen_wait(Question("Quit?", lines, choices))
    if answer == "q":
        app.exit(OK)
    elif answer == "x" and await app.perform("pod.stop") == OK:
        stopped = app.controller.state.pod
        if stopped is None or stopped.status.upper() != "RUNNING":
            app.exit(OK)


def leave_with_the_terminal(app: PanelApp) -> None:
    """End when the terminal hangs up or the process is asked to; without this it would spin on a dead terminal."""

    def gone() -> None:
        asyncio.get_running_loop().call_later(HANG_UP_GRACE_S, os._exit, 129)
        app.exit(OK)

    if app.is_headless:
        return
    for name in (signal.SIGHUP, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, gone)
