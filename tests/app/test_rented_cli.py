"""The command line against a simulated RunPod: every verb's exit code and JSON, and nothing bought without a word."""

from __future__ import annotations

import dataclasses
import errno
import functools
import json
import subprocess
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app import cli, risk
from app.runs import RunBook, RunEntry
from app.workspace import find
from remote.money.costs import Ledger
from remote.pods.model import Pod, PodStatus, VolumeKind
from remote.pods.runpod import client
from tests.sim.runpod_api.clock import VirtualClock
from tests.sim.runpod_api.harness import Served, Simulator, served
from tests.sim.runpod_api.model import BootTimes

A100 = "NVIDIA A100-SXM4-80GB"
SETTINGS = 'provider = "runpod"\n[runpod]\nvolume_gb = 20\n'


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A simulator by the wall clock, whose pods boot at once and exist on paper."""
    timing = functools.partial(client.Timing, first_pause_s=0.01, longest_pause_s=0.02, quiet_s=0.05)
    monkeypatch.setattr(client, "Timing", timing)
    with served(lambda: Simulator(clock=VirtualClock.real(), boot=BootTimes.instant())) as one:
        for name, value in one.sim.environ().items():
            monkeypatch.setenv(name, value)
        yield one


@dataclasses.dataclass
class Here:
    """Commands in a workspace, in this process."""

    root: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        code = cli.main(["-C", str(self.root), *words])
        out, err = self.capture.readouterr()
        assert "Traceback" not in err
        assert "fault of maxcai" not in err, err
        return subprocess.CompletedProcess(words, code, out, err)

    def data(self, *words: str) -> Any:
        done = self(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def here(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Here:
    (tmp_path / "maxcai.toml").write_text(SETTINGS)
    return Here(tmp_path, capfd)


def test_a_pod_from_offer_to_removal(cloud: Served, here: Here) -> None:
    first = here.data("pod", "offers")[0]
    assert (first["gpu"], first["wished"]) == (A100, True)
    asked = here.data("pod", "create", "--dry-run")
    assert asked["per_hour"] == pytest.approx(1.74 + 70 * 0.10 / 730)
    assert (asked["balance"], asked["spec"]["volume_gb"], asked["spec"]["env"]) == (100.0, 20, [])
    assert here.data("pod", "list") == []
    made = here.data("pod", "create", "--yes", "--no-wait", "--word", "one")
    assert made["name"].startswith("maxcai-one-")
    (listed,) = here.data("pod", "list")
    assert (listed["id"], listed["cost_per_hour"]) == (made["id"], 1.74)
    status = here.data("pod", "list")[0]["status"]
    assert status == "RUNNING"
    cost = here.data("cost")
    assert cost["burn_per_hour"] == pytest.approx(1.74 + 70 * 0.10 / 730)
    assert cost["runway_s"] == pytest.approx(100 / cost["burn_per_hour"] * 3600, rel=0.01)
    assert [row["pod"] for row in cost["sessions"]] == [made["id"]]
    assert any("Pod is ready to use" in line for line in here("pod", "logs").stdout.splitlines())
    refused = here("pod", "stop")  # nobody answers at its address
    assert refused.returncode == 3
    assert "cannot be told what is at risk" in refused.stderr
    assert here.data("pod", "stop", "--force")["status"] == "STOPPED"
    assert here("pod", "terminate", "--yes", made["name"]).returncode == 3  # nobody could look for files
    gone = here.data("pod", "terminate", "--yes", "--force", made["name"])
    assert gone["overridden"] == ["files that nobody could look for"]
    journal = (here.root / ".maxcai/journal.jsonl").read_text()
    assert journal.count('"overridden":["files that nobody could look for"]') == 2  # the stop's and the removal's
    assert here.data("pod", "list") == []
    assert here.data("cost")["per_hour"] is None


def test_a_second_pod_is_offered_with_what_the_first_one_costs(cloud: Served, here: Here) -> None:
    alone = here("pod", "create", "--dry-run").stdout
    assert "enough for 57:09" in alone and "spent already" not in alone
    made = here.data("pod", "create", "--yes", "--no-wait")
    cloud.wait(cloud.sim.advance(120.0))  # RunPod says once a minute what is spent
    both = here("pod", "create", "--dry-run").stdout
    assert f"pod {made['name']} runs already, at $1.74/h" in both
    assert "enough for 28:3" in both and "/h spent already" in both


@pytest.mark.parametrize("words", [("pod", "create"), ("run", "start", "-r", "smoke")])
def test_nothing_is_rented_before_somebody_agrees_to_the_price(
    cloud: Served, here: Here, words: tuple[str, ...]
) -> None:
    done = here(*words)
    assert done.returncode == 3
    assert "$1.74/h" in done.stderr
    assert "Agree with --yes" in done.stderr
    assert not [seen for seen in cloud.sim.requests if seen.method == "POST" and seen.path == "/v2/pods"]


def test_a_stopped_pod_is_started_only_on_a_word_and_a_full_machine_leaves_choices(cloud: Served, here: Here) -> None:
    pod = here.data("pod", "create", "--yes", "--no-wait")["id"]
    here("pod", "stop", "--force")
    asked = here("pod", "start")
    assert (asked.returncode, "Start pod" in asked.stderr) == (3, True)
    cloud.do(lambda sim: sim.set_stock(A100, 0))
    blocked = here("pod", "start", "--yes", "--json")
    assert blocked.returncode == 1
    told = json.loads(blocked.stdout)
    assert (told["id"], told["status"], told["attempts"]) == (pod, "RESUME_BLOCKED", 1)
    assert [one["way"] for one in told["choices"]] == ["wait", "rescue", "new_pod"]
    assert "--wait" in blocked.stderr
    (shown,) = here.data("status")["pods"]
    assert (shown["status"], shown["state"], "wait" in shown["offers"]) == ("STOPPED", "RESUME_BLOCKED", True)


def test_a_pod_of_somebody_else_is_shown_and_never_chosen(cloud: Served, here: Here) -> None:
    other = Here(here.root / "other", here.capture)
    other.root.mkdir()
    (other.root / "maxcai.toml").write_text(SETTINGS)
    theirs = other.data("pod", "create", "--yes", "--no-wait")["id"]
    assert "not of this workspace" in here("pod", "list").stdout
    assert here("pod", "stop").returncode == 2
    assert here.data("status")["pods"][0]["ours"] is False
    assert here("pod", "start", "--yes").returncode == 2
    assert [pod["id"] for pod in here.data("pod", "list")] == [theirs]


def test_wrong_keys_old_interfaces_and_failures_have_their_exit_codes(
    cloud: Served, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.do(lambda sim: sim.inject("list", "500", None))
    assert here("pod", "list").returncode == 4
    cloud.do(lambda sim: sim.clear_faults())
    cloud.do(lambda sim: sim.retire("v2"))
    retired = here("pod", "list")
    assert (retired.returncode, "update" in retired.stderr) == (1, True)
    cloud.do(lambda sim: sim.retire())
    planted = "rpa_" + "x" * 32
    monkeypatch.setenv("RUNPOD_API_KEY", planted)
    wrong = here("pod", "list")
    assert (wrong.returncode, "key" in wrong.stderr, planted in wrong.stderr) == (1, True, False)
    examined = here("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(examined.stdout)}
    assert (examined.returncode, checks["key accepted"]["level"]) == (1, "fail")
    assert planted not in examined.stdout + examined.stderr
    monkeypatch.setenv("RUNPOD_API_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("MAXCAI_RUNPOD_URL", "http://127.0.0.1:9")
    assert here("pod", "list").returncode == 4
    monkeypatch.delenv("RUNPOD_API_KEY")
    monkeypatch.setenv("HOME", str(here.root))
    assert here("pod", "list").returncode == 2


def test_a_pod_that_would_keep_nothing_is_refused_with_the_setting_that_mends_it(cloud: Served, here: Here) -> None:
    (here.root / "maxcai.toml").write_text('provider = "runpod"\n')
    done = here("pod", "create", "--yes")
    assert done.returncode == 3
    assert "volume_gb in [runpod]" in done.stderr
    assert here.data("pod", "create", "--dry-run", "--ephemeral")["spec"]["ephemeral"] is True


def test_an_unknown_cost_is_null_and_no_budget_is_believed(cloud: Served, here: Here) -> None:
    now = time.time()
    pod = Pod(
        "p", "p", "runpod", PodStatus.RUNNING, "/", "python3", started_at=now - 60, disk_gb=1, volume=VolumeKind.NONE
    )
    Ledger(here.root / ".maxcai").open(pod)
    cost = here.data("cost")
    assert (cost["total"], cost["unknown_sessions"], cost["sessions"][0]["local"]) == (None, 1, None)
    assert here.data("status")["cost"]["total"] is None
    (here.root / "maxcai.toml").write_text(f"{SETTINGS}[budget]\ntotal = 50\n")
    assert here.data("cost")["budgets"][0] | {"limit": 50.0} == {
        "name": "total", "limit": 50.0, "spent": None, "left": None, "level": "unknown",
    }  # fmt: skip
    refused = here("pod", "create", "--yes")
    assert (refused.returncode, "cannot be watched" in refused.stderr) == (3, True)


def test_a_budget_that_is_used_up_buys_nothing_more(cloud: Served, here: Here) -> None:
    now = time.time()
    pod = Pod(
        "p", "p", "runpod", PodStatus.RUNNING, "/", "python3", price_per_hour=Decimal(10), started_at=now - 7200,
        disk_gb=1, volume=VolumeKind.NONE,
    )  # fmt: skip
    ledger = Ledger(here.root / ".maxcai")
    ledger.open(pod)
    ledger.ended("p", now - 3600, "stopped")
    (here.root / "maxcai.toml").write_text(f"{SETTINGS}[budget]\ntotal = 5\n")
    done = here("pod", "create", "--yes")
    assert (done.returncode, "$10.00 of the $5.00" in done.stderr) == (3, True)


def test_the_doctor_asks_the_account_and_never_shows_the_key(cloud: Served, here: Here) -> None:
    done = here("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    assert {name: checks[name]["level"] for name in ("provider", "clock", "balance", "wished pod", "bill")} == {
        "provider": "ok", "clock": "ok", "balance": "ok", "wished pod": "ok", "bill": "ok",
    }  # fmt: skip
    assert "$1.74/h" in checks["wished pod"]["text"]
    assert cloud.sim.key not in done.stdout + done.stderr
    (here.root / "maxcai.toml").write_text(f'{SETTINGS}gpus = ["NVIDIA A100"]\n')
    near = {check["name"]: check for check in json.loads(here("doctor", "--json").stdout)}["wished pod"]
    assert (near["level"], "pod offers" in near["remedy"]) == ("warn", True)


def test_what_still_costs_is_said_when_one_leaves(cloud: Served, here: Here) -> None:
    here("pod", "create", "--yes", "--no-wait")
    told = here("refresh").stderr + here("pod", "create", "--yes", "--no-wait").stderr
    assert "reminder: pod maxcai-" in told
    assert "goes on at $1.74/h" in told


def test_a_restart_over_a_living_run_is_journalled_as_an_override(
    cloud: Served, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def alive(*_: object) -> risk.Risk:
        return risk.Risk(("run R is running",), (), ("run R is running",))

    async def nothing(*_: object) -> None:
        return None

    monkeypatch.setattr("app.risk.look", alive)
    monkeypatch.setattr("app.ready.reach", nothing)
    monkeypatch.setattr("app.arming.arm", nothing)
    here("pod", "create", "--yes", "--no-wait")
    refused = here("pod", "restart", "--yes")
    assert (refused.returncode, "run R is running" in refused.stderr) == (3, True)
    assert "run R is running" in here("pod", "restart", "--force").stderr  # it is part of what is agreed to
    assert here("pod", "restart", "--force", "--yes").returncode == 0
    rows = [json.loads(line) for line in (here.root / ".maxcai/journal.jsonl").read_text().splitlines()]
    (restarted,) = (row for row in rows if row.get("op") == "pod.restart")
    assert restarted["facts"]["overridden"] == ["run R is running"]


@pytest.mark.parametrize(("verb", "refused"), [("show", False), ("check", False), ("disarm", True), ("arm", True)])
def test_looking_at_the_guard_writes_nothing(cloud: Served, here: Here, verb: str, refused: bool) -> None:
    done = here("pod", "guard", verb, "--readonly")
    assert ("read-only" in done.stderr) is refused
    assert (done.returncode == 3) is refused


def test_a_spot_pod_that_was_taken_away_midway_leaves_a_lost_run_and_says_what_of_it_is_at_home(
    cloud: Served, here: Here
) -> None:
    (here.root / "maxcai.toml").write_text(SETTINGS + "bid = 1.5\n")
    pod = here.data("pod", "create", "--yes", "--no-wait")["id"]
    a_run_was_seen_on(pod, here.root)
    cloud.wait(cloud.sim.evict(pod))
    status = here.data("status")
    assert (status["pods"][0]["status"], status["run"]["state"]) == ("STOPPED", "lost")
    assert status["checkpoint_age_s"] is None
    assert "no checkpoint of it is at home" in here("status").stdout


def test_the_run_of_a_pod_that_is_gone_is_lost_once_two_lists_lacked_the_pod(
    cloud: Served, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remote.money.costs._APART_S", 0.0)  # half a minute
    pod = here.data("pod", "create", "--yes", "--no-wait")["id"]
    a_run_was_seen_on(pod, here.root)
    cloud.wait(cloud.sim.kill(pod, "gone"))  # as at a balance of zero
    for _ in range(2):
        here("pod", "list")
    assert here.data("status")["run"]["state"] == "lost"
    shown = here.data("run", "show")
    assert (shown["state"], shown["reason"]) == ("lost", "its pod is gone")


def a_run_was_seen_on(pod: str, root: Path) -> None:
    workspace = find(root)
    RunBook(workspace.state_dir).add(RunEntry("R9", "smoke", pod, "tree", 1, time.time() - 60))
    spool = workspace.spool_dir("R9")
    spool.mkdir(parents=True)
    event = {"v": 1, "seq": 0, "t": "2026-01-01T00:00:00Z", "kind": "run_started", "run_id": "R9", "recipe": "smoke",
             "recipe_sha256": "0", "hardware": {}, "resumed": False, "steps": ["stage-1/sft"]}  # fmt: skip
    (spool / "events.jsonl").write_text(json.dumps(event) + "\n")


def test_a_full_disk_here_hides_no_pod_and_keeps_none_from_being_stopped(
    cloud: Served, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = here.data("pod", "create", "--yes", "--no-wait")["id"]
    second = here.data("pod", "create", "--yes", "--no-wait")["id"]
    cloud.wait(cloud.sim.kill(first))  # so that the ledger has something to write down

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("remote.files._append", full)
        listed = here("pod", "list")
        assert listed.returncode == 0 and first in listed.stdout and second in listed.stdout
        assert "No space is left to write" in listed.stderr and "not kept up meanwhile" in listed.stderr
        assert here("status").returncode == 0
        assert here("pod", "create", "--yes", "--no-wait").returncode != 0, "nothing is bought that cannot be noted"
        assert len(cloud.sim.state.pods) == 2
        assert here("pod", "stop", second, "--force").returncode == 0
    assert "No space" not in here("pod", "list").stderr
    assert [row["status"] for row in here.data("pod", "list")] == ["STOPPED", "STOPPED"]
    ended = here.data("cost")["sessions"]
    assert len(ended) == 2 and all(row["seconds"] is not None for row in ended)
