"""When a pod stops itself: the rules on made-up clocks, and one watch over a made-up world, without any waiting."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote.agent import policy as rulebook
from remote.agent.disk import Refused
from remote.agent.stopping import Way
from remote.agent.watching import Watch

NO_RULE_FIRES = 10**9


def seen(**more: float | None) -> dict[str, Any]:
    return {"armed": 0.0, "renewed": 0.0, "active": 0.0, "ended": None, **more}


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"after_exit": "keep"},
        {"max_hours": 0},
        {"max_hours": -1},
        {"max_hours": True},
        {"max_hours": "4"},
        {"max_hours": float("nan")},
        {"max_hours": float("inf")},
        {"max_hours": 1, "after_exit": "terminate"},
        {"max_hours": 1, "what": 1},
        {"budget_usd": 5},
        {"max_hours": 1, "tick_s": 0},
        {"max_hours": 1, "publish_minutes": None},
        {"max_hours": 1, "runs": "A"},
        [],
        None,
    ],
)
def test_a_policy_that_stops_nothing_or_makes_no_sense_is_refused(bad: object) -> None:
    with pytest.raises(Refused) as caught:
        rulebook.checked(bad)
    assert caught.value.code == "bad_request"


def test_each_rule_has_its_own_end_and_the_soonest_comes_first() -> None:
    policy = rulebook.checked(
        {
            "max_hours": 10,
            "elapsed_s": 3600,
            "idle_minutes": 30,
            "lease_minutes": 60,
            "budget_usd": 3.48,
            "price_per_hour": 1.74,
            "after_exit": "stop",
            "pull_grace_minutes": 5,
        }
    )
    rows = {row["rule"]: row["left_s"] for row in rulebook.rules(policy, seen(renewed=600.0, active=1200.0), 1300.0)}
    assert rows == {"max_hours": 9 * 3600 - 1300, "budget": 3600 - 1300, "lease": 4200 - 1300, "idle": 3000 - 1300}
    ended = rulebook.rules(policy, seen(ended=1250.0), 1300.0)
    assert ended[0] == {"rule": "after_exit", "left_s": 250.0}


@given(
    st.dictionaries(
        st.sampled_from(["max_hours", "idle_minutes", "lease_minutes"]), st.floats(0.01, 100), min_size=1, max_size=3
    ),
    st.lists(st.floats(0, 1e6), min_size=3, max_size=3),
    st.floats(0, 1e6),
)
def test_time_only_brings_a_stop_nearer_and_signs_of_use_only_put_it_off(
    limits: dict[str, float], marks: list[float], later: float
) -> None:
    policy = rulebook.checked(limits)
    armed, renewed, active = marks
    now = max(marks)
    facts = {"armed": armed, "renewed": renewed, "active": active, "ended": None}
    before = rulebook.rules(policy, facts, now)
    assert before == sorted(before, key=lambda row: row["left_s"])
    after = {row["rule"]: row["left_s"] for row in rulebook.rules(policy, facts, now + later)}
    used = {row["rule"]: row["left_s"] for row in rulebook.rules(policy, {**facts, "active": now, "renewed": now}, now)}
    for row in before:
        assert after[row["rule"]] <= row["left_s"]
        assert used[row["rule"]] >= row["left_s"]


def test_an_unreadable_gpu_or_connection_is_no_sign_of_use_and_any_readable_one_is() -> None:
    assert not rulebook.in_use(None, None, grown=False)
    assert not rulebook.in_use(4.9, 0, grown=False)
    assert rulebook.in_use(5.0, 0, grown=False)
    assert rulebook.in_use(None, 1, grown=False)
    assert rulebook.in_use(None, None, grown=True)


class FakeWorld:
    """What a test says of the pod; remembers what it was told to do. `accept` lists ways that answer well."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.found: dict[str, Any] | None = {"jobs": [], "written": 0}
        self.use: float | None = 0.0
        self.ssh: int | None = 0
        self.accept: set[str] = set()
        self.replies: dict[str, dict[str, Any]] = {}
        self.asked: list[float] = []
        self.stops: list[tuple[float, str]] = []
        self.lines: list[dict[str, Any]] = []
        self.names = ["v2", "graphql", "runpodctl", "runpodctl-old"]

    def jobs(self) -> dict[str, Any] | None:
        return self.found

    def gpu(self) -> float | None:
        return self.use

    def sessions(self) -> int | None:
        return self.ssh

    def free(self) -> dict[str, int]:
        return {"root": 1, "system": 1}

    def access(self) -> dict[str, Any]:
        return {"ok": True, "paths": ["v2"], "detail": ""}

    def publish(self, grace_s: float, why: str) -> None:
        self.asked.append(grace_s)

    def ways(self) -> list[Way]:
        return [Way(name, lambda _: {}) for name in self.names]

    def stop(self, way: Way, why: str) -> dict[str, Any]:
        self.stops.append((self.now, way.name))
        return self.replies.get(way.name, {"ok": way.name in self.accept, "detail": "refused"})

    def record(self, line: dict[str, Any]) -> None:
        self.lines.append(line)

    def run(self, watch: Watch, until: Callable[[], bool], limit_s: float, renewed: float = 0.0) -> bool:
        """Rounds on this clock until something holds; False when `limit_s` seconds passed first."""
        end = self.now + limit_s
        while not until() and self.now < end:
            pause = watch.tick(renewed)
            assert 0 <= pause <= 600
            self.now += pause or 0.001
        return until()


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld()


