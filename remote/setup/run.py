"""Makes a pod ready: look, check, build and fetch in a detached job, write the session manifest. Skips what is done.

Every step may be repeated. A link that breaks costs nothing: the job goes on, and the next call follows it where this
one ended. Reconnecting is left to the caller.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractContextManager, aclosing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from remote import jobs
from remote.agent.client import Agent
from remote.errors import AgentFailed, SetupError
from remote.journal import Journal
from remote.link.placing import place, printable
from remote.setup.model import Check, Level, Needs, Plan, Progress, Report, Session, Step, Wish
from remote.setup.script import Script, pip_wheel, refusal
from remote.watch.tail import Growth, follow

CLOCK_WARN_S, CLOCK_FAIL_S = 5.0, 3600.0
JOB = "setup-"
"""What run ids of set-ups begin with."""

LAUNCH = "setup.launch"
"""What the start of their job is called in the journal."""

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Told:
    """What the caller knows and the pod does not: of the pod, for its manifest; and secrets for pip and the hub.

    `secret_env` (HF_TOKEN, PIP_INDEX_URL) reaches the job over its standard input and no file, log or command line.
    """

    pod: Mapping[str, Any] = field(default_factory=dict)
    secret_env: Mapping[str, str] = field(default_factory=dict, repr=False)


async def plan(agent: Agent, wish: Wish) -> Plan:
    """What `setup` would do now. Changes nothing, one round trip.

    Raises SetupError (no tree, no suitable Python, …), PythonMissing, SshError.
    """
    return _plan(await Script(agent).call("look", {"wish": wish.as_dict()}))


async def preflight(agent: Agent, wish: Wish, needs: Needs, clock: Callable[[], float]) -> tuple[Check, ...]:
    """Examine the pod: Python, space, inodes, a real write, GPU, the image's torch, clock. `clock` gives unix seconds.

    Raises SetupError when the tree is not there, PythonMissing, SshError; a failed check is no exception.
    """
    request = {"wish": wish.as_dict(), "needs": needs.as_dict()}
    raw = await Script(agent).call("check", request, deadline_s=600.0)
    now = clock()
    return (*(_check(row) for row in raw["checks"]), clock_check(float(raw["clock"]), now))


def clock_check(pod: float, ours: float) -> Check:
    """The pod's clock, read last before its answer left, against ours when it came (unix seconds)."""
    offset = pod - ours
    if abs(offset) < CLOCK_WARN_S:
        return Check("clock", Level.OK, "agrees with ours")
    level = Level.FAIL if abs(offset) >= CLOCK_FAIL_S else Level.WARN
    text = f"the pod's clock is {abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} ours"
    return Check("clock", level, text, "Set this machine's clock; if it is right, use another host.")


async def setup(
    agent: Agent,
    wish: Wish,
    needs: Needs,
    spool_dir: Path,
    clock: Callable[[], float],
    told: Told | None = None,
    on_progress: OnProgress | None = None,
    force: bool = False,
    journal: Journal | None = None,
) -> Report:
    """Make the pod ready for `wish`. One round trip when it is.

    `spool_dir` keeps the progress of the job, so that a later call goes on with it. `journal` gets a line before the
    job is started (None: whoever calls keeps none). With `force` failed checks do not
    stop it. Raises SetupError with the step and the last lines, DiskFull, PythonMissing, SshError (call again).
    """
    begin, script, told = clock(), Script(agent), told or Told()
    found = await script.call("look", {"wish": wish.as_dict()})
    planned = _plan(found)
    if planned.done:
        return Report(planned, _session(found["session"]), (), True, clock() - begin)
    checks: tuple[Check, ...] = ()
    if not _same_life(found):
        checks = await preflight(agent, wish, needs, clock)
        _refuse_failed(checks, force)
    if not all(step.done for step in planned.steps if step.name != "session"):
        attempt = await _begin(script, wish, planned, found, told, journal)
        await _work(script.agent, planned.run_id, attempt, spool_dir, on_progress)
    request = {"wish": wish.as_dict(), "pod": dict(told.pod), "checks": [_row(check) for check in checks]}
    written = await script.call("session", request)
    return Report(planned, _session(written["session"]), checks, False, clock() - begin)


