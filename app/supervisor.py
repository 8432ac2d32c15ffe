"""Owns the services on one asyncio loop: pods, link, the followed run, money, sleep and wake.

A service's failure becomes a `Failed` event and a later try, never an exception out of `run`. The panel runs all of
them; a single command uses the same object without `run`.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from app.damage import damages
from app.errors import AppError, Refused, sentence
from app.events import (
    Acknowledged,
    ActivityChanged,
    ActivityEnded,
    AppEvent,
    CostTicked,
    Failed,
    Hinted,
    JobReported,
    LinkChanged,
    Noted,
    PodsListed,
    Pulled,
    RunsKnown,
    Woke,
)
from app.fleet import Fleet, views
from app.follow import Follower
from app.history import ids, is_home, mark_home
from app.keeper import Keeper
from app.link import Link
from app.reduce import ALIVE, MOVING
from app.reminders import hint
from app.rent import ensure
from app.runs import RunBook, RunEntry
from app.seen import acknowledged
from app.settings import Settings
from app.settle import being_launched, settle_runs
from app.state import Activity, AppState, LinkView, PodView, RunView
from app.tasks import ended
from app.workspace import Workspace
from remote.errors import RemoteError
from remote.pods.model import Pod, PodStatus

if TYPE_CHECKING:
    from remote.agent.client import Agent
    from remote.renting.permits import Permit

POLL_S, POLL_FAST_S, PING_S, COST_S, TICK_S = 12.0, 2.0, 15.0, 5.0, 1.0
BACKOFF_S = (0.5, 30.0)
JUMP_S = 5.0
"""A wall clock that runs this many seconds ahead of the monotonic one within a tick means that the machine slept."""


def _unit() -> float:
    """A number in [0, 1) at random."""
    return int.from_bytes(os.urandom(6), "big") / 2**48


class Supervisor:
    """The services of one workspace.

    Args:
        workspace: the folder worked in.
        settings: its settings.
        emit: told of every event, on the loop's thread.
        state: gives the present picture.
        clock: unix seconds; `monotonic`: seconds that stand still while the machine sleeps.
        random_unit: a number in [0, 1) for the jitter of retries.
    """

    def __init__(
        self,
        workspace: Workspace,
        settings: Settings,
        emit: Callable[[AppEvent], None],
        state: Callable[[], AppState],
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        random_unit: Callable[[], float] = _unit,
    ) -> None:
        self.workspace = workspace
        self.settings = settings
        self.emit = emit
        self.state = state
        self.clock = clock
        self._monotonic = monotonic
        self._random = random_unit
        self.fleet = Fleet(settings.provider, workspace.state_dir, clock, transport=settings.runpod.transport)
        self.book = RunBook(workspace.state_dir)
        self.link = Link(self.fleet, workspace.state_dir, emit, self._greet)
        self.serving = False
        self._looked, self._unwritten = False, ""
        self._nudge = asyncio.Event()
        self._apart: float | None = None  # wall clock less monotonic, as of the last tick
        self._follower: tuple[RunEntry, asyncio.Task[None]] | None = None
        self._pulling = asyncio.Lock()
        self.keeper = Keeper(self)

    # --- services ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run every service until cancelled."""
        self.serving = True
        self.emit(Acknowledged(acknowledged(self.workspace.state_dir)))
        if (line := hint(self.settings, self.workspace)) is not None:
            self.emit(Hinted(line))
        services = (("pods", self._poll), ("link", self._ping), ("cost", self._cost), ("clock", self._tick))
        try:
            async with asyncio.TaskGroup() as group:
                for name, step in (*services, *self.keeper.services()):
                    group.create_task(self._service(name, step), name=name)
                self._resume_following()
        finally:
            self.serving = False
            await self.close()

    def refresh(self) -> None:
        """Do everything that waits now: polls, retries, reconnects."""
        self._nudge.set()
        self._nudge = asyncio.Event()

    async def close(self) -> None:
        """Stop following and close the link. What runs on the pod goes on."""
        if self._follower is not None:
            await ended(self._follower[1])
            self._follower = None
        await self.link.close()
        await self.fleet.close()

    @asynccontextmanager
    async def _kept(self) -> AsyncIterator[None]:
        """While somebody follows a run without the panel: guard, lease, pulls and bills all the same."""
        services = () if self.serving else self.keeper.services()
        tasks = [asyncio.create_task(self._service(name, step), name=name) for name, step in services]
        try:
            yield
        finally:
            await ended(*tasks)

    async def _service(self, name: str, step: Callable[[], Awaitable[float]]) -> None:
        """Repeat a step, which returns the seconds until the next one; a failing one is tried again ever later."""
        failures = 0
        while True:
            try:
                wait = await step()
                failures = 0
            except Exception as error:
                wait = self.backoff(failures)
                failures += 1
                self.emit(Failed(name, sentence(error), wait, self.clock()))
            await self._wait(wait)

    def backoff(self, failures: int) -> float:
        """Seconds until the next try: doubling from 0.5 to 30, less up to a half at random."""
        low, high = BACKOFF_S
        return min(high, low * 2.0 ** min(failures, 16)) * (1.0 - 0.5 * self._random())

    async def _wait(self, seconds: float) -> None:
        """Wait, unless `refresh` is called first."""
        nudge = self._nudge
        try:
            await asyncio.wait_for(nudge.wait(), seconds)
        except TimeoutError:
            return

    async def _poll(self) -> float:
        try:
            pods = await self.fleet.list()
        except RemoteError:
            self.fleet.review()  # what was known grows old
            if self.fleet.pods:
                self.emit(PodsListed(views(self.fleet), self.state().pods_at or self.clock()))
            raise
        self._listed()
        return POLL_FAST_S if any(pod.status in MOVING for pod in pods) else POLL_S

    async def _ping(self) -> float:
        """Keep the link up while a pod runs; its latency is what one word to the agent takes."""
        pod = self.state().pod
        if pod is None or pod.status != PodStatus.RUNNING:
            return POLL_FAST_S
        agent = await self.link.agent(pod.id)
        asked = self._monotonic()
        try:
            self.link.heard(pod.id, len((await agent.hello()).gpus))
        except RemoteError:
            await self.link.drop(pod.id)
            raise
        now, link = self.clock(), self.state().link
        seconds = self._monotonic() - asked
        self.emit(LinkChanged(LinkView("up", latency_s=seconds, data_at=now, verified=link.verified), pod.id))
        return PING_S

    async def _cost(self) -> float:
        self.emit(CostTicked(self.fleet.cost(self.clock())))
        return COST_S

    async def _tick(self) -> float:
        """Watch both clocks for one tick; a wall clock that leapt means the machine slept and the link is dead.

        The leap is counted from the tick before, not from the beginning of this one: no moment lies between them.
        """
        began = self._monotonic()
        before = self.clock() - began if self._apart is None else self._apart
        await asyncio.sleep(TICK_S)
        self._apart = self.clock() - self._monotonic()
        gap, frozen = self._apart - before, self._monotonic() - began - TICK_S
        if max(gap, frozen) > JUMP_S:
            await self.woke(max(gap, frozen))
        return 0.0

    async def woke(self, gap_s: float) -> None:
        """Drop the connection, which cannot have survived, and do everything anew."""
        self.emit(Woke(self.clock(), gap_s))
        await self.link.drop()
        self.refresh()

    async def _greet(self, agent: Agent, pod_id: str) -> None:
        await settle_runs(self.fleet.journal, agent, pod_id, self.clock)

    # --- pods --------------------------------------------------------------------------------------------------------

    async def look(self) -> None:
        """One look at the pods, without any service."""
        await self.fleet.list()
        self._listed()
        await self.keeper.count()

    async def pods(self) -> tuple[PodView, ...]:
        """Every pod as it is now."""
        await self.look()
        return self.state().pods

    async def pod(self, name: str | None) -> Pod:
        """The pod of this id or name, or the first one. Raises UsageError when there is none."""
        pod = await self.fleet.find(name)
        self._listed()
        return pod

    async def start_pod(self, name: str | None, *, agreed: bool = False) -> Pod:
        """Start the pod unless it runs, and wait for its address. Where pods are rented, one is made if there is none.

        Raises Unagreed before anything that costs money, unless `agreed`.
        """
        if self.fleet.rented:
            return await ensure(self, name, agreed=agreed)
        pod = await self.pod(name)
        if pod.status is PodStatus.RUNNING and pod.endpoint is not None:
            return pod
        with self.activity("pod.start", f"starting pod {pod.id}"):
            pod = await self.fleet.start(pod.id)
            self._listed()
        return pod

    async def stop_pod(self, pod: Pod, permit: Permit | None = None, because: str = "") -> Pod:
        """Stop the pod without asking; the guard is the caller's. The link is closed first."""
        with self.activity("pod.stop", f"stopping pod {pod.id}"):
            await self.link.close(pod.id)
            pod = await self.fleet.stop(pod, permit, because)
            self._listed()
        return pod

    def _listed(self) -> None:
        if not self._looked:
            self._looked = True
            for path, what in damages(self.workspace.state_dir):
                self.say("warn", f"{path}: {what}")
        if self.fleet.unwritten != self._unwritten:
            self._unwritten = self.fleet.unwritten
            self.say(*(("error", self._unwritten) if self._unwritten else ("ok", "records are written down again")))
        before = self.state().pod
        self.emit(PodsListed(views(self.fleet), self.clock()))
        self.emit(CostTicked(self.fleet.cost(self.clock())))
        shown = self.state().pod
        if before is not None and shown is not None and before.id != shown.id:
            self.refresh()  # the view's link is another pod's now

    # --- runs --------------------------------------------------------------------------------------------------------

    def watch(self, entry: RunEntry) -> None:
        """Make this the run that is shown; the panel follows it from now on."""
        self.emit(RunsKnown(ids(self.book.entries())))
        if self.serving:
            self._follow(entry)
        else:
            Follower(self.workspace, entry, self.emit, self.clock).replay()

    async def finish(self, entry: RunEntry) -> RunView:
        """Follow a run to its end and bring everything home. Returns how it ended.

        A link that breaks is made again; the pod being over ends it too.
        """
        task = self._follow(entry)
        async with self._kept():
            await asyncio.wait((task,))  # waiting, not awaiting: who leaves here must not end the following
        if not task.cancelled():
            task.result()
        run = self.state().run
        if task.cancelled() or run is None or run.run_id != entry.run_id:
            raise AppError(f"run {entry.run_id} is not followed any more", "Another run was opened meanwhile.")
        return run

    async def catch_up(self, entry: RunEntry) -> None:
        """Bring the spool up to what the pod has now, once. Raises SshError when it cannot be reached."""
        follower = Follower(self.workspace, entry, self.emit, self.clock)
        follower.replay()
        await follower.once(await self.link.agent(entry.pod))

    async def try_catch_up(self, entry: RunEntry) -> None:
        """The same where what is on this machine does as well: a pod that cannot be reached is told, not raised."""
        try:
            pod = await self.pod(entry.pod)
            if not pod.status.over:
                await self.catch_up(entry)
        except (RemoteError, AppError) as error:
            self.say("warn", f"only what is on this machine: {sentence(error)}")

    async def pull(self, entry: RunEntry, *, quiet: bool = False) -> Path:
        """Bring a run's files home, each verified by its hash; `quiet` is silent about success. Returns the folder."""
        from remote import jobs
        from remote.sync.pull import pull, unpulled

        dest, tell = self.workspace.run_dir(entry.run_id), self.progress("pull", "pulling results")
        async with self._pulling:
            agent = await self.link.agent(entry.pod)
            alive = (await jobs.status(agent, entry.run_id)).state.alive
            with self.activity("pull", f"pulling run {entry.run_id}"):
                await pull(agent, entry.run_id, dest, lambda p: tell(p.bytes_done, p.bytes_total))
                left = () if alive else await unpulled(agent, entry.run_id, dest)
            if left:
                raise AppError(f"{len(left)} files of run {entry.run_id} are not home yet", "Run `maxcai pull` again.")
            if not alive:
                mark_home(self.workspace, entry)
                self.emit(Pulled(entry.run_id))
        if not quiet:
            self.say("ok", f"results of run {entry.run_id} are in {dest}" + (" so far" if alive else ", verified"))
        return dest

    async def growth(self, entry: RunEntry) -> AsyncIterator[None]:
        """Yields whenever more of a run's bytes may be here, until the run is over."""
        task = self._follow(entry, bring_home=False)
        while not task.done():
            yield
            await asyncio.wait((task,), timeout=0.2)
        yield
        await task

    def _resume_following(self) -> None:
        entry = self.book.find(None)
        self.emit(RunsKnown(ids(self.book.entries())))
        if entry is not None:
            self._follow(entry)

    def _follow(self, entry: RunEntry, bring_home: bool = True) -> asyncio.Task[None]:
        """The one task that follows this attempt; a task that follows another one is ended."""
        if self._follower is not None:
            followed, task = self._follower
            if followed == entry and not task.done():
                return task
            task.cancel()
        task = asyncio.create_task(self._follow_to_end(entry, bring_home), name=f"follow {entry.run_id}")
        task.add_done_callback(self._follow_ended)
        self._follower = (entry, task)
        return task

    def _follow_ended(self, task: asyncio.Task[None]) -> None:
        """In the panel nobody awaits the task: tell why it gave up."""
        error = None if task.cancelled() else task.exception()
        if error is not None and self.serving:
            self.emit(Failed("run", sentence(error), None, self.clock()))

    async def _follow_to_end(self, entry: RunEntry, bring_home: bool) -> None:
        follower = Follower(self.workspace, entry, self.emit, self.clock)
        follower.replay()
        failures = 0
        while not is_home(self.workspace, entry):
            try:
                pod = await self.pod(entry.pod)
                if pod.status.over:
                    return
                agent = await self.link.agent(entry.pod)
                failures = 0
                if await follower.to_the_end(agent) == "absent":
                    if being_launched(self.fleet.journal, entry):
                        await self._wait(POLL_FAST_S)
                        continue
                    self.emit(JobReported(entry.run_id, "unlaunched"))
                    return
                if bring_home:
                    await self._bring_home(entry)
                return
            except (RemoteError, OSError, TimeoutError) as error:
                if isinstance(error, RemoteError) and not error.retryable:
                    raise
                wait = self.backoff(failures)
                failures += 1
                await self.link.drop(entry.pod)
                self.emit(Failed("link", sentence(error), wait, self.clock(), entry.pod))
                await self._wait(wait)

    async def _bring_home(self, entry: RunEntry) -> None:
        run = self.state().run
        if run is None or run.run_id != entry.run_id or run.state in ALIVE or self.state().readonly:
            return
        await self.pull(entry)
        if self.settings.stop_after_run:
            await self._stop_after(await self.pod(entry.pod))

    async def _stop_after(self, pod: Pod) -> None:
        """Stop the pod of a run that is over and home, unless something else is at risk there."""
        from app.risk import leave_to_stop
        from remote.errors import GuardError

        try:
            permit = await leave_to_stop(self, pod, False)
        except (Refused, GuardError) as why:
            self.say("warn", f"the run is over and home, and the pod goes on: {why}")
            return
        await self.stop_pod(pod, permit)
        self.say("ok", "the pod is stopped: the run is over and home")

    # --- telling -----------------------------------------------------------------------------------------------------

    def say(self, level: str, text: str) -> None:
        """Put a notice before the person."""
        self.emit(Noted(level, text, self.clock()))

    @contextmanager
    def activity(self, action: str, text: str) -> Iterator[None]:
        """Show an activity for as long as the context lasts, however it ends."""
        self.emit(ActivityChanged(Activity(action, text)))
        try:
            yield
        finally:
            self.emit(ActivityEnded(action))

    def progress(self, action: str, text: str) -> Callable[[int, int], None]:
        """A callback for (done, total) of an activity, in bytes."""
        return lambda done, total: self.emit(ActivityChanged(Activity(action, text, done, total)))
