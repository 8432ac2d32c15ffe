"""The real smoke recipe under SIGKILLs of runner and workers: the same command again, and in the end the same bytes."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from benchmarks.kills import ENDS, Killer, command_of, digest_of, step_seconds
from pipeline.environment import source_root
from pipeline.plan import STAGE_STEPS
from pipeline.protocol import read_events

SMALL = (
    "stages=[1]", "train.merge_last=false", "data.families=[capitals,copy]", "data.instructions=20",
    "data.answer_temperature=2.0", "data.calibration_items=40", "data.pairs=8", "data.min_accept=0",
    "data.max_runaway=1", "data.max_length_limit=1", "train.sft.epochs=1", "evaluation.items=20",
    "evaluation.aa_items=4",
)  # fmt: skip
"""The smallest stage 1 in which every step still has something to do. The gate may well say FAIL."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """(finished run, its exit code)"""
    calm = tmp_path_factory.mktemp("calm") / "run"
    done = subprocess.run(command_of(calm, SMALL), cwd=source_root(), capture_output=True, text=True, timeout=900)
    assert done.returncode in ENDS, done.stderr
    return calm, done.returncode


@pytest.mark.slow
def test_random_kills_change_no_byte_of_a_real_run(undisturbed: tuple[Path, int], tmp_path: Path) -> None:
    (calm, wanted), torn = undisturbed, tmp_path / "run"
    targets = ["worker", "worker", "runner", "worker", "worker", "worker"]
    soon = dict.fromkeys(["stage-0/evaluate", *(f"stage-1/{kind}" for kind in STAGE_STEPS)], 0.5)
    killer = Killer(command_of(torn, SMALL), torn, soon, targets, random.Random(4), 1, source_root())
    code = killer.run()
    assert [kill.target for kill in killer.kills].count("runner") == 1
    assert len({kill.step for kill in killer.kills}) >= 5  # six, unless a fast machine was done with a step before
    assert code == wanted
    assert digest_of(torn, source_root()) == digest_of(calm, source_root())
    assert step_seconds(torn).keys() == step_seconds(calm).keys()
    events = list(read_events(torn / "events.jsonl"))
    assert [e.seq for e in events] == list(range(len(events)))
    assert max(e["attempt"] for e in events if e.kind == "step_started") >= 2


@pytest.mark.slow
def test_a_finished_run_is_looked_through_without_importing_torch(undisturbed: tuple[Path, int]) -> None:
    """Three seconds of processor time: the wall clock of a busy machine says nothing."""
    calm, wanted = undisturbed
    before, size = digest_of(calm, source_root()), len(list(read_events(calm / "events.jsonl")))
    code = f"""
import resource, sys
from multiprocessing import forkserver
import pipeline.__main__ as m
code = m.main({command_of(calm, SMALL)[3:]!r})
used = resource.getrusage(resource.RUSAGE_SELF)
print(code, used.ru_utime + used.ru_stime, "torch" in sys.modules, forkserver._forkserver._forkserver_pid)
"""
    python = command_of(calm, SMALL)[0]
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, cwd=source_root(), check=True)
    exit_code, seconds, torch, fork_server = done.stdout.splitlines()[-1].split()
    assert (int(exit_code), torch, fork_server) == (wanted, "False", "None")
    assert float(seconds) < 3.0
    assert digest_of(calm, source_root()) == before
    added = list(read_events(calm / "events.jsonl"))[size:]
    assert {e["state"] for e in added if e.kind == "step_finished"} == {"reused"}
    assert not [e for e in added if e.kind in ("step_started", "heartbeat")]