def watching(world: FakeWorld, memory: dict[str, Any] | None = None, **policy: Any) -> Watch:
    note = {"policy": rulebook.checked(policy), "armed": 1000.0, "arming": "a", "incarnation": "i", "before": []}
    return Watch(note, world, memory or {}, lambda: world.now)


def test_at_the_deadline_the_pod_is_stopped_and_not_a_round_earlier(world: FakeWorld) -> None:
    watch = watching(world, max_hours=2)
    world.use, world.ssh = 99.0, 3  # in full use: a deadline is a deadline
    assert not world.run(watch, lambda: bool(world.stops), 7190)
    assert world.run(watch, lambda: bool(world.stops), 30)
    assert (watch.fired, watch.phase) == ("max_hours", "stopping")
    assert world.stops[0][0] >= 1000 + 7200


@pytest.mark.parametrize("sign", ["gpu", "ssh", "logs"])
def test_any_sign_of_use_keeps_an_idle_rule_from_firing(world: FakeWorld, sign: str) -> None:
    watch = watching(world, idle_minutes=10)

    def use() -> bool:
        world.use = 50.0 if sign == "gpu" else None
        world.ssh = 1 if sign == "ssh" else None
        if sign == "logs" and world.found is not None:
            world.found = {"jobs": [], "written": world.found["written"] + 1}
        return bool(world.stops)

    assert not world.run(watch, use, 4 * 3600)
    world.use = world.ssh = None
    assert world.run(watch, lambda: bool(world.stops), 700)
    assert watch.fired == "idle"


def test_a_volume_that_hangs_keeps_no_rule_from_stopping_the_pod(world: FakeWorld) -> None:
    world.found, world.use, world.ssh = None, None, None
    watch = watching(world, max_hours=1, publish_minutes=5)
    assert world.run(watch, lambda: bool(world.stops), 3600 + 400)
    assert watch.seen["alive"] is None
    assert world.stops[0][0] >= 1000 + 3600 + 300  # the jobs had their time, seen or not


def test_the_end_of_the_last_job_starts_the_grace_and_a_new_job_ends_it(world: FakeWorld) -> None:
    watch = watching(world, after_exit="stop", pull_grace_minutes=20)
    assert not world.run(watch, lambda: bool(world.stops), 5 * 3600)  # no job has run yet
    world.found = {"jobs": [["A", 1, "running"]], "written": 0}
    assert not world.run(watch, lambda: bool(world.stops), 600)
    world.found = {"jobs": [["A", 1, "exited"]], "written": 0}
    assert not world.run(watch, lambda: bool(world.stops), 1100)
    world.found = {"jobs": [["A", 1, "exited"], ["B", 1, "running"]], "written": 0}
    assert not world.run(watch, lambda: bool(world.stops), 600)
    world.found = {"jobs": [["A", 1, "exited"], ["B", 1, "lost"]], "written": 0}
    assert world.run(watch, lambda: bool(world.stops), 1300)
    assert watch.fired == "after_exit"


