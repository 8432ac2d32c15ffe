"""A workspace that rents from the simulator: provider, state folder and one virtual clock for everything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from remote.journal import Journal, Phase
from remote.money.costs import Ledger, Row
from remote.pods.model import Pod, PodSpec
from remote.pods.runpod.provider import RunPodProvider
from remote.renting import creating, lifecycle
from tests.sim.runpod_api.harness import Simulator
from tests.sim.runpod_api.model import BootTimes

GPU = "NVIDIA A100-SXM4-80GB"
QUICK = BootTimes(provision=1.0, pull=4.7, port=2.0, resume=3.4)
SPEC = PodSpec("runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404", GPU, volume_gb=100)


@dataclass
class Rented:
    """What a test needs of it. Waiting takes no real time: it moves the simulator's clock."""

    sim: Simulator
    provider: RunPodProvider
    state_dir: Path
    used: list[RunPodProvider] = field(default_factory=list)

    def renew(self) -> None:
        """Go on with a new client, as another process would."""
        self.provider = RunPodProvider(self.state_dir, self.sim.clock, self.sim.environ(), sleep=self.sim.clock.leap)
        self.used.append(self.provider)

    @property
    def journal(self) -> Journal:
        return Journal(self.state_dir, self.sim.clock)

    @property
    def rows(self) -> list[Row]:
        return Ledger(self.state_dir).rows()

    def phases(self) -> list[tuple[str, Phase]]:
        return [(intent.op, intent.phase) for intent in self.journal.intents()]

    def create(self, spec: PodSpec = SPEC, **options: object) -> Awaitable[creating.Created]:
        return creating.create(
            self.provider, spec, self.state_dir, self.sim.clock, word="test", sleep=self.sim.clock.leap, **options  # type: ignore[arg-type]
        )  # fmt: skip

    async def created(self) -> Pod:
        """A new pod with an address."""
        made = await self.create()
        pod = await lifecycle.await_address(self.provider, made.pod, self.sim.clock, sleep=self.sim.clock.leap)
        await lifecycle.look(self.provider, self.state_dir, self.sim.clock)
        return pod

    async def start(self, pod_id: str) -> Pod:
        return await lifecycle.start(self.provider, pod_id, self.state_dir, self.sim.clock, sleep=self.sim.clock.leap)

    async def stop(self, pod_id: str) -> Pod:
        return await lifecycle.stop(self.provider, pod_id, self.state_dir, self.sim.clock, sleep=self.sim.clock.leap)

    async def recover(self) -> list[Pod]:
        return await lifecycle.recover(self.provider, self.state_dir, self.sim.clock)


@asynccontextmanager
async def rented(state_dir: Path, sim: Simulator | None = None) -> AsyncIterator[Rented]:
    """Serve a simulator and speak to it; by default one whose pods boot in seconds, each of which is a request."""
    async with sim or Simulator(boot=QUICK) as served:
        provider = RunPodProvider(state_dir, served.clock, served.environ(), sleep=served.clock.leap)
        rent = Rented(served, provider, state_dir, [provider])
        try:
            yield rent
        finally:
            for one in rent.used:
                await one.aclose()
