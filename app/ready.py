"""Makes a rented pod ready for the pushed tree: `remote.setup` with the wishes of the settings, told as it goes."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import UsageError
from app.events import ActivityChanged, ActivityEnded
from app.state import Activity
from app.workspace import Workspace
from remote.errors import SshError
from remote.files import private_dir, write_atomic

if TYPE_CHECKING:
    from app.supervisor import Supervisor
    from remote.agent.client import Agent
    from remote.pods.model import Pod
    from remote.setup.model import Progress, Report, Wish

TRIES = 20
"""Broken links that one set-up outlives: its job on the pod goes on meanwhile."""

REACH_S = 60.0
"""Seconds for which a pod that has an address may still refuse connections."""

SECRETS = ("HF_TOKEN", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")
"""Variables of this machine that reach the set-up's job, and nothing else of it: no file, log or command line."""

ACT = "pod.setup"


def wish(supervisor: Supervisor, tree_id: str, recipe: str | None) -> Wish:
    """What the settings ask of the pod, for this tree."""
    from remote.setup.model import Torch, Wish

    asked = supervisor.settings.setup
    return Wish(
        tree_id,
        extras=asked.extras,
        recipe=recipe if asked.model else None,
        torch=Torch(asked.torch),
        torch_args=asked.torch_args,
        pip_args=asked.pip_args,
    )


def sources(supervisor: Supervisor) -> list[tuple[Path, str]]:
    """What a push sends: the workspace's own, and for a rented pod what the pipeline requires, where the workspace
    does not say so itself: the pod's environment is built from it."""
    workspace = supervisor.workspace
    found = workspace.sources()
    names = ("pyproject.toml", "requirements.txt")
    says = workspace.has_code and any((workspace.root / name).is_file() for name in names)
    return found if says or not supervisor.fleet.rented else [*found, (_requirements(workspace), names[0])]


def _requirements(workspace: Workspace) -> Path:
    """The pyproject.toml beside the installed pipeline, else one made of the installed package's metadata."""
    beside = workspace.pipeline.parent / "pyproject.toml"
    if beside.is_file():
        return beside
    path = private_dir(workspace.state_dir / "pushed") / "pyproject.toml"
    try:
        lines = metadata.requires("maximalcai") or []
    except metadata.PackageNotFoundError:
        raise UsageError(
            "what the pipeline requires is not known: maximalcai is not installed here", "Install it, or add a "
            "pyproject.toml to the workspace.",
        ) from None  # fmt: skip
    content = _project(lines).encode()
    if not path.exists() or path.read_bytes() != content:
        write_atomic(path, content)
    return path


def _project(requires: Iterable[str]) -> str:
    """A pyproject.toml with these requirements, as package metadata spells them: `name>=1; extra == "pipeline"`."""
    plain: list[str] = []
    extras: dict[str, list[str]] = {}
    for line in requires:
        wanted, _, marker = (part.strip() for part in line.partition(";"))
        named = re.search(r"""extra\s*==\s*["']([^"']+)["']""", marker)
        (plain if named is None else extras.setdefault(named.group(1), [])).append(wanted)
    rows = [f"{json.dumps(name)} = {json.dumps(lines)}" for name, lines in sorted(extras.items())]
    return "\n".join(
        ['[project]', 'name = "maximalcai"', 'version = "0"', f"dependencies = {json.dumps(plain)}",
         "[project.optional-dependencies]", *rows, ""]
    )  # fmt: skip


def secret_env() -> dict[str, str]:
    """Secrets that a job may need, from this machine's environment."""
    return {name: value for name in SECRETS if (value := os.environ.get(name))}


async def make_ready(
    supervisor: Supervisor, pod: Pod, tree_id: str, recipe: str | None, *, force: bool = False
) -> Report:
    """Set the pod up, going on after every break of the link. Raises SetupError with the step and the remedy."""
    from remote.setup.model import GIB, Needs, facts_of
    from remote.setup.run import Told, setup

    needs = Needs.of(pod, free_bytes=supervisor.settings.setup.free_gb * GIB)
    told = Told(facts_of(pod), secret_env())
    spool = supervisor.workspace.state_dir / "setup"
    asked = wish(supervisor, tree_id, recipe)

    def progress(step: Progress) -> None:
        text = f"set-up, {step.step}: {step.text}"
        supervisor.emit(ActivityChanged(Activity(ACT, text, step.done, step.total)))

    try:
        for number in range(TRIES):
            try:
                agent = await supervisor.link.agent(pod.id)
                report = await setup(
                    agent, asked, needs, spool, supervisor.clock, told, progress, force, supervisor.fleet.journal
                )
                return _done(supervisor, report)
            except SshError as error:
                if not error.retryable or number == TRIES - 1:
                    raise
                supervisor.say("warn", f"{error}; what was begun there goes on, looking again")
                await supervisor.link.drop(pod.id)
                await asyncio.sleep(supervisor.backoff(number))
    finally:
        supervisor.emit(ActivityEnded(ACT))
    raise AssertionError("the last try returns or raises")


async def reach(supervisor: Supervisor, pod: Pod, patience_s: float = REACH_S) -> Agent:
    """The pod's agent; a pod that has only just booted is asked again for a while. Raises SshError."""
    end, number = supervisor.clock() + patience_s, 0
    while True:
        try:
            return await supervisor.link.agent(pod.id)
        except SshError as error:
            if not error.retryable or supervisor.clock() >= end:
                raise
            await asyncio.sleep(supervisor.backoff(number))
            number += 1


def _done(supervisor: Supervisor, report: Report) -> Report:
    for check in report.checks:
        if check.level != "ok":
            supervisor.say("warn", f"{check.name}: {check.text}" + (f" → {check.remedy}" if check.remedy else ""))
    how = "was ready" if report.skipped else f"is ready after {report.seconds:.0f} s"
    supervisor.say("ok", f"the pod {how}: Python {report.session.python}, torch {report.session.torch or 'none'}")
    return report
