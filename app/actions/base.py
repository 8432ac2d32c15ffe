"""What an action is. One object gives the key, the palette entry, the command and the help text.

Nothing here knows a screen or the network; the modules beside this one hold the actions themselves.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct, field

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


class Reason(Struct, frozen=True):
    """Why an action cannot be done now, and what would make it possible."""

    text: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.text}: {self.hint}" if self.hint else self.text


class Way(Struct, frozen=True):
    """Another answer than a plain yes: its key, its label, and what it adds to the call, or to that of another act."""

    key: str
    label: str
    args: Mapping[str, Any]
    danger: bool = False
    act: str = ""  # id of the action that is done instead; "" = the one that was asked about


class Confirm(Struct, frozen=True):
    """What a person is shown first: consequences in numbers. `args` is added to the call when they agree.

    `typed`: the word that must be typed to agree, instead of a key. `safe`: nothing is lost by it, so that `enter`
    agrees and the command line does not ask. `ways` are further answers.
    """

    title: str
    lines: tuple[str, ...]
    yes: str  # label of the agreeing button, a verb
    danger: bool = False
    args: Mapping[str, Any] = field(default_factory=dict)
    ways: tuple[Way, ...] = ()
    typed: str = ""
    safe: bool = False


class Param(Struct, frozen=True):
    """One argument of an action on the command line."""

    name: str  # key in Args
    help: str
    kind: Literal["flag", "option", "positional", "hidden"] = "flag"
    short: str = ""  # "-f"
    metavar: str = ""
    default: Any = None
    type: Callable[[str], Any] = str
    many: bool = False  # any number of them
    asked: str = ""  # the question by which the panel asks for it; "" = it does not
    subject: str = ""  # what the panel fills it with: its "pod"; the "task", "review", "run" or "step" under the cursor


AGREED = Param("agreed", "somebody has agreed to what it costs or destroys", kind="hidden", default=False)
"""The answer to `app.errors.Unagreed`: given by --yes, by a person at the terminal, or by the panel's question."""


class Context(Struct, frozen=True):
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


async def without_asking(_context: Context, _args: Args) -> Confirm | None:
    return None


class Action(Struct, frozen=True):
    """One thing a person can do, by key, palette, command line or help.

    `cli` is () for pure view acts. `enabled` answers with a reason, never with silence. `confirm` looks at what the act
    would do, changes nothing, and is None where there is nothing to show; the panel always asks it, the command line
    where `asks` is set. `run` yields events and raises errors that carry `hint` and `exit_code`.
    """

    id: str
    cli: tuple[str, ...]
    title: str
    help: str
    keys: str
    scope: Scope
    run: Callable[[Context, Args], AsyncIterator[AppEvent]]
    enabled: Callable[[AppState], Reason | None] = always
    confirm: Callable[[Context, Args], Awaitable[Confirm | None]] = without_asking
    asks: bool = False  # the command line asks too, where somebody can answer
    waits_s: float = 0.0  # seconds for which the panel holds it back when there was nothing to ask: `u` withdraws it
    params: tuple[Param, ...] = ()
    writes: bool = True
    looks: Callable[[Args], bool] = never  # this call of a writer only looks: --readonly lets it through
    terminal: bool = False  # takes the terminal over: the panel steps aside meanwhile
    prints: bool = False  # hands out data: the command has --json

    @property
    def view(self) -> bool:
        """A pure view act, done by the panel."""
        return self.run is in_the_panel
