"""What needs a person: each cause has its alert, each alert its answer, and what was seen is not told again."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace

from app import cli
from app.actions import registry
from app.alerts import alerts, standing
from app.events import Acknowledged
from app.reduce import reduce
from app.runs import RunBook, RunEntry
from app.seen import acknowledge, acknowledged
from app.state import AppState, BudgetView, CostView, GateView, LinkView, PodView, RunView, WatchView

NOW = 1_000_000.0
POD = PodView("p", "maxcai-p", "runpod", "RUNNING", "A100", 1, Decimal("1.74"), "h", 1, 5.0)
UP = AppState(project="x", provider="runpod", pods=(POD,), pod=POD, pods_at=NOW)
FAILED = GateView(2, "implicit", 1, "FAIL", 0.5, 0.4, 0.6, 0.9, 0.2, 100, "the rate is below 90 %")
DONE = RunView("R", "demo", "finished", "p", gates=(FAILED,), pulled=True, seq=9)

CAUSES = {
    "gate": (replace(UP, run=DONE), "gate of stage 2 implicit says FAIL", "run.override"),
    "lost": (replace(UP, run=RunView("R", state="lost", pod_id="p", reason="gone", pulled=True)), "is lost: gone",
             "run.resume"),
    "away": (replace(UP, run=replace(DONE, gates=(), pulled=False)), "results of run R are not home", "pull"),
    "budget": (replace(UP, cost=CostView(budgets=(BudgetView("day", Decimal(40), Decimal(41), "stop"),))),
               "budget of the day is used up: $41.00 of $40.00", "pod.stop"),
    "warned": (replace(UP, cost=CostView(budgets=(BudgetView("run", Decimal(40), Decimal(33), "warn"),))),
               "82 % of the budget of the run", "cost"),
    "runway": (replace(UP, cost=CostView(runway_s=600.0, burn=Decimal(2))), "money lasts 10:00 more", "pull"),
    "unarmed": (replace(UP, watches={"p": WatchView("red", "its key is refused", "p")}), "AUTOMATIC STOP IS NOT ARMED",
                "pod.stop"),
    "autostop": (replace(UP, watches={"p": WatchView("green", "ok", "p", NOW + 300, "idle", NOW)}),
                 "stops itself in 5:00 (idle)", "pull"),
    "disk": (replace(UP, watches={"p": WatchView("green", "ok", "p", low_disk=("the volume",))}), "the volume of pod",
             "pod.ssh"),
    "gone": (replace(UP, pods=(replace(POD, state="GONE", detail="nobody knows it"),)), "is GONE: nobody knows it",
             "refresh"),
    "blocked": (replace(UP, pods=(replace(POD, status="STOPPED", state="RESUME_BLOCKED"),)), "cannot be resumed",
                "pod.start"),
    "unused": (replace(UP, run=replace(DONE, gates=())), "every result is home", "pod.stop"),
    "link": (replace(UP, run=RunView("R", state="running"), link=LinkView("retrying", error="timed out")),
             "no link to the pod: timed out", "refresh"),
}  # fmt: skip


@pytest.mark.parametrize("cause", CAUSES)
def test_each_cause_is_told_with_an_act_that_answers_it(cause: str) -> None:
    state, words, act = CAUSES[cause]
    found = [alert for alert in alerts(state, NOW) if words in alert.text]
    assert len(found) == 1, [alert.text for alert in alerts(state, NOW)]
    assert found[0].acts[0] == act
    for name in found[0].acts:
        registry.by_id(name)


def test_a_second_pod_that_runs_is_told_with_its_price() -> None:
    other = replace(POD, id="q", name="maxcai-q", cost_per_hour=None)
    (alert,) = alerts(replace(UP, pods=(POD, other)), NOW)
    assert alert.text == "pod maxcai-q runs too, at unknown/h"
    assert alerts(replace(UP, pods=(POD, replace(other, ours=False))), NOW) == ()


def test_a_quiet_state_needs_nobody() -> None:
    assert alerts(UP, NOW) == ()
    assert alerts(AppState(project="x"), NOW) == ()
    assert alerts(replace(UP, run=RunView("R", state="running")), NOW) == ()
    passed = replace(DONE, gates=(replace(FAILED, verdict="PASS"),), pod_id="p")
    assert [a.id for a in alerts(replace(UP, run=passed, pod=None, pods=()), NOW)] == []


def test_errors_come_first_and_what_was_seen_stands_no_more_until_it_is_another_fact() -> None:
    state = replace(CAUSES["away"][0], watches={"p": WatchView("red", "refused", "p")})
    found = alerts(state, NOW)
    assert found[0].level == "error"
    state = reduce(state, Acknowledged(frozenset({found[0].id})))
    assert found[0].id not in {alert.id for alert in standing(state, NOW)}
    assert len(standing(state, NOW)) == len(found) - 1
    anew = replace(POD, started_at=99.0)
    again = replace(state, pod=anew, pods=(anew,))
    assert any("NOT ARMED" in alert.text for alert in standing(again, NOW)), "another pod session is another fact"


def test_what_was_seen_is_kept_and_a_damaged_line_is_passed_over(tmp_path: Path) -> None:
    assert acknowledged(tmp_path) == frozenset()
    acknowledge(tmp_path, ["a", "b"], NOW)
    with (tmp_path / "acknowledged.jsonl").open("a") as file:
        file.write("{torn\n")
    acknowledge(tmp_path, ["c"], NOW)
    assert acknowledged(tmp_path) == frozenset("abc")


def test_the_command_lists_acknowledges_and_refuses_to_write_when_read_only(
    workspace_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    RunBook(workspace_dir / ".maxcai").add(RunEntry("01ABC", "demo", "local", "t" * 64, 1, 5.0))
    spool = workspace_dir / ".maxcai/spool/01ABC"
    spool.mkdir(parents=True)
    rows = [{"kind": "run_started", "recipe": "demo", "steps": []},
            {"kind": "run_finished", "state": "failed", "exit_code": 1, "reason": "the disk is full"}]  # fmt: skip
    (spool / "events.jsonl").write_text(
        "".join(json.dumps({"v": 1, "seq": n, "t": "2026-01-01T00:00:00Z", **row}) + "\n" for n, row in enumerate(rows))
    )

    def run(*words: str) -> tuple[int, str]:
        code = cli.main(["-C", str(workspace_dir), *words])
        return code, capfd.readouterr().out

    code, out = run("alerts", "--json")
    found = json.loads(out)
    assert (code, [one["seen"] for one in found]) == (0, [False, False])
    assert found[0]["text"] == "run 01ABC is failed: the disk is full"
    assert run("--readonly", "alerts", "--ack", "all")[0] == 3
    assert run("alerts", "--ack", "nonsense")[0] == 2
    assert "needs somebody:" in run("status")[1]
    code, out = run("alerts", "--ack", "all")
    assert (code, out.count("(seen)")) == (0, 2)
    assert "needs somebody:" not in run("status")[1]
    assert all(one["seen"] for one in json.loads(run("status", "--json")[1])["alerts"])
