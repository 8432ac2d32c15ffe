"""Files that somebody else writes: a hundred malformed events; what is edited, replaced or removed outside."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import run_samples
import tui_samples as samples
from msgspec.structs import replace

from app.events import RunLine, StreamGrew
from app.state import StreamView
from app.tui.switch import VIEWS
from app.tui.views.run import PAGES, RunView
from pipeline.protocol import EVENT_FIELDS

if TYPE_CHECKING:
    from conftest import Opener, Shown

VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 10**18, -(10**18), 1e308, 1e-320, "", "x", "\x1b[2J\x1b]0;owned\x07", "[red]", "[/]",
    "\u202eabc", "a\nb", "\0", "漢字" * 40, "y" * 9000, [], [1], {}, [[]],
    ["stage-1/x", "stage-²/x", "stage-/", "/", ""],
    "stage-1/sft", "stage-1/" + "z" * 300, "PASS", "done", "running",
    {"tuned": {"successes": 1e300, "trials": -5, "low": 2, "high": -3, "lenient_successes": 1}},
    {"tuned": {"successes": 9, "trials": 3, "low": 0.1, "high": 0.2, "lenient_successes": 9}, "": 7},
)  # fmt: skip
TIMES = ("2027-01-15T08:00:00Z", "", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "1969-01-01T00:00:00Z")
TORN = (
    b"", b"\n", b"{", b"null", b"[]", b'"text"', b"\xff\xfe\x00", b"{" * 5000, b"[" * 200_000, b'{"v":1}', b"NaN",
    b'{"v":2,"seq":9,"t":"","kind":"gate"}', b'{"v":1,"seq":"9","t":"","kind":"gate"}',
    b'{"v":1,"seq":99999999999999999999,"t":"","kind":"heartbeat"}', b'{"v":1,"seq":-5,"t":"","kind":"run_finished"}',
)  # fmt: skip


def malformed(first: int, chance: random.Random) -> Iterator[bytes]:
    """A hundred lines: torn ones, and events of every kind whose fields are what nobody would write."""
    yield from TORN
    for number in range(100 - len(TORN)):
        kind = list(EVENT_FIELDS)[number % len(EVENT_FIELDS)]
        fields = {name: chance.choice(VALUES) for name in EVENT_FIELDS[kind] if chance.random() < 0.9}
        fields |= {"step": "stage-1/sft"} if chance.random() < 0.5 else {}
        event = {"v": 1, "seq": first + number, "t": chance.choice(TIMES), "kind": kind, **fields}
        yield json.dumps(event).encode()


@pytest.mark.parametrize(("seed", "size"), [(1, (160, 45)), (2, (80, 24))])
async def test_a_hundred_malformed_events_neither_stop_the_panel_nor_what_comes_after_them(
    panel: Opener, tmp_path: Path, seed: int, size: tuple[int, int]
) -> None:
    chance, events = random.Random(seed), tmp_path / "events.jsonl"
    script = samples.RunScript(samples.up_state()).plan().done("freeze").training()
    events.write_bytes(b"".join(script.lines))
    async with panel(script.state, size) as shown:
        shown.controller.emit(StreamGrew(StreamView("events.jsonl", str(events), 1)))
        lines = list(malformed(script.seq, chance))
        assert len(lines) == 100
        for number, line in enumerate(lines):
            with events.open("ab") as log:
                log.write(line + b"\n")
            shown.controller.emit(RunLine(script.run_id, line))
            if number % 10 == 0:
                shown.app.do(f"view.{VIEWS[number // 10 % 4].name}")
                await shown.pilot.pause()
                assert "\x1b" not in shown.text
            shown.app.repaint()
        script.seq, script.state = script.seq + 100, shown.controller.state
        script.say("progress", samples.NOW - 2, step="stage-1/sft", done=301, total=375, unit="steps", eta_s=9.0)
        shown.controller.become(script.state)
        shown.app.do("view.overview")
        await shown.sees("301/375", "1 Overview")


Edit = Callable[[Path], None]


def _binary(root: Path) -> None:
    (root / "task_board/pending/P0_20270114_clean_prompts.md").write_bytes(bytes(range(256)) * 40)


def _emptied(root: Path) -> None:
    for path in (root / "task_board").rglob("*.md"):
        path.write_bytes(b"")


def _folder_for_a_file(root: Path) -> None:
    path = root / "reviews/requests/20270114_scorer.md"
    path.unlink()
    path.mkdir()


def _board_is_a_file(root: Path) -> None:
    shutil.rmtree(root / "task_board")
    (root / "task_board").write_text("not a folder")


def _loops(root: Path) -> None:
    (root / "reviews/responses/loop.md").symlink_to(root / "reviews/responses/loop.md")
    (root / "task_board/in_progress/gone.md").symlink_to(root / "nowhere")


def _run_is_rewritten(root: Path) -> None:
    run = root / "runs" / run_samples.RUN_ID
    for path in (run / "run.json", run / "stage-1/gate.json", run / "stage-1/filter/qc.json"):
        path.write_text("[" * 100_000)
    (run / "stage-1/generate/records.jsonl").write_bytes(b"\xff\n{}\n" + b"null\n" * 50)


def _logs_are_cut(root: Path) -> None:
    for path in (root / "sft.log", root / "events.jsonl"):
        os.truncate(path, 7)


def _all_is_gone(root: Path) -> None:
    for name in ("runs", "reviews", "task_board"):
        shutil.rmtree(root / name)
    for name in ("sft.log", "events.jsonl"):
        (root / name).unlink()


EDITS: tuple[tuple[Edit, tuple[str, ...]], ...] = (
    (_binary, ("board",)),
    (_emptied, ("board",)),
    (_folder_for_a_file, ("reviews",)),
    (_board_is_a_file, ("board",)),
    (_loops, ("board", "reviews")),
    (_run_is_rewritten, ("run",)),
    (_logs_are_cut, ("logs",)),
    (_all_is_gone, ("board", "reviews", "run", "logs", "overview")),
)
"""What is done to the files, and the views that read them."""


def laid_out(root: Path) -> None:
    """The files as they were meant to be."""
    for name in ("runs", "reviews", "task_board"):
        shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink(missing_ok=True)
    run_samples.run_directory(root / "runs")
    run_samples.board(root)
    run_samples.reviews(root)
    (root / "sft.log").write_text("step 1\nstep 2\n")


async def test_files_edited_outside_are_shown_as_they_are_now(panel: Opener, tmp_path: Path) -> None:
    laid_out(tmp_path)
    here = SimpleNamespace(root=tmp_path, runs_dir=tmp_path / "runs", state_dir=tmp_path / ".maxcai")
    state = samples.training_state(tmp_path / "sft.log", tmp_path / "events.jsonl")
    state, now = replace(state, runs=(run_samples.RUN_ID,)), [samples.NOW]
    async with panel(state, (110, 30), workspace=here, clock=lambda: now[0]) as shown:
        for number, (edit, views) in enumerate(EDITS):
            edit(tmp_path)
            for view in views:
                await drawn(shown, view, now)
            laid_out(tmp_path)
            (tmp_path / "task_board/pending/P0_20270120_after.md").write_text(f"# TASK: after edit {number}\n")
            now[0] += 2
            shown.app.do("view.board")
            await shown.sees(f"after edit {number}", "freeze stage-2 set")
            shown.app.do("view.logs")
            await shown.sees("step 2")


async def drawn(shown: Shown, view: str, now: list[float]) -> None:
    """Go to a view and, in the Run view, to each page; each is drawn from the files as they are."""
    shown.app.do(f"view.{view}")
    await shown.until(lambda: shown.app.view == view)
    for page in PAGES if view == "run" else ("",):
        if page:
            shown.app.query_one(RunView).page = page
        now[0] += 2.1
        shown.app.repaint()
        await shown.until(lambda: not (shown.app.bridge.home.shelf.busy or shown.app.bridge.boards.shelf.busy))
        shown.app.repaint()
        assert "q Quit" in shown.text
