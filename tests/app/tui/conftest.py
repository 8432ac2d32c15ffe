"""A panel over a made controller, and the screen as text."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

import pytest
import tui_samples as samples
from textual.pilot import Pilot

from app.controller import Controller
from app.state import AppState
from app.tui.app import PanelApp


def screen_text(app: PanelApp) -> str:
    """What is on the screen, line by line, trailing blanks cut."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


async def until(pilot: Pilot[Any], condition: Callable[[], object], turns: int = 200) -> None:
    """Let the panel work until `condition` holds."""
    for _ in range(turns):
        if condition():
            return
        cast(PanelApp, pilot.app).tick()
        await pilot.pause()
    raise AssertionError(f"never came true; the screen:\n{screen_text(cast(PanelApp, pilot.app))}")


class Shown:
    """A running panel."""

    def __init__(self, app: PanelApp, pilot: Pilot[int], controller: samples.FakeController) -> None:
        self.app, self.pilot, self.controller = app, pilot, controller

    @property
    def text(self) -> str:
        return screen_text(self.app)

    async def sees(self, *words: str) -> str:
        """Wait until all words stand on the screen."""
        text = ""

        def all_there() -> bool:
            nonlocal text
            text = self.text
            return all(word in text for word in words)

        await until(self.pilot, all_there)
        return text

    async def until(self, condition: Callable[[], object]) -> None:
        await until(self.pilot, condition)


Opener = Callable[..., AbstractAsyncContextManager[Shown]]


@pytest.fixture
def panel() -> Opener:
    """Open a panel: `async with panel(state, size=(80, 24)) as shown`."""

    @asynccontextmanager
    async def opened(state: AppState, size: tuple[int, int] = (80, 24), **options: Any) -> AsyncIterator[Shown]:
        controller = samples.FakeController(state, options.pop("confirm", None))
        controller.workspace = options.pop("workspace", None)
        options.setdefault("clock", lambda: samples.NOW)
        app = PanelApp(cast(Controller, controller), **options)
        async with app.run_test(size=size, notifications=True) as pilot:
            shown = Shown(app, pilot, controller)
            app.repaint()
            await pilot.pause()
            yield shown

    return opened
