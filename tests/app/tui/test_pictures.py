"""Pictures of the states that one sees first, in both themes: every cell's text, colour and weight, row by row.

What is kept of a picture is a short hash a row (`snapshots/pictures.json`): a change of colour shows, and in which row.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import run_samples
import tui_samples as samples
from msgspec.structs import replace
from test_views import REWRITE, SNAPSHOTS, finished, looked_at, measured, on_the_desk, one_time_zone, workspace

from app.actions.base import Confirm
from app.tui.theme import DARK, LIGHT

if TYPE_CHECKING:
    from conftest import Opener, Shown

__all__ = ["one_time_zone", "workspace"]  # fixtures

KEPT = SNAPSHOTS / "pictures.json"
STOP = Confirm("Stop pod one?", ("saves $1.74/h", "3 files are not home"), "stop now", True, {"force": True})
HEROES = (
    ("overview", (160, 45)), ("overview", (80, 24)), ("run", (110, 30)), ("logs", (110, 30)), ("gpu", (110, 30)),
    ("board", (110, 30)), ("reviews", (110, 30)),
)  # fmt: skip

_STYLE = re.compile(r"\.(terminal-\d+-r\d+) \{([^}]*)\}")
_CELLS = re.compile(r'<text class="([^"]*)" x="([\d.]+)"[^>]*-line-(\d+)\)">([^<]*)</text>')
_GROUND = re.compile(r'<rect fill="([^"]*)" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"')


def rows_of(svg: str) -> list[str]:
    """What stands in each row of a picture, free of the numbers that Rich gives to styles and clips."""
    looks = {name: " ".join(look.split()) for name, look in _STYLE.findall(svg)}
    rows: dict[int, list[str]] = {}
    for ground, x, y, width in _GROUND.findall(svg):
        rows.setdefault(round((float(y) - 1.5) / 24.4), []).append(f"{x}+{width} on {ground}")
    for look, x, line, words in _CELLS.findall(svg):
        rows.setdefault(int(line), []).append(f"{x} {looks[look]} {unescape(words)}")
    return ["\n".join(rows.get(number, ())) for number in range(max(rows) + 1)]


def hashed(row: str) -> str:
    return hashlib.sha256(row.encode()).hexdigest()[:6]


class Pictures:
    """The kept hashes, and what differs from them."""

    def __init__(self) -> None:
        self.kept: dict[str, list[str]] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
        self.rewrite, self.different = bool(os.environ.get(REWRITE)), list[str]()

    def take(self, shown: Shown, name: str) -> None:
        """Compare the screen with the picture of this name; or keep it anew."""
        rows = rows_of(shown.app.export_screenshot(title="maxcai", simplify=True))
        found, kept = [hashed(row) for row in rows], self.kept.get(name, [])
        if self.rewrite:
            self.kept[name] = found
        for number, row in enumerate(rows):
            if not self.rewrite and found[number : number + 1] != kept[number : number + 1]:
                self.different.append(f"{name}, row {number}:\n{row}")

    def close(self) -> None:
        if self.rewrite:
            lines = [f"{json.dumps(name)}: {json.dumps(rows)}" for name, rows in sorted(self.kept.items())]
            KEPT.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        told = (
            f"rows look different; if they should, write them anew with {REWRITE}=1 and look at `make screenshots`:\n"
        )
        assert not self.different, told + "\n".join(self.different[:20])


@pytest.fixture
def pictures() -> Iterator[Pictures]:
    found = Pictures()
    yield found
    found.close()


@pytest.mark.parametrize("size", sorted({size for _, size in HEROES}), ids=lambda size: f"{size[0]}x{size[1]}")
async def test_views_look_as_they_did_in_both_themes(
    panel: Opener, size: tuple[int, int], workspace: Any, tmp_path: Path, pictures: Pictures
) -> None:
    async with panel(finished(tmp_path), size, workspace=workspace) as shown:
        shown.app.bridge.meters.telemetry = measured()
        on_the_desk(shown.app.bridge.desk, tmp_path)
        for theme in (DARK, LIGHT):
            shown.app.theme = theme.name
            for view in (view for view, asked in HEROES if asked == size):
                await looked_at(shown, view)
                await at_rest(shown)
                pictures.take(shown, f"{view} {size[0]}x{size[1]} {theme.name}")


async def test_a_run_under_way_a_failed_gate_and_a_dangerous_question_look_as_they_did_in_both_themes(
    panel: Opener, tmp_path: Path, pictures: Pictures
) -> None:
    log = tmp_path / "sft.log"
    log.write_bytes(b"".join(b"step %d loss %.3f\n" % (n, 2 / (1 + n)) for n in range(40)))
    training = replace(samples.training_state(log), runs=(run_samples.RUN_ID,))
    async with panel(training, (110, 30), confirm={"pod.stop": STOP}) as shown:
        for theme in (DARK, LIGHT):
            shown.app.theme = theme.name
            shown.controller.become(training)
            await shown.sees("228/375", "step 39")
            await at_rest(shown)
            pictures.take(shown, f"training 110x30 {theme.name}")
            await shown.pilot.press("x")
            await shown.sees("3 files are not home")
            await at_rest(shown)
            pictures.take(shown, f"question 110x30 {theme.name}")
            await shown.pilot.press("escape")
            await shown.until(lambda: len(shown.app.screen_stack) == 1)
            shown.controller.become(samples.finished_state("FAIL"))
            await shown.sees("✖ FAIL", "a acts")
            await at_rest(shown)
            pictures.take(shown, f"failed 110x30 {theme.name}")


async def at_rest(shown: Shown) -> None:
    """Everything drawn."""
    for _ in range(2):
        shown.app.repaint()
        await shown.pilot.pause()
