"""Launch, resume and cancel: the pod started if need be, the code pushed, the pipeline launched exactly once.

Two starts at the same moment make one run: a lock in the workspace, the agent's exclusive launch beyond it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import asdict, replace

from app.arming import arm
from app.clearance import clear
from app.errors import Refused, UsageError
from app.events import JobReported
from app.fleet import LOCAL
from app.ready import make_ready, reach, secret_env, sources
from app.runs import RunEntry
from app.settle import CANCEL, LAUNCH
from app.workspace import Workspace
from remote.errors import LaunchUnconfirmed, ProviderError, SshError

if TYPE_CHECKING:
    from app.supervisor import Supervisor
    from remote.agent.client import Agent
    from remote.jobs import JobStatus, LaunchSpec
    from remote.pods.model import Pod
    from remote.setup.model import Session
    from remote.sync.push import PushReport

LAUNCH_TRIES = 5
"""Times an unconfirmed launch is asked again, each over a new connection."""

LAUNCH_PAUSE_S = 3.0
"""Seconds before that, where no new connection could be made."""

CHECKPOINT_S = 60.0
"""Seconds that a run gets for a checkpoint when it is asked to end."""

PASSED_ON = ("MAXCAI_CACHE_DIR", "MAXCAI_ONLINE")
"""Variables of this machine that a run on the embedded pod may see."""


async def start_run(
    supervisor: Supervisor, recipe: str, *, agreed: bool = False, without_review: str | None = None
) -> RunEntry:
    """Start a new run of a recipe. Raises UsageError for an unknown recipe, Refused or Busy when a run is alive, and
    Refused where a review is required and there is neither an approved one nor a reason to go without.

    Where pods are rented one is made or started first, which raises Unagreed unless `agreed`.
    """
    check_recipe(supervisor.workspace, recipe)
    cleared = await asyncio.to_thread(clear, supervisor, recipe, without_review)
    async with supervisor.book.launching():
        from remote.jobs import new_run_id

        pod = await supervisor.start_pod(None, agreed=agreed)
        agent = await reach(supervisor, pod)
        await _refuse_if_alive(agent)
        run_id = new_run_id(supervisor.clock())
        tree, session = await _prepared(supervisor, pod, run_id, recipe)
        entry = RunEntry(run_id, recipe, pod.id, tree, 1, supervisor.clock(), cleared.review, cleared.without)
        await _launch(supervisor, pod, entry, session)
    return entry


async def _prepared(supervisor: Supervisor, pod: Pod, run_id: str, recipe: str) -> tuple[str, Session | None]:
    """Watchdog armed, code pushed, environment and model there: the tree's id and, on rented pods, the session.

    The watchdog comes first: a set-up may take long, and nobody may be there at its end.
    """
    if pod.provider == LOCAL:
        return (await push_code(supervisor, pod.id)).tree_id, None
    await arm(supervisor, pod, await supervisor.link.agent(pod.id), (run_id,))
    report = await push_code(supervisor, pod.id)
    return report.tree_id, (await make_ready(supervisor, pod, report.tree_id, recipe)).session


class Going(Struct, frozen=True):
    """How a run goes on. `redo`: the step to do again, and what depends on it; `override`: why its gate is passed over;
    `supersede`: a recipe that was changed may redo what depends on the change, as another attempt at the gate."""

    redo: str | None = None
    override: str | None = None
    supersede: bool = False

    @property
    def again(self) -> bool:
        """There is something to do even for a run that has finished."""
        return self.redo is not None or self.override is not None or self.supersede

    def argv(self) -> tuple[str, ...]:
        """For `python -m pipeline run`."""
        redo = () if self.redo is None else ("--force", self.redo)
        override = () if self.override is None else ("--override-gate", self.override)
        return (*redo, *override, *(("--supersede",) if self.supersede else ()))


STRAIGHT = Going()


async def resume_run(
    supervisor: Supervisor, before: RunEntry, *, agreed: bool = False, going: Going = STRAIGHT
) -> RunEntry:
    """Go on with a run that is over, as its next attempt with the present code.

    Raises Refused when it is alive, when it has finished and `going` leaves nothing to do, and when its pod has
    forgotten it (a disk that was wiped) although some of it is home.
    """
    from app.history import came_home, run_view

    async with supervisor.book.launching():
        entry = supervisor.book.find(before.run_id) or before
        pod = await supervisor.start_pod(entry.pod, agreed=agreed)
        agent = await reach(supervisor, pod)
        await _refuse_if_alive(agent)
        await supervisor.catch_up(entry)
        if run_view(supervisor.workspace, entry).state == "finished" and not going.again:
            raise Refused(
                f"run {entry.run_id} has finished",
                "Read it with `maxcai run report`; `maxcai run retry` does a step of it again.",
            )
        attempt = await _next_attempt(agent, entry)
        if attempt == 1 and came_home(supervisor.workspace, entry):
            raise Refused(
                f"the pod knows nothing of run {entry.run_id} any more: it would be paid for from its beginning",
                "What is home of it stays. `maxcai run start` begins another run.",
            )
        tree, session = await _prepared(supervisor, pod, entry.run_id, entry.recipe)
        entry = replace(entry, pod=pod.id, tree=tree, attempt=attempt, started=supervisor.clock())
        await _launch(supervisor, pod, entry, session, going)
    return entry


async def cancel_run(supervisor: Supervisor, entry: RunEntry, grace_s: float) -> str:
    """End a run: TERM, and KILL after `grace_s` seconds. Returns the job's state afterwards."""
    from remote import jobs

    agent = await supervisor.link.agent(entry.pod)
    status = await jobs.status(agent, entry.run_id)
    if not status.state.alive:
        supervisor.say("info", f"run {entry.run_id} is {status.state}: nothing to cancel")
        return str(status.state)
    with (
        supervisor.fleet.journal.acting(CANCEL, run_id=entry.run_id, pod=entry.pod, grace_s=grace_s) as found,
        supervisor.activity("run.cancel", f"cancelling run {entry.run_id} (up to {grace_s:.0f} s for a checkpoint)"),
    ):
        status = await jobs.cancel(agent, entry.run_id, grace_s)
        found.update(state=str(status.state))
    supervisor.say("ok", f"run {entry.run_id} is {status.state}; `maxcai run resume` goes on with it")
    return str(status.state)