async def cancel(agent: Agent, wish: Wish, grace_s: float = 5.0) -> jobs.JobStatus:
    """End the set-up of this wish, if one runs. What it half built is built again by the next one."""
    planned = await plan(agent, wish)
    status = await jobs.status(agent, planned.run_id)
    return await jobs.cancel(agent, planned.run_id, grace_s) if status.state.alive else status


async def prune(agent: Agent) -> tuple[str, ...]:
    """Remove every environment but the session's own, which is an explicit act of the user. Returns their hashes.

    Raises SetupError while a run is alive on the pod, or when there is no session that says which one to keep.
    """
    return tuple(str(name) for name in (await Script(agent).call("prune", {}, deadline_s=1800.0))["removed"])


def _plan(found: Mapping[str, Any]) -> Plan:
    environment, model, session = found["environment"], found["model"], found["session"]
    if environment["complete"] is not None:
        first = Step("environment", True, "complete")
    else:
        first = Step(
            "environment", False, "build it again: it is half built" if environment["half_built"] else "build it"
        )
    steps = [first]
    if model is not None:
        steps.append(Step("model", model["complete"] is not None, "complete" if model["complete"] else "fetch it"))
    current = session is not None and session.get("wish") == found["wish"]
    current = current and session.get("incarnation") == found["incarnation"]
    steps.append(
        Step("session", current and all(step.done for step in steps), "current" if current else "check, write")
    )
    key = hashlib.sha256(f"{found['hash']} {model and model['key']}".encode()).hexdigest()
    return Plan(f"{JOB}{key[:16]}", str(found["hash"]), tuple(steps))


def _same_life(found: Mapping[str, Any]) -> bool:
    """Whether this container passed a preflight since it started, with the same environment."""
    session = found["session"]
    same = session is not None and session.get("incarnation") == found["incarnation"]
    return bool(same and session.get("environment") == found["hash"])


def _refuse_failed(checks: tuple[Check, ...], force: bool) -> None:
    failed = [check for check in checks if check.level is Level.FAIL]
    if failed and not force:
        words = "; ".join(f"{check.name}: {check.text}" for check in failed)
        raise SetupError(f"The pod is not fit: {words}.", " ".join(check.remedy for check in failed), step="preflight")


async def _begin(
    script: Script, wish: Wish, planned: Plan, found: Mapping[str, Any], told: Told, journal: Journal | None
) -> int:
    """Start the detached job unless it runs already; returns its attempt."""
    agent, run_id = script.agent, planned.run_id
    status = await jobs.status(agent, run_id)
    if journal is not None:
        _settle(journal, status)
    if status.state.alive:
        return status.attempt
    await _bring_pip(script, found)
    attempt = status.attempt + 1
    request = json.dumps({"wish": wish.as_dict()}, separators=(",", ":"))
    argv = (*script.argv("work"), "--request", request, "--attempt", str(attempt))
    spec = jobs.LaunchSpec(run_id, attempt, argv, secret_env=told.secret_env, exclusive=False)
    noted: AbstractContextManager[Any] = nullcontext()
    if journal is not None:
        noted = journal.acting(LAUNCH, run_id=run_id, attempt=attempt, pod=told.pod.get("id"))
    with noted:
        await jobs.launch(agent, spec)
    return attempt


def _settle(journal: Journal, status: jobs.JobStatus) -> None:
    """Write down what became of starts of this job whose answer was lost."""
    for intent in journal.open_intents():
        if intent.op != LAUNCH or intent.facts.get("run_id") != status.run_id or not intent.abandoned:
            continue
        if intent.facts.get("attempt") in status.attempts:
            journal.acked(intent.id, found=str(status.state))
        else:
            journal.failed(intent.id, "it never reached the pod")


