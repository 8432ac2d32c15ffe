"""The event file never shrinks, its numbers have no gap, and a writer that died mid-line loses only that line."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pipeline.events import EventWriter, iso, unix
from pipeline.protocol import Event, parse_line, read_events


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "events.jsonl"


def beat(writer: EventWriter, count: int = 1) -> None:
    for _ in range(count):
        writer.emit("heartbeat", step="stage-1/sft", pid=1, rss=None, gpu_bytes=None, tokens_per_s=None)


def test_numbers_go_on_over_restarts_without_a_gap(path: Path, clock: Clock) -> None:
    for _ in range(3):
        writer = EventWriter(path, clock)
        beat(writer, 4)
        writer.close()
    assert [e.seq for e in read_events(path)] == list(range(12))


def test_the_last_number_is_found_behind_many_foreign_lines(path: Path, clock: Clock) -> None:
    writer = EventWriter(path, clock)
    beat(writer, 3)
    writer.close()
    with path.open("ab") as out:
        out.write((b"x" * 99 + b"\n") * 5000)
    writer = EventWriter(path, clock)
    beat(writer)
    assert [e.seq for e in read_events(path)] == [0, 1, 2, 3]


def test_a_line_torn_anywhere_is_closed_told_and_never_cut(path: Path, clock: Clock) -> None:
    writer = EventWriter(path, clock)
    beat(writer, 2)
    writer.close()
    whole = path.read_bytes()
    second = whole.index(b"\n") + 1
    for size in range(second + 1, len(whole)):
        path.write_bytes(whole[:size])
        writer = EventWriter(path, clock)
        beat(writer)
        writer.close()
        after = path.read_bytes()
        assert after.startswith(whole[:size] + b"\n")
        events = list(read_events(path))
        assert [e.seq for e in events] == list(range(len(events)))
        assert [e.kind for e in events][-2:] == ["warning", "heartbeat"]
        assert events[-2]["code"] == "torn-event"


def test_progress_is_written_once_a_second_and_the_last_one_always(path: Path, clock: Clock) -> None:
    writer = EventWriter(path, clock)
    for done in range(1, 31):
        writer.progress("stage-1/sft", done=done, total=100, unit="steps", rate=None, eta_s=None)
        clock.now += 0.125
    assert [e["done"] for e in read_events(path)] == [1, 9, 17, 25]
    writer.emit("step_finished", step="stage-1/sft", state="done", seconds=3.0, tokens=None, usd=None)
    assert [(e.kind, e.get("done")) for e in read_events(path)][-2:] == [("progress", 30), ("step_finished", None)]
    writer.progress("stage-1/dpo", done=1, total=2, unit="steps", rate=None, eta_s=None)
    writer.progress("stage-1/dpo", done=2, total=2, unit="steps", rate=None, eta_s=None)
    assert [e["done"] for e in read_events(path) if e.get("step") == "stage-1/dpo"] == [1, 2]


def test_held_back_progress_comes_when_its_second_is_over(path: Path, clock: Clock) -> None:
    writer = EventWriter(path, clock)
    for done in (1, 2):
        writer.progress("stage-1/sft", done=done, total=9, unit="steps", rate=None, eta_s=None)
    writer.tick()
    assert [e["done"] for e in read_events(path)] == [1]
    clock.now += 1
    writer.tick()
    writer.tick()
    assert [e["done"] for e in read_events(path)] == [1, 2]


def test_a_write_that_found_no_room_is_closed_by_the_next(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = EventWriter(path, clock)
    beat(writer)
    real, room = os.write, [15]

    def full(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = real(fd, data[: room[0]])
        room[0] -= count
        return count

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            beat(writer)
    beat(writer)
    assert [e.seq for e in read_events(path)] == [0, 1]
    assert [parse_line(line) is None for line in path.read_bytes().splitlines()] == [False, True, False]


def test_one_line_is_one_write(path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, real, seen = EventWriter(path, clock), os.write, list[bytes]()

    def spy(fd: int, data: bytes) -> int:
        seen.append(bytes(data))
        return real(fd, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", spy)
        beat(writer, 2)
    assert [data.count(b"\n") for data in seen] == [1, 1]
    assert b"".join(seen) == path.read_bytes()


def test_an_unknown_number_is_null_and_nan_is_refused(path: Path, clock: Clock) -> None:
    writer = EventWriter(path, clock)
    beat(writer)
    assert next(read_events(path))["rss"] is None
    with pytest.raises(ValueError, match="JSON"):
        writer.emit("metric", step="stage-1/sft", name="loss", value=float("nan"), x=1)
    beat(writer)
    assert [e.seq for e in read_events(path)] == [0, 1]


def test_times_round_trip(clock: Clock) -> None:
    assert iso(clock()) == "2023-11-14T22:13:20.000Z"
    assert unix(iso(clock())) == clock()


def test_an_event_without_a_time_is_passed_over(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    good = Event(0, "2026-01-02T03:04:05.000Z", "warning", {}).to_line()
    path.write_bytes(good + good.replace(b"2026-01-02T03:04:05.000Z", b"yesterday"))
    assert [event.t for event in read_events(path)] == ["2026-01-02T03:04:05.000Z"]
