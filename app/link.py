"""The one verified SSH connection of this process, made on demand and made again after it broke.

When to try again is the supervisor's decision; which key is right is `remote.ssh`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from app.events import AppEvent, LinkChanged
from app.fleet import Fleet
from app.state import LinkView

if TYPE_CHECKING:
    from remote.agent.client import Agent
    from remote.pods.model import Pod, PodSession
    from remote.ssh import SshConnection


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
        from remote.ssh import connect

        self._emit(LinkChanged(LinkView(state="connecting")))
        stack = AsyncExitStack()
        try:
            connection = await stack.enter_async_context(connect(pod, self._fleet.provider, self._state_dir))
        except BaseException:
            await stack.aclose()
            self._emit(LinkChanged(LinkView()))
            raise
        self._stack, self._connection, self._session = stack, connection, pod.session
        self._lost = asyncio.create_task(connection.wait_lost(), name="link lost")
        self._lost.add_done_callback(lambda _task: self._emit(LinkChanged(LinkView())))
        self._agent = Agent(connection)
        self._emit(LinkChanged(LinkView(state="up", verified=True)))
        await self._greet(self._agent, pod.id)
        return self._agent

    async def _close(self) -> None:
        stack, lost = self._stack, self._lost
        self._stack = self._connection = self._agent = self._session = self._lost = None
        if lost is not None:
            lost.cancel()
        if stack is not None:
            await stack.aclose()
            self._emit(LinkChanged(LinkView()))
