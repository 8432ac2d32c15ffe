"""When a pod is to be stopped: pure rules. Doing it is `enforce`'s.

A guard can stop and never terminates. What it does not know for certain makes it warn, never act. Whether a pod may be
stopped at all is `remote.renting.permits`'s to say.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

from remote.errors import ConfigError
from remote.money.rules import BudgetState, Level, Runway, at_zero
from remote.pods.model import Pod, PodSession, PodStatus
from remote.renting.permits import Unpulled, waiting

IDLE_WARNING = 0.5
"""Share of the idle time after which a person is warned of the stop."""


class Rules(Struct, frozen=True):
    """When a pod is stopped. None switches a rule off; minutes and hours must be above zero.

    `after_run`: stop once every run is over and its files are at home.
    """

    idle_minutes: float | None = None
    max_hours: float | None = None
    after_run: bool = False

    def __post_init__(self) -> None:
        for name in ("idle_minutes", "max_hours"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"{name} is {value}.", "Give a number above zero, or leave it out.")


class Activity(Struct, frozen=True):
    """What is known of the work on one pod session. None is unknown.

    `last_active` is when it last did anything (unix seconds). `runs_alive` and `runs_over` count its runs. `unpulled`
    names the files that are not at home. `shells` counts the terminals where somebody is logged in.
    """

    session: PodSession
    last_active: float | None = None
    runs_alive: int | None = None
    runs_over: int | None = None
    unpulled: Unpulled = None
    shells: int | None = None


class Money(Struct, frozen=True):
    """What the guard knows of money. `run_pod` is the pod that the run's budget is about; None: any."""

    budgets: tuple[BudgetState, ...] = ()
    runway: Runway | None = None
    run_pod: str | None = None

    def of(self, pod: Pod) -> tuple[BudgetState, ...]:
        """The budgets that a pod counts against."""
        others = self.run_pod is not None and self.run_pod != pod.id
        return tuple(state for state in self.budgets if not (others and state.name == "run"))


class Act(StrEnum):
    """What a decision asks for."""

    WARN = "warn"
    STOP = "stop"


class Rule(StrEnum):
    """Which rule it comes from."""

    IDLE = "idle"
    AFTER_RUN = "after_run"
    MAX_HOURS = "max_hours"
    BUDGET = "budget"
    RUNWAY = "runway"
    UNKNOWN = "unknown"
    FOREIGN = "foreign"


class Decision(Struct, frozen=True):
    """One thing to do about one pod session, and why.

    Before a stop the runs alive are asked for a checkpoint (`checkpoint`) and what is missing is pulled (`pull`).
    """

    pod: Pod
    act: Act
    rule: Rule
    why: str
    checkpoint: bool = False
    pull: bool = False


def decide(
    pods: Iterable[Pod],
    rules: Rules,
    activity: Mapping[str, Activity],
    money: Money,
    now: float,
    ours: Collection[str],
) -> tuple[Decision, ...]:
    """What is to be done now (unix seconds): at most one stop a pod, by the first rule that asks for it.

    `activity` is by pod id and counts only for the pod's present session. `ours` are the ids of the pods that this
    workspace made or started; any other one is told of and never touched.
    """
    found: list[Decision] = []
    for pod in pods:
        if pod.status.over or pod.status is PodStatus.STOPPING:
            found += _runway(pod, money)
        elif pod.status is PodStatus.UNKNOWN:
            found.append(Decision(pod, Act.WARN, Rule.UNKNOWN, "its state is not known: nothing is done about it"))
        elif pod.id not in ours:
            found.append(Decision(pod, Act.WARN, Rule.FOREIGN, "it runs and is not of this workspace's making"))
        else:
            found += _one(pod, rules, _current(pod, activity), money, now)
    return tuple(found)


def _current(pod: Pod, activity: Mapping[str, Activity]) -> Activity | None:
    known = activity.get(pod.id)
    return known if known is not None and known.session == pod.session else None


