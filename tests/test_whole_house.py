"""The main job on the tiny model over real SSH: a step and the link are killed on the way, and nothing is different."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

LIMIT_S = 240.0
RECIPE = "first-stage.yaml"
SMALL = """\
extends: smoke
name: first-stage
description: One stage.
stages: [1]
data: {families: [capitals, opposites, plurals], instructions: 60, answers: 2, calibration_items: 40, pairs: 12}
evaluation: {items: 36, aa_items: 4}
train: {merge_last: false}
"""
"""The first stage of `smoke`, as small as its gate can still be passed: the whole house in half a minute."""
MAXCAI = [sys.executable, "-P", "-m", "app"]


def call(argv: list[str], cwd: Path, code: int = 0) -> str:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=LIMIT_S, env=clean_environment())
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def clean_environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MAXCAI_") and k != "RUNPOD_API_KEY"}
    return {**kept, "OMP_WAIT_POLICY": "PASSIVE"}


def wait_for(what: Callable[[], Any], why: str) -> Any:
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {LIMIT_S:.0f} s: {why}")


def events(run_dir: Path) -> list[dict[str, Any]]:
    path = run_dir / "events.jsonl"
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith(b"}")]


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "ws"
    folder.mkdir()
    call([*MAXCAI, "init"], folder)
    (folder / RECIPE).write_text(SMALL)
    yield folder
    from remote.pods.local import LocalProvider

    asyncio.run(LocalProvider(folder / ".maxcai", time.time).stop("local"))


def step_pid(run_dir: Path, step: str) -> int | None:
    """Process of a step that has begun its work, from its newest heartbeat."""
    seen = events(run_dir)
    working = any(e["kind"] == "progress" and e["step"] == step for e in seen)
    pids = [e["pid"] for e in seen if e["kind"] == "heartbeat" and e["step"] == step]
    return pids[-1] if working and pids else None


def finished(run_dir: Path) -> dict[str, Any] | None:
    return next((e for e in events(run_dir) if e["kind"] == "run_finished"), None)


def test_a_run_over_ssh_whose_step_follower_and_pod_link_are_killed_equals_an_undisturbed_one(
    workspace: Path, tmp_path: Path
) -> None:
    started = json.loads(call([*MAXCAI, "run", "start", "--recipe", RECIPE, "--json"], workspace))
    run_id = started["run_id"]
    on_pod = workspace / ".maxcai" / "pods" / "local" / "workspace" / ".maxcai" / "runs" / run_id
    follower = subprocess.Popen(
        [*MAXCAI, "logs", "-f"],
        cwd=workspace,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=clean_environment(),
    )
    refused = subprocess.run(
        [*MAXCAI, "run", "start", "--recipe", RECIPE], cwd=workspace, capture_output=True, text=True
    )
    assert refused.returncode == 3
    assert run_id in refused.stderr

    os.kill(wait_for(lambda: step_pid(on_pod, "stage-1/answer"), "stage-1/answer is at work"), signal.SIGKILL)
    follower.kill()
    follower.wait()
    end = wait_for(lambda: finished(on_pod), "the run ends")
    assert (end["state"], end["exit_code"]) == ("finished", 0), end
    assert any(e["kind"] == "warning" for e in events(on_pod)), "the crash was told"

    call([*MAXCAI, "pull"], workspace)
    call([*MAXCAI, "pod", "stop"], workspace)
    pods = json.loads(call([*MAXCAI, "pod", "list", "--json"], workspace))
    assert [p["ssh"] for p in pods] == [None]

    home = workspace / "runs" / run_id
    call([sys.executable, "-P", "-m", "pipeline", "validate", "run", str(home)], workspace)
    status = json.loads(call([sys.executable, "-P", "-m", "pipeline", "status", str(home), "--json"], workspace))
    stage = status["stages"][0]
    assert (stage["stage"], stage["name"], stage["verdict"]) == (1, "explicit", "PASS")
    assert set(stage["rates"]) == {"base-raw", "base-formatted", "base-few-shot", "tuned"}
    assert stage["rates"]["tuned"]["lenient_successes"] > stage["rates"]["base-formatted"]["lenient_successes"]
    assert (home / "report.html").exists()

    alone = tmp_path / "alone"
    call([sys.executable, "-P", "-m", "pipeline", "run", "--recipe", RECIPE, "--run-dir", str(alone)], workspace)
    digests = {call([sys.executable, "-P", "-m", "pipeline", "digest", str(d)], workspace) for d in (home, alone)}
    assert len(digests) == 1
