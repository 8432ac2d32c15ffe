"""The six views: what stands on the screen at three sizes, and how one moves in them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import run_samples
import tui_samples as samples
from msgspec.structs import replace
from textual.widgets import Input

import reviews
import task_board
from app.brief import Brief
from app.state import AppState, BudgetView, CostView, WatchView
from app.tui.desk import Desk, Sending
from app.tui.modals.help import Reader
from app.tui.switch import VIEWS
from app.tui.views.run import PAGES, RunView
from app.tui.widgets.rows import Rows
from remote.journal import Intent, Phase
from remote.sync.push import GitState, Plan
from remote.watch.gpu import GpuProcess, GpuSample, GpuTrouble
from remote.watch.telemetry import HostSample, Telemetry

if TYPE_CHECKING:
    from conftest import Opener, Shown

SNAPSHOTS = Path(__file__).parent / "snapshots"
REWRITE = "REWRITE_SNAPSHOTS"
"""Set this variable to write the snapshots anew; read the difference before committing it."""


@pytest.fixture(autouse=True)
def one_time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def workspace(tmp_path: Path) -> Any:
    """A folder with a run at home, an older one, a board and reviews."""
    run_samples.run_directory(tmp_path / "runs")
    run_samples.run_directory(tmp_path / "runs", "older", 7)
    run_samples.board(tmp_path)
    run_samples.reviews(tmp_path)
    return SimpleNamespace(root=tmp_path, runs_dir=tmp_path / "runs", state_dir=tmp_path / ".maxcai")


def finished(tmp_path: Path) -> AppState:
    """A run with a passed gate and all its events on disk."""
    script = samples.RunScript(samples.up_state()).plan().done("freeze", "generate", "critique", "filter").training()
    script.done("sft", "pairs", "dpo", "evaluate").gate().done("gate")
    script.say("run_finished", state="finished", exit_code=0, reason="every gate passed")
    events = tmp_path / "events.jsonl"
    events.write_bytes(b"".join(script.lines))
    stream = samples.StreamView("events.jsonl", str(events), events.stat().st_size)
    log = tmp_path / "sft.log"
    log.write_bytes(b"".join(b"step %d loss %.3f\n" % (n, 2 / (1 + n)) for n in range(40)))
    name = "logs/stage-1.sft.log"
    streams = {"events.jsonl": stream, name: samples.StreamView(name, str(log), log.stat().st_size)}
    return replace(script.state, streams=streams, runs=(run_samples.RUN_ID, "older"))


def measured(cards: int = 1) -> Telemetry:
    """Two minutes of telemetry, the newest sample now."""
    found = Telemetry()
    for second in range(-119, 1):
        at = samples.NOW + second
        for index in range(cards):
            util = 97.0 - index * 95
            found.add(
                GpuSample(at, index, f"u{index}", "NVIDIA A100", util, 40.0, 61_400.0 + second, 81_920.0, 67.0, 388.0,
                          400.0, 1400.0, "P0")
            )  # fmt: skip
        found.add(HostSample(at, 3.5, 16.0, 5e10, 2e11, 1.1e11, 3e10, 1e6, True))
    found.processes = (GpuProcess(4121, "u0", 61_000.0, "python"),)
    return found


def on_the_desk(desk: Desk, root: Path) -> None:
    """Git, a plan, the command log and what waits, as they would be read."""
    desk.sending = Sending(Plan("t", ("a",), ("b", "c"), ("d",), 9, False), "main", GitState("4e1a2c00" * 5, True))
    done = Intent("1", "pod.start", Phase.ACKED, samples.NOW - 300, {"pod": "local-1"})
    desk.commands = (done, Intent("2", "run.launch", Phase.FAILED, samples.NOW - 200, {"run_id": run_samples.RUN_ID}))
    found = Brief("bootstrap", samples.NOW)
    found.tasks, found.reviews = task_board.summary(root / "task_board"), reviews.summary(root / "reviews")
    desk.brief = found


async def looked_at(shown: Shown, view: str) -> str:
    """Go to a view and wait until everything in it has been read."""
    bridge = shown.app.bridge
    spec = next(one for one in VIEWS if one.name == view)
    await shown.pilot.press(spec.key)
    await shown.until(lambda: shown.app.view == view)
    await shown.until(lambda: bridge.boards.cards is not None and bridge.boards.reviews is not None)
    if view == "reviews":
        await shown.sees("Date: 2027-01-14")
    shown.app.repaint()
    await shown.pilot.pause()
    await shown.until(lambda: not (bridge.home.shelf.busy or bridge.boards.shelf.busy))
    shown.app.repaint()
    await shown.pilot.pause()
    return shown.text


@pytest.mark.parametrize("size", [(80, 24), (110, 30), (160, 45)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_six_views_look_as_they_did(panel: Opener, size: tuple[int, int], workspace: Any, tmp_path: Path) -> None:
    different = []
    async with panel(finished(tmp_path), size, workspace=workspace) as shown:
        shown.app.bridge.meters.telemetry = measured()
        on_the_desk(shown.app.bridge.desk, tmp_path)
        for spec in VIEWS:
            text = await looked_at(shown, spec.name)
            assert all(len(line) <= size[0] for line in text.split("\n"))
            path = SNAPSHOTS / f"{spec.name}-{size[0]}x{size[1]}.txt"
            if os.environ.get(REWRITE):
                path.parent.mkdir(exist_ok=True)
                path.write_text(text + "\n", encoding="utf-8")
            elif path.read_text(encoding="utf-8") != text + "\n":
                different.append(f"{path.name}:\n{text}")
    assert not different, "\n".join(different)


async def test_the_pages_of_a_run_are_turned_and_its_records_opened(
    panel: Opener, workspace: Any, tmp_path: Path
) -> None:
    async with panel(finished(tmp_path), (110, 30), workspace=workspace) as shown:
        await shown.pilot.press("2")
        await shown.sees("[Rates]", "◆ gate PASS 68% (60–76) ≥60%", "tuned lenient against base-formatted")
        expected = {
            "Plots": "dpo", "Quality": "BROKEN", "Samples": "Name the capital of Norway.", "Trained": "Oslo",
            "Dropped": "critics unsure", "Pairs": "Bergen", "Items": "lost", "Config": "evaluation", "Files": "adapter",
        }  # fmt: skip
        for page in PAGES[1:]:
            await shown.pilot.press("right")
            await shown.until(lambda page=page: f"[{page}]" in shown.text)
            if page != "Plots":
                await shown.sees({**expected, "Config": "seed"}[page])
        while shown.app.query_one(RunView).page != "Samples":
            await shown.pilot.press("left")
        await shown.sees("Bergen is no capital.")
        await shown.pilot.press("enter", "enter")
        await shown.until(lambda: isinstance(shown.app.screen, Reader))
        await shown.sees("Oslo, not Bergen", "margin 1.25")


async def test_a_run_that_is_not_at_home_says_so(panel: Opener, tmp_path: Path) -> None:
    away = SimpleNamespace(root=tmp_path, runs_dir=tmp_path / "none", state_dir=tmp_path)
    async with panel(finished(tmp_path), workspace=away) as shown:
        await shown.pilot.press("2", "right", "right")
        await shown.sees("nothing of this run is at home yet: p pulls it")


async def test_history_is_looked_at_as_far_back_as_asked_and_stale_samples_say_so(panel: Opener) -> None:
    now = [samples.NOW]
    state = replace(samples.up_state(), pod=samples.pod(gpu="A100", gpu_count=2))
    async with panel(state, (110, 30), clock=lambda: now[0]) as shown:
        shown.app.bridge.meters.telemetry = telemetry = measured(2)
        await shown.pilot.press("4")
        await shown.sees("[1m]", "97%", "2% idle", "388/400 W", "● live", "4121")
        await shown.pilot.press("right")
        await shown.sees("[10m]", "GPU · 10m")
        now[0] += 12
        await shown.sees("stale 12 s")
        telemetry.add(GpuTrouble(now[0], "nvidia-smi hangs"))
        now[0] += 1
        await shown.sees("nvidia-smi hangs")


async def test_a_pod_without_cards_shows_its_host_only(panel: Opener) -> None:
    async with panel(samples.up_state()) as shown:
        telemetry = Telemetry()
        telemetry.add(HostSample(samples.NOW, 1.5, 4.0, 1e9, 8e9, 1e11, 2e10, None, False))
        shown.app.bridge.meters.telemetry = telemetry
        await shown.pilot.press("4")
        await shown.sees("this pod has no GPU", "1.5 of 4", "THE VOLUME DOES NOT ANSWER", "host only")


async def test_the_board_is_walked_narrowed_and_its_files_read(panel: Opener, workspace: Any) -> None:
    async with panel(samples.up_state(), workspace=workspace) as shown:
        await shown.pilot.press("5")
        text = await shown.sees("[PENDING]", "clean eval prompts", "P? ")
        assert "freeze" not in text  # one lane at a time when narrow
        await shown.pilot.press("right")
        await shown.sees("[IN PROGRESS]", "freeze stage-2 set")
        await shown.pilot.press("enter")
        await shown.sees("Priority: P1")
        await shown.pilot.press("escape")
        await shown.until(lambda: not isinstance(shown.app.screen, Reader))
        await shown.pilot.press("left", "slash")
        await shown.until(lambda: isinstance(shown.app.focused, Input))
        await shown.pilot.press(*"clean")
        await shown.sees("PENDING 1 of 2")
        await shown.pilot.press("escape")
        await shown.sees("PENDING 2")
        assert shown.controller.done == []


async def test_a_task_file_changed_from_outside_shows_at_once(panel: Opener, workspace: Any) -> None:
    now = [samples.NOW]
    async with panel(samples.up_state(), workspace=workspace, clock=lambda: now[0]) as shown:
        await shown.pilot.press("5")
        await shown.sees("clean eval prompts")
        old = workspace.root / "task_board/pending/P0_20270114_clean_prompts.md"
        old.rename(workspace.root / "task_board/pending/P0_20270114_renamed.md")
        now[0] += 2
        await shown.sees("changed just now", "5 Board")


async def test_a_review_is_read_document_by_document(panel: Opener, workspace: Any) -> None:
    async with panel(samples.up_state(), (110, 30), workspace=workspace) as shown:
        await shown.pilot.press("6")
        await shown.sees("[request]", "ann ✔ approve", "ben ◌ no answer yet", "Look at the scorer", "gate 1")
        await shown.pilot.press("right")
        await shown.sees("Fine by me.")
        await shown.pilot.press("right")
        await shown.sees("no answer yet")


async def test_keys_of_the_logs_are_silent_where_there_is_no_log(panel: Opener, workspace: Any) -> None:
    async with panel(finished(workspace.root), workspace=workspace) as shown:
        await shown.pilot.press("2")
        await shown.until(lambda: shown.app.view == "run")
        await shown.pilot.press("n", "F", "w", "ampersand")
        shown.app.do("view.filter")  # the palette offers it everywhere: it goes to the logs first
        await shown.until(lambda: shown.app.view == "logs")


async def test_a_hidden_view_does_no_work(panel: Opener, workspace: Any, tmp_path: Path) -> None:
    async with panel(finished(tmp_path), workspace=workspace) as shown:
        await shown.pilot.press("2")
        await shown.sees("[Rates]")
        rows = shown.app.query_one("#stages", Rows)
        await shown.pilot.press("1")
        await shown.until(lambda: shown.app.view == "overview")
        token = rows.token
        shown.controller.become(samples.RunScript(samples.up_state()).plan().state)
        shown.app.repaint()
        await shown.pilot.pause()
        assert rows.token is token
        assert not shown.app.bridge.meters.advance(shown.controller.state, samples.NOW, False)


async def test_a_pane_fills_the_screen_and_comes_back(panel: Opener, workspace: Any, tmp_path: Path) -> None:
    async with panel(finished(tmp_path), workspace=workspace) as shown:
        await shown.pilot.press("2")
        await shown.sees("[Rates]")
        await shown.pilot.press("plus")
        await shown.until(lambda: "[Rates]" not in shown.text and "gate PASS" in shown.text)
        await shown.pilot.press("underscore")
        await shown.sees("[Rates]")


async def test_budget_and_automatic_stop_are_in_the_header_of_every_view(panel: Opener, workspace: Any) -> None:
    cost = CostView(Decimal("1.74"), budgets=(BudgetView("day", Decimal(40), Decimal(35), "warn"),))
    watch = WatchView("green", "runs", "local-1", samples.NOW + 600, "lease", samples.NOW)
    state = replace(samples.up_state(), cost=cost, watches={watch.pod: watch})
    async with panel(state, (160, 45), workspace=workspace) as shown:
        for spec in VIEWS:
            await shown.pilot.press(spec.key)
            await shown.sees("today $35.00 of $40.00 !", "auto-stop 10m00s", f"[{spec.key} {spec.title}")
