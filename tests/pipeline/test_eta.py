"""Time left is told from work: phases, batches that end all at once, loading and slow machines do not mislead it."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from pipeline.environment import source_root
from pipeline.eta import GUESSED, PASS, PASS_CPU, BatchWork, Costs, Eta, planned_cost
from pipeline.events import EventWriter
from pipeline.protocol import RunPaths

Phase = tuple[float, float]
"""Seconds that a phase takes, and the work that was foreseen for it."""


def told(phases: list[Phase], eta: Eta, noise: float = 0.0, every: float = 0.5) -> Iterator[tuple[float, float | None]]:
    """(share of the time gone, seconds left as told) of a step with these phases. `noise`: how unevenly work comes."""
    rng = random.Random(1)
    total, work = sum(s for s, _ in phases), sum(w for _, w in phases)
    now, done = 0.0, 0.0
    yield 0.0, eta.update(now, 0.0)
    for seconds, share in phases:
        pieces = max(1, round(seconds / every))
        weights = [1 + noise * rng.uniform(-1, 1) for _ in range(pieces)]
        for weight in weights:
            now += seconds / pieces
            done += share / work * weight / sum(weights)
            yield now / total, eta.update(now, done)


def errors(phases: list[Phase], eta: Eta | None = None, **options: float) -> dict[float, float]:
    """The relative error of the newest figure at several shares of the time."""
    total, found = sum(s for s, _ in phases), {}
    for gone, left in told(phases, eta or Eta(), **options):
        for point in (0.05, 0.10, 0.25, 0.50, 0.75):
            if point not in found and gone >= point and left is not None:
                found[point] = left / (total * (1 - gone)) - 1
    return found


@pytest.mark.parametrize(
    "phases",
    [
        [(100.0, 1.0)],
        [(30.0, 0.3), (60.0, 0.6), (10.0, 0.1)],
        [(40.0, 0.45), (60.0, 0.55)],  # work that was foreseen a little wrong
    ],
)
def test_after_a_twentieth_of_a_step_the_time_left_is_right_within_a_quarter(phases: list[Phase]) -> None:
    found = errors(phases, noise=0.8)
    assert sorted(found) == [0.05, 0.10, 0.25, 0.50, 0.75]
    assert max(map(abs, found.values())) < 0.25


def test_rows_mislead_where_work_does_not() -> None:
    long, short = (80.0, 0.8), (20.0, 0.2)
    by_rows = errors([(80.0, 0.5), (20.0, 0.5)])  # as many rows in either phase
    assert by_rows[0.5] > 0.25
    assert abs(errors([long, short])[0.5]) < 0.05


def test_a_machine_that_grows_slower_is_noticed() -> None:
    found = errors([(20.0, 0.5), (80.0, 0.5)])
    overall_only = (0.5 / 0.75) / (0.75 / 0.5) - 1  # what the mean rate would say half-way through
    assert found[0.75] > overall_only
    assert abs(found[0.75]) < 0.5


def test_before_its_own_rate_is_known_the_forecast_speaks() -> None:
    eta = Eta(expected=200.0, rest=50.0)
    assert eta.update(10.0, 0.0) == 200.0
    assert eta.of_run(200.0) == 250.0
    assert Eta().update(10.0, 0.0) is None
    assert Eta().of_run(5.0) is None
    own = 0.01**2 / (0.01**2 + GUESSED**2)  # at 1 % a second
    assert eta.update(11.0, 0.01) == pytest.approx((1 - own) * 200 * 0.99 + own * 99, abs=0.1)
    own = 0.03 / (0.03 + GUESSED)
    assert eta.update(13.0, 0.03) == pytest.approx((1 - own) * 200 * 0.97 + own * 97, abs=0.1)
    assert eta.update(70.0, 0.6) == pytest.approx(40, abs=5)


def test_a_forecast_that_was_measured_is_believed_longer() -> None:
    told = []
    for measured in (False, True):
        eta = Eta(expected=200.0, measured=measured)
        eta.update(10.0, 0.0)
        told.append(eta.update(15.0, 0.05) or 0.0)
    assert 95 < told[0] < told[1] < 190


def test_a_step_that_knows_its_work_is_foretold_by_it_and_its_first_word_counts() -> None:
    eta = Eta(expected=200.0, measured=True, by_work=lambda work: work / 10)
    for work in (-1.0, 0.0, float("inf"), 500.0, 9000.0):
        eta.foresee(work)
    assert eta.work == 500.0
    assert eta.update(10.0, 0.0) == 50.0
    unknown = Eta(expected=200.0, by_work=lambda _: None)
    unknown.foresee(500.0)
    assert unknown.update(10.0, 0.0) == 200.0


def test_loading_is_no_work() -> None:
    eta = Eta()
    assert eta.began is None
    eta.update(300.0, 0.0)  # weights were read for five minutes
    assert eta.began == 300.0
    assert eta.update(310.0, 0.5) == pytest.approx(10.0, abs=0.1)


def test_a_resumed_step_counts_only_what_it_does_itself() -> None:
    eta = Eta()
    eta.update(0.0, 0.8)
    assert eta.update(10.0, 0.9) == pytest.approx(10.0, abs=0.1)


def test_a_share_that_falls_or_leaves_its_bounds_never_gives_a_negative_time() -> None:
    eta = Eta()
    for now, share in enumerate((0.0, 0.5, 0.4, 1.2, -1.0, 0.9)):
        left = eta.update(float(now), share)
        assert left is None or left >= 0


def test_the_rate_of_the_last_minutes_is_held_against_the_measured_one() -> None:
    eta = Eta()
    for now in range(0, 400, 10):
        eta.update(float(now), 0.3 * min(now, 100) / 100)
    assert eta.slow(390.0, 1000.0, 300.0, 0.2) == pytest.approx(0.1)  # 3 % in 300 s, where 30 % were due
    assert eta.slow(390.0, 1000.0, 500.0, 0.2) is None  # so long was it not watched
    brisk = Eta()
    for now in range(0, 400, 10):
        brisk.update(float(now), now / 1000)
    assert brisk.slow(390.0, 1000.0, 300.0, 0.2) is None
    assert Eta().slow(1e6, 1.0, 300.0, 0.2) is None


def test_a_step_that_has_done_its_work_is_never_slow() -> None:
    eta = Eta()
    eta.update(0.0, 0.0)
    eta.update(10.0, 1.0)
    assert eta.slow(5000.0, 10.0, 300.0, 0.2) is None


def test_work_of_a_batch_counts_equal_prompts_once() -> None:
    one, twice = BatchWork.of([(1, 2, 3)], [10]), BatchWork.of([(1, 2, 3), (1, 2, 3)], [10, 30])
    assert (one.prompt, twice.prompt, twice.rows, twice.limit, twice.highest) == (3, 3, 2, 20, 30)
    assert twice.cost(Costs()) > one.cost(Costs()) > PASS


def test_a_batch_grows_towards_its_end_and_never_past_it() -> None:
    batch = BatchWork(500.0, 20, 40.0, 40.0)
    inside = batch.progress(Costs(2.7))
    shares = [inside(min(20, step // 2), 20 if step else 0) for step in range(60)]
    assert shares == sorted(shares)
    assert shares[0] == 0  # nothing was read yet
    assert 0 < shares[1] < 0.3
    assert shares[-1] <= 1.0


def test_a_large_vocabulary_makes_writing_dearer_than_reading() -> None:
    small, large = Costs.of(18, 640, 2048, 2048), Costs.of(18, 640, 2048, 262_144)
    assert 1 < small.write < 1.1 < 2 < large.write
    assert Costs.of(64, 5120, 27_648, 152_064).write < 1.1


def test_more_batches_cost_more_than_one() -> None:
    lengths, limits = [100] * 50, [20] * 50
    assert planned_cost(lengths, limits, 600, Costs()) > planned_cost(lengths, limits, 6000, Costs())
    assert planned_cost([], [], 600, Costs()) == 0


def replay_tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("eta_accuracy", source_root() / "benchmarks" / "eta_accuracy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_replay_of_a_run_says_how_far_off_its_figures_were(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    writer = EventWriter(RunPaths(tmp_path).events, lambda: 1e9 + now)
    step = "stage-1/sft"
    writer.emit("step_started", step=step, key="k", attempt=1, forecast_s=None)
    for now in (20.0, 25.0, 30.0, 45.0, 70.0):
        done = int(now - 20)
        writer.progress(
            step, done=done, total=100, unit="steps", rate=1.0, eta_s=(100.0 - done) * 1.2 if done else None
        )
    now = 120.0
    writer.emit("step_finished", step=step, state="done", seconds=120.0, tokens=None, usd=None)
    writer.close()
    module = replay_tool(monkeypatch)
    assert module.main([str(tmp_path)]) == 0
    shown = capsys.readouterr().out.splitlines()[1]
    assert shown.split()[-6:] == ["20.0", "100.0", "+20%", "+20%", "+20%", "+20%"]
    assert module.main([str(tmp_path), "--shortest", "1000"]) == 1


def test_on_a_cpu_a_pass_over_a_tiny_model_costs_calls_and_one_over_a_large_model_its_weights() -> None:
    tiny, small = Costs.on_cpu(4, 96, 256, 2560), Costs.on_cpu(18, 640, 2048, 262144)
    assert tiny.step > 4 * small.step
    assert small.step == pytest.approx(PASS_CPU, rel=0.1)
    assert small.write > tiny.write  # its vocabulary


@pytest.mark.parametrize("length", [2, 8, 30, 48])
@pytest.mark.parametrize("slots", [0, 16])
def test_the_share_of_a_batch_follows_what_its_rows_turn_out_to_write(length: int, slots: int) -> None:
    rows, limit, costs = 96, 48, Costs(2.7, 22.0)
    share = BatchWork(rows * 20.0, rows, limit, limit, slots).progress(costs)
    alive: list[int] = []
    ended, read, spent = 0, 0, 0.0
    told: list[tuple[float, float]] = []
    lengths = [max(1, min(limit, round(length * (0.5 + k % 3 / 2)))) for k in range(rows)]
    while ended < rows:
        told.append((spent, share(ended, read)))
        come = min((slots or rows) - len(alive), rows - read, 24)
        spent += come * 20.0 + costs.step + (len(alive) + come) * costs.write
        alive = [n - 1 for n in (*alive, *lengths[read : read + come])]
        read += come
        ended += alive.count(0)
        alive = [n for n in alive if n]
    assert share(ended, read) == 1.0
    half = [found for at, found in told if 0.4 * spent <= at <= 0.6 * spent]
    assert half and all(0.2 < found < 0.7 for found in half)