async def push_code(supervisor: Supervisor, pod_id: str, *, force: bool = False) -> PushReport:
    """Send what changed of the code tree to the pod. Raises SecretFound or UnsafePush with nothing sent."""
    from remote.sync.push import push
    from remote.sync.scan import scan

    workspace = supervisor.workspace
    agent = await supervisor.link.agent(pod_id)
    with supervisor.activity("push", "pushing the code"):
        found = await asyncio.to_thread(scan, sources(supervisor), workspace.state_dir)
        progress = supervisor.progress("push", "pushing")
        report = await push(agent, found, workspace.state_dir, force=force, progress=progress)
    sent = f"{report.sent_files} of {report.files} files sent" if report.sent_files else "nothing had changed"
    supervisor.say("ok", f"pushed tree {report.tree_id[:12]}: {sent}")
    return report


def check_recipe(workspace: Workspace, recipe: str) -> None:
    """Let the pipeline that will run judge the recipe and the constitution, before any pod is started for them.

    Raises UsageError with the pipeline's own sentence: file, line, field, remedy.
    """
    path = workspace.root / recipe
    if recipe.endswith((".yaml", ".yml")) and path.exists() and not _is_pushed(workspace, path):
        raise UsageError(
            f"recipe {recipe} lies outside of what is pushed", "Put it into the workspace (`maxcai init`)."
        )
    judged(workspace, "recipe", recipe)
    judged(workspace, "constitution", str(workspace.constitution()))


