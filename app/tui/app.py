"""The panel: one screen, views in a switcher, keys made from the action registry.

Everything a key, a click or the palette can do goes through `do`; acts that are not about the screen are the
controller's. Leaving the panel leaves the pod and its run alone.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import events
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen
from textual.widgets import ContentSwitcher, Static

from app.actions.base import Action
from app.errors import FAILED, OK
from app.tui import acts, performing
from app.tui.bridge import RATE_HZ, Bridge
from app.tui.hangup import leave_with_the_terminal
from app.tui.keyboard import Keyboard
from app.tui.keys import textual_keys
from app.tui.notify import Notifier, method
from app.tui.palette import ActionProvider
from app.tui.picture import Picture
from app.tui.place_acts import INSTEAD
from app.tui.prompt import Prompt
from app.tui.switch import VIEWS, Shows
from app.tui.theme import ASCII, FIRST, UNICODE, begin_with, wants_ascii
from app.tui.views.overview import Overview
from app.tui.widgets.alert_strip import AlertStrip
from app.tui.widgets.chosen import Chosen, Outdated
from app.tui.widgets.compact import compact_line
from app.tui.widgets.header import Header
from app.tui.widgets.keybar import KeyBar
from app.tui.widgets.notices import Notices

if TYPE_CHECKING:
    from app.controller import Controller
    from app.workspace import Workspace

HIGH = 42
"""Rows from which the overview shows everything."""


class PanelApp(Keyboard):
    """Draws a controller's state and asks it for actions."""

    TITLE = "maxcai"
    CSS_PATH: ClassVar = [
        "panel.tcss",
        *(f"views/{view.name}.tcss" for view in VIEWS),
        "modals/modals.tcss",
    ]
    theme = FIRST
    COMMANDS = App.COMMANDS | {ActionProvider}
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (60, "-narrow"), (110, "-mid"), (140, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (14, "-short"), (20, "-normal"), (30, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+c", "interrupt", show=False, priority=True)]

    def __init__(
        self,
        controller: Controller,
        *,
        demo: bool = False,
        ascii_only: bool = False,
        clock: Callable[[], float] | None = None,
        hold_s: float | None = None,
    ) -> None:
        super().__init__()
        self.controller, self.ascii_only = controller, ascii_only
        self.demo = demo
        self.clock = clock = clock or time.time
        self.bridge = Bridge(controller, clock, ASCII if ascii_only else UNICODE)
        asked_how = getattr(getattr(controller, "settings", None), "notify", "off")
        self.notifier = Notifier(method(asked_how, os.environ), self.write_out)
        self._interrupted = float("-inf")
        self.under_way: set[str] = set()
        self.withdrawn: asyncio.Event | None = None  # set: the act that is held back is not done
        self.hold_s = hold_s
        self._header: Header | None = None  # from the first frame on
        begin_with(self, os.environ.get("TEXTUAL_THEME", ""))
        for action in self.offered():
            if action.keys:
                self.bind(textual_keys(action.keys), f"act('{action.id}')", description=action.title, show=False)

    def compose(self) -> ComposeResult:
        yield Static(id="compact", markup=False)
        with Vertical(id="house"):
            yield Header()
            with ContentSwitcher(initial="overview-view", id="views"):
                yield Overview(id="overview-view")
            yield AlertStrip(id="alerts")
            yield Notices(id="notices")
            yield Prompt()
            yield KeyBar()

    def on_mount(self) -> None:
        self._header = self.screen.query_one(Header)
        self.screen.set_class(self.bridge.glyphs.ascii, "-ascii")
        self.log_view.focus()
        self.set_interval(1 / RATE_HZ, self.tick)
        self.run_worker(self.controller.run(), group="services", exit_on_error=False)
        self.call_after_refresh(self.repaint)
        leave_with_the_terminal(self)
        if self.demo:
            self.call_after_refresh(self.do, "demo")

    async def on_unmount(self) -> None:
        self.bridge.close()
        await self.controller.close()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A key of the logs is heard where there is a log, a key of the board on the board; `/` narrows lists."""
        if action != "act" or not parameters or len(self.screen_stack) != 1:
            return super().check_action(action, parameters)
        found = next((one for one in self.controller.actions() if one.id == parameters[0]), None)
        return found is None or acts.heard(found, self.view)

    def action_of(self, action_id: str) -> Action:
        """The action of this id, with the person's own keys."""
        return next(action for action in self.controller.actions() if action.id == action_id)

    def offered(self) -> list[Action]:
        """Actions this panel can do: all but view acts it does not have."""
        return [action for action in self.controller.actions() if not action.view or action.id in acts.VIEW_ACTS]

    def heard_otherwise(self) -> bool:
        return acts.keep_the_pod(self)

    def tick(self) -> None:
        """Ten times a second; paints only when something changed."""
        if self._header is not None and self._header.is_attached:  # not before the first frame nor after the last
            self.notifier.look(self.controller.state, self.clock(), self.app_focus)
            self.bridge.tick(self.paint, focused=self.app_focus, view=self.view)

    def write_out(self, sequence: str) -> None:
        """Send a sequence to the terminal, as Textual's own bell does."""
        if self._driver is not None:
            self._driver.write(sequence)

    def repaint(self) -> None:
        """Paint as soon as possible although no state has changed."""
        self.bridge.touch()
        self.tick()

    def paint(self, picture: Picture) -> None:
        """Bring every visible widget up to date."""
        base = self.screen_stack[0]
        size = base.size
        if size.width < 60 or size.height < 14:
            base.query_one("#compact", Static).update(compact_line(picture, size.width, size.height), layout=False)
            return
        view = self.view
        base.query_one(Header).show(picture, view)
        cast(Shows, self.current).show(self.bridge.looked_at(picture, view), self.bridge.logs)
        base.query_one(AlertStrip).show(picture)
        base.query_one(Notices).show(picture)
        keys = [action for action in self.offered() if acts.heard(action, view)]
        base.query_one(KeyBar).show(keys, self.refused)

    def on_resize(self, event: events.Resize) -> None:
        self.screen_stack[0].set_class(event.size.height >= HIGH, "-high")  # beside -tall, which stays
        self.call_after_refresh(self.repaint)

    def action_act(self, action_id: str) -> None:
        """What keys and clicks call."""
        self.do(action_id)

    def on_outdated(self, _event: Outdated) -> None:
        self.bridge.touch()

    def on_chosen(self, event: Chosen) -> None:
        self.do(event.action_id)

    def do(self, action_id: str, args: Mapping[str, Any] | None = None) -> None:
        """Do an action: refuse with its reason, ask first where it asks, else start it beside the screen."""
        reason = self.refused(action_id)
        if reason is not None:
            self.say(reason, "warning")
            return
        handler = acts.VIEW_ACTS.get(action_id) or (INSTEAD.get(action_id) if args is None else None)
        if handler is not None:
            acts.where_heard(self, action_id, handler)
        elif action_id in self.under_way:
            self.say(f"{action_id} is already under way", "warning")
        else:
            if performing.to_ask(self.action_of(action_id), args or {}):
                self.early = []
            self.go(self.perform(action_id, args))

    def refused(self, action_id: str) -> str | None:
        """Why an action is refused now. Narrowing a list needs no log, unlike finding in one."""
        narrows = action_id == "view.find" and self.view in ("board", "reviews")
        return None if narrows else self.controller.reason(action_id)

    def go(self, work: Coroutine[Any, Any, Any]) -> None:
        """Let something run beside the screen."""
        self.run_worker(work, group="acts", exit_on_error=False)

    async def perform(self, action_id: str, args: Mapping[str, Any] | None = None) -> int:
        """Ask, do, and show what it prints. Returns the exit code the command would have had."""
        code = await performing.perform(self, action_id, args)
        if action_id == "demo":
            self.say(f"the demo {'is over' if code == OK else 'ended early'}; the panel stays open, q leaves")
        return code

    def action_interrupt(self) -> None:
        """ctrl+c copies a selection; without one, twice within two seconds quits."""
        self._interrupted = acts.interrupted(self, self._interrupted)

    async def action_quit(self) -> None:
        """Leave, saying first what keeps costing."""
        self.go(acts.leave(self))

    def get_system_commands(self, _screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Of Textual's own commands only the theme; the rest are actions."""
        yield SystemCommand("Theme", "choose the panel's colours", self.search_themes)


def run_panel(
    workspace: Workspace, demo: bool = False, *, controller: Controller | None = None, ascii_only: bool | None = None
) -> int:
    """Open the panel and stay until it is left. Returns an exit code.

    Args:
        workspace: the folder worked in.
        demo: start the demo once the panel is up, and stay open with its result.
        controller: the one to draw; by default one with the workspace's own settings.
        ascii_only: draw nothing but ASCII; by default what the environment and locale say.
    """
    # 250 ms of services that a test over a made controller does not need
    from app.controller import Controller
    from app.settings import load

    held = controller or Controller(workspace, load(workspace.root, os.environ))
    asked = wants_ascii(os.environ) if ascii_only is None else ascii_only
    app = PanelApp(held, demo=demo, ascii_only=asked)
    result = app.run()
    return result if result is not None else app.return_code or FAILED  # who leaves in order gives a result
