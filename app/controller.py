"""The one object the panel and the command line hold: the state, the actions and the services behind them.

It folds events into `state` and tells subscribers; services live in `app.supervisor`, acts in `app.actions`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from app.actions import registry
from app.actions.base import AGREED, Action, Args, Confirm, Context
from app.errors import OK, Refused, Unagreed, UsageError, exit_code, sentence
from app.events import ActivityEnded, AppEvent, Noted
from app.reduce import reduce
from app.settings import Settings
from app.state import AppState
from app.supervisor import Supervisor
from app.workspace import Workspace

Subscriber = Callable[[AppState], None]
Ask = Callable[[Confirm], Awaitable[bool]]


class Controller:
    """State, actions and services of one workspace.

    Args:
        workspace: the folder worked in.
        settings: its settings.
        readonly: refuse every action that writes.
        clock: unix seconds.
    """

    def __init__(
        self,
        workspace: Workspace,
        settings: Settings,
        *,
        readonly: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.workspace = workspace
        self.settings = settings
        self.clock = clock
        self.state = AppState(project=workspace.root.name, provider=settings.provider, readonly=readonly)
        self._subscribers: list[Subscriber] = []
        self._listeners: list[Callable[[AppEvent], None]] = []
        self._actions = registry.remapped(settings.keys)
        self.supervisor = Supervisor(workspace, settings, self.emit, lambda: self.state, clock=clock)

    def subscribe(self, callback: Subscriber) -> Callable[[], None]:
        """Call `callback` with every new state, on the loop's thread. Returns what ends it."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def listen(self, callback: Callable[[AppEvent], None]) -> None:
        """Call `callback` with every event as it happens, before it is folded in."""
        self._listeners.append(callback)

    def emit(self, event: AppEvent) -> None:
        """Fold one event in and tell the subscribers when the picture changed."""
        for listener in self._listeners:
            listener(event)
        state = reduce(self.state, event)
        if state is self.state:
            return
        self.state = state
        for callback in tuple(self._subscribers):
            callback(state)

    async def run(self) -> None:
        """Run the services (poll, link, follow, cost) until cancelled. Their failures are events, not exceptions."""
        await self.supervisor.run()

    def actions(self) -> tuple[Action, ...]:
        """Every action with the person's own keys, in the order of help and palette."""
        return self._actions

    def reason(self, action_id: str, args: Args | None = None) -> str | None:
        """Why this action is refused now, or None."""
        return registry.refusal(action_id, self.state, args)

    async def confirm(self, action_id: str, args: Args | None = None) -> Confirm | None:
        """What to show and ask before doing it, or None. Looks, changes nothing; raises what looking raises."""
        action = registry.by_id(action_id)
        return await action.confirm(self._context(), _known(action, args or {}))

    def _context(self) -> Context:
        return Context(self.workspace, self.supervisor, lambda: self.state, self.clock)

    async def stream(self, action_id: str, args: Args | None = None) -> AsyncIterator[AppEvent]:
        """Do an action; every event is folded in and then handed out. Raises what the action raises."""
        action = registry.by_id(action_id)
        refusal = self.reason(action_id, args)
        if refusal is not None:
            raise Refused(f"{action.title}: {refusal}")
        try:
            async for event in action.run(self._context(), _known(action, args or {})):
                self.emit(event)
                yield event
        finally:
            self.emit(ActivityEnded(action_id))

    async def perform(self, action_id: str, args: Args | None = None, *, ask: Ask | None = None) -> int:
        """Do an action from the panel: errors become notices. Returns the exit code the command would have had.

        `ask` puts a question to the person when the action costs or destroys something nobody has agreed to.
        """
        try:
            try:
                await self._drained(action_id, args)
            except Unagreed as question:
                asked = Confirm(question.title, question.lines, question.yes, danger=question.danger)
                if ask is None:
                    raise
                if not await ask(asked):
                    self.emit(Noted("info", f"{self._titled(action_id)}: not agreed, nothing was done", self.clock()))
                    return exit_code(question)
                await self._drained(action_id, {**(args or {}), AGREED.name: True})
        except Exception as error:
            self.emit(Noted("error", sentence(error), self.clock()))
            return exit_code(error)
        return OK

    def _titled(self, action_id: str) -> str:
        return next(action.title for action in self.actions() if action.id == action_id)

    async def _drained(self, action_id: str, args: Args | None) -> None:
        async for _event in self.stream(action_id, args):
            pass

    async def close(self) -> None:
        """Close the link and stop following. The pod and its run go on."""
        await self.supervisor.close()


def _known(action: Action, args: Mapping[str, Any]) -> Mapping[str, Any]:
    defaults = {param.name: param.default for param in action.params}
    unknown = sorted(set(args) - set(defaults))
    if unknown:
        raise UsageError(f"{action.id} has no argument {', '.join(unknown)}")
    return {**defaults, **args}
