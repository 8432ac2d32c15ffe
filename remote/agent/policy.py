"""When a pod stops itself: the rules of a policy over what was seen. Pure; times are seconds of one growing clock."""

from __future__ import annotations

import math
from typing import Any

from .disk import Json, Refused

LIMITS = ("max_hours", "idle_minutes", "lease_minutes", "budget_usd", "price_per_hour", "min_free_gb")
"""Each a number above 0, or None: no such rule."""
DEFAULTS: Json = {
    **dict.fromkeys(LIMITS),
    "after_exit": "keep",
    "pull_grace_minutes": 20.0,
    "publish_minutes": 10.0,
    "elapsed_s": 0.0,
    "runs": [],
    "tick_s": 10.0,
}
"""`elapsed_s`: how long this pod session had run before it was armed. `runs`: whose end after_exit awaits ([]: any)."""
GPU_IDLE = 5.0  # percent; below it a GPU does nothing for anybody


def checked(raw: Any) -> Json:
    """The policy with every field filled in. Raises Refused("bad_request") for one that makes no sense."""
    if not isinstance(raw, dict) or set(raw) - set(DEFAULTS):
        raise Refused("bad_request", f"a policy has the fields {', '.join(DEFAULTS)}")
    policy = {**DEFAULTS, **raw}
    for name, value in policy.items():
        if name in ("after_exit", "runs") or (value is None and name in LIMITS):
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
            raise Refused("bad_request", f"{name} is {value!r}, which is no such amount")
        if value == 0 and name in (*LIMITS, "tick_s"):
            raise Refused("bad_request", f"{name} must be above 0")
    if policy["after_exit"] not in ("stop", "keep"):
        raise Refused("bad_request", 'after_exit is "stop" or "keep"')
    if not isinstance(policy["runs"], list) or not all(isinstance(run, str) for run in policy["runs"]):
        raise Refused("bad_request", "runs is a list of run ids")
    if policy["budget_usd"] is not None and policy["price_per_hour"] is None:
        raise Refused("bad_request", "a budget needs a price per hour")
    rules = ("max_hours", "idle_minutes", "lease_minutes", "budget_usd")
    if policy["after_exit"] == "keep" and all(policy[name] is None for name in rules):
        raise Refused("bad_request", "this policy has no rule that ever stops the pod")
    return policy


def allowed_s(policy: Json) -> Json:
    """Seconds that each limit on the whole session leaves from the arming on."""
    found = {}
    if policy["max_hours"] is not None:
        found["max_hours"] = policy["max_hours"] * 3600 - policy["elapsed_s"]
    if policy["budget_usd"] is not None:
        found["budget"] = policy["budget_usd"] / policy["price_per_hour"] * 3600 - policy["elapsed_s"]
    return found


def rules(policy: Json, seen: Json, now: float) -> list[Json]:
    """What would stop the pod and in how many seconds, soonest first: [{"rule", "left_s"}].

    `seen` has the clock readings `armed`, `renewed`, `active` (last sign of use) and `ended` (when the last job was
    found to have ended; None while one lives or none has run since the arming).
    """
    ends = {name: seen["armed"] + seconds for name, seconds in allowed_s(policy).items()}
    if policy["lease_minutes"] is not None:
        ends["lease"] = max(seen["armed"], seen["renewed"]) + policy["lease_minutes"] * 60
    if policy["idle_minutes"] is not None:
        ends["idle"] = seen["active"] + policy["idle_minutes"] * 60
    if policy["after_exit"] == "stop" and seen["ended"] is not None:
        ends["after_exit"] = seen["ended"] + policy["pull_grace_minutes"] * 60
    rows = [{"rule": name, "left_s": round(end - now, 3)} for name, end in ends.items()]
    return sorted(rows, key=lambda row: row["left_s"])


def in_use(gpu: Any, sessions: Any, grown: bool) -> bool:
    """Whether anything uses the pod. A GPU or a connection that cannot be read is no sign of use: the logs decide."""
    return bool(grown or (gpu is not None and gpu >= GPU_IDLE) or sessions)


def all_ended(policy: Json, before: list[Any], jobs: list[Any]) -> bool:
    """Whether the jobs of this arming are over. Jobs are [run id, attempt, state]; `before`, those over before it."""
    if any(state in ("running", "orphaned") for _, _, state in jobs):
        return False
    done = {run_id for run_id, attempt, _ in jobs if [run_id, attempt] not in before}
    return set(policy["runs"]) <= done if policy["runs"] else bool(done)
