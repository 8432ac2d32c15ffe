"""`python -m remote` on rented pods and on the embedded one: JSON out, refusals with their codes, one guard round."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from rented import GPU, SPEC, Rented, rented

from remote import jobs, verbs
from remote.__main__ import _parser, main
from remote.errors import ConfigError, GuardError, NotFound, UnpulledArtifacts, VolumelessStop
from remote.guard import rounds
from remote.guard.activity import agent_of, bring_home
from remote.guard.rules import Act, Rule, Rules
from remote.journal import Journal
from remote.money.rules import Budgets
from remote.pods.local import LocalProvider
from remote.pods.model import PodStatus
from remote.renting import lifecycle
from tests.sim.runpod_api.clock import VirtualClock
from tests.sim.runpod_api.harness import Simulator
from tests.sim.runpod_api.model import BootTimes

IMAGE = "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404"
CREATE = ["create", "smoke", "--image", IMAGE, "--gpu", GPU]


@pytest.fixture
async def world(state_dir: Path) -> AsyncIterator[Rented]:
    quick = BootTimes(provision=0.1, pull=0.2, port=0.1, resume=0.1)
    async with rented(state_dir, Simulator(clock=VirtualClock.real(), boot=quick)) as rent:
        yield rent


async def run(world: Rented, *argv: str) -> tuple[Any, int]:
    """One command, as JSON would bring it across."""
    options = _parser().parse_args(["--state-dir", str(world.state_dir), "--provider", "runpod", *argv])
    await verbs.find(options, world.provider)
    answer, code = await verbs.VERBS[options.command](options, world.provider)
    return json.loads(json.dumps(answer)), code


async def test_what_can_be_rented_and_what_it_costs_is_told_before_anything_is_bought(world: Rented) -> None:
    offers, _ = await run(world, "offers")
    assert {"gpu", "price", "stock"} <= set(offers[0])
    assert (await run(world, "volumes"))[0] == []
    assert (await run(world, "balance"))[0]["balance"] == "100.0"
    estimate, _ = await run(world, *CREATE, "--volume-gb", "20", "--dry-run")
    assert estimate["per_hour"].startswith("1.749") and estimate["candidates"][0]["gpu"] == GPU
    assert world.sim.state.pods == {}
    with pytest.raises(VolumelessStop):
        await run(world, *CREATE)


async def test_a_pod_lives_from_create_to_terminate_and_every_step_is_guarded(world: Rented) -> None:
    made, _ = await run(world, *CREATE, "--volume-gb", "20", "--wait")
    assert (made["status"], made["adopted"], made["cost_per_hour"]) == ("RUNNING", False, "1.74")
    name = made["name"]
    listed, _ = await run(world, "pods")
    assert [(pod["name"], "stray" in pod) for pod in listed] == [(name, False)]
    with pytest.raises(GuardError, match="is not its name"):
        await run(world, "terminate", name, "--name", "another", "--lose-unpulled")
    stopped, _ = await run(world, "stop", name)
    assert stopped["status"] == "STOPPED"
    cost, _ = await run(world, "cost")
    assert cost["sessions"][0]["upper_bound"] is False
    assert cost["runway"]["seconds"] > 3600 and cost["notes"] == []
    with pytest.raises(UnpulledArtifacts, match="not known"):
        await run(world, "terminate", name, "--name", name)
    ended, _ = await run(world, "terminate", name, "--name", name, "--lose-unpulled")
    assert ended["overridden"] == ["files that nobody could look for"]
    assert (await run(world, "pods"))[0] == []
    with pytest.raises(NotFound):
        await run(world, "stop", name)


async def test_a_guard_that_cannot_save_an_ephemeral_pods_files_leaves_it_running_and_says_so(world: Rented) -> None:
    made, _ = await run(world, *CREATE, "--ephemeral", "--wait")
    answer, code = await run(world, "guard", "--max-hours", "0.00000001")
    assert code == 3
    assert answer["outcomes"][0]["stopped"] is False
    assert "keeps nothing" in answer["outcomes"][0]["remarks"][-1]
    assert any("could not be looked at" in remark for remark in answer["remarks"])  # a pod on paper has no SSH
    told, code = await run(world, "guard", "--max-hours", "0.00000001", "--dry-run")
    assert (told["outcomes"], code) == ([], 0)
    forced, _ = await run(world, "stop", made["id"], "--lose-unpulled")
    assert forced["status"] == "STOPPED"


async def test_a_budget_stops_our_pod_and_not_a_strangers(world: Rented) -> None:
    made, _ = await run(world, *CREATE, "--volume-gb", "20", "--wait")
    foreign = await world.provider.create("maxcai-foreign-abcdef", SPEC)
    answer, code = await run(world, "guard", "--budget-total", "0.0000001")
    assert code == 0
    assert [(one["pod"], one["stopped"]) for one in answer["outcomes"]] == [(made["id"], True)]
    assert {"pod": foreign.id, "act": "warn", "rule": "foreign"}.items() <= answer["decisions"][-1].items()
    listed, _ = await run(world, "pods")
    assert {pod["id"]: pod.get("stray") for pod in listed} == {made["id"]: None, foreign.id: True}
    with pytest.raises(ConfigError, match="No rule"):
        await run(world, "guard")


def test_usage_and_refusals_have_their_own_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = ["--state-dir", str(tmp_path / ".maxcai")]
    assert main([*state, "guard"]) == 2
    assert main([*state, "balance"]) == 2
    assert main([*state, "create", "x", "--image", "y"]) == 3
    assert main([*state, "create", "x", "--image", "y", "--ephemeral"]) == 2
    assert main([*state, "cost"]) == 0
    assert json.loads(capsys.readouterr().out)["burn_per_hour"] == "0"


async def test_the_guard_stops_a_real_pod_only_once_its_finished_run_is_at_home(
    provider: LocalProvider, state_dir: Path, tmp_path: Path
) -> None:
    pod = await lifecycle.start(provider, "local", state_dir, time.time)
    async with agent_of(pod, provider, state_dir) as agent:
        run_id = jobs.new_run_id(time.time())
        spec = jobs.LaunchSpec(run_id, 1, ("sh", "-c", "echo result > result.txt"))
        await jobs.launch(agent, spec)
        while (await jobs.status(agent, run_id)).state.alive:
            await asyncio.sleep(0.05)
        rules, home = Rules(after_run=True), tmp_path / "runs"
        first = await rounds.once(provider, state_dir, time.time, rules, Budgets(), runs_dir=home)
        assert [(one.act, one.rule) for one in first.decisions] == [(Act.WARN, Rule.AFTER_RUN)]
        assert "result.txt" in first.decisions[0].why
        assert await bring_home(agent, home) == ()
    assert (home / run_id / "result.txt").read_text() == "result\n"
    second = await rounds.once(provider, state_dir, time.time, rules, Budgets(), runs_dir=home)
    assert [outcome.stopped for outcome in second.outcomes] == [True]
    assert (await provider.get("local")).status is PodStatus.STOPPED
    stop = Journal(state_dir, time.time).intents()[-1]
    assert stop.facts["because"] == "after_run: its runs are over and their files are at home"
