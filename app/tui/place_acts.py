"""What keys do with the thing under the cursor: another run, a comparison, a task's next lane, an editor, alerts."""

from __future__ import annotations

import asyncio
import os
import shlex
import webbrowser
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import SuspendNotSupported

from app.errors import sentence
from app.tui.performing import aside, gathered

if TYPE_CHECKING:
    from app.tui.app import PanelApp


def other_run(by: int) -> Callable[[PanelApp], None]:
    """An act that shows an older (-1) or newer (1) run; the followed one is followed all the same."""

    def turn(app: PanelApp) -> None:
        if app.bridge.browse.turn(app.controller.state, by) is None:
            app.say("there is no newer run" if by > 0 else "there is no older run", "warning")
        app.repaint()

    return turn


def compare(app: PanelApp) -> None:
    """Choose runs, then read them side by side."""
    app.go(_compare(app))


async def _compare(app: PanelApp) -> None:
    from app.tui.modals.pick import Pick

    state = app.controller.state
    runs = state.runs or ((state.run.run_id,) if state.run else ())
    shown = app.bridge.browse.picked or (state.run.run_id if state.run else None)
    if len(runs) < 2:
        app.say("there is only one run: nothing to compare it with", "warning")
        return
    chosen = await app.push_screen_wait(Pick("Compare runs", runs, marked=shown))
    if chosen:
        await app.perform("run.compare", {"runs": list(chosen)})


def offers(app: PanelApp) -> None:
    """What can be rented; enter asks what the chosen one would cost, and rents it when somebody agrees."""
    app.go(_offers(app))


async def _offers(app: PanelApp) -> None:
    from app.tui.modals.pick import Choose

    said = await gathered(app, "pod.offers", {})
    if said is None:
        return
    head, *lines = said.text.split("\n")
    refused = app.controller.reason("pod.create")
    verb = "says what it costs" if refused is None else f"does nothing: {refused}"
    place = await app.push_screen_wait(Choose("What can be rented", head, lines, verb))
    if place is not None and refused is None:
        await app.perform("pod.create", {"gpu": said.data[place]["gpu"]})


def start_pod(app: PanelApp) -> None:
    """Start the pod. Where none is rented yet, say what [runpod] would cost, and rent it when somebody agrees."""
    state = app.controller.state
    none = state.pod is None or state.pod.status == "GONE"
    rents = none and state.pods_at is not None and app.controller.reason("pod.create") is None
    if {"pod.create", "pod.start"} & app.under_way:
        app.say("a start is already under way", "warning")
    else:
        app.go(app.perform("pod.create" if rents else "pod.start"))


def advance(app: PanelApp) -> None:
    """What comes next for the task under the cursor, by its lane."""
    lane = getattr(app.current, "lane", "pending")
    act = {"in_progress": "task.done", "blocked": "task.unblock", "pending": "task.start"}.get(lane)
    if act is None:
        app.say("it is completed: there is nothing further", "warning")
    else:
        app.do(act)


def next_task(app: PanelApp) -> None:
    """The cursor on the first pending task that could be started."""
    app.go(_next_task(app))


async def _next_task(app: PanelApp) -> None:
    from task_board.verbs import upcoming

    try:
        task = await asyncio.to_thread(upcoming, app.controller.workspace.root / "task_board")
    except Exception as error:
        app.say(sentence(error), "error")
        return
    go_to = getattr(app.current, "go_to", None)
    if task is None or go_to is None or not go_to(task.path):
        app.say("nothing is pending that could be started", "warning")
    app.repaint()


def undo(app: PanelApp) -> None:
    """Withdraw what is held back; else take back the last change among the reviews or on the board."""
    if app.withdrawn is not None:
        app.withdrawn.set()
    else:
        app.do("review.undo" if app.view == "reviews" else "task.undo")


def show_alerts(app: PanelApp) -> None:
    """Everything that needs somebody; one is acted on or acknowledged."""
    app.go(_alerts(app))


async def _alerts(app: PanelApp) -> None:
    from app.alerts import alerts
    from app.tui.modals.alerts import Alerts

    found = alerts(app.controller.state, app.clock())
    if not found:
        app.say("nothing needs anybody")
        return
    answer = await app.push_screen_wait(Alerts(found, app))
    if answer is not None:
        app.do(*answer)


def edit(app: PanelApp) -> None:
    """Open the file under the cursor in $EDITOR; the panel waits."""
    path = getattr(app.current, "file", None)
    if path is None:
        app.say("nothing here can be edited: the Board and Reviews have files", "warning")
        return
    program = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    app.go(_edit(app, program, str(path)))


async def _edit(app: PanelApp, program: str, path: str) -> None:
    async def work() -> None:
        child = await asyncio.create_subprocess_exec(*shlex.split(program), path)
        await child.wait()

    try:
        await aside(app, work)
    except SuspendNotSupported:
        app.say(f"this is no terminal of your own: edit {path} there", "warning")
    except (OSError, ValueError) as error:
        app.say(f"{program} cannot be started: {error}", "error")


def browse(app: PanelApp) -> None:
    """Open the report of the run that is shown."""
    state = app.controller.state
    shown = app.bridge.browse.picked or (state.run.run_id if state.run else None)
    root = app.bridge.home.runs_dir
    report = None if shown is None or root is None else Path(root) / shown / "report.html"
    if report is None or not report.is_file():
        app.say("no report is at home: it is written at a run's end, and p pulls it", "warning")
    elif not webbrowser.open(report.as_uri()):
        app.say(f"no browser could be started; the report is {report}", "warning")


PLACE_ACTS: Mapping[str, Callable[[PanelApp], None]] = {
    "view.previous_run": other_run(-1),
    "view.next_run": other_run(1),
    "view.advance": advance,
    "view.next_task": next_task,
    "view.undo": undo,
    "view.edit": edit,
    "view.browse": browse,
}

INSTEAD: Mapping[str, Callable[[PanelApp], None]] = {
    "run.compare": compare,
    "alerts": show_alerts,
    "pod.offers": offers,
    "pod.start": start_pod,
}
"""Actions for which the panel lets a person choose first; with arguments they are done as everywhere."""
