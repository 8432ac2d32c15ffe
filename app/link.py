"""The verified SSH connections of this process, one to each pod that is spoken to, made on demand and made again after
they broke.

When to try again is the supervisor's decision; which key is right is `remote.link.ssh`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from app.events import AppEvent, LinkChanged
from app.fleet import Fleet
from app.state import LinkView
from remote.errors import SshError
from remote.renting.reducer import Probe

if TYPE_CHECKING:
    from remote.agent.client import Agent
    from remote.link.channels import SshConnection
    from remote.pods.model import Pod

Greet = Callable[["Agent", str], Awaitable[None]]


class Link:
    """Connections and agents, by pod: one that hangs or breaks is nothing to the others.

    Args:
        fleet: where a pod's present address comes from, asked anew at each connect.
        state_dir: where our key and the pins lie.
        emit: told of each change of a connection.
        greet: done first over each new connection, with the agent and the pod's id.
    """

    def __init__(self, fleet: Fleet, state_dir: Path, emit: Callable[[AppEvent], None], greet: Greet) -> None:
        self._fleet = fleet
        self._state_dir = state_dir
        self._emit = emit
        self._greet = greet
        self._wires: dict[str, _Wire] = {}

    async def agent(self, pod_id: str) -> Agent:
        """The agent of the pod, over the connection that stands or a new one.

        Raises NoPod, NoEndpoint, ConnectFailed, AuthRejected, HostKeyUnverified or HostKeyMismatch.
        """
        if pod_id not in self._wires:
            self._wires[pod_id] = _Wire(pod_id, self._fleet, self._state_dir, self._emit, self._greet)
        return await self._wires[pod_id].agent()

    async def connection(self, pod_id: str) -> SshConnection:
        """The connection behind `agent`, made if need be."""
        await self.agent(pod_id)
        connection = self._wires[pod_id].connection
        assert connection is not None
        return connection

    def stands(self, pod_id: str) -> bool:
        """Whether there is a connection to the pod now."""
        return pod_id in self._wires and self._wires[pod_id].stands

    def verified(self, pod_id: str) -> bool | None:
        """Whether the pod's host key was proven by its own log at the last connect; None before one."""
        return self._wires[pod_id].verified if pod_id in self._wires else None

    def heard(self, pod_id: str, gpus: int | None) -> None:
        """The pod's agent has answered, and counts so many GPUs."""
        probe = self._fleet.probes.get(pod_id)
        if probe is not None and self.stands(pod_id):
            now = self._fleet.clock()
            self._fleet.probes[pod_id] = replace(probe, heard_at=now, gpus=gpus, failing_at=None, failure="")

    async def drop(self, pod_id: str | None = None) -> None:
        """Let the connection to this pod go at once (None: to all), without goodbyes: nobody may be there any more."""
        for wire in self._of(pod_id):
            await wire.drop()

    async def close(self, pod_id: str | None = None) -> None:
        """Close the connection to this pod in order; None: to all."""
        for wire in self._of(pod_id):
            await wire.close()

    def _of(self, pod_id: str | None) -> list[_Wire]:
        return [wire for id_, wire in self._wires.items() if pod_id in (None, id_)]


class _Wire:
    """Connection and agent of one pod, whichever session it is in."""

    def __init__(
        self, pod_id: str, fleet: Fleet, state_dir: Path, emit: Callable[[AppEvent], None], greet: Greet
    ) -> None:
        self._pod_id = pod_id
        self._fleet = fleet
        self._state_dir = state_dir
        self._emit = emit
        self._greet = greet
        self._lock = asyncio.Lock()
        self._stack: AsyncExitStack | None = None
        self._agent: Agent | None = None
        self._lost: asyncio.Task[None] | None = None
        self.connection: SshConnection | None = None
        self.verified: bool | None = None

    @property
    def stands(self) -> bool:
        return self._lost is not None and not self._lost.done()

    async def agent(self) -> Agent:
        async with self._lock:
            if self._agent is not None and self.stands:
                return self._agent
            await self._close()
            return await self._connect(await self._fleet.find(self._pod_id))

    async def drop(self) -> None:
        if self.connection is not None:
            self.connection.abort()
        await self.close()

    async def close(self) -> None:
        async with self._lock:
            await self._close()

    def _tell(self, view: LinkView) -> None:
        self._emit(LinkChanged(view, self._pod_id))

    async def _connect(self, pod: Pod) -> Agent:
        # asyncssh costs about 300 ms and is needed from here on only.
        from remote.agent.client import Agent
        from remote.link.ssh import connect

        self._tell(LinkView(state="connecting"))
        stack = AsyncExitStack()
        try:
            connection = await stack.enter_async_context(connect(pod, self._fleet.provider, self._state_dir))
        except BaseException as error:
            await stack.aclose()
            self._failing(pod, error)
            self._tell(LinkView())
            raise
        self._stack, self.connection = stack, connection
        self._lost = asyncio.create_task(connection.wait_lost(), name="link lost")
        self._lost.add_done_callback(lambda task: None if task.cancelled() else self._tell(LinkView()))
        self._agent = Agent(connection)
        self.verified = connection.verified
        self._tell(LinkView(state="up", verified=connection.verified))
        self._fleet.probes[pod.id] = Probe(pod.session, pod.endpoint, connected_at=self._fleet.clock())
        await self._greet(self._agent, pod.id)
        return self._agent

    def _failing(self, pod: Pod, error: BaseException) -> None:
        """Note since when the pod's present session cannot be reached, and why."""
        if not isinstance(error, SshError):
            return
        before = self._fleet.probes.get(pod.id)
        same = before is not None and before.session == pod.session and before.failing_at is not None
        since = before.failing_at if before is not None and same else self._fleet.clock()
        self._fleet.probes[pod.id] = Probe(pod.session, pod.endpoint, failing_at=since, failure=str(error))

    async def _close(self) -> None:
        stack, lost = self._stack, self._lost
        self._stack = self.connection = self._agent = self._lost = None
        if lost is not None:
            lost.cancel()
        if stack is not None:
            await stack.aclose()
            self._tell(LinkView())
