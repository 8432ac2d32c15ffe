"""How the panel does an action: what is under the cursor, what must be asked, the consequences, and then the act."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from textual.app import SuspendNotSupported

from app.actions.base import Action, Confirm, Param
from app.errors import OK, exit_code, sentence
from app.events import ActivityChanged, ActivityEnded, Noted, Output
from app.state import Activity

if TYPE_CHECKING:
    from app.tui.app import PanelApp

T = TypeVar("T")

HELD = "held"
"""Name of the activity that says how long an act is held back."""


async def perform(app: PanelApp, action_id: str, args: Mapping[str, Any] | None = None) -> int:
    """Ask, do, and show what it prints. Returns the exit code the command would have had."""
    action = app.action_of(action_id)
    app.under_way.add(action_id)
    try:
        given = await _filled(app, action, dict(args or {}))
        if given is None:
            return OK
        answer = await _agreed(app, action, given)
        if answer is None:
            return OK
        action, given = answer
        return await _carried_out(app, action, given)
    finally:
        app.early = None
        app.under_way.discard(action_id)
        app.bridge.again(app.tick)


def to_ask(action: Action, given: Mapping[str, Any]) -> list[Param]:
    """What a person has to write before an action can be done."""
    return [param for param in action.params if param.asked and param.name not in given]


async def _filled(app: PanelApp, action: Action, given: dict[str, Any]) -> dict[str, Any] | None:
    """With the pod of the header, what is under the cursor and what a person is asked for; None when they would rather
    not."""
    pod = app.controller.state.pod
    here = {"pod": pod.id, **app.subjects()} if pod is not None and pod.ours else app.subjects()
    for param in action.params:
        if param.subject and given.get(param.name) is None and here.get(param.subject):
            given[param.name] = here[param.subject]
    wanted = to_ask(action, given)
    if not wanted:
        return given
    from app.tui.modals.form import Form  # not needed for the first frame

    named = next((str(given[p.name]) for p in action.params if p.subject and given.get(p.name)), "")
    form = Form(action.title, named or action.help, wanted, app.early or ())
    app.early = None
    answers = await app.push_screen_wait(form)
    return None if answers is None else {**given, **{name: text or None for name, text in answers.items()}}


async def _agreed(app: PanelApp, action: Action, given: dict[str, Any]) -> tuple[Action, dict[str, Any]] | None:
    """What is to be done, once a person has seen its consequences; None: nothing."""
    app.controller.emit(ActivityChanged(Activity(action.id, f"{action.title}: looking first")))
    try:
        question = await app.controller.confirm(action.id, given)
    except Exception as error:
        _failed(app, error)
        return None
    finally:
        app.controller.emit(ActivityEnded(action.id))
    if question is None:
        held = action.waits_s if app.hold_s is None else min(app.hold_s, action.waits_s)
        return (action, given) if not held or await _held(app, action, held) else None
    key = await answer_to(app, question)
    way = next((way for way in question.ways if way.key == key), None)
    if way is not None:
        return (app.action_of(way.act), dict(way.args)) if way.act else (action, {**given, **way.args})
    return (action, {**given, **question.args}) if key else None


def _failed(app: PanelApp, error: Exception) -> None:
    """A toast, and a notice that still stands when somebody comes back."""
    app.say(sentence(error), "error")
    app.controller.emit(Noted("error", sentence(error), app.clock()))


async def answer_to(app: PanelApp, question: Confirm) -> str | None:
    """Ask; the key of the answer, None for no."""
    from app.tui.modals.confirm import ask

    return await app.push_screen_wait(ask(question))


async def agreed(app: PanelApp, question: Confirm) -> bool:
    """Ask an action's question; True only for a clear yes."""
    from app.tui.modals.confirm import YES

    return await answer_to(app, question) == YES


async def _held(app: PanelApp, action: Action, seconds: float) -> bool:
    """Hold an act back for a moment; False when it was withdrawn."""
    app.withdrawn = gone = asyncio.Event()
    said = f"{action.title}: nothing is at risk, sent in {seconds:.0f} s; u withdraws it"
    app.controller.emit(ActivityChanged(Activity(HELD, said)))
    try:
        await asyncio.wait_for(gone.wait(), seconds)
    except TimeoutError:
        return True
    finally:
        app.withdrawn = None
        app.controller.emit(ActivityEnded(HELD))
    app.say(f"{action.title}: withdrawn")
    return False


async def _carried_out(app: PanelApp, action: Action, given: Mapping[str, Any]) -> int:
    if action.terminal:
        return await _in_the_terminal(app, action, given)
    if not action.writes:
        return await read_out(app, action, given)
    return await app.controller.perform(action.id, given, ask=lambda asked: agreed(app, asked))


async def _in_the_terminal(app: PanelApp, action: Action, given: Mapping[str, Any]) -> int:
    """Step aside while the action has the terminal; services and guards go on meanwhile, nothing is painted."""

    async def work() -> int:
        print(f"{action.title}: leaving it comes back to the panel", flush=True)
        return await app.controller.perform(action.id, given)

    try:
        return await aside(app, work)
    except SuspendNotSupported:
        app.say(f"{action.title} needs a terminal: `maxcai {' '.join(action.cli)}`", "warning")
        return OK


async def aside(app: PanelApp, work: Callable[[], Awaitable[T]]) -> T:
    """Give the terminal away while `work` lasts. ctrl+c is then the other program's, not ours.

    Raises SuspendNotSupported where there is no terminal to give.
    """
    before = signal.getsignal(signal.SIGINT)
    try:
        with app.batch_update(), app.suspend():
            signal.signal(signal.SIGINT, lambda *_: None)  # a handler, not SIG_IGN, which the child would inherit
            return await work()
    finally:
        signal.signal(signal.SIGINT, before)
        app.refresh(layout=True)


async def read_out(app: PanelApp, action: Action, args: Mapping[str, Any]) -> int:
    """Do an action that only prints, and show what it printed. Returns an exit code."""
    from app.tui.modals.help import Reader

    try:
        said = [event.text async for event in app.controller.stream(action.id, args) if isinstance(event, Output)]
    except Exception as error:
        _failed(app, error)
        return exit_code(error)
    if said:
        app.push_screen(Reader(action.title, "\n".join(said)))
    return OK


async def gathered(app: PanelApp, action_id: str, args: Mapping[str, Any]) -> Output | None:
    """What an action hands out; None, with a word, when it fails."""
    found = None
    app.controller.emit(ActivityChanged(Activity(action_id, app.action_of(action_id).title)))
    try:
        async for event in app.controller.stream(action_id, args):
            found = event if isinstance(event, Output) else found
    except Exception as error:
        _failed(app, error)
    finally:
        app.controller.emit(ActivityEnded(action_id))
    return found
