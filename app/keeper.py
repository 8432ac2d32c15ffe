"""Watches over money and results while somebody looks on: local guard, the pod's watchdog, pulls, budgets, bills.

Only where pods are rented. Each service is a step that returns the seconds until the next one; who runs them, and
tries again after a failure, is `app.supervisor`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from app.countdown import KEPT_S, Countdowns, Record
from app.events import CostTicked, CountdownChanged
from app.reduce import ALIVE
from app.text import duration

if TYPE_CHECKING:
    from app.runs import RunEntry
    from app.supervisor import Supervisor
    from remote.guard.rules import Activity, Decision, Rules
    from remote.pods.model import Pod
    from remote.renting.permits import Unpulled

ARMED_S = 60.0
"""Seconds after a pod's start in which whoever started it arms its watchdog; nobody is told before that it is not."""
GUARD_S, WATCH_S, PULL_S, MONEY_S, BILL_S, COUNT_S = 60.0, 60.0, 60.0, 60.0, 900.0, 1.0
"""Seconds between two rounds of each service. Balance is asked twice a minute at most (RunPod's GraphQL quota)."""

IDLE = " it has been idle "
"""In what is told of a pod that does nothing."""

Step = Callable[[], Awaitable[float]]


class Keeper:
    """The services of one supervisor. Remembers what it has told, so that each warning is told once."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._told: dict[str, str] = {}
        self.countdowns = Countdowns(supervisor.workspace.state_dir, 60.0 * supervisor.settings.guard.countdown_minutes)

    def services(self) -> tuple[tuple[str, Step], ...]:
        """(name, step) of each; none for pods that cost nothing. Read-only, only money is read."""
        if not self._supervisor.fleet.rented:
            return ()
        if self._supervisor.state().readonly:
            return (("money", self.money),)
        return (
            ("money", self.money), ("guard", self.guard), ("countdown", self.count), ("watchdog", self.watchdog),
            ("results", self.results), ("bill", self.bill),
        )  # fmt: skip

    def tell_once(self, subject: str, level: str, text: str) -> None:
        """Say it, unless this level of this subject was told before."""
        if self._told.get(subject) != level:
            self._told[subject] = level
            self._supervisor.say(level, text)

    def _running(self) -> list[Pod]:
        """The pods of ours that run and can be reached."""
        from remote.pods.model import PodStatus

        fleet = self._supervisor.fleet
        return [pod for pod in fleet.pods if fleet.is_ours(pod) and pod.status is PodStatus.RUNNING and pod.endpoint]

    # --- money -------------------------------------------------------------------------------------------------------

    async def money(self) -> float:
        """Read balance, burn and budgets; warn at 80 and 100 % of a budget, and when the money runs out."""
        from app.rent import budgets

        supervisor = self._supervisor
        if not supervisor.fleet.pods:
            await supervisor.look()
        found = await supervisor.fleet.read_account(budgets(supervisor.settings), self.measured_run())
        supervisor.emit(CostTicked(supervisor.fleet.cost(supervisor.clock())))
        for state in found.budgets:
            if state.level in ("warn", "stop", "unknown"):
                level = "error" if state.level == "stop" else "warn"
                self.tell_once(f"budget {state.name}", level, f"budget: {state}")
            else:
                self._told.pop(f"budget {state.name}", None)  # a new day, or a larger budget: the next time is another
        lasts = found.runway
        if lasts.level in ("warn", "stop") and lasts.seconds is not None:
            level = "error" if lasts.level == "stop" else "warn"
            self.tell_once("runway", level, f"the money lasts {duration(lasts.seconds)} (h:mm:ss) at this rate")
        else:
            self._told.pop("runway", None)
        return MONEY_S

    def measured_run(self) -> tuple[str, float] | None:
        """The pod of the newest run and when that began: what the run's budget is about."""
        entry = self._supervisor.book.find(None)
        if entry is None:
            return None
        run = self._supervisor.state().run
        if run is None or run.run_id != entry.run_id:
            from app.history import run_view

            run = run_view(self._supervisor.workspace, entry)
        began = entry.started if run.started_at is None else run.started_at
        pod = next((one for one in self._supervisor.fleet.pods if one.id == entry.pod), None)
        if pod is not None and pod.started_at is not None and pod.started_at > max(began, entry.started):
            return None  # the pod was started anew: its session is not that run's
        return entry.pod, began

    async def bill(self) -> float:
        """Put what was billed beside the ledger."""
        from remote.money import billing

        fleet = self._supervisor.fleet
        found = await billing.reconcile(fleet.provider, fleet.state_dir, fleet.clock)
        if found is not None and found.stray:
            total = sum(record.total or 0 for record in found.stray)
            text = f"${total:.2f} were billed for times in which no session of this workspace is known: `maxcai cost`"
            self.tell_once("stray", "warn", text)
        return BILL_S

    # --- guard -------------------------------------------------------------------------------------------------------

    def rules(self) -> Rules:
        """When this machine stops a pod, by the settings."""
        from remote.guard.rules import Rules

        settings = self._supervisor.settings
        return Rules(settings.guard.idle_minutes, settings.guard.max_hours, settings.stop_after_run)

    async def guard(self) -> float:
        """One round of the local guard: decide, tell, count down, stop."""
        from remote.guard.enforce import enforce
        from remote.guard.rules import Act

        supervisor, fleet = self._supervisor, self._supervisor.fleet
        decisions = await self.decisions()
        standing = {_subject(one) for one in decisions}
        for told in [one for one in self._told if IDLE in one and one not in standing]:
            del self._told[told]  # it worked again: the next idleness is another
        for one in decisions:
            if one.act is Act.WARN and one.rule not in ("budget", "runway"):  # those are `money`'s to tell
                self.tell_once(_subject(one), "warn", f"pod {one.pod.name}: {one.why}")
        stops = self.countdowns.due((one for one in decisions if one.act is Act.STOP), supervisor.clock())
        await self.count()
        for one in stops:
            supervisor.say("warn", f"pod {one.pod.name} is being stopped: {one.why}")
        outcomes = await enforce(
            stops, fleet.provider, fleet.state_dir, fleet.clock, checkpoint=self._checkpoint, pull=self._pull,
            warn=self._warn, checkpoint_s=self._publish_s + 60,
        )  # fmt: skip
        for outcome in outcomes:
            said = "".join(f"; {remark}" for remark in outcome.remarks)
            word, level = ("stopped", "ok") if outcome.stopped else ("NOT stopped", "error")
            supervisor.say(level, f"pod {outcome.decision.pod.name} was {word} ({outcome.decision.why}){said}")
        if outcomes:
            await supervisor.look()
        record = self.countdowns.running(supervisor.clock())
        return GUARD_S if record is None else min(GUARD_S, max(COUNT_S, record.ends - supervisor.clock()))

    async def count(self) -> float:
        """Show what is counted down, by whichever process of this workspace, and that it no longer is."""
        supervisor = self._supervisor
        record = self.countdowns.running(supervisor.clock())
        before, now = supervisor.state().countdown, None if record is None else record.view
        if now is not None and (before is None or before.begun != now.begun):
            left = duration(max(0.0, now.ends - supervisor.clock()))
            supervisor.say("warn", f"pod {now.name} is stopped in {left} unless somebody keeps it: {now.why}")
        if now != before:
            supervisor.emit(CountdownChanged(now))
        return COUNT_S

    async def keep(self, seconds: float | None = None) -> tuple[Record, ...]:
        """A person keeps the pods that are about to be stopped, for so long; by default as their rule allows."""
        supervisor, settings = self._supervisor, self._supervisor.settings
        idle = 60.0 * (settings.guard.idle_minutes or 0.0) or KEPT_S
        allowed = {"idle": seconds or idle, "budget": seconds or KEPT_S}
        ended = self.countdowns.keep(supervisor.clock(), allowed)
        await self.count()
        for one in ended:
            left = duration(allowed[one.rule])
            supervisor.say("ok", f"pod {one.name} is kept: no stop for this in the next {left} (h:mm:ss)")
        return ended

    async def decisions(self) -> tuple[Decision, ...]:
        """What the local guard would do now."""
        from remote.guard.enforce import ours
        from remote.guard.rules import Money, decide

        supervisor, fleet = self._supervisor, self._supervisor.fleet
        await supervisor.look()
        running = self._running()
        seen = await asyncio.gather(*map(self._observe, running))
        work = {pod.id: one for pod, one in zip(running, seen, strict=True) if one is not None}
        account = fleet.account
        run = self.measured_run()
        money = Money() if account is None else Money(account.budgets, account.runway, run and run[0])
        rules = self.rules()
        if rules.after_run and supervisor.book.is_launching():
            from msgspec.structs import replace

            rules = replace(rules, after_run=False)  # the next run is on its way: the end of the last one stops nothing
        return decide(fleet.pods, rules, work, money, supervisor.clock(), ours(fleet.journal))

    async def _observe(self, pod: Pod) -> Activity | None:
        from remote.errors import RemoteError
        from remote.guard.activity import observe

        supervisor = self._supervisor
        try:
            agent = await supervisor.link.agent(pod.id)
            workspace = supervisor.workspace
            return await observe(pod, agent, workspace.state_dir, workspace.runs_dir, supervisor.clock())
        except RemoteError:
            return None  # what cannot be asked has no activity: the guard warns and leaves it alone

    @property
    def _publish_s(self) -> float:
        """Seconds that a run has for its checkpoint before it is ended."""
        return 60 * self._supervisor.settings.guard.publish_minutes

    async def _checkpoint(self, pod: Pod) -> None:
        from remote.guard.activity import end_runs

        await end_runs(await self._supervisor.link.agent(pod.id), self._publish_s)

    async def _pull(self, pod: Pod) -> Unpulled:
        from remote.guard.activity import bring_home

        return await bring_home(await self._supervisor.link.agent(pod.id), self._supervisor.workspace.runs_dir)

    async def _warn(self, pod: Pod, text: str) -> int | None:
        from remote.guard.activity import tell_shells

        return await tell_shells(await self._supervisor.link.agent(pod.id), text)

    # --- the pod -----------------------------------------------------------------------------------------------------

    async def watchdog(self) -> float:
        """Renew the lease on every pod, if there is one, and see what their watchdogs are worth.

        The shown pod's link is kept up, and tried again, by another service. Raises what went wrong with one pod once
        all of them were asked.
        """
        supervisor, shown = self._supervisor, self._supervisor.state().pod
        pods = [pod for pod in self._running() if shown is None or pod.id != shown.id or supervisor.link.stands(pod.id)]
        if not pods:
            return 5.0
        outcomes = await asyncio.gather(*map(self._renew, pods), return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome
        lease = supervisor.settings.guard.lease_minutes
        return WATCH_S if lease is None else min(WATCH_S, lease * 20.0)

    async def _renew(self, pod: Pod) -> None:
        from app import arming

        supervisor, lease = self._supervisor, self._supervisor.settings.guard.lease_minutes
        report = await arming.ask(supervisor, pod, "report" if lease is None else "renew")
        settled = pod.started_at is None or supervisor.clock() - pod.started_at > ARMED_S
        if report.level == "red" and settled:
            text = f"AUTOMATIC STOP IS NOT ARMED on pod {pod.name}: {report.reason}"
            self.tell_once(f"{pod.id} watchdog", "error", text)
        for disk in report.low_disk:
            self.tell_once(f"{pod.id} {disk}", "warn", f"{disk} of pod {pod.name} is nearly full")

    async def results(self) -> float:
        """Bring home what a run has finished so far, metrics first; warn when its newest checkpoint here is old."""
        supervisor = self._supervisor
        entry, run = supervisor.book.find(None), supervisor.state().run
        alive = entry is not None and run is not None and run.run_id == entry.run_id and run.state in ALIVE
        if entry is None or not alive or not supervisor.link.stands(entry.pod):
            return 5.0
        await supervisor.pull(entry, quiet=True)
        self._checkpoint_age(entry)
        return PULL_S

    def _checkpoint_age(self, entry: RunEntry) -> None:
        from remote.sync.ledger import CHECKPOINT_OLD_S, checkpoint_age

        supervisor = self._supervisor
        age = checkpoint_age(supervisor.workspace.run_dir(entry.run_id), supervisor.clock())
        if age is not None and age > CHECKPOINT_OLD_S:
            text = f"the newest verified checkpoint at home is {duration(age)} (h:mm:ss) old"
            self.tell_once(f"{entry.run_id} checkpoint", "warn", text)


def _subject(decision: Decision) -> str:
    """What a decision is about: minutes and amounts that go on counting make it no new one."""
    return re.sub(r"\d+", "", f"{decision.pod.id} {decision.rule} {decision.why}")
