"""A pod's state follows from what was observed, is never advanced by hope, and says when it has lasted too long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from remote.journal import Intent, Phase
from remote.pods.model import Endpoint, Pod, PodSession, PodStatus
from remote.renting.reducer import Do, Lack, PodView, Probe, Snapshot, reduce

NOW = 10_000.0
ADDRESS = Endpoint("10.0.0.1", 40022, "root")
POD = Pod(
    "p1", "maxcai-a", "runpod", PodStatus.RUNNING, "/workspace", "python3", gpu="A100", gpu_count=1,
    endpoint=ADDRESS, started_at=9000.0,
)  # fmt: skip
PULLING = replace(POD, status=PodStatus.PULLING, endpoint=None)
BOOTING = replace(POD, status=PodStatus.BOOTING, endpoint=None)
STOPPED = replace(POD, status=PodStatus.STOPPED, endpoint=None)
SESSION = PodSession("p1", 9000.0)
READY = Probe(SESSION, connected_at=NOW - 5, heard_at=NOW - 1, gpus=1)


def view(
    pod: Pod | None,
    probe: Probe | None = None,
    intents: Sequence[Intent] = (),
    now: float = NOW,
    previous: Sequence[PodView] = (),
    at: float | None = None,
) -> PodView:
    """The one view that follows."""
    snapshot = Snapshot(now if at is None else at, () if pod is None else (pod,))
    (found,) = reduce(previous, snapshot, {} if probe is None else {"p1": probe}, intents, now)
    return found


def act(op: str, phase: Phase, at: float = NOW, **facts: Any) -> Intent:
    return Intent(f"{op}{at}", op, phase, at, {"provider": "runpod", "pod": "p1", **facts})


def refused(at: float) -> Intent:
    return act("pod.start", Phase.FAILED, at, error="NoCapacityOnHost")


def test_running_proves_nothing_ready_needs_the_agents_word_and_every_gpu() -> None:
    assert view(POD).status is PodStatus.RUNNING
    assert view(POD, replace(READY, heard_at=None)).status is PodStatus.SSH_UP
    assert view(POD, READY).status is PodStatus.READY
    counting = view(POD, replace(READY, gpus=None))
    assert (counting.status, counting.lack) == (PodStatus.SSH_UP, None)


def test_an_agents_word_of_another_session_or_of_long_ago_makes_nothing_ready() -> None:
    assert view(POD, replace(READY, session=PodSession("p1", 8000.0))).status is PodStatus.RUNNING
    assert view(replace(POD, started_at=9500.0), READY).status is PodStatus.RUNNING
    assert view(POD, replace(READY, heard_at=NOW - 61)).status is PodStatus.RUNNING
    unsessioned = replace(POD, started_at=None)
    there = Probe(endpoint=ADDRESS, connected_at=NOW, heard_at=NOW, gpus=1)
    assert view(unsessioned, there).status is PodStatus.READY
    assert view(unsessioned, replace(there, endpoint=replace(ADDRESS, port=1))).status is PodStatus.RUNNING


def test_a_pod_without_its_gpus_is_degraded_and_says_how_many_it_has() -> None:
    asked = act("pod.create", Phase.ACKED, spec={"gpu": "A100", "gpu_count": 2})
    few = view(replace(POD, gpu_count=2), READY, [asked])
    assert (few.status, few.lack, few.why) == (PodStatus.DEGRADED, Lack.GPU, "it has 1 of 2 GPUs")
    for pod in (replace(POD, gpu_count=0), replace(PULLING, gpu_count=0)):
        assert view(pod).lack is Lack.GPU
    before = [view(POD)]
    assert view(replace(POD, gpu=None, gpu_count=0), previous=before).lack is Lack.GPU
    assert view(replace(POD, gpu=None, gpu_count=0), READY).status is PodStatus.READY  # never had one


def test_an_agent_or_ssh_that_stays_silent_degrades_the_pod_after_a_minute() -> None:
    assert view(POD, Probe(SESSION, connected_at=NOW - 59)).status is PodStatus.SSH_UP
    assert view(POD, Probe(SESSION, connected_at=NOW - 60)).lack is Lack.AGENT
    failing = Probe(SESSION, failing_at=NOW - 59, failure="nobody answers")
    assert (view(POD, failing).status, view(POD, failing).why) == (PodStatus.RUNNING, "SSH: nobody answers")
    assert view(POD, replace(failing, failing_at=NOW - 60)).lack is Lack.SSH


def test_a_pull_and_a_boot_have_deadlines_and_then_offer_a_way_out() -> None:
    first = view(PULLING, now=9010.0)
    assert (first.status, first.since, first.deadline, first.offers) == (PodStatus.PULLING, 9000.0, 9900.0, ())
    late = view(PULLING, now=9900.0, previous=[first])
    assert late.offers == (Do.WAIT, Do.STOP)
    booting = view(BOOTING, now=9910.0, previous=[late])
    assert (booting.since, booting.deadline, booting.offers) == (9910.0, 10210.0, ())
    assert Do.SHOW_LOG in view(BOOTING, now=10210.0, previous=[booting]).offers
    portless = replace(POD, endpoint=None)
    assert view(portless).status is PodStatus.BOOTING


def test_a_list_that_is_too_old_says_nothing_about_any_pod() -> None:
    before = [view(POD, READY)]
    assert view(POD, READY, previous=before, at=NOW - 36).status is PodStatus.READY
    stale = view(POD, READY, previous=before, at=NOW - 36.1)
    assert stale.status is PodStatus.UNKNOWN
    assert "36 s ago" in stale.why
    (never,) = reduce(before, None, {}, [], NOW)
    assert (never.status, never.pod) == (PodStatus.UNKNOWN, POD)


def test_one_list_without_the_pod_is_no_proof_two_are_and_the_same_one_counts_once() -> None:
    seen = view(POD, at=NOW)
    once = view(None, previous=[seen], now=NOW + 1, at=NOW + 1)
    assert once.status is PodStatus.UNKNOWN
    again = view(None, previous=[once], now=NOW + 2, at=NOW + 1)
    assert again.status is PodStatus.UNKNOWN
    twice = view(None, previous=[again], now=NOW + 13, at=NOW + 13)
    assert twice.status is PodStatus.GONE
    assert view(None, previous=[twice], now=NOW + 99_999, at=NOW).status is PodStatus.GONE
    assert view(POD, previous=[twice], now=NOW + 20).status is PodStatus.RUNNING
    back = view(POD, previous=[once], now=NOW + 13)
    assert (back.status, back.lists_without) == (PodStatus.RUNNING, 0)


def test_a_pod_that_was_terminated_is_gone_with_the_first_list_without_it() -> None:
    removal = act("pod.terminate", Phase.ACKED)
    assert view(None, intents=[removal], previous=[view(POD)], at=NOW + 1).status is PodStatus.GONE
    assert view(POD, intents=[removal]).status is PodStatus.STOPPING
    assert view(replace(POD, status=PodStatus.GONE)).status is PodStatus.GONE


def test_a_stop_counts_once_acknowledged_for_its_session_and_is_offered_again_after_three_minutes() -> None:
    for phase in (Phase.INTENT, Phase.SENT, Phase.UNKNOWN, Phase.FAILED):
        assert view(POD, intents=[act("pod.stop", phase)]).status is PodStatus.RUNNING
    stop = act("pod.stop", Phase.ACKED, NOW - 179, started_at=9000.0)
    stopping = view(POD, intents=[stop])
    assert (stopping.status, stopping.since, stopping.offers) == (PodStatus.STOPPING, NOW - 179, ())
    assert Do.STOP_AGAIN in view(POD, intents=[stop], now=NOW + 1, previous=[stopping]).offers
    assert view(replace(POD, started_at=9990.0), intents=[stop]).status is PodStatus.RUNNING  # started again since
    assert view(POD, intents=[stop, act("pod.start", Phase.SENT)]).status is PodStatus.RUNNING
    assert view(STOPPED, intents=[stop]).status is PodStatus.STOPPED
    assert view(replace(POD, started_at=None), intents=[stop], now=NOW + 200).status is PodStatus.RUNNING


def test_a_blocked_resume_offers_three_ways_and_a_next_try_that_moves_away() -> None:
    assert view(STOPPED).offers == (Do.START,)
    tries = [refused(NOW - 2000.0)]
    blocked = view(STOPPED, intents=tries)
    assert (blocked.status, blocked.offers) == (PodStatus.RESUME_BLOCKED, (Do.WAIT, Do.NEW_POD, Do.RESCUE))
    waits = []
    for _ in range(5):
        found = view(STOPPED, intents=tries)
        assert found.next_try is not None
        waits.append(found.next_try - tries[-1].at)
        tries.append(refused(tries[-1].at + 100))
    assert waits == [60, 120, 300, 600, 600]
    other = act("pod.start", Phase.FAILED, NOW, error="ProviderUnavailable")
    assert view(STOPPED, intents=[*tries, other]).status is PodStatus.STOPPED
    assert view(POD, intents=tries).status is PodStatus.RUNNING


def test_a_pod_being_made_is_shown_until_it_is_listed_or_known_not_to_exist() -> None:
    request = Intent("i", "pod.create", Phase.SENT, NOW, {"provider": "runpod", "name": "maxcai-a"})
    (making,) = reduce([], Snapshot(NOW, ()), {}, [request], NOW)
    assert (making.status, making.pod, making.offers) == (PodStatus.CREATING, None, ())
    lost = replace(request, phase=Phase.UNKNOWN)
    (looked_for,) = reduce([making], Snapshot(NOW + 130, ()), {}, [lost], NOW + 130)
    assert (looked_for.since, looked_for.offers) == (NOW, (Do.WAIT, Do.NEW_POD))
    assert reduce([making], Snapshot(NOW, ()), {}, [replace(request, phase=Phase.FAILED)], NOW) == ()
    (listed,) = reduce([making], Snapshot(NOW, (POD,)), {}, [lost], NOW)
    assert (listed.key, listed.status) == ("p1", PodStatus.RUNNING)


def test_a_state_keeps_the_time_it_was_first_seen_until_it_changes() -> None:
    first = view(POD, now=NOW)
    assert view(POD, now=NOW + 100, previous=[first]).since == NOW
    ready = view(POD, replace(READY, heard_at=NOW + 100), now=NOW + 100, previous=[first])
    assert ready.since == NOW + 100
    session = replace(POD, started_at=NOW + 150)
    assert view(session, now=NOW + 200, previous=[first]).since == NOW + 200


# --- whatever happens --------------------------------------------------------------------------------------------

PODS = st.sampled_from(
    [replace(POD, status=status, endpoint=None) for status in PodStatus]
    + [POD, replace(POD, started_at=9500.0), replace(POD, started_at=None), replace(POD, gpu_count=0)]
)
TIMES = st.floats(-200, 5)
PROBES = st.builds(
    Probe, session=st.sampled_from([None, SESSION, PodSession("p1", 9500.0)]), endpoint=st.none() | st.just(ADDRESS),
    connected_at=st.none() | TIMES, heard_at=st.none() | TIMES, gpus=st.none() | st.integers(0, 2),
    failing_at=st.none() | TIMES,
)  # fmt: skip
ACTS = st.builds(
    act, st.sampled_from(["pod.start", "pod.stop", "pod.restart", "pod.terminate", "pod.create"]),
    st.sampled_from(Phase), TIMES,
    error=st.sampled_from(["NoCapacityOnHost", "Conflict"]), started_at=st.none() | st.just(9000.0),
)  # fmt: skip
STEPS = st.lists(
    st.tuples(
        st.floats(0, 60), st.none() | PODS, st.none() | PROBES, st.lists(ACTS, max_size=3), st.floats(0, 50)
    ),
    min_size=1, max_size=8,
)  # fmt: skip


def moved(probe: Probe | None, now: float) -> dict[str, Probe]:
    """A probe whose times are before or after now."""
    if probe is None:
        return {}
    times = {name: getattr(probe, name) for name in ("connected_at", "heard_at", "failing_at")}
    return {"p1": replace(probe, **{name: None if value is None else value + now for name, value in times.items()})}


@settings(max_examples=80, deadline=None)
@given(STEPS)
def test_no_order_of_observations_makes_a_state_that_was_not_observed(steps: list[Any]) -> None:
    now, views = NOW, tuple[PodView, ...]()
    for wait, pod, probe, intents, age in steps:
        now += wait
        acts = [replace(one, at=one.at + now) for one in intents]
        snapshot = Snapshot(now - age, () if pod is None else (pod,))
        probes = moved(probe, now)
        before, views = views, reduce(views, snapshot, probes, acts, now)
        assert reduce(before, snapshot, probes, acts, now) == views
        assert reduce(views, snapshot, probes, acts, now) == views
        for one in (one for one in views if one.key == "p1"):
            check(one, pod, probes.get("p1"), acts, age, now, [old for old in before if old.key == "p1"])


def check(
    one: PodView,
    pod: Pod | None,
    probe: Probe | None,
    acts: list[Intent],
    age: float,
    now: float,
    before: list[PodView],
) -> None:
    assert one.since <= now
    was_gone = bool(before) and before[0].status is PodStatus.GONE
    if age > 36 and not (pod is None and was_gone):
        assert one.status is PodStatus.UNKNOWN
    if one.status is PodStatus.READY:
        assert pod is not None and probe is not None and probe.heard_at is not None and now - probe.heard_at <= 60
        assert probe.session == pod.session
        assert not one.asked_gpus or (probe.gpus or 0) >= one.asked_gpus
    if one.status in (PodStatus.STOPPED, PodStatus.RESUME_BLOCKED):
        assert pod is not None and pod.status.over
    if one.status is PodStatus.GONE and pod is None and not was_gone:
        terminated = any(act.op == "pod.terminate" and act.phase is Phase.ACKED for act in acts)
        assert terminated or one.lists_without >= 2
    if one.status is PodStatus.STOPPING:
        assert pod is not None and not pod.status.over
    assert one.lack is None or one.status is PodStatus.DEGRADED


@pytest.mark.parametrize("status", list(PodStatus))
def test_every_state_a_provider_can_report_has_a_view(status: PodStatus) -> None:
    assert view(replace(POD, status=status)).status in PodStatus