def test_jobs_that_were_over_before_and_jobs_that_are_not_meant_do_not_count(world: FakeWorld) -> None:
    jobs = [["old", 1, "exited"]]
    policy = rulebook.checked({"after_exit": "stop"})
    assert not rulebook.all_ended(policy, [["old", 1]], jobs)
    assert rulebook.all_ended(policy, [["old", 1]], [*jobs, ["A", 1, "exited"]])
    assert rulebook.all_ended(policy, [["old", 1]], [["old", 2, "lost"]])
    named = rulebook.checked({"after_exit": "stop", "runs": ["A"]})
    assert not rulebook.all_ended(named, [], [["setup", 1, "exited"]])
    assert not rulebook.all_ended(named, [], [["A", 1, "exited"], ["setup", 1, "running"]])
    assert rulebook.all_ended(named, [], [["A", 1, "exited"], ["setup", 1, "exited"]])


def test_a_renewed_lease_holds_and_a_forgotten_one_stops_the_pod(world: FakeWorld) -> None:
    watch = watching(world, lease_minutes=30)
    assert not world.run(watch, lambda: bool(world.stops), 3000, renewed=3000.0)
    assert world.run(watch, lambda: bool(world.stops), 2000, renewed=3000.0)
    assert world.stops[0][0] >= 3000 + 1800


def test_running_jobs_are_asked_to_save_before_any_stop_and_have_their_time(world: FakeWorld) -> None:
    watch = watching(world, max_hours=1, publish_minutes=10)
    world.found = {"jobs": [["A", 1, "running"]], "written": 0}
    assert world.run(watch, lambda: bool(world.asked), 4000)
    assert world.asked == [600.0]
    assert not world.run(watch, lambda: bool(world.stops), 300)
    world.found = {"jobs": [["A", 1, "exited"]], "written": 0}
    assert world.run(watch, lambda: bool(world.stops), 30)
    assert len(world.asked) == 1


def test_a_job_that_never_ends_does_not_keep_the_pod_alive(world: FakeWorld) -> None:
    watch = watching(world, max_hours=1, publish_minutes=10)
    world.found = {"jobs": [["A", 1, "running"]], "written": 0}
    assert world.run(watch, lambda: bool(world.stops), 3600 + 600 + 60)


def test_refused_stops_are_tried_by_every_way_in_order_and_for_ever(world: FakeWorld) -> None:
    watch = watching(world, max_hours=1)
    world.run(watch, lambda: len(world.stops) >= 400, 10 * 24 * 3600)
    names = [name for _, name in world.stops]
    assert names[:8] == world.names * 2
    assert len(names) == 400
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(world.stops)]
    assert max(gaps) <= 61
    assert [line["way"] for line in world.lines if "ok" in line] == names
    assert ["ok" in line for line in world.lines[:4]] == [False, True, False, True]  # written before and after
    assert watch.tries == 400


def test_a_stop_that_was_accepted_and_did_nothing_is_followed_by_the_next_way(world: FakeWorld) -> None:
    world.accept = {"v2"}
    watch = watching(world, max_hours=1)
    world.run(watch, lambda: len(world.stops) >= 3, 8000)
    (first, _), (second, name), _ = world.stops[:3]
    assert second - first >= 60
    assert name == "graphql"


def test_a_way_that_asks_for_patience_gets_it_while_the_others_go_on(world: FakeWorld) -> None:
    world.replies = {"v2": {"ok": False, "detail": "429", "retry_after": 300.0}}
    watch = watching(world, max_hours=1)
    world.run(watch, lambda: len(world.stops) >= 60, 20_000)
    v2 = [at for at, name in world.stops if name == "v2"]
    assert len(v2) >= 2
    assert all(later - earlier >= 300 for earlier, later in pairwise(v2))


def test_a_watch_that_died_goes_on_where_it_was(world: FakeWorld) -> None:
    watch = watching(world, max_hours=1)
    world.run(watch, lambda: watch.tries >= 2, 8000)
    again = watching(world, memory=watch.memory(), max_hours=1)
    again.tick(0.0)
    assert (again.fired, again.tries, world.stops[-1][1]) == ("max_hours", 3, "runpodctl")
    quiet = watching(world, idle_minutes=60)
    world.now += 1800
    quiet.tick(0.0)
    reborn = watching(world, memory=quiet.memory(), idle_minutes=60)
    assert reborn.active == quiet.active


def test_a_pod_without_means_to_stop_itself_says_so_and_harms_nothing(world: FakeWorld) -> None:
    world.names = []
    watch = watching(world, max_hours=1)
    world.run(watch, lambda: watch.last is not None, 5000)
    assert watch.last is not None
    assert not watch.last["ok"]
    assert "no means" in watch.last["detail"]
