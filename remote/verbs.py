"""What `python -m remote` can do with pods and money, one function a verb. Each returns what is printed, and a code."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from enum import Enum
from pathlib import Path
from typing import Any

from msgspec import Struct

from remote.errors import ConfigError, HostKeyMismatch, NotFound, ProviderError, RemoteError
from remote.guard.activity import agent_of, bring_home, missing
from remote.guard.rounds import once
from remote.guard.rules import Rules
from remote.journal import Journal
from remote.link.hostkeys import PinStore
from remote.money import account, billing
from remote.money.costs import Ledger
from remote.money.rules import Budgets
from remote.pods.model import Cloud, Pod, PodSpec, PodStatus
from remote.pods.provider import Provider
from remote.renting import creating, lifecycle, resuming
from remote.renting.permits import Unpulled, loses_data, may_stop, may_terminate, waiting

LOCAL = "local"
LOOK_S = 10.0
"""Seconds that a stop which loses nothing is delayed to say what stays on the volume."""

Answer = tuple[Any, int]
Verb = Callable[[argparse.Namespace, Provider], Awaitable[Answer]]

_UNSHOWN = ("env", "secret_env")  # their values may be secret


def plain(value: Any) -> Any:
    """Anything of ours as JSON: money as text, so that no digit is lost, and null for what is unknown."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__ if name not in _UNSHOWN}
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def pod_json(pod: Pod, state_dir: Path) -> dict[str, Any]:
    """A pod as printed, with what its session costs."""
    cost = Ledger(state_dir).session_cost(pod, time.time())
    return {
        "id": pod.id,
        "name": pod.name,
        "provider": pod.provider,
        "status": pod.status.value,
        "gpu": pod.gpu,
        "gpu_count": pod.gpu_count,
        "cost_per_hour": plain(pod.price_per_hour),
        "session_cost": plain(cost),
        "ssh": None if pod.endpoint is None else {"host": pod.endpoint.host, "port": pod.endpoint.port},
        "started_at": pod.started_at,
        "detail": pod.detail,
    }


def money(text: str) -> Decimal:
    """A sum from the command line."""
    try:
        return Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text} is no sum of USD") from None


def add_parsers(commands: Any) -> None:
    """The verbs' options."""
    restart = commands.add_parser("restart", help="restart a running pod: its container disk is wiped")
    restart.add_argument("pod")
    restart.add_argument("--lose-unpulled", action="store_true", help="although files may be lost")
    terminate = commands.add_parser("terminate", help="remove a pod for good")
    terminate.add_argument("pod")
    terminate.add_argument("--name", required=True, help="the pod's name, typed again")
    terminate.add_argument("--lose-unpulled", action="store_true", help="although files may be lost")
    create = commands.add_parser("create", help="rent a pod")
    create.add_argument("word", help="becomes part of its name")
    create.add_argument("--image", required=True)
    create.add_argument("--gpu", action="append", default=[], metavar="ID", help="in the order to be tried")
    create.add_argument("--gpu-count", type=int, default=1)
    create.add_argument("--cloud", choices=[cloud.value for cloud in Cloud], default=Cloud.SECURE.value)
    create.add_argument("--disk-gb", type=int, default=50)
    create.add_argument("--volume-gb", type=int, help="a disk on the pod's host that survives a stop")
    create.add_argument("--volume", metavar="ID", help="a network volume")
    create.add_argument("--data-center", action="append", default=[])
    create.add_argument("--min-cuda")
    create.add_argument("--bid", type=money, help="USD/hour: a spot pod")
    create.add_argument("--ephemeral", action="store_true", help="nothing survives a stop")
    create.add_argument("--wait", action="store_true", help="until it has an address")
    create.add_argument("--dry-run", action="store_true", help="only say what it would cost")
    commands.add_parser("offers", help="what can be rented").add_argument("--gpu-count", type=int, default=1)
    commands.add_parser("volumes", help="network volumes")
    commands.add_parser("balance", help="what the account holds")
    commands.add_parser("cost", help="ledger, bill, burn and runway")
    guard = commands.add_parser("guard", help="stop what is idle, finished, too long or over budget; never terminate")
    guard.add_argument("--idle-minutes", type=float)
    guard.add_argument("--max-hours", type=float)
    guard.add_argument("--after-run", action="store_true", help="once every run is over and its files are at home")
    guard.add_argument("--budget-day", type=money, metavar="USD")
    guard.add_argument("--budget-total", type=money, metavar="USD")
    guard.add_argument("--runs-dir", type=Path, help="where runs come home")
    guard.add_argument("--dry-run", action="store_true", help="only say what it would do")


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)


