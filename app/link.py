"""The one verified SSH connection of this process, made on demand and made again after it broke.

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
    from remote.pods.model import Pod, PodSession


class Link:
    """Connection and agent of one pod session.

    Args:
        fleet: where the pod's present address comes from, asked anew at each connect.
        state_dir: where our key and the pins lie.
        emit: told of each change of the link.
        greet: done first over each new connection, with the agent and the pod's id.
    """

    def __init__(
        self,
        fleet: Fleet,
        state_dir: Path,
        emit: Callable[[AppEvent], None],
        greet: Callable[[Agent, str], Awaitable[None]],
    ) -> None:
        self._fleet = fleet
        self._state_dir = state_dir
        self._emit = emit
        self._greet = greet
        self._lock = asyncio.Lock()
        self._stack: AsyncExitStack | None = None
        self._connection: SshConnection | None = None
        self._agent: Agent | None = None
        self._session: PodSession | None = None
        self._lost: asyncio.Task[None] | None = None
        self.verified: bool | None = None  # whether the host key was proven by the pod's own log

    async def agent(self, pod_id: str | None = None) -> Agent:
        """The agent of the pod, over the connection that stands or a new one.

        Raises NoEndpoint, ConnectFailed, AuthRejected, HostKeyUnverified or HostKeyMismatch.
        """
        async with self._lock:
            if self._agent is not None and self._stands(pod_id):
                return self._agent
            await self._close()
            pod = await self._fleet.find(pod_id)
            return await self._connect(pod)

    async def connection(self, pod_id: str | None = None) -> SshConnection:
        """The connection behind `agent`, made if need be."""
        await self.agent(pod_id)
        assert self._connection is not None
        return self._connection

    async def drop(self) -> None:
        """Let the connection go at once, without goodbyes: the other side may not be there any more."""
        if self._connection is not None:
            self._connection.abort()
        async with self._lock:
            await self._close()

    async def close(self) -> None:
        """Close in order."""
        async with self._lock:
            await self._close()

    def _stands(self, pod_id: str | None) -> bool:
        if self._lost is None or self._lost.done() or self._session is None:
            return False
        return pod_id is None or pod_id == self._session.pod_id

    async def _connect(self, pod: Pod) -> Agent:
        # asyncssh costs about 300 ms and is needed from here on only.
        from remote.agent.client import Agent
        from remote.link.ssh import connect

        self._emit(LinkChanged(LinkView(state="connecting")))
        stack = AsyncExitStack()
        try:
            connection = await stack.enter_async_context(connect(pod, self._fleet.provider, self._state_dir))
        except BaseException as error:
            await stack.aclose()
            self._failing(pod, error)
            self._emit(LinkChanged(LinkView()))
            raise
        self._stack, self._connection, self._session = stack, connection, pod.session
        self._lost = asyncio.create_task(connection.wait_lost(), name="link lost")
        self._lost.add_done_callback(lambda _task: self._emit(LinkChanged(LinkView())))
        self._agent = Agent(connection)
        self.verified = connection.verified
        self._emit(LinkChanged(LinkView(state="up", verified=connection.verified)))
        self._fleet.probes[pod.id] = Probe(pod.session, pod.endpoint, connected_at=self._fleet.clock())
        await self._greet(self._agent, pod.id)
        return self._agent

    def heard(self, gpus: int | None) -> None:
        """The agent has answered, and counts so many GPUs."""
        session = self._session
        probe = self._fleet.probes.get(session.pod_id) if session is not None else None
        if probe is not None and session is not None:
            known = replace(probe, heard_at=self._fleet.clock(), gpus=gpus, failing_at=None, failure="")
            self._fleet.probes[session.pod_id] = known

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
        self._stack = self._connection = self._agent = self._session = self._lost = None
        if lost is not None:
            lost.cancel()
        if stack is not None:
            await stack.aclose()
            self._emit(LinkChanged(LinkView()))
