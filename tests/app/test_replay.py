"""Recordings: what a session or a run wrote gives the same picture again, moment by moment, and nothing can be done."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace

from app import recording, replay
from app.cli import main
from app.errors import Refused, UsageError
from app.events import CostTicked, Noted, Output, PodsListed, RunFollowed, RunLine, StreamGrew
from app.reduce import reduce
from app.state import AppState, CostView, PodView, StreamView

RUN = "20270115-080000-demo"


def event(seq: int, second: int, kind: str, **data: object) -> dict[str, object]:
    return {"v": 1, "seq": seq, "t": f"2027-01-15T08:{second // 60:02d}:{second % 60:02d}.000Z", "kind": kind, **data}


STEP = {"step": "stage-1/sft"}
SCRIPT = (
    event(0, 0, "run_started", run_id=RUN, recipe="demo", steps=["stage-1/sft", "stage-1/gate"]),
    event(1, 1, "step_started", **STEP, key="k", attempt=1, forecast_s=None),
    event(2, 5, "progress", **STEP, done=3, total=9, unit="steps", rate=1.0, eta_s=6.0),
    event(3, 9, "artifact", path="stage-1/sft/qc.json", size=2, sha256="0"),
    event(4, 12, "step_finished", **STEP, state="done", seconds=11.0),
    event(5, 3000, "warning", code="slow", text="resumed the next hour"),
    event(6, 3001, "run_finished", state="finished", exit_code=0, reason="every gate passed"),
)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run's directory as it is at home after its end."""
    home = tmp_path / "runs" / RUN
    (home / "stage-1" / "sft").mkdir(parents=True)
    (home / "logs").mkdir()
    (home / "run.json").write_text("{}")
    (home / "stage-1" / "sft" / "qc.json").write_text("{}")
    (home / "stage-1" / "sft" / "DONE").write_text("")
    (home / "logs" / "stage-1.sft.log").write_text("loss 2.4\n")
    lines = [json.dumps(row) for row in SCRIPT]
    (home / "events.jsonl").write_text("\n".join([*lines[:3], "{torn", *lines[3:]]) + "\n")
    return home


def player(path: Path, speed: float = 1.0) -> replay.Player:
    return replay.Player(recording.read(path), speed, monotonic=lambda: 0.0)


def test_no_moment_shows_what_came_after_it(run_dir: Path) -> None:
    shown = player(run_dir / "events.jsonl")
    begun, files = shown.at, shown.workspace.runs_dir / RUN
    shown.seek(begun + 5)
    assert shown.state.run is not None
    assert next((s.step, s.state, s.done) for s in shown.state.run.steps) == ("stage-1/sft", "running", 3)
    assert not (files / "stage-1").exists()
    assert (files / "events.jsonl").read_bytes().count(b"\n") == 3
    shown.seek(begun + 9)
    assert [path.name for path in (files / "stage-1" / "sft").iterdir()] == ["qc.json"]
    shown.seek(begun + 12)
    assert (files / "stage-1" / "sft" / "DONE").exists()
    assert set(shown.state.streams) == {"events.jsonl", "logs/stage-1.sft.log"}
    shown.seek(begun + 1)
    assert not (files / "stage-1").exists()
    assert set(shown.state.streams) == {"events.jsonl"}
    shown.remove()
    assert not files.exists()


def test_time_passes_at_the_speed_that_was_asked_for_and_gaps_are_passed_over(run_dir: Path) -> None:
    shown = player(run_dir / "events.jsonl", speed=4.0)
    begun = shown.at
    shown.advance(1.0)
    assert shown.at == begun + 4
    shown.pause()
    shown.advance(100.0)
    assert (shown.at, shown.sign()) == (begun + 4, "paused")
    shown.pause()
    shown.advance(2.0)
    shown.advance(0.1)
    assert shown.at == begun + 3000
    shown.advance(1.0)
    assert shown.over
    assert shown.sign() == shown.state.replay == "the end"
    assert shown.state.run is not None
    assert shown.state.run.state == "finished"
    shown.pause()
    assert shown.at == begun
    shown.remove()


def test_steps_can_be_gone_to(run_dir: Path) -> None:
    shown = player(run_dir / "events.jsonl")
    begun = shown.at
    shown.step(1)
    assert shown.at == begun + 1
    shown.step(1)
    assert shown.over
    shown.step(-1)
    assert shown.at == begun + 1
    shown.remove()


async def test_nothing_that_does_anything_can_be_reached(run_dir: Path) -> None:
    shown = player(run_dir / "events.jsonl")
    assert {a.id for a in shown.actions() if not a.view} == {name for name, *_ in replay.CONTROLS}
    assert not any(action.writes for action in shown.actions())
    for action in ("pod.start", "pod.stop", "run.start", "push", "view.save", "no.such"):
        assert "only shows" in str(shown.reason(action))
        with pytest.raises(Refused):
            await shown.perform(action)
    await shown.perform("replay.faster")
    assert shown.speed == 2.0
    await shown.close()


