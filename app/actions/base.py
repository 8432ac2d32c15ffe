"""What an action is. One object gives the key, the palette entry, the command and the help text.

Nothing here knows a screen or the network; the modules beside this one hold the actions themselves.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from app.events import AppEvent
from app.state import AppState

if TYPE_CHECKING:
    from app.supervisor import Supervisor
    from app.workspace import Workspace

Args = Mapping[str, Any]
"""Arguments of one call, by parameter name. Absent means the parameter's default."""


class Scope(StrEnum):
    """Where a key is heard. A letter means the same in all of them."""

    GLOBAL = "global"
    POD = "pod"
    RUN = "run"
    LOGS = "logs"
    BOARD = "board"
    REVIEWS = "reviews"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an action cannot be done now, and what would make it possible."""

    text: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.text}: {self.hint}" if self.hint else self.text


@dataclass(frozen=True, slots=True)
class Confirm:
    """What a person is asked first: consequences in numbers. `args` is added to the call when they agree."""

    title: str
    lines: tuple[str, ...]
    yes: str  # label of the agreeing button, a verb
    danger: bool = False
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Param:
    """One argument of an action on the command line."""

    name: str  # key in Args
    help: str
    kind: Literal["flag", "option", "positional", "hidden"] = "flag"
    short: str = ""  # "-f"
    metavar: str = ""
    default: Any = None
    type: Callable[[str], Any] = str


AGREED = Param("agreed", "somebody has agreed to what it costs or destroys", kind="hidden", default=False)
"""The answer to `app.errors.Unagreed`: given by --yes, by a person at the terminal, or by the panel's question."""


@dataclass(frozen=True, slots=True)
class Context:
    """What an action may use. `state` gives the present picture, `clock` unix seconds."""

    workspace: Workspace
    supervisor: Supervisor
    state: Callable[[], AppState]
    clock: Callable[[], float]


async def in_the_panel(_context: Context, _args: Args) -> AsyncIterator[AppEvent]:
    """The body of pure view acts (find, follow, zoom): the panel does them itself."""
    return
    yield  # makes this an async generator


def never(_args: Args) -> bool:
    return False


def always(_state: AppState) -> Reason | None:
    return None


def without_asking(_state: AppState) -> Confirm | None:
    return None


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a person can do, by key, palette, command line or help.

    `cli` is () for pure view acts. `enabled` answers with a reason, never with silence. `confirm` is computed from the
    state and None when nothing is at risk. `run` yields events and raises errors that carry `hint` and `exit_code`.
    """

    id: str
    cli: tuple[str, ...]
    title: str
    help: str
    keys: str
    scope: Scope
    run: Callable[[Context, Args], AsyncIterator[AppEvent]]
    enabled: Callable[[AppState], Reason | None] = always
    confirm: Callable[[AppState], Confirm | None] = without_asking
    params: tuple[Param, ...] = ()
    writes: bool = True
    looks: Callable[[Args], bool] = never  # this call of a writer only looks: --readonly lets it through
    prints: bool = False  # hands out data: the command has --json

    @property
    def view(self) -> bool:
        """A pure view act, done by the panel."""
        return self.run is in_the_panel