def judged(workspace: Workspace, kind: str, what: str) -> None:
    """Let the pipeline validate a recipe or a constitution, in its own process: this one must not import it.

    Raises UsageError with what it says.
    """
    argv = [sys.executable, "-m", "pipeline", "validate", kind, what]
    env = {**os.environ, "PYTHONPATH": str(workspace.code_root), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(argv, cwd=workspace.root, env=env, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        told = " ".join((done.stderr or done.stdout).split()).removeprefix("error: ")
        raise UsageError(told or f"the pipeline refuses {kind} {what} (exit code {done.returncode})")


def _is_pushed(workspace: Workspace, path: Path) -> bool:
    return workspace.has_code and path.resolve().is_relative_to(workspace.root)


async def _refuse_if_alive(agent: Agent) -> None:
    from remote import jobs
    from remote.guard.activity import SETUP

    for job in await jobs.runs(agent):
        if job.state.alive and not job.run_id.startswith(SETUP):  # a set-up is waited for, not refused
            raise Refused(
                f"run {job.run_id} is {job.state} on this pod",
                "Follow it with `maxcai logs -f`, or end it with `maxcai run cancel`.",
            )


async def _next_attempt(agent: Agent, entry: RunEntry) -> int:
    """The attempt after the last one that the pod has seen; an attempt that never arrived is used again."""
    from remote import jobs

    return (await jobs.status(agent, entry.run_id)).attempt + 1


async def _launch(
    supervisor: Supervisor, pod: Pod, entry: RunEntry, session: Session | None, going: Going = STRAIGHT
) -> None:
    """Journal, note in the book, launch. Asking again after a lost answer never starts a second process."""
    facts = {
        "run_id": entry.run_id, "attempt": entry.attempt, "pod": pod.id, "tree": entry.tree, "review": entry.review,
        "without_review": entry.without_review, **{k: v for k, v in asdict(going).items() if v},
    }  # fmt: skip
    with (
        supervisor.fleet.journal.acting(LAUNCH, **facts) as found,
        supervisor.activity("run.start", f"launching run {entry.run_id} ({entry.recipe})"),
    ):
        supervisor.book.add(entry)
        status = await _launch_surely(supervisor, pod, entry, session, going)
        found.update(state=str(status.state), pid=status.pid)
    supervisor.say("ok", f"run {entry.run_id} launched (recipe {entry.recipe}, attempt {entry.attempt}, pod {pod.id})")
    supervisor.watch(entry)
    if status.state.alive:  # of an end the run's own words come first, when it is followed
        supervisor.emit(JobReported(entry.run_id, str(status.state)))


async def _launch_surely(
    supervisor: Supervisor, pod: Pod, entry: RunEntry, session: Session | None, going: Going
) -> JobStatus:
    from remote import jobs

    open_question: LaunchUnconfirmed | None = None
    for _ in range(LAUNCH_TRIES):
        try:
            agent = await supervisor.link.agent(pod.id)
            return (await jobs.launch(agent, _spec(agent, pod, entry, session, going))).status
        except LaunchUnconfirmed as error:
            open_question = error
            await supervisor.link.drop(pod.id)
        except (SshError, ProviderError):
            if open_question is None:
                raise
            await asyncio.sleep(LAUNCH_PAUSE_S)  # the pod is out of reach now: whether it began is not known
    assert open_question is not None
    raise open_question


def _spec(agent: Agent, pod: Pod, entry: RunEntry, session: Session | None, going: Going) -> LaunchSpec:
    from remote.jobs import LaunchSpec

    tree = agent.tree_dir(entry.tree)
    env = {
        "PYTHONPATH": tree,
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",  # the tree is immutable
        **(_of_this_machine() if session is None else session.launch_environment()),
    }
    if pod.price_per_hour is not None:
        env["MAXCAI_PRICE_PER_HOUR"] = str(pod.price_per_hour)
    run_dir = agent.run_dir(entry.run_id)
    python = pod.python if session is None else session.interpreter
    argv = (python, "-m", "pipeline", "run", "--recipe", entry.recipe, "--run-dir", run_dir, *going.argv())
    secrets = {} if session is None else secret_env()
    return LaunchSpec(entry.run_id, entry.attempt, argv, cwd_tree=entry.tree, env=env, secret_env=secrets)


def _of_this_machine() -> dict[str, str]:
    return {name: os.environ[name] for name in PASSED_ON if os.environ.get(name)}