def test_a_recorded_session_gives_the_same_picture_again(tmp_path: Path) -> None:
    log = tmp_path / "spool.log"
    log.write_text("one\ntwo\nthree\n")
    pod = PodView("p", "pod", "runpod", "RUNNING", "A100", 1, Decimal("1.74"), "h", 1, 5.0)
    events = (
        PodsListed((pod,), 10.0),
        CostTicked(CostView(Decimal("1.74"), Decimal("0.01"))),
        RunFollowed(RUN, "demo", "p"),
        RunLine(RUN, json.dumps(SCRIPT[0]).encode() + b"\n"),
        StreamGrew(StreamView("logs/a.log", str(log), 8)),
        Noted("warn", "colours \x1b[31m stay data", 11.0),
        Output("not part of the picture"),
    )
    now = iter(float(n) for n in range(10, 100))
    recorder = recording.Recorder(tmp_path / "state", lambda: next(now))
    live = AppState(project="p")
    for one in events:
        recorder(one)
        live = reduce(live, one)
    recorder.close()
    path = next((tmp_path / "state" / "sessions").glob("*.jsonl"))
    assert path.stat().st_mode & 0o777 == 0o600
    found = recording.read(path)
    assert (found.kind, found.damaged) == ("session", 0)
    shown = replay.Player(found)
    shown.seek(100.0)
    for field in ("pods", "pod", "cost", "run", "notices"):
        assert getattr(shown.state, field) == getattr(live, field)
    copy = Path(shown.state.streams["logs/a.log"].path)
    assert copy != log
    assert copy.read_text() == "one\ntwo\n", "a log is as long as it was"
    shown.remove()


def test_only_the_newest_sessions_are_kept_and_a_full_disk_ends_no_session(tmp_path: Path) -> None:
    folder = tmp_path / "sessions"
    folder.mkdir()
    for n in range(20):
        (folder / f"2026010{n % 10}T{n:06d}Z-1.jsonl").write_text("{}\n")
    recorder = recording.Recorder(tmp_path)
    assert len(list(folder.glob("*.jsonl"))) == recording.KEPT
    recorder._left = 10
    recorder(Noted("info", "too long for what is left", 1.0))
    recorder(Noted("info", "and nothing is raised", 1.0))
    (tmp_path / "file").write_text("")
    recording.Recorder(tmp_path / "file")(Noted("info", "nowhere to write", 1.0))


def test_the_journal_of_acts_is_a_recording_too(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    rows = [
        {"v": 1, "id": "a", "t": 5.0, "phase": "intent", "op": "pod.create", "facts": {"name": "n"}},
        {"v": 1, "id": "a", "t": 4.0, "phase": "failed", "facts": {"reason": "no stock"}},
        {"v": 1, "id": "b", "phase": "sent"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = recording.read(path)
    assert (found.kind, found.damaged) == ("journal", 1)
    assert [moment.at for moment in found.moments] == [5.0, 5.0], "time never goes back"
    lines = [line for _at, line in replay.plain(replay.Player(found))]
    assert lines == ["pod.create intent  name=n", "error: pod.create failed  reason=no stock"]


def test_what_is_no_recording_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello\n")
    (tmp_path / "empty.jsonl").write_text("")
    for name in ("text", "empty.jsonl"):
        with pytest.raises(UsageError, match="no recording"):
            recording.read(tmp_path / name)


def test_the_command_prints_lines_and_data(
    tmp_path: Path, run_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for named in ([], [RUN[:8]], [str(run_dir)], [str(run_dir / "events.jsonl")]):
        assert main(["replay", "--plain", *named]) == 0
        said = capsys.readouterr()
        assert "08:00:12Z  [1/2] stage-1/sft" in said.out
        assert "run 20270115-080000-demo finished: every gate passed" in said.out
        assert "1 damaged line" in said.err
    assert main(["replay", "--plain", "nosuch"]) == 2
    assert main(["replay", "--speed", "0"]) == 2
    assert "speed" in capsys.readouterr().err


def test_a_session_of_another_version_is_read_as_far_as_it_can_be(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    rows = [{"at": 1.0, "event": "Noted", "data": {"level": "info", "text": "t", "at": 1.0}}]
    rows += [{"at": 2.0, "event": "NotYetInvented", "data": {}}, {"at": 3.0, "event": "Noted", "data": {}}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = recording.read(path)
    assert (len(found.moments), found.damaged) == (1, 2)
    assert replace(found, damaged=0).kind == "session"
