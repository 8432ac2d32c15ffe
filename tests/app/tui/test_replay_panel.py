"""A recording in the panel: marked on every view and at every size, with its own time and its own keys."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
import tui_samples as samples
from conftest import screen_text, until

from app import recording, replay
from app.controller import Controller
from app.tui.app import PanelApp
from app.tui.switch import VIEWS


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    script = (
        samples.RunScript(samples.base_state(), "R1").plan().done("freeze", "generate", "critique").training().gate()
    )
    folder = tmp_path / "R1"
    folder.mkdir()
    (folder / "events.jsonl").write_bytes(b"".join(script.lines))
    (folder / "run.json").write_text(json.dumps({"recipe": {"name": "demo"}}))
    return folder / "events.jsonl"


@asynccontextmanager
async def replaying(path: Path, size: tuple[int, int]) -> AsyncIterator[tuple[PanelApp, object, replay.Player]]:
    player = replay.Player(recording.read(path), 1.0)
    player.pause()
    app = PanelApp(cast(Controller, player), clock=player.clock)
    async with app.run_test(size=size, notifications=True) as pilot:
        yield app, pilot, player
    assert not player.workspace.runs_dir.exists(), "leaving removes what was unfolded"


@pytest.mark.parametrize("size", [(40, 8), (80, 24), (160, 45)])
async def test_every_view_is_marked_at_every_size(recorded: Path, size: tuple[int, int]) -> None:
    async with replaying(recorded, size) as (app, pilot, player):
        for view in VIEWS:
            await pilot.press(view.key)  # type: ignore[attr-defined]
            await until(pilot, lambda: "REPLAY paused" in screen_text(app))  # type: ignore[arg-type]
        player.seek(player.at + 10**6)
        await until(pilot, lambda: "REPLAY the end" in screen_text(app))  # type: ignore[arg-type]


async def test_keys_steer_the_recording_and_no_other_key_does_anything(recorded: Path) -> None:
    async with replaying(recorded, (160, 45)) as (app, pilot, player):
        await pilot.press("right_parenthesis")  # type: ignore[attr-defined]
        await until(pilot, lambda: "freeze" in screen_text(app))  # type: ignore[arg-type]
        before = player.at
        await pilot.press("greater_than_sign", "s", "r", "P", "x", "X")  # type: ignore[attr-defined]
        assert (player.speed, player.at) == (2.0, before)
        await pilot.press("q")  # type: ignore[attr-defined]
        await pilot.pause()  # type: ignore[attr-defined]
        assert not app.is_running or app.return_code == 0
