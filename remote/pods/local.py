"""The embedded pod: the provider `local`, one pod on this very machine that needs no account, no GPU and no network.

It goes through everything a rented pod does, over real SSH: new port and host key at every start, a kept workspace, a
container disk that is wiped, jobs that die with it. The SSH server itself is `remote.pods.local_server`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path

from msgspec.structs import replace

from remote import identity, processes
from remote.errors import ConfigError, DiskFull, NotFound, ProviderError, ProviderUnavailable
from remote.files import remove_tree, write_atomic
from remote.pods.limited import Limited
from remote.pods.model import Endpoint, Pod, PodSpec, PodStatus, VolumeKind
from remote.pods.provider import Capability, LogLines
from remote.pods.sandbox import MARK, Sandbox, State, server_environment

NAME = "local"
PRICE = "MAXCAI_LOCAL_PRICE"
USER = "root"  # as on the rented pods; the server takes any name, only the key counts
_BOOT_S = 60.0
_GRACE_S = 5.0  # between asking a job to end and forcing it


class LocalProvider(Limited):
    """Implements `remote.pods.provider.Provider` with the one pod "local" below `state_dir`.

    `clock` gives unix seconds. `environ` (default: ours) supplies `MAXCAI_LOCAL_PRICE` in USD/hour, default 0, and
    what the pod inherits. Raises ConfigError when that price is no number.
    """

    name = NAME
    capabilities = frozenset(
        {Capability.CREATE, Capability.RESTART, Capability.TERMINATE, Capability.LOGS, Capability.STARTED_AT}
    )

    def __init__(self, state_dir: Path, clock: Callable[[], float], environ: Mapping[str, str] | None = None) -> None:
        self._state_dir = state_dir.absolute()
        self._clock = clock
        self._environ = os.environ if environ is None else environ
        self._sandbox = Sandbox(self._state_dir / "pods" / NAME)
        self._price = _price(self._environ.get(PRICE, "0"))

    async def list(self) -> list[Pod]:
        """The embedded pod; it always exists, stopped until it is started."""
        return [self._pod(self._sandbox.read())]

    async def get(self, pod_id: str) -> Pod:
        """The embedded pod. Raises NotFound for any other id."""
        self._known(pod_id, "get")
        return self._pod(self._sandbox.read())

    async def create(self, name: str, spec: PodSpec) -> Pod:  # noqa: ARG002
        """The embedded pod, which need not be made, whatever `spec` says. Raises NotFound for any other name."""
        self._known(name, "create")
        self._sandbox.prepare()
        return await self.get(NAME)

    async def start(self, pod_id: str) -> Pod:
        """Start it, unless it runs. Two processes at once get the same server.

        Raises ProviderUnavailable when the server does not come up, with the end of its log.
        """
        self._known(pod_id, "start")
        key = await asyncio.to_thread(identity.ensure, self._state_dir)
        async with self._sandbox.locked("starting or stopping the embedded pod"):
            state = self._sandbox.read()
            if not _serving(state):
                state = await self._end(state, 0.0)
                write_atomic(self._sandbox.authorized_keys, key.public.encode() + b"\n")
                self._sandbox.trim_log()
                await self._spawn(state)
                state = self._sandbox.read()
        return self._pod(state)

    async def stop(self, pod_id: str, why: str | None = None) -> Pod:
        """End its jobs and server and wipe the container disk. The workspace stays. Harmless on a stopped pod.

        `why` is told as the pod's `detail` from then on, until it is started.
        """
        self._known(pod_id, "stop")
        async with self._sandbox.locked("starting or stopping the embedded pod"):
            state = await self._end(self._sandbox.read(), _GRACE_S, why)
        return self._pod(state)

    async def restart(self, pod_id: str) -> Pod:
        """Stop and start it: a new session with a new port and host key, the workspace kept."""
        await self.stop(pod_id)
        return await self.start(pod_id)

    async def terminate(self, pod_id: str) -> None:
        """Stop it and delete its workspace and logs. It can be started again, empty."""
        await self.stop(pod_id)
        async with self._sandbox.locked("deleting the embedded pod"):
            for path in (self._sandbox.workspace, self._sandbox.container):
                remove_tree(path)
            self._sandbox.log.unlink(missing_ok=True)

    async def logs(self, pod_id: str) -> LogLines:
        """The container log: it shows the host key of each start, and no output of jobs."""
        self._known(pod_id, "logs")
        return self._sandbox.log_lines()

    def _known(self, pod_id: str, op: str) -> None:
        if pod_id != NAME:
            raise NotFound(f'There is no pod "{pod_id}" here.', f'The embedded pod is called "{NAME}".', op=op)

    def _pod(self, state: State) -> Pod:
        status, stopped_at, detail = self._status(state)
        up = status is PodStatus.RUNNING and state.port is not None
        price = self._price if state.price is None or status.over else Decimal(state.price)
        return Pod(
            id=NAME,
            name=NAME,
            provider=NAME,
            status=status,
            root=str(self._sandbox.workspace),
            python=sys.executable,
            gpu_count=0,
            price_per_hour=price,
            endpoint=Endpoint("127.0.0.1", state.port, USER) if up and state.port else None,
            started_at=state.started_at,
            stopped_at=stopped_at,
            detail=detail,
            volume=VolumeKind.PERSISTENT,
        )

    def _status(self, state: State) -> tuple[PodStatus, float | None, str | None]:
        """Status, end time and remark by what is true now, whatever was written down."""
        if state.phase == "stopped":
            return PodStatus.STOPPED, state.stopped_at, state.why
        server = state.server
        if server is not None and server.alive:
            return (PodStatus.STOPPING if state.phase == "stopping" else PodStatus.RUNNING), None, None
        stopping = state.phase == "stopping"
        remark = state.why or "it was being stopped" if stopping else "its SSH server died without being stopped"
        if jobs := self._sandbox.jobs():
            remark += f"; {len(jobs)} of its processes still run and end at the next stop or start"
        return PodStatus.STOPPED, self._last_alive(state), remark

    def _last_alive(self, state: State) -> float | None:
        """When a dead server last showed life (to within seconds), on the provider's clock."""
        try:
            wall = self._sandbox.pid_file.stat().st_mtime
        except OSError:
            return None
        if state.wall is None or state.started_at is None:
            return None
        return state.started_at + max(0.0, wall - state.wall)

    async def _end(self, state: State, grace_s: float, reason: str | None = None) -> State:
        """Bring everything of the pod to an end, leftovers of a crash too, and record it. Returns the new state."""
        _, ended_at, why = self._status(state)
        why = why or reason
        if state.phase != "stopped":
            with contextlib.suppress(DiskFull):  # a stop must not fail for want of room; wiping makes some
                self._sandbox.write(replace(state, phase="stopping", why=reason))
        left = await processes.end(self._running, grace_s)
        if state.server is not None:
            left += await processes.end(lambda: [state.server] if state.server else [], _GRACE_S)
        left += await processes.end(self._running, 0.0)  # commands that came in meanwhile
        if left:
            pids = ", ".join(str(process.pid) for process in left)
            raise ProviderError(
                f"The embedded pod could not be stopped: process {pids} does not end.", "Try again.", op="stop"
            )
        self._sandbox.wipe(state.temporary)
        if state.phase == "stopped":
            return state
        stopped_at = self._clock() if ended_at is None else ended_at
        stopped = replace(
            state, phase="stopped", stopped_at=stopped_at, pid=None, pid_started=None, temporary=None, why=why
        )
        self._sandbox.write(stopped)
        return stopped

    def _running(self) -> tuple[processes.ProcessId, ...]:
        """What runs in the sandbox apart from the server: recorded jobs, and whatever carries the sandbox's mark."""
        return (*self._sandbox.jobs(), *processes.carrying(MARK, str(self._sandbox.folder)))

    async def _spawn(self, before: State) -> None:
        """Start the server and wait for its word that it serves."""
        started_at = round(self._clock(), 3)
        if before.started_at is not None:
            started_at = max(started_at, before.started_at + 0.001)  # every start is a session of its own
        command = [sys.executable, "-m", "remote.pods.local_server", "--dir", str(self._sandbox.folder)]
        command += ["--started-at", repr(started_at), "--price", str(self._price)]
        command += ["--avoid-port", str(before.port)] if before.port else []
        with self._sandbox.server_log.open("wb") as errors:
            child = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=errors,
                env=server_environment(self._environ), cwd=self._sandbox.folder, start_new_session=True,
            )  # fmt: skip
        assert child.stdout is not None
        try:
            word = await asyncio.wait_for(child.stdout.readline(), _BOOT_S)
            ready = json.loads(word)["ok"] if word else False
        except (TimeoutError, ValueError, KeyError):
            ready = False
        await child.wait()  # only the launcher: the server has detached itself
        if not ready:
            raise ProviderUnavailable(
                f"The embedded pod's SSH server did not start: {_last_line(self._sandbox.server_log)}",
                f"Details are in {self._sandbox.server_log}.",
                op="start",
            )


def _serving(state: State) -> bool:
    return state.phase == "running" and state.server is not None and state.server.alive


def _price(text: str) -> Decimal:
    try:
        price = Decimal(text)
    except InvalidOperation:
        price = Decimal(-1)
    if not price.is_finite() or price < 0:
        raise ConfigError(
            f'{PRICE} is "{text}", which is no price.', "Give USD per hour, for example 1.74, or unset it."
        )
    return price


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing within its time."
