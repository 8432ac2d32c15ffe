"""The simulator as tests use it: a context manager that serves on loopback and lets them reach into the account."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from aiohttp import web

from tests.sim.pods.base import PodFactory
from tests.sim.runpod_api.admin import admin_application
from tests.sim.runpod_api.clock import VirtualClock
from tests.sim.runpod_api.faults import Fault
from tests.sim.runpod_api.keys import Principal
from tests.sim.runpod_api.model import BootTimes, SimPod
from tests.sim.runpod_api.paper import PaperFactory
from tests.sim.runpod_api.quirks import Quirks
from tests.sim.runpod_api.server import Front, Seen
from tests.sim.runpod_api.world import World

T = TypeVar("T")
_TICK_S = 0.05  # real seconds between looks at a clock that runs by itself


class Simulator:
    """`async with Simulator() as sim:` serves until the block ends.

    `factory` starts real pods (None: pods on paper, whose SSH port is closed); `clock` defaults to one that moves only
    by `sim.advance`; `boot` to 55 virtual seconds from create to port; `balance` is USD. `url` is the origin for both
    APIs, `key` a key of the account made at random, `read_only_key` one that may only look.
    """

    def __init__(
        self,
        factory: PodFactory | None = None,
        clock: VirtualClock | None = None,
        *,
        quirks: Quirks | None = None,
        boot: BootTimes | None = None,
        balance: Decimal | str | int = 100,
        seed: int = 0,
        host: str = "127.0.0.1",
        port: int = 0,
        admin_port: int = 0,
    ) -> None:
        self.clock = clock or VirtualClock()
        self.quirks = quirks or Quirks()
        self.key = f"rpa_{secrets.token_hex(24)}"
        self.read_only_key = f"rpa_{secrets.token_hex(24)}"
        self.factory = factory or PaperFactory()
        self.state = World(
            self.clock, self.factory, self.quirks, boot or BootTimes(), Decimal(str(balance)), seed
        )  # fmt: skip
        keys = {self.key: Principal("account"), self.read_only_key: Principal("read-only", writes=False)}
        self.front = Front(self.state, keys)
        self._host, self._port, self._admin_port = host, port, admin_port
        self._runners: list[web.AppRunner] = []
        self._ticking: asyncio.Task[None] | None = None
        self._due = asyncio.Event()
        self.url = self.admin_url = ""

    async def __aenter__(self) -> Self:
        self.url = await self._serve(self.front.application(), self._port)
        self.admin_url = await self._serve(admin_application(self), self._admin_port)
        self.state.origin = self.url
        self.clock.listen(self._due.set)
        self._ticking = asyncio.create_task(self._tick())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticking
        for runner in self._runners:
            await runner.cleanup()
        await self.state.machine.close()
        if self.front.crashes and error is None:
            raise RuntimeError("The simulator itself failed.") from self.front.crashes[0]

    async def _serve(self, app: web.Application, port: int) -> str:
        runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, self._host, port)
        await site.start()
        self._runners.append(runner)
        bound = runner.addresses[0]
        return f"http://{self._host}:{bound[1]}"

    async def _tick(self) -> None:
        """Let what is due happen even when nobody asks."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), None if self.clock.stepped else _TICK_S)
            self._due.clear()
            await self.settle()

    # --- time ----------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Do everything that is due by the clock's time. Requests do so by themselves."""
        async with self.state.lock:
            await self.state.settle()

    async def advance(self, seconds: float) -> None:
        """Move the clock ahead and do what falls due."""
        self.clock.advance(seconds)
        await self.settle()

    # --- the account ---------------------------------------------------------------------------------------------

    @property
    def requests(self) -> list[Seen]:
        """Every request received, oldest first; keys are hidden, bodies are not."""
        return self.front.seen

    def environ(self) -> dict[str, str]:
        """What a client's environment needs to reach the simulator and nothing else."""
        return {"RUNPOD_API_KEY": self.key, "RUNPOD_API_BASE_URL": self.url, "MAXCAI_RUNPOD_URL": self.url}

    def client(self, key: str | None = None) -> httpx.AsyncClient:
        """A bare HTTP client with a key (None: the account's), for tests that look at the wire itself."""
        headers = {"Authorization": f"Bearer {key or self.key}", "User-Agent": "maxcai-tests"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False)

    def pod(self, pod_id: str) -> SimPod:
        """One pod. Raises Refused when it is gone."""
        return self.state.pod(pod_id)

    def inject(self, operation: str, fault: Fault | str, times: int | None = 1) -> None:
        """Let the next `times` requests (None: all) of an operation meet a fault; names as in `FaultBook.inject`."""
        self.front.faults.inject(operation, fault, times)

    def clear_faults(self) -> None:
        """Forget every fault."""
        self.front.faults.clear()

    def retire(self, *apis: str) -> None:
        """Let "v2" or "graphql" answer 410 from now on; none named: neither does."""
        self.front.retired = set(apis)

    def set_quota(self, **quotas: int) -> None:
        """Requests per `minute`, `hour` and `day`."""
        self.front.limiter.quotas.update(quotas)

    def set_stock(self, gpu: str, free: int, cloud: str | None = None, data_center: str | None = None) -> None:
        """Leave this many GPUs of a type free on every matching host."""
        self.state.market.set_stock(gpu, free, cloud, data_center)

    def set_balance(self, balance: Decimal | str | int) -> None:
        """Set the account's balance, USD. What follows from it happens at the next settlement."""
        self.state.books.balance = Decimal(str(balance))

    async def evict(self, pod_id: str) -> None:
        """Outbid a spot pod."""
        async with self.state.lock:
            await self.state.settle()
            await self.state.evict(pod_id)

    async def kill(self, pod_id: str, how: str = "exit") -> None:
        """Let a pod end by itself: "exit", "error" (host lost) or "gone"."""
        async with self.state.lock:
            await self.state.settle()
            await self.state.kill(pod_id, how)


class Served:
    """A simulator in a thread of its own, for tests that block. `sim` is only to be used through `do` and `wait`."""

    def __init__(self, sim: Simulator, loop: asyncio.AbstractEventLoop) -> None:
        self.sim = sim
        self._loop = loop

    def wait(self, doing: Coroutine[Any, Any, T]) -> T:
        """Run one of the simulator's coroutines to its end: `served.wait(served.sim.advance(60))`."""
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result()

    def do(self, act: Callable[[Simulator], T]) -> T:
        """Run a plain function of the simulator between two of its requests."""

        async def run() -> T:
            return act(self.sim)

        return self.wait(run())


@contextlib.contextmanager
def served(make: Callable[[], Simulator] = Simulator) -> Iterator[Served]:
    """Serve what `make` returns from another thread until the block ends; raises what the simulator raised."""
    ready: Future[Served] = Future()
    done = asyncio.Event()

    async def serve() -> None:
        try:
            async with make() as sim:
                ready.set_result(Served(sim, asyncio.get_running_loop()))
                await done.wait()
        except BaseException as exc:
            if not ready.done():
                ready.set_exception(exc)
            raise

    with ThreadPoolExecutor(1, "runpod-sim") as pool:
        serving = pool.submit(asyncio.run, serve())
        one = ready.result()
        try:
            yield one
        finally:
            one.do(lambda _: done.set())
    serving.result()


def write_key(folder: Path, key: str) -> Path:
    """The key in a file of mode 0600, so that it shows in no argv and no log."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "api_key"
    path.touch(mode=0o600)
    path.write_text(f"{key}\n", encoding="utf-8")
    return path
