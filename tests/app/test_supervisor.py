"""The services: failures are events, retries back off, a sleeping machine reconnects, stale words are not believed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.events import AppEvent, Failed, RunFollowed, RunLine, StreamGrew, Woke
from app.follow import Follower, LineReader
from app.reduce import reduce
from app.runs import RunBook, RunEntry
from app.settings import Settings
from app.state import AppState
from app.supervisor import BACKOFF_S, Supervisor
from app.workspace import find
from remote.errors import Occupied

ENTRY = RunEntry("01ABC", "demo", "local", "t" * 64, 1, 5.0)


class Seen:
    """Collects events and folds them, as the controller does."""

    def __init__(self) -> None:
        self.events: list[AppEvent] = []
        self.state = AppState(project="p")
        self.changed = asyncio.Event()

    def __call__(self, event: AppEvent) -> None:
        self.events.append(event)
        self.state = reduce(self.state, event)
        self.changed.set()

    async def until(self, kind: type[Any]) -> Any:
        async with asyncio.timeout(30):
            while True:
                for event in self.events:
                    if isinstance(event, kind):
                        return event
                self.changed.clear()
                await self.changed.wait()


def make(root: Path, seen: Seen, **more: Any) -> Supervisor:
    return Supervisor(find(root), Settings(**more.pop("settings", {})), seen, lambda: seen.state, **more)


def test_retries_come_ever_later_up_to_half_a_minute_and_never_all_at_once(workspace_dir: Path) -> None:
    seen = Seen()
    early = [make(workspace_dir, seen, random_unit=lambda: 0.999).backoff(n) for n in range(12)]
    late = [make(workspace_dir, seen, random_unit=lambda: 0.0).backoff(n) for n in range(12)]
    assert late[:4] == [0.5, 1.0, 2.0, 4.0]
    assert max(late) == BACKOFF_S[1]
    assert all(low >= high / 2 for low, high in zip(early, late, strict=True))


async def test_a_provider_that_cannot_be_used_is_an_event_and_the_services_go_on(workspace_dir: Path) -> None:
    seen = Seen()
    supervisor = make(workspace_dir, seen, settings={"provider": "nowhere"})
    task = asyncio.create_task(supervisor.run())
    failed = await seen.until(Failed)
    assert failed.source == "pods"
    assert "nowhere" in failed.error
    assert failed.retry_in is not None
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()


async def test_a_wall_clock_that_leaps_means_the_machine_slept(
    workspace_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.supervisor.TICK_S", 0.01)
    seen = Seen()
    leaps: Iterator[float] = iter([1000.0, 1060.0])
    supervisor = make(workspace_dir, seen, clock=lambda: next(leaps, 1060.0), monotonic=lambda: 7.0)
    await supervisor._tick()
    woke = await seen.until(Woke)
    assert woke.gap_s == 60.0


async def test_a_leap_between_two_ticks_is_seen_too(workspace_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.supervisor.TICK_S", 0.01)
    seen, wall = Seen(), [1000.0]
    supervisor = make(workspace_dir, seen, clock=lambda: wall[0], monotonic=lambda: 7.0)
    await supervisor._tick()
    wall[0] += 60.0
    await supervisor._tick()
    woke = await seen.until(Woke)
    assert woke.gap_s == 60.0


async def test_a_quiet_second_is_no_sleep(workspace_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.supervisor.TICK_S", 0.01)
    seen = Seen()
    await make(workspace_dir, seen)._tick()
    assert not any(isinstance(event, Woke) for event in seen.events)


async def test_refresh_ends_every_wait(workspace_dir: Path) -> None:
    supervisor = make(workspace_dir, Seen())
    waits = [asyncio.create_task(supervisor._wait(600.0)) for _ in range(3)]
    await asyncio.sleep(0)
    began = time.monotonic()
    supervisor.refresh()
    await asyncio.gather(*waits)
    assert time.monotonic() - began < 5


def test_a_half_line_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"one\ntw")
    reader = LineReader(path)
    assert list(reader.fresh()) == [b"one\n"]
    assert list(reader.fresh()) == []
    with path.open("ab") as out:
        out.write(b"o\n")
    assert list(reader.fresh()) == [b"two\n"]


def test_a_file_that_was_replaced_by_a_shorter_one_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"one\ntwo\n")
    reader = LineReader(path)
    list(reader.fresh())
    path.write_bytes(b"new\n")
    assert list(reader.fresh()) == [b"new\n"]


def test_what_is_on_this_machine_is_shown_before_anybody_is_asked(workspace_dir: Path) -> None:
    seen = Seen()
    workspace = find(workspace_dir)
    spool = workspace.spool_dir(ENTRY.run_id)
    (spool / "logs").mkdir(parents=True)
    line = b'{"v":1,"seq":0,"t":"2026-01-01T00:00:00Z","kind":"run_started","recipe":"demo","steps":["stage-1/a"]}\n'
    (spool / "events.jsonl").write_bytes(line)
    (spool / "logs/stage-1.a.log").write_bytes(b"hello\n")
    Follower(workspace, ENTRY, seen, time.time).replay()
    assert [type(e) for e in seen.events] == [RunFollowed, RunLine, StreamGrew, StreamGrew]
    assert seen.state.run is not None
    assert seen.state.run.state == "running"
    assert seen.state.streams["logs/stage-1.a.log"].size == 6


def test_the_book_survives_a_torn_line_and_keeps_the_last_attempt(tmp_path: Path) -> None:
    book = RunBook(tmp_path)
    book.add(ENTRY)
    with (tmp_path / "runs.jsonl").open("ab") as out:
        out.write(b'{"run_id":"torn')
    book.add(RunEntry("01ABC", "demo", "local", "u" * 64, 2, 6.0))
    book.add(RunEntry("01XYZ", "demo", "local", "u" * 64, 1, 7.0))
    assert [(e.run_id, e.attempt) for e in book.entries()] == [("01XYZ", 1), ("01ABC", 2)]
    found = book.find("01a")
    assert found is not None
    assert found.run_id == "01ABC"


async def test_the_launch_lock_is_for_one_and_free_after_it(tmp_path: Path) -> None:
    book = RunBook(tmp_path)
    async with book.launching():
        with pytest.raises(Occupied, match="run start") as refusal:
            async with RunBook(tmp_path).launching(wait_s=0.0):
                pass
    assert refusal.value.exit_code == 3
    async with RunBook(tmp_path).launching(wait_s=0.0):
        pass