async def pods(options: argparse.Namespace, provider: Provider) -> Answer:
    """Every pod, with what is not ours and what is blocked marked so."""
    found = await lifecycle.recover(provider, options.state_dir, time.time, unwritten=_warn)
    journal = Journal(options.state_dir, time.time)
    lost = {pod.id for pod in creating.strays(found, journal)}
    rows = []
    for pod in found:
        stuck = resuming.blocked(pod, journal)
        note: dict[str, Any] = {"stray": True} if pod.id in lost else {}
        note |= {"blocked": {"next_try": stuck.next_try, "choices": plain(stuck.choices)}} if stuck else {}
        rows.append({**pod_json(pod, options.state_dir), **note})
    return rows, 0


async def start(options: argparse.Namespace, provider: Provider) -> Answer:
    pod = await lifecycle.start(provider, options.pod, options.state_dir, time.time)
    return pod_json(pod, options.state_dir), 0


async def stop(options: argparse.Namespace, provider: Provider) -> Answer:
    """A pod that keeps nothing is stopped only when its files are at home; of another it is told what stays there."""
    pod = await provider.get(options.pod)
    force = options.lose_unpulled
    if not loses_data(pod) and (left := await _left(options, provider, pod)):
        print(f"warning: pod {pod.name} is stopped, but {waiting(left)}; they stay on its volume", file=sys.stderr)
    missing = await _unpulled(options, provider, pod) if loses_data(pod) and not pod.status.over and not force else None
    permit = may_stop(pod, missing, override=force)
    pod = await lifecycle.stop(provider, pod.id, options.state_dir, time.time, permit=permit)
    return pod_json(pod, options.state_dir), 0


async def restart(options: argparse.Namespace, provider: Provider) -> Answer:
    """A pod that keeps nothing is wiped by it as by a stop."""
    pod = await provider.get(options.pod)
    if loses_data(pod) and not pod.status.over and not options.lose_unpulled:
        may_stop(pod, await _unpulled(options, provider, pod))
    pod = await lifecycle.restart(provider, options.pod, options.state_dir, time.time)
    return pod_json(pod, options.state_dir), 0


async def terminate(options: argparse.Namespace, provider: Provider) -> Answer:
    pod = await provider.get(options.pod)
    force = options.lose_unpulled
    missing = None if force else await _unpulled(options, provider, pod)
    permit = may_terminate(pod, missing, options.name, override=force)
    await lifecycle.terminate(provider, permit, options.state_dir, time.time)
    return {"id": pod.id, "terminated": True, "overridden": list(permit.overridden)}, 0


async def _unpulled(options: argparse.Namespace, provider: Provider, pod: Pod) -> Unpulled:
    """What is only on the pod after everything that can be was brought home; None when nobody could look."""
    if pod.status is not PodStatus.RUNNING:
        return None
    try:
        async with agent_of(pod, provider, options.state_dir) as agent:
            return await bring_home(agent, _runs_dir(options))
    except HostKeyMismatch:
        raise  # another machine may answer there: that is told, and not that somebody could not look
    except (RemoteError, OSError):
        return None


async def _left(options: argparse.Namespace, provider: Provider, pod: Pod) -> Unpulled:
    """What of the pod's runs is not at home; None when nobody could look at once: its host key is not known here yet,
    or it does not answer. Nothing is brought."""
    try:
        pins = PinStore(options.state_dir)
        if pod.status is not PodStatus.RUNNING or pod.session is None or not pins.get(pod.session):
            return None
        async with asyncio.timeout(LOOK_S), agent_of(pod, provider, options.state_dir) as agent:
            return await missing(agent, _runs_dir(options))
    except (RemoteError, OSError) as error:  # TimeoutError is an OSError
        print(f"warning: what is left on pod {pod.name} is not known: {error or 'it does not answer'}", file=sys.stderr)
        return None


def _runs_dir(options: argparse.Namespace) -> Path:
    folder: Path = options.state_dir.absolute().parent / "runs"
    return folder


