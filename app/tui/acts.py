"""Pure view acts by id, and how the panel asks and leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from textual.widget import Widget

from app.actions.base import Action, Scope
from app.errors import OK, sentence
from app.reduce import OFF
from app.tui.log_acts import LOG_ACTS
from app.tui.place_acts import PLACE_ACTS
from app.tui.prompt import Prompt
from app.tui.switch import VIEWS, Shows, View
from app.tui.widgets.cost_meter import per_hour
from app.tui.widgets.log_view import LogView
from app.tui.widgets.panel import Panel
from app.tui.widgets.rows import Rows

if TYPE_CHECKING:
    from app.tui.app import PanelApp

AT_HOME = (Scope.RUN, Scope.BOARD, Scope.REVIEWS)
"""Scopes whose keys are heard in the view of their name only."""

TWICE_S = 2.0
"""Seconds in which a second ctrl+c quits."""

SEEN_S = 1.0
"""Seconds after which a countdown has been seen: a key that was on its way means what it is bound to."""


def show_view(name: str) -> Callable[[PanelApp], None]:
    """An act that switches to a view."""

    def switch(app: PanelApp) -> None:
        unzoom(app)
        app.wanted = name
        spec = next(view for view in VIEWS if view.name == name)
        if any(child.id == spec.id and child.is_mounted for child in app.views.children):
            app.views.current = spec.id
            app.call_after_refresh(settle, app)
        elif all(child.id != spec.id for child in app.views.children):
            app.go(first_look(app, spec))

    return switch


async def first_look(app: PanelApp, spec: View) -> None:
    """Make a view and show it, unless somebody has asked for another one meanwhile."""
    widget = spec.make()
    widget.display = False
    await app.views.mount(widget)
    if app.wanted == spec.name:
        picture = app.bridge.looked_at(app.bridge.picture(), spec.name)
        cast(Shows, widget).show(picture, app.bridge.logs)  # its first frame need not be an empty one
        app.views.current = spec.id
        app.call_after_refresh(settle, app)


def settle(app: PanelApp) -> None:
    """Give the focus to the view on screen, and paint it."""
    start: Widget = getattr(app.current, "start", None) or app.log_view
    app.screen_stack[0].set_focus(start)  # now: keys that were typed meanwhile are meant for it
    app.repaint()
    app.call_next(app.take_keys)


def heard(action: Action, view: str) -> bool:
    """Whether an action's key means something in a view. The palette and the help offer it everywhere."""
    if action.scope is Scope.LOGS:
        return view in ("overview", "logs") or (action.id == "view.find" and view in ("board", "reviews"))
    if action.scope in AT_HOME:
        return view == action.scope.value
    return True


def where_heard(app: PanelApp, action_id: str, handler: Callable[[PanelApp], None]) -> None:
    """Do a view act; one that was chosen in the palette elsewhere goes to its own view first."""
    action = app.action_of(action_id)
    if heard(action, app.view):
        handler(app)
    else:
        show_view(action.scope.value)(app)
        app.go(afterwards(app, action.scope.value, handler))


async def afterwards(app: PanelApp, view: str, handler: Callable[[PanelApp], None]) -> None:
    """Do it once a view is on the screen; nothing if another one was asked for meanwhile."""
    while app.view != view and app.wanted == view:
        await asyncio.sleep(0.02)
    if app.view == view:
        handler(app)


def zoom(app: PanelApp) -> None:
    """The focused pane alone."""
    focused = app.screen_stack[0].focused
    if focused is None or not isinstance(focused, Rows | LogView | Panel):
        app.say("no pane has the focus: tab goes from pane to pane", "warning")
    else:
        app.screen_stack[0].maximize(focused)


def unzoom(app: PanelApp) -> None:
    """All panes again."""
    app.screen_stack[0].minimize()


def find(app: PanelApp) -> None:
    """Ask for text to find; on the board and among the reviews, for text that narrows the list."""
    narrow = getattr(app.current, "narrow", None)
    if narrow is not None:
        narrow()
    else:
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


def next_pane(app: PanelApp) -> None:
    """The focus to the next pane."""
    app.screen_stack[0].focus_next()


async def show_commands(app: PanelApp) -> None:
    """Open the command log."""
    from app.command_log import lines, sent
    from app.tui.modals.help import Reader

    try:
        intents = await asyncio.to_thread(sent, app.controller.workspace.state_dir)
    except Exception as error:
        app.say(sentence(error), "error")
        return
    app.push_screen(Reader("Command log", lines(reversed(intents))))


def show_help(app: PanelApp) -> None:
    """Open the help."""
    from app.tui.modals.help import Help  # 40 ms of widgets nobody needs for the first frame

    app.push_screen(Help(app.offered(), app.controller.reason))


VIEW_ACTS: Mapping[str, Callable[[PanelApp], None]] = {
    **{f"view.{view.name}": show_view(view.name) for view in VIEWS},
    "view.zoom": zoom,
    "view.unzoom": unzoom,
    "view.help": show_help,
    "view.journal": lambda app: app.go(show_commands(app)),
    "view.palette": lambda app: app.action_command_palette(),
    "view.find": find,
    "view.filter": filter_lines,
    "view.find_next": step(1),
    "view.find_previous": step(-1),
    "view.follow": follow,
    "view.bottom": bottom,
    "view.previous_stream": stream(-1),
    "view.next_stream": stream(1),
    "view.next_pane": next_pane,
    "view.suspend": lambda app: app.action_suspend_process(),
    "view.quit": lambda app: app.go(leave(app)),
    **LOG_ACTS,
    **PLACE_ACTS,
}
"""What the panel does itself. A view act that is not here has no key in this panel."""


def interrupted(app: PanelApp, before: float) -> float:
    """What ctrl+c does: copy a selection, else quit when it was pressed `before`, just now. Returns when that was."""
    selected = app.screen.get_selected_text()
    if selected:
        app.copy_to_clipboard(selected)
        app.say("copied")
        return before
    now = app.clock()
    if 0 <= now - before <= TWICE_S:
        app.exit(OK)
    app.say("ctrl+c again quits; the pod and its run go on", "warning")
    return now


def keep_the_pod(app: PanelApp) -> bool:
    """Whether a key came while a stop is counted down and somebody could have seen it: then it calls the stop off."""
    one = app.controller.state.countdown
    if one is None or app.clock() - one.begun < SEEN_S or app.refused("pod.keep") is not None:
        return False
    app.do("pod.keep")
    return True


async def leave(app: PanelApp) -> None:
    """Quit; with a pod running, say what it costs and offer to stop it first."""
    from app.tui.modals.confirm import Choice, Question

    state = app.controller.state
    pod = state.pod
    if state.replay is not None or pod is None or pod.status in OFF:
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
