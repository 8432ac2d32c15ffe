"""View acts: keys, palette and help, and the command log as a command too. The panel does them itself; nothing is
written."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

from msgspec.structs import replace

from app.actions.base import Action, Args, Context, Param, Reason, Scope, in_the_panel
from app.events import AppEvent, Output
from app.state import AppState


def _a_stream(state: AppState) -> Reason | None:
    return None if state.streams else Reason("no log here yet", "start a run with r")


def _a_run(state: AppState) -> Reason | None:
    return None if state.run is not None or state.runs else Reason("no run yet", "start one with r")


def _may_edit(state: AppState) -> Reason | None:
    return Reason("read-only: started with --readonly") if state.readonly else None


def _may_save(state: AppState) -> Reason | None:
    return Reason("read-only: started with --readonly") if state.readonly else _a_stream(state)


def at_least_0(value: str) -> int:
    """A whole number that is not negative. Raises ValueError."""
    found = int(value)
    if found < 0:
        raise ValueError(value)
    return found


async def _journal(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    """In the panel the key opens it; the command prints it, the newest last."""
    from app.command_log import data, lines, sent

    found = sent(context.workspace.state_dir, args["last"] or sys.maxsize)
    yield Output(lines(found), data(found))


def _act(action_id: str, keys: str, title: str, help_text: str, scope: Scope = Scope.GLOBAL) -> Action:
    enabled = {Scope.LOGS: _a_stream, Scope.RUN: _a_run}.get(scope, lambda _state: None)
    return Action(action_id, (), title, help_text, keys, scope, in_the_panel, enabled=enabled, writes=False)


ACTIONS: tuple[Action, ...] = (
    _act("view.overview", "1", "Overview", "is it alive, how far, how much, what needs me"),
    _act("view.run", "2", "Run", "stages, steps, gates, rates, curves, samples to read, configuration"),
    _act("view.logs", "3", "Logs", "the followed logs at full height"),
    _act("view.gpu", "4", "GPUs and host", "every card with its history, processes, the pod's machine"),
    _act("view.board", "5", "Board", "tasks by lane, and their files"),
    _act("view.reviews", "6", "Reviews", "requests, who has answered how, and what they wrote"),
    _act("view.zoom", "plus", "Zoom", "the focused pane alone, at full size"),
    _act("view.unzoom", "underscore", "Zoom out", "all panes again"),
    _act("view.help", "?", "Help", "every key and command, searchable"),
    _act("view.palette", "colon,ctrl+p", "Command palette", "find an action by name"),
    Action(
        "view.journal",
        ("journal",),
        "Command log",
        "what was sent outside, when and with what answer",
        "@",
        Scope.GLOBAL,
        _journal,
        writes=False,
        prints=True,
        params=(Param("last", "only the newest N (default: 50; 0: all)", "option", "-n", "N", 50, at_least_0),),
    ),
    _act("view.find", "/", "Find", "find text in the log; every line stays visible", Scope.LOGS),
    _act("view.filter", "ampersand", "Filter", "show only lines that match; ! inverts, escape shows all", Scope.LOGS),
    _act("view.find_next", "n", "Next match", "the next match below", Scope.LOGS),
    _act("view.find_previous", "N", "Previous match", "the next match above", Scope.LOGS),
    _act("view.follow", "F", "Follow", "follow the end of the log, or stop following", Scope.LOGS),
    _act("view.bottom", "G,end", "Bottom", "to the end of the log; follow again", Scope.LOGS),
    _act("view.wrap", "w", "Wrap", "wrap long lines, or show them from their beginning", Scope.LOGS),
    _act("view.stamps", "t", "Times", "when each line came here; blank if it was here before", Scope.LOGS),
    _act("view.mark", "m", "Mark", "put a mark after the last line", Scope.LOGS),
    _act("view.copy", "y", "Copy line", "copy the selection, or the line under the cursor", Scope.LOGS),
    _act("view.copy_screen", "Y", "Copy screen", "copy the lines on the screen", Scope.LOGS),
    replace(
        _act("view.save", "ctrl+s", "Save lines", "write the lines the filter shows to a file here", Scope.LOGS),
        enabled=_may_save,
    ),
    _act("view.detail", "enter", "Line in full", "the line under the cursor, wrapped, JSON indented", Scope.LOGS),
    _act("view.clear", "escape", "Clear", "end the filter, then the find, then the selection", Scope.LOGS),
    _act("view.previous_stream", "left_square_bracket", "Previous log", "the log before this one", Scope.LOGS),
    _act("view.next_stream", "right_square_bracket", "Next log", "the log after this one", Scope.LOGS),
    _act("view.previous_run", "left_square_bracket", "Previous run", "the run before the one shown", Scope.RUN),
    _act("view.next_run", "right_square_bracket", "Next run", "the run after the one shown", Scope.RUN),
    _act("view.advance", "space", "Advance the task", "start it, complete it, or unblock it, by its lane", Scope.BOARD),
    _act("view.next_task", "full_stop", "Next task", "the cursor on what is to be done next", Scope.BOARD),
    _act("view.undo", "u", "Undo", "withdraw a stop that waits, else take back the last change of the board"),
    replace(_act("view.edit", "e", "Edit", "open what is under the cursor in $EDITOR"), enabled=_may_edit),
    _act("view.browse", "o", "Open in the browser", "the run's report"),
    _act("view.next_pane", "tab", "Next pane", "the focus to the next pane; shift+tab to the one before"),
    _act("view.suspend", "ctrl+z", "Suspend", "back to the shell for a moment; fg brings the panel back"),
    _act("view.quit", "q", "Quit", "leave the panel; the run and the pod go on"),
)