async def create(options: argparse.Namespace, provider: Provider) -> Answer:
    if not options.gpu and options.volume is None and options.volume_gb is not None:
        raise ConfigError(
            "--volume-gb needs --gpu: a pod without a GPU cannot have a kept disk on its host.",
            "Name a GPU type with --gpu ID (see `python -m remote offers`), or a network volume with --volume ID.",
        )
    spec = PodSpec(
        image=options.image, gpu=options.gpu[0] if options.gpu else None, gpu_count=options.gpu_count,
        cloud=Cloud(options.cloud), disk_gb=options.disk_gb, volume_id=options.volume, volume_gb=options.volume_gb,
        data_centers=tuple(options.data_center), min_cuda=options.min_cuda, bid=options.bid,
        ephemeral=options.ephemeral,
    )  # fmt: skip
    choices: tuple[creating.Candidate, ...] = ()
    if options.gpu:
        choices = creating.candidates(
            await provider.catalog(spec.gpu_count), options.gpu, count=spec.gpu_count, cloud=spec.cloud,
            data_centers=spec.data_centers, spot=spec.bid is not None,
        )  # fmt: skip
    found = await creating.estimate(provider, spec, choices)
    if options.dry_run:
        return {"per_hour": plain(found.per_hour), "notes": found.notes, "candidates": plain(choices)}, 0
    made = await creating.create(provider, found.spec, options.state_dir, time.time, word=options.word, choices=choices)
    pod = await lifecycle.await_address(provider, made.pod, time.time) if options.wait else made.pod
    with suppress(ProviderError):  # it is rented and must be told of, whatever the next list says
        await lifecycle.look(provider, options.state_dir, time.time)
    facts = {"adopted": made.adopted, "refused": list(made.refused), "notes": list(found.notes)}
    return {**pod_json(pod, options.state_dir), **facts}, 0


async def offers(options: argparse.Namespace, provider: Provider) -> Answer:
    return plain(await provider.catalog(options.gpu_count)), 0


async def volumes(options: argparse.Namespace, provider: Provider) -> Answer:  # noqa: ARG001
    return plain(await provider.volumes()), 0


async def balance(options: argparse.Namespace, provider: Provider) -> Answer:  # noqa: ARG001
    return plain(await provider.balance()), 0


async def cost(options: argparse.Namespace, provider: Provider) -> Answer:
    """The account, and every session with our figure beside the bill's."""
    listed = await lifecycle.recover(provider, options.state_dir, time.time, unwritten=_warn)
    attributed = await billing.reconcile(provider, options.state_dir, time.time)
    found = await account.read(provider, options.state_dir, time.time, listed)
    now = time.time()
    rows = [
        {
            "pod": row.session.pod_id,
            "name": row.name,
            "started_at": row.session.started_at,
            "stopped_at": row.stopped_at,
            "upper_bound": row.bound,
            "seconds": float(row.seconds(now)),
            "compute": plain(row.compute(now)),
            "disk": plain(row.disk(now)),
            "storage": plain(row.kept(now)),
            "billed": plain(row.billed),
        }
        for row in Ledger(options.state_dir).rows()
    ]
    stray = [] if attributed is None else plain(attributed.stray)
    per_hour = {"burn_per_hour": plain(found.burn.per_hour)}
    return {**plain(found), **per_hour, "sessions": rows, "billed_without_session": stray}, 0


async def guard(options: argparse.Namespace, provider: Provider) -> Answer:
    """One round; code 3 when a pod that should have been stopped was not."""
    rules = Rules(options.idle_minutes, options.max_hours, options.after_run)
    budgets = Budgets(day=options.budget_day, total=options.budget_total)
    if rules == Rules() and budgets == Budgets():
        raise ConfigError("No rule was given.", "Name one, for example: python -m remote guard --idle-minutes 30")
    found = await once(
        provider, options.state_dir, time.time, rules, budgets, runs_dir=options.runs_dir, dry=options.dry_run
    )
    decisions = [
        {"pod": one.pod.id, "act": one.act.value, "rule": one.rule.value, "why": one.why} for one in found.decisions
    ]
    outcomes = [
        {"pod": one.decision.pod.id, "stopped": one.stopped, "remarks": list(one.remarks)} for one in found.outcomes
    ]
    refused = any(not one.stopped for one in found.outcomes)
    return {"decisions": decisions, "outcomes": outcomes, "remarks": list(found.remarks)}, 3 if refused else 0


async def find(options: argparse.Namespace, provider: Provider) -> None:
    """Let a pod be named by its name as well as by its id. Raises ConfigError when it must be named and is not."""
    name = getattr(options, "pod", None)
    if name is None:
        return
    try:
        await provider.get(name)
    except NotFound:
        if name == LOCAL:  # the default, which only the embedded pod answers to
            raise ConfigError("Which pod is not said.", "Name it; see `python -m remote pods`.") from None
        named = [pod for pod in await provider.list() if pod.name == name]
        if len(named) != 1:
            raise
        options.pod = named[0].id


VERBS: dict[str, Verb] = {
    "pods": pods, "start": start, "stop": stop, "restart": restart, "terminate": terminate, "create": create,
    "offers": offers, "volumes": volumes, "balance": balance, "cost": cost, "guard": guard,
}  # fmt: skip
