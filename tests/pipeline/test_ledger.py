"""What steps took is remembered by machine, model and kind, foretells the next ones, and guards budget and pace."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from pipeline import artifacts, ledger
from pipeline.eta import Eta
from pipeline.events import EventWriter
from pipeline.ledger import Account, Meter, Rates
from pipeline.protocol import Event, RunPaths, read_events
from pipeline.recipe import Budget
from pipeline.runner import run
from pipeline.supervise import Control, Limits, Outcome, Watch
from tests.pipeline.fake_run import options, recipe
from tests.pipeline.fake_steps import run_dir_of

ACCOUNT = Account(busy=50.0, loading=10.0, waiting=1.0, tokens_out=700, planned=25.0, precision="bf16", usd=0.1)


def rates(root: Path, hardware: str = "H200", name: str = "r") -> Rates:
    return Rates(root, hardware, "model", name)


def test_a_step_that_ran_here_takes_what_it_took(tmp_path: Path) -> None:
    rates(tmp_path).record("stage-1/answer", ACCOUNT)
    found = rates(tmp_path).forecast("stage-1/answer")
    assert found is not None
    assert (found.seconds, found.measured, found.busy) == (60.0, True, 50.0)


def test_work_is_scaled_and_loading_is_not(tmp_path: Path) -> None:
    rates(tmp_path).record("stage-1/answer", ACCOUNT)
    twice = rates(tmp_path).forecast("stage-1/answer", planned=50.0)
    assert twice is not None
    assert twice.seconds == 110.0


def test_a_step_of_the_same_kind_in_a_later_stage_is_foretold_from_the_earlier_one(tmp_path: Path) -> None:
    rates(tmp_path).record("stage-1/answer", ACCOUNT)
    later = rates(tmp_path).forecast("stage-4/answer", planned=100.0, precision="bf16")
    assert later is not None
    assert (later.seconds, later.measured) == (210.0, True)
    assert rates(tmp_path).forecast("stage-4/answer", planned=100.0, precision="nf4") is None
    assert rates(tmp_path).forecast("stage-4/answer", precision="bf16") is None  # nothing to compare it by
    assert rates(tmp_path, "A100").forecast("stage-4/answer", planned=100.0, precision="bf16") is None
    other = rates(tmp_path, name="another").forecast("stage-1/answer", planned=25.0, precision="bf16")
    assert other is not None
    assert other.seconds == 60.0


def test_a_kind_that_never_ran_reaches_the_share_of_the_limits_that_other_kinds_did(tmp_path: Path) -> None:
    rates(tmp_path).record("stage-1/answer", replace(ACCOUNT, busy=400.0))  # superseded by the next
    rates(tmp_path).record("stage-2/answer", ACCOUNT)  # twice what was planned
    rates(tmp_path).record("stage-2/sft", replace(ACCOUNT, busy=400.0, planned=125.0))
    found = rates(tmp_path).forecast("stage-2/critique", planned=10.0, precision="bf16")
    assert found is not None
    assert (found.busy, found.measured) == (30.0, False)
    assert rates(tmp_path).forecast("stage-2/critique", planned=10.0, precision="nf4") is None


def test_all_measurements_of_a_kind_count_by_their_size(tmp_path: Path) -> None:
    rates(tmp_path).record("stage-1/answer", ACCOUNT)
    rates(tmp_path).record("stage-2/answer", replace(ACCOUNT, busy=25.0))
    rates(tmp_path).record("stage-3/answer", replace(ACCOUNT, busy=1.0, planned=0.01))  # next to nothing was to be done
    found = rates(tmp_path).forecast("stage-4/answer", planned=25.0, precision="bf16")
    assert found is not None
    assert found.busy == pytest.approx(25 * 76 / 50.01)


def test_what_a_step_foresees_itself_is_measured_by_its_kind(tmp_path: Path) -> None:
    known = rates(tmp_path)
    assert known.of_work("stage-1/answer", 500.0, "bf16") is None
    known.record("stage-1/answer", replace(ACCOUNT, work=1000.0))
    known.record("stage-2/answer", replace(ACCOUNT, busy=150.0, work=3000.0))
    known.record("stage-2/critique", replace(ACCOUNT, busy=1.0, work=3000.0))
    assert known.of_work("stage-3/answer", 500.0, "bf16") == pytest.approx(25.0)
    assert known.of_work("stage-3/answer", 500.0, "nf4") is None
    assert known.of_work("stage-3/pairs", 500.0, "bf16") is None
    assert known.of_work("stage-1/answer", 500.0, "bf16") == pytest.approx(ACCOUNT.busy / 2)  # it ran before itself
    assert known.of_work("stage-2/answer", 500.0, "bf16") == pytest.approx(25.0)
    known.record("stage-2/answer", replace(ACCOUNT, busy=300.0, work=3000.0))
    assert known.of_work("stage-2/answer", 500.0, "bf16") == pytest.approx(50.0)


def test_the_first_of_its_kind_is_told_by_those_that_count_work_alike(tmp_path: Path) -> None:
    known = rates(tmp_path)
    known.record("stage-1/critique", replace(ACCOUNT, busy=40.0, work=1000.0))
    known.record("stage-1/sft", replace(ACCOUNT, busy=9.0, work=1000.0))
    known.record("stage-1/merge", replace(ACCOUNT, busy=500.0))  # foresees no work
    like = ("critique", "safety", "judge", "merge")
    assert known.of_work("stage-6/judge", 500.0, "bf16") is None
    assert known.of_work("stage-6/judge", 500.0, "bf16", like) == pytest.approx(20.0)
    known.record("stage-5/judge", replace(ACCOUNT, busy=30.0, work=500.0))
    assert known.of_work("stage-6/judge", 500.0, "bf16", like) == pytest.approx(30.0)


def test_the_baseline_is_no_evaluation_of_a_stage() -> None:
    assert ledger.kind_of("stage-0/evaluate") != ledger.kind_of("stage-2/evaluate") == "evaluate"


def test_everything_that_was_spent_is_kept(tmp_path: Path) -> None:
    rates(tmp_path).record("stage-1/answer", ACCOUNT)
    (entry,) = json.loads((tmp_path / ledger.RATES).read_bytes()).values()
    assert (entry["busy"], entry["loading"], entry["waiting"]) == (50.0, 10.0, 1.0)
    assert (entry["tokens_in"], entry["tokens_out"], entry["trained"], entry["usd"]) == (0, 700, 0, 0.1)
    assert Rates.labels(tmp_path, "model") == ["H200"]
    assert Rates.labels(tmp_path, "other") == []


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"H200 | model | r | s": 3}', '{"H200 | model | r | s": {"seconds": "x"}}']
)
def test_a_damaged_file_foretells_nothing_and_is_written_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / ledger.RATES).write_text(content)
    assert rates(tmp_path).forecast("s", planned=1.0) is None
    rates(tmp_path).record("s", ACCOUNT)
    assert rates(tmp_path).forecast("s") is not None


def test_a_file_of_an_older_version_still_tells_the_time_of_the_same_step(tmp_path: Path) -> None:
    (tmp_path / ledger.RATES).write_text('{"H200 | model | r | stage-1/sft":{"seconds":9.2,"tokens":29}}')
    found = rates(tmp_path).forecast("stage-1/sft", planned=3.0)
    assert found is not None
    assert found.seconds == 9.2


def test_the_deadline_is_whichever_limit_comes_first() -> None:
    meter = Meter(ledger.History(), 2.0, lambda: 1000.0)
    assert meter.deadline(Budget()) is None
    assert meter.deadline(Budget(deadline_hours=1)) == 4600
    assert meter.deadline(Budget(deadline_hours=1, usd=1)) == 1000 + 1800
    spent = ledger.History(spend=ledger.Spend(3600.0, 0.5), first_started=-2600.0)
    assert Meter(spent, 2.0, lambda: 1000.0).deadline(Budget(deadline_hours=2, usd=1)) == 1000 + 900
    assert Meter(ledger.History(), None, lambda: 1000.0).deadline(Budget(usd=1)) is None


class Clock:
    """Unix seconds that pass at `rate` of an hour a look."""

    def __init__(self, seconds: float, start: float = 1.7e9) -> None:
        self._times = count(start, seconds)

    def __call__(self) -> float:
        return float(next(self._times))


def said(root: Path, kind: str) -> list[Event]:
    return [e for e in read_events(RunPaths(run_dir_of(root)).events) if e.kind == kind]


def test_the_spending_of_earlier_sessions_counts_against_the_budget_of_a_resumed_run(tmp_path: Path) -> None:
    """A warning at 80 %, a stop between batches at 100 %, everything published, resumable with a larger budget."""
    poor = recipe(budget={"usd": 40})
    first = options(tmp_path, env={"MAXCAI_PRICE_PER_HOUR": "2"}, clock=Clock(1800), recipe=poor)
    assert run(replace(first, until="stage-0/evaluate")) == 0
    spent = ledger.history(read_events(RunPaths(run_dir_of(tmp_path)).events)).spend.usd
    assert spent is not None
    assert 0 < spent < 40
    later = options(tmp_path, env={"MAXCAI_PRICE_PER_HOUR": "2"}, clock=Clock(1800, 1.8e9), recipe=poor)
    assert run(later) == 1
    end = said(tmp_path, "run_finished")[-1]
    assert (end["state"], end["reason"].count("usd budget")) == ("stopped", 1)
    warned = [w for w in said(tmp_path, "warning") if w["code"] == "budget"]
    assert warned
    assert "of the usd budget is used" in warned[0]["text"]
    total = ledger.history(read_events(RunPaths(run_dir_of(tmp_path)).events)).spend.usd
    assert total is not None
    assert total >= 40 > total - spent  # alone the second session would have gone on
    for done in run_dir_of(tmp_path).rglob("DONE"):
        assert artifacts.verify(done.parent) == []
    assert run(options(tmp_path, recipe=recipe(budget={"usd": 1000}))) == 0


def test_a_deadline_in_hours_counts_from_the_first_session(tmp_path: Path) -> None:
    short = recipe(budget={"deadline_hours": 100})
    assert run(options(tmp_path, recipe=short, clock=Clock(1), until="stage-0/evaluate")) == 0
    assert run(options(tmp_path, recipe=short, clock=Clock(1, 1.7e9 + 101 * 3600))) == 1
    assert "deadline budget" in said(tmp_path, "run_finished")[-1]["reason"]


class Stuck:
    """A child that lives until it is killed; what its supervisor does to it is kept."""

    def __init__(self) -> None:
        self.pid, self.exitcode, self.killed = None, None, False
        self.sentinel = multiprocessing.Pipe()[0]

    def is_alive(self) -> bool:
        return not self.killed

    def kill(self) -> None:
        self.killed = True

    def join(self, _timeout: float | None = None) -> None: ...


def watched(tmp_path: Path, limits: Limits, told: Iterator[tuple[float, float]]) -> tuple[Outcome, Stuck]:
    """Follow a child that says (seconds, share of its work) on a clock that stands still in between."""
    near, far = multiprocessing.Pipe()
    now, child = [0.0], Stuck()

    def on_tick() -> None:
        step = next(told, None)
        if step is None:
            far.send({"kind": "result", "state": "done", "tokens": 5})
            return
        now[0] = step[0]
        far.send({"kind": "progress", "done": 0, "total": 9, "unit": "rows", "share": step[1]})

    events = EventWriter(tmp_path / "events.jsonl", lambda: 1e9 + now[0])
    watch = Watch("stage-1/answer", limits, events, Control(), on_tick, lambda: now[0], Eta(limits.expected_s))
    far.send(
        {"kind": "heartbeat", "pid": 1, "rss": 1, "gpu_bytes": None, "tokens": 1, "tokens_per_s": 1.0, "idle_s": 0}
    )
    outcome = watch.follow(child, near)  # type: ignore[arg-type]
    events.close()
    return outcome, child


def crawl(seconds: int, share: float) -> Iterator[tuple[float, float]]:
    return iter([(float(t), share * t / seconds) for t in range(0, seconds, 20)])


def test_a_step_far_below_its_measured_rate_for_five_minutes_is_ended(tmp_path: Path) -> None:
    outcome, child = watched(tmp_path, Limits(1e5, 1e5, expected_s=1000.0), crawl(1000, 0.1))
    assert (outcome.state, child.killed) == ("limit", True)
    assert "of its measured rate over 300 s" in outcome.text
    assert 300 <= outcome.seconds <= 340


@pytest.mark.parametrize(
    ("limits", "share"),
    [
        (Limits(1e5, 1e5), 0.1),  # never measured: nobody knows what it should reach
        (Limits(1e5, 1e5, expected_s=1000.0), 0.25),
        (Limits(1e5, 1e5, expected_s=1000.0, slow_share=0.05), 0.1),
        (Limits(1e5, 1e5, expected_s=1000.0, slow_s=5000.0), 0.1),
    ],
)
def test_a_step_that_is_only_somewhat_slow_goes_on(tmp_path: Path, limits: Limits, share: float) -> None:
    outcome, _ = watched(tmp_path, limits, crawl(1000, share))
    assert (outcome.state, outcome.until_work) == ("done", 0.0)


def test_progress_tells_work_time_left_and_the_time_left_of_the_run(tmp_path: Path) -> None:
    watched(tmp_path, Limits(1e5, 1e5), crawl(100, 1.0))
    told: list[Any] = [e for e in read_events(tmp_path / "events.jsonl") if e.kind == "progress"]
    assert [e["share"] for e in told] == sorted(e["share"] for e in told)
    assert told[-1]["eta_s"] == pytest.approx(20.0, abs=0.5)
    assert (told[-1]["done"], told[-1]["total"], told[-1]["run_eta_s"]) == (0, 9, None)


def test_the_runner_resumes_a_slow_step_once_and_then_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.supervise.Watch._slow", lambda self, now: 0.1 if "generate" in self._step else None)
    (tmp_path / "faults").mkdir()
    (tmp_path / "faults" / "stage-1.generate").write_text("1 hang!")  # so slow that it is never done meanwhile
    assert run(options(tmp_path)) == 1
    starts = [e["attempt"] for e in said(tmp_path, "step_started") if e["step"] == "stage-1/generate"]
    assert starts == [1, 2]
    end = said(tmp_path, "run_finished")[-1]
    assert (end["state"], "of its measured rate" in end["reason"]) == ("failed", True)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