def _one(pod: Pod, rules: Rules, work: Activity | None, money: Money, now: float) -> list[Decision]:
    found = [*_hours(pod, rules, now), *_over(pod, rules, work), *_budget(pod, money), *_idle(pod, rules, work, now)]
    stops = [one for one in found if one.act is Act.STOP][:1]  # what a person may have called off hides nothing else
    warnings = [one for one in found if one.act is Act.WARN]
    return [*(_prepared(one, work) for one in stops), *warnings, *_runway(pod, money)]


def _prepared(stop: Decision, work: Activity | None) -> Decision:
    """With what must come before it; what is not known to be superfluous is done."""
    checkpoint = work is None or work.runs_alive != 0
    return Decision(stop.pod, stop.act, stop.rule, stop.why, checkpoint, work is None or work.unpulled != ())


def _budget(pod: Pod, money: Money) -> list[Decision]:
    said = {Level.STOP: Act.STOP, Level.WARN: Act.WARN, Level.UNKNOWN: Act.WARN}
    return [Decision(pod, said[state.level], Rule.BUDGET, str(state)) for state in money.of(pod) if state.level in said]


def _hours(pod: Pod, rules: Rules, now: float) -> list[Decision]:
    if rules.max_hours is None:
        return []
    if pod.started_at is None:
        return [Decision(pod, Act.WARN, Rule.MAX_HOURS, "since when it runs is not known")]
    hours = (now - pod.started_at) / 3600
    if hours < rules.max_hours:
        return []
    return [Decision(pod, Act.STOP, Rule.MAX_HOURS, f"it has run for {hours:.1f} of at most {rules.max_hours:g} hours")]


def _over(pod: Pod, rules: Rules, work: Activity | None) -> list[Decision]:
    if not rules.after_run or work is None or work.runs_alive != 0 or not work.runs_over:
        return []
    if work.unpulled == ():
        return [Decision(pod, Act.STOP, Rule.AFTER_RUN, "its runs are over and their files are at home")]
    return [Decision(pod, Act.WARN, Rule.AFTER_RUN, f"its runs are over, but {waiting(work.unpulled)}")]


def _idle(pod: Pod, rules: Rules, work: Activity | None, now: float) -> list[Decision]:
    if rules.idle_minutes is None:
        return []
    if work is None or work.last_active is None:
        return [Decision(pod, Act.WARN, Rule.IDLE, "whether it does anything is not known")]
    minutes = (now - work.last_active) / 60
    if minutes < rules.idle_minutes * IDLE_WARNING:
        return []
    why = f"it has been idle for {minutes:.0f} minutes"
    if minutes < rules.idle_minutes:
        return [Decision(pod, Act.WARN, Rule.IDLE, f"{why}; at {rules.idle_minutes:g} it is stopped")]
    if work.shells:
        return [Decision(pod, Act.WARN, Rule.IDLE, f"{why}, but {logged_in(work.shells)}")]
    return [Decision(pod, Act.STOP, Rule.IDLE, why)]


def logged_in(shells: int) -> str:
    """Open shells as a clause."""
    return "somebody is logged in on it" if shells == 1 else f"{shells} shells are open on it"


def _runway(pod: Pod, money: Money) -> Sequence[Decision]:
    """What happens to this pod when the money is gone, told an hour and a quarter of an hour before."""
    fate = at_zero(pod)
    if money.runway is None or fate is None:
        return ()
    level, seconds = money.runway.level, money.runway.seconds
    if level is Level.UNKNOWN:
        return (Decision(pod, Act.WARN, Rule.RUNWAY, f"how long the money lasts is not known: {money.runway.why}"),)
    if level is Level.OK or seconds is None:
        return ()
    when = "The money is gone" if seconds == 0 else f"The money lasts {seconds / 60:.0f} more minutes"
    return (Decision(pod, Act.WARN, Rule.RUNWAY, f"{when}; then {fate}"),)
