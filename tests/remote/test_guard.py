"""The guard stops what runs for nothing, never on a guess, and never loses a file without being told to."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from remote.errors import (
    ConfigError,
    ConnectFailed,
    ConnectionLost,
    GuardError,
    ProviderUnavailable,
    UnpulledArtifacts,
    VolumelessStop,
)
from remote.guard.enforce import TRIES, enforce, ours
from remote.guard.rules import Act, Activity, Decision, Money, Rule, Rules, decide
from remote.journal import Journal
from remote.money.costs import Ledger
from remote.money.rules import BudgetState, Runway
from remote.pods.limited import Limited
from remote.pods.model import Pod, PodSession, PodSpec, PodStatus, VolumeKind
from remote.pods.provider import LogLines
from remote.renting.permits import Unpulled, may_stop, may_terminate

NOW = 100_000.0
POD = Pod(
    "p1", "maxcai-a", "runpod", PodStatus.RUNNING, "/workspace", "python3", price_per_hour=Decimal("1.74"),
    disk_gb=50, volume=VolumeKind.PERSISTENT, volume_gb=100, started_at=NOW - 7200,
)  # fmt: skip
VOLUMELESS = replace(POD, volume=VolumeKind.NONE, volume_gb=None)
SESSION = PodSession("p1", NOW - 7200)
DONE = Activity(SESSION, last_active=NOW - 60, runs_alive=0, runs_over=1, unpulled=())
ALL = Rules(idle_minutes=30, max_hours=1, after_run=True)


def verdict(
    pod: Pod = POD, rules: Rules = ALL, work: Activity | None = DONE, money: Money | None = None
) -> list[Decision]:
    activity = {} if work is None else {"p1": work}
    return list(decide([pod], rules, activity, money or Money(), NOW, {"p1"}))


def acts(decisions: list[Decision]) -> list[tuple[Act, Rule]]:
    return [(one.act, one.rule) for one in decisions]


# --- may it be done? ---------------------------------------------------------------------------------------------


def test_a_pod_that_keeps_nothing_is_not_stopped_over_files_that_are_only_there() -> None:
    with pytest.raises(VolumelessStop, match=r"a\.bin") as refusal:
        may_stop(VOLUMELESS, ("a.bin", "b.bin"))
    assert refusal.value.paths == ("a.bin", "b.bin")
    assert refusal.value.exit_code == 3
    with pytest.raises(VolumelessStop, match="not known"):
        may_stop(VOLUMELESS, None)
    with pytest.raises(VolumelessStop, match="may keep nothing"):
        may_stop(replace(POD, volume=None), None)
    assert may_stop(VOLUMELESS, ()).overridden == ()


def test_a_stop_with_files_not_at_home_names_them_and_an_override_is_on_record() -> None:
    with pytest.raises(UnpulledArtifacts, match=r"12 of its files.*and 2 more"):
        may_stop(POD, tuple(f"f{n}" for n in range(12)))
    assert may_stop(POD, ("a.bin",), override=True).overridden == ("a.bin",)
    assert may_stop(POD, None).overridden == ()  # its volume keeps them
    assert may_stop(replace(VOLUMELESS, status=PodStatus.STOPPED), None).overridden == ()


def test_terminating_needs_the_name_and_everything_at_home_or_an_explicit_override() -> None:
    with pytest.raises(GuardError, match="is not its name"):
        may_terminate(POD, (), "maxcai-b")
    for unpulled in (None, ("a.bin",)):
        with pytest.raises(UnpulledArtifacts):
            may_terminate(POD, unpulled, "maxcai-a")
        assert may_terminate(POD, unpulled, "p1", override=True).overridden
    assert may_terminate(POD, (), "maxcai-a").op == "terminate"


# --- shall it be done? -------------------------------------------------------------------------------------------


def test_a_finished_and_pulled_run_stops_its_pod() -> None:
    rules = Rules(after_run=True)
    (stop,) = verdict(rules=rules)
    assert (stop.act, stop.rule, stop.checkpoint, stop.pull) == (Act.STOP, Rule.AFTER_RUN, False, False)
    for unpulled in (("adapter.safetensors",), None):
        assert acts(verdict(rules=rules, work=replace(DONE, unpulled=unpulled))) == [(Act.WARN, Rule.AFTER_RUN)]
    for other in (replace(DONE, runs_alive=1), replace(DONE, runs_over=0), replace(DONE, runs_alive=None), None):
        assert verdict(rules=rules, work=other) == []


def test_an_idle_pod_is_stopped_and_one_of_which_nothing_is_known_is_not() -> None:
    rules = Rules(idle_minutes=30)
    assert acts(verdict(rules=rules, work=replace(DONE, last_active=NOW - 1800))) == [(Act.STOP, Rule.IDLE)]
    (warned,) = verdict(rules=rules, work=replace(DONE, last_active=NOW - 900))
    assert (warned.act, warned.why) == (Act.WARN, "it has been idle for 15 minutes; at 30 it is stopped")
    assert verdict(rules=rules, work=replace(DONE, last_active=NOW - 899)) == []
    for work in (None, replace(DONE, last_active=None), replace(DONE, session=PodSession("p1", 1.0))):
        assert acts(verdict(rules=rules, work=work)) == [(Act.WARN, Rule.IDLE)]


def test_the_budget_of_a_run_stops_the_pod_of_that_run_alone() -> None:
    other, spent = replace(POD, id="p2"), (BudgetState("run", Decimal(10), Decimal(11)),)
    for run_pod, stopped in (("p1", ["p1"]), ("p2", ["p2"]), (None, ["p1", "p2"])):
        found = decide([POD, other], Rules(), {}, Money(spent, run_pod=run_pod), NOW, {"p1", "p2"})
        assert [one.pod.id for one in found if one.act is Act.STOP] == stopped
    day = Money((BudgetState("day", Decimal(10), Decimal(11)),), run_pod="p2")
    assert (Act.STOP, Rule.BUDGET) in acts(verdict(rules=Rules(), money=day))


def test_a_budget_stop_which_may_be_called_off_hides_no_other() -> None:
    spent = Money((BudgetState("day", Decimal(10), Decimal(11)),))
    assert (Act.STOP, Rule.MAX_HOURS) in acts(verdict(money=spent))
    assert (Act.STOP, Rule.AFTER_RUN) in acts(verdict(rules=Rules(after_run=True), money=spent))


def test_a_pod_runs_no_longer_than_its_hours_whatever_it_does() -> None:
    work = replace(DONE, runs_alive=1, last_active=NOW, unpulled=None)
    (stop,) = verdict(rules=Rules(max_hours=2), work=work)
    assert (stop.act, stop.rule, stop.checkpoint, stop.pull) == (Act.STOP, Rule.MAX_HOURS, True, True)
    assert verdict(rules=Rules(max_hours=2.01), work=work) == []
    assert acts(verdict(replace(POD, started_at=None), Rules(max_hours=1))) == [(Act.WARN, Rule.MAX_HOURS)]
    assert verdict(replace(POD, started_at=NOW + 50), Rules(max_hours=1)) == []  # a clock that is off


@pytest.mark.parametrize(
    ("spent", "expected"),
    [("7", []), ("8", [(Act.WARN, Rule.BUDGET)]), ("10", [(Act.STOP, Rule.BUDGET)]), (None, [(Act.WARN, Rule.BUDGET)])],
)
def test_budgets_warn_then_stop_and_never_act_on_an_unknown_sum(
    spent: str | None, expected: list[tuple[Act, Rule]]
) -> None:
    state = BudgetState("day", Decimal(10), None if spent is None else Decimal(spent))
    assert acts(verdict(rules=Rules(), money=Money((state,)))) == expected


@pytest.mark.parametrize("status", list(PodStatus))
def test_only_pods_that_certainly_run_are_stopped(status: PodStatus) -> None:
    found = acts(verdict(replace(POD, status=status)))
    stops = (Act.STOP, Rule.MAX_HOURS) in found
    assert stops == (not status.over and status not in (PodStatus.UNKNOWN, PodStatus.STOPPING))
    if status is PodStatus.UNKNOWN:
        assert found == [(Act.WARN, Rule.UNKNOWN)]


def test_a_pod_of_somebody_else_is_told_of_and_never_touched() -> None:
    (warning,) = decide([POD], ALL, {"p1": DONE}, Money(), NOW, set())
    assert (warning.act, warning.rule) == (Act.WARN, Rule.FOREIGN)


@pytest.mark.parametrize(
    ("seconds", "words"), [(3601.0, ""), (3600.0, "60 more minutes"), (899.0, "15 more minutes"), (0.0, "gone")]
)
def test_the_end_of_the_money_is_told_with_what_it_does_to_each_pod(seconds: float, words: str) -> None:
    network = replace(POD, id="p2", volume=VolumeKind.NETWORK)
    stopped = replace(POD, id="p3", status=PodStatus.STOPPED)
    money = Money(runway=Runway(seconds, "balance"))
    found = decide([POD, network, stopped], Rules(), {}, money, NOW, {"p1", "p2", "p3"})
    assert len(found) == (3 if words else 0)
    assert all(one.act is Act.WARN and words in one.why for one in found)
    if words:
        fates = {one.pod.id: one.why for one in found}
        assert "terminated" in fates["p1"] and "terminated" in fates["p3"] and "terminated" not in fates["p2"]


def test_an_unknown_runway_is_told() -> None:
    money = Money(runway=Runway(None, "balance", "the balance is not known"))
    assert acts(verdict(rules=Rules(), money=money)) == [(Act.WARN, Rule.RUNWAY)]


def test_rules_that_make_no_sense_are_refused() -> None:
    for wrong in ({"idle_minutes": 0}, {"max_hours": -1.0}, {"max_hours": float("nan")}):
        with pytest.raises(ConfigError):
            Rules(**wrong)  # type: ignore[arg-type]


PODS = st.builds(
    Pod, id=st.just("p1"), name=st.just("maxcai-a"), provider=st.just("runpod"), status=st.sampled_from(PodStatus),
    root=st.just("/workspace"), python=st.just("python3"), price_per_hour=st.none() | st.just(Decimal(1)),
    started_at=st.none() | st.floats(0, 2 * NOW), volume=st.none() | st.sampled_from(VolumeKind),
)  # fmt: skip
ACTIVITIES = st.builds(
    Activity, session=st.builds(PodSession, st.just("p1"), st.floats(0, 2 * NOW)),
    last_active=st.none() | st.floats(0, 2 * NOW), runs_alive=st.none() | st.integers(0, 2),
    runs_over=st.none() | st.integers(0, 2), unpulled=st.none() | st.just(()) | st.just(("a",)),
)  # fmt: skip
AMOUNTS = st.none() | st.decimals(0, 20, places=2)


@given(PODS, ACTIVITIES, st.booleans(), AMOUNTS, st.booleans())
def test_no_input_makes_the_guard_stop_twice_or_on_a_guess(
    pod: Pod, work: Activity, same: bool, spent: Decimal | None, mine: bool
) -> None:
    if same and pod.session:
        work = replace(work, session=pod.session)
    money = Money((BudgetState("total", Decimal(10), spent),))
    found = decide([pod], ALL, {"p1": work}, money, NOW, {"p1"} if mine else set())
    stops = [one for one in found if one.act is Act.STOP]
    assert len(stops) <= 1
    for stop in stops:
        assert mine and not pod.status.over and pod.status is not PodStatus.UNKNOWN
        if stop.rule in (Rule.IDLE, Rule.AFTER_RUN):
            assert work.session == pod.session
        assert stop.pull or work.unpulled == ()


# --- doing it ----------------------------------------------------------------------------------------------------


class Far(Limited):
    """A provider with pods in memory; terminating is an error of the test."""

    name = "runpod"

    def __init__(self, *pods: Pod) -> None:
        self.pods = {pod.id: pod for pod in pods}
        self.stopped: list[str] = []
        self.refuse: Exception | None = None

    async def list(self) -> list[Pod]:
        return list(self.pods.values())

    async def get(self, pod_id: str) -> Pod:
        return self.pods[pod_id]

    async def create(self, name: str, spec: PodSpec) -> Pod:
        raise AssertionError("a guard creates nothing")

    async def start(self, pod_id: str) -> Pod:
        raise AssertionError("a guard starts nothing")

    async def stop(self, pod_id: str) -> Pod:
        if self.refuse is not None and pod_id == "p1":
            raise self.refuse
        self.stopped.append(pod_id)
        self.pods[pod_id] = replace(self.pods[pod_id], status=PodStatus.STOPPED, endpoint=None)
        return self.pods[pod_id]

    async def terminate(self, pod_id: str) -> None:
        raise AssertionError("a guard terminates nothing")

    async def logs(self, pod_id: str) -> LogLines:
        return []


def stop_of(pod: Pod, checkpoint: bool = True, pull: bool = True) -> Decision:
    return Decision(pod, Act.STOP, Rule.MAX_HOURS, "it has run for 2 hours", checkpoint, pull)


class Hands:
    """What the caller does before a stop, in order; each may fail."""

    def __init__(self, left: Unpulled = (), error: Exception | None = None) -> None:
        self.left, self.error, self.done = left, error, list[str]()

    async def checkpoint(self, pod: Pod) -> None:
        self.done.append(f"checkpoint {pod.id}")
        if self.error:
            raise self.error

    async def pull(self, pod: Pod) -> Unpulled:
        self.done.append(f"pull {pod.id}")
        if self.error:
            raise self.error
        return self.left


async def carry_out(provider: Far, decisions: list[Decision], tmp_path: Path, hands: Hands) -> Any:
    Ledger(tmp_path).reconcile(await provider.list(), NOW)
    return await enforce(
        decisions, provider, tmp_path, lambda: NOW, checkpoint=hands.checkpoint, pull=hands.pull, sleep=at_once
    )  # fmt: skip


async def at_once(_: float) -> None: ...


async def test_runs_are_asked_for_a_checkpoint_and_pulled_before_the_pod_stops(tmp_path: Path) -> None:
    provider, hands = Far(POD), Hands()
    (outcome,) = await carry_out(provider, [stop_of(POD)], tmp_path, hands)
    assert outcome.stopped and outcome.remarks == ()
    assert hands.done == ["checkpoint p1", "pull p1"]
    assert provider.stopped == ["p1"]
    (intent,) = Journal(tmp_path, lambda: NOW).intents()
    assert intent.facts["because"] == "max_hours: it has run for 2 hours"
    assert [row.open for row in Ledger(tmp_path).rows()] == [False]


async def test_a_pod_that_cannot_be_reached_is_stopped_all_the_same_when_its_volume_keeps_the_files(
    tmp_path: Path,
) -> None:
    provider, hands = Far(POD), Hands(error=ConnectionLost("the link broke"))
    (outcome,) = await carry_out(provider, [stop_of(POD)], tmp_path, hands)
    assert outcome.stopped
    assert outcome.remarks == ("no checkpoint: the link broke", "not everything came home: the link broke")
    assert len(hands.done) == TRIES + 1
    assert Journal(tmp_path, lambda: NOW).intents()[0].facts["overridden"] == ["files that nobody could look for"]


async def test_a_link_that_breaks_while_a_checkpoint_is_written_is_made_anew_before_the_stop(tmp_path: Path) -> None:
    provider, hands = Far(POD), Hands()
    answers: list[Exception | None] = [ConnectionLost("it broke"), ConnectFailed("not yet"), None]

    async def checkpoint(pod: Pod) -> None:
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    Ledger(tmp_path).reconcile(await provider.list(), NOW)
    (outcome,) = await enforce(
        [stop_of(POD)], provider, tmp_path, lambda: NOW, checkpoint=checkpoint, pull=hands.pull, sleep=at_once
    )  # fmt: skip
    assert (outcome.stopped, outcome.remarks, answers) == (True, (), [])
    answers += [ConnectFailed("never there")]  # nobody was given the word: nobody is waited for
    again = replace(POD, id="p2")
    (outcome,) = await enforce(
        [stop_of(again)], Far(again), tmp_path, lambda: NOW, checkpoint=checkpoint, pull=hands.pull, sleep=at_once
    )  # fmt: skip
    assert outcome.remarks == ("no checkpoint: never there",)


@pytest.mark.parametrize("hands", [Hands(left=("a.bin",)), Hands(left=None), Hands(error=ConnectionLost("broke"))])
async def test_a_pod_that_keeps_nothing_runs_on_until_its_files_are_home(tmp_path: Path, hands: Hands) -> None:
    provider = Far(VOLUMELESS)
    (outcome,) = await carry_out(provider, [stop_of(VOLUMELESS)], tmp_path, hands)
    assert not outcome.stopped and provider.stopped == []
    assert "keeps nothing" in outcome.remarks[-1]
    home = Hands(left=())
    (outcome,) = await carry_out(provider, [stop_of(VOLUMELESS)], tmp_path, home)
    assert outcome.stopped


async def test_whoever_is_logged_in_is_told_and_has_a_minute(tmp_path: Path) -> None:
    provider, hands, told = Far(POD), Hands(), list[object]()

    async def warn(pod: Pod, text: str) -> int:
        told.append((pod.id, text))
        return 2

    async def sleep(seconds: float) -> None:
        assert provider.stopped == [] and hands.done == []
        told.append(seconds)

    Ledger(tmp_path).reconcile(await provider.list(), NOW)
    (outcome,) = await enforce(
        [stop_of(POD)], provider, tmp_path, lambda: NOW, checkpoint=hands.checkpoint, pull=hands.pull, warn=warn,
        sleep=sleep,
    )  # fmt: skip
    assert told == [("p1", "maxcai: this pod is stopped in 60 seconds: it has run for 2 hours"), 60.0]
    assert outcome.stopped and outcome.remarks == ("2 shells are open on it; told 60 s before",)


async def test_a_pod_whose_shells_cannot_be_told_is_stopped_all_the_same(tmp_path: Path) -> None:
    provider, hands = Far(POD), Hands()

    async def warn(_pod: Pod, _text: str) -> int | None:
        raise ConnectionLost("the link broke")

    (outcome,) = await enforce(
        [stop_of(POD)], provider, tmp_path, lambda: NOW, checkpoint=hands.checkpoint, pull=hands.pull, warn=warn
    )
    assert outcome.stopped and outcome.remarks == ("whoever is logged in could not be told: the link broke",)


@pytest.mark.parametrize(("shells", "act"), [(None, Act.STOP), (0, Act.STOP), (1, Act.WARN), (3, Act.WARN)])
def test_an_idle_pod_is_not_stopped_under_an_open_shell(shells: int | None, act: Act) -> None:
    idle = replace(DONE, last_active=NOW - 3600, shells=shells)
    (found,) = decide([POD], Rules(idle_minutes=30), {"p1": idle}, Money(), NOW, {"p1"})
    assert (found.rule, found.act) == (Rule.IDLE, act)
    assert ("somebody is logged in on it" in found.why) == (shells == 1)


async def test_a_pod_that_changed_since_the_decision_is_left_alone(tmp_path: Path) -> None:
    for now in (
        replace(POD, started_at=NOW - 5),
        replace(POD, status=PodStatus.STOPPED),
        replace(POD, status=PodStatus.UNKNOWN),
    ):
        provider = Far(now)
        (outcome,) = await carry_out(provider, [stop_of(POD)], tmp_path, Hands())
        assert not outcome.stopped and provider.stopped == [] and outcome.remarks


async def test_a_stop_that_fails_is_told_and_the_next_pod_is_still_stopped(tmp_path: Path) -> None:
    other = replace(POD, id="p2", name="maxcai-b")
    provider = Far(POD, other)
    provider.refuse = ProviderUnavailable("nobody answers")
    first, second = await carry_out(provider, [stop_of(POD), stop_of(other)], tmp_path, Hands())
    assert (first.stopped, first.remarks) == (False, ("not stopped: nobody answers",))
    assert second.stopped and provider.stopped == ["p2"]


async def test_warnings_do_nothing(tmp_path: Path) -> None:
    provider = Far(POD)
    assert await carry_out(provider, [Decision(POD, Act.WARN, Rule.IDLE, "")], tmp_path, Hands()) == ()
    assert provider.stopped == []


def test_ours_is_what_the_journal_says_we_made_started_or_used(tmp_path: Path) -> None:
    journal = Journal(tmp_path, lambda: NOW)
    for op, pod in (("pod.create", "a"), ("pod.start", "b"), ("run.launch", "c"), ("pod.stop", "d")):
        journal.acked(journal.intent(op, provider="runpod"), pod=pod)
    journal.failed(journal.intent("pod.start", pod="e"), "refused")
    assert ours(journal) == {"a", "b", "c"}