async def _work(agent: Agent, run_id: str, attempt: int, spool_dir: Path, on_progress: OnProgress | None) -> None:
    """Follow the job to its end. Raises SetupError, or what it was refused with, when it does not end well."""
    heard, name = Heard(on_progress), f"setup-{attempt}.jsonl"
    if (known := spool_dir / run_id / name).exists():
        heard.read(known)  # what an earlier call brought
    stream = follow(agent, run_id, spool_dir, names=(name,), until_exit=True)
    async with aclosing(cast("AsyncGenerator[Growth, None]", stream)) as growths:
        async for growth in growths:
            heard.read(growth.path)
    status = await jobs.status(agent, run_id, attempt)
    if status.exit_code != 0:
        raise heard.failure(status)


async def _bring_pip(script: Script, found: Mapping[str, Any]) -> None:
    """Send our own pip to an image that has none."""
    wheel = pip_wheel()
    needless = found["has_pip"] or not found["lock"]["requirements"] or found["environment"]["complete"] is not None
    if needless or wheel is None:
        return
    folder = str(found["environment"]["path"]).rpartition("/")[0]
    await place(script.conn, f"{folder}/{wheel.name}", wheel.read_bytes())


class Heard:
    """Reads the job's progress from its spool file, each line once."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress
        self._offset = 0
        self._failed: dict[str, Any] | None = None

    def read(self, path: Path) -> None:
        with path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            self._line(line)

    def _line(self, line: bytes) -> None:
        try:
            row = json.loads(line)
            step, text = str(row["step"]), printable(str(row["text"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            return  # a line that a full disk cut off
        if row.get("event") == "failed":
            self._failed = row
        elif self._on_progress is not None:
            self._on_progress(Progress(step, text, _bytes(row.get("done")), _bytes(row.get("total"))))

    def failure(self, status: jobs.JobStatus) -> Exception:
        """Why the job did not end well."""
        if self._failed is not None:
            row = self._failed
            last = tuple(printable(str(line)) for line in row.get("last", []))
            return refusal(str(row.get("code")), printable(str(row["text"])), str(row["step"]), last)
        if status.canceled:
            return SetupError("The set-up was cancelled.", "Run it again: it goes on.", step="")
        how = status.state if status.exit_code is None else f"ended with code {status.exit_code}"
        return SetupError(
            f"The set-up's job {status.run_id} is {how} and said nothing.",
            f"Run the set-up again: it goes on. Its output is in {status.run_id}/.agent/console.log on the pod.",
        )


def _bytes(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _check(row: Mapping[str, Any]) -> Check:
    name, text, remedy = (printable(str(row[field])) for field in ("name", "text", "remedy"))
    return Check(name, Level(row["level"]), text, remedy)


def _row(check: Check) -> dict[str, str]:
    return {"name": check.name, "level": str(check.level), "text": check.text}


def _text(value: Any) -> str | None:
    return None if value is None else printable(str(value))


def _session(raw: Any) -> Session:
    """The manifest as the pod wrote it. Raises AgentFailed when it makes no sense."""
    try:
        return Session(
            interpreter=str(raw["interpreter"]),
            python=printable(str(raw["python"])),
            torch=_text(raw["torch"]),
            cuda=_text(raw["cuda"]),
            gpus=tuple(printable(str(name)) for name in raw["gpus"]),
            driver=_text(raw["driver"]),
            environment=str(raw["environment"]),
            tree=str(raw["tree"]),
            incarnation=str(raw["incarnation"]),
            body=dict(raw),
        )
    except (KeyError, TypeError, ValueError):
        raise AgentFailed("The pod's session manifest is damaged.", "Remove .maxcai/session.json there.") from None
