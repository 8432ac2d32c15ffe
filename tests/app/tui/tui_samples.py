"""States and a controller to test the panel against: the true registry and reducer, no services."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from app.actions import registry
from app.actions.base import Action, Confirm
from app.events import AppEvent, RunFollowed, RunLine
from app.reduce import reduce
from app.state import AppState, CostView, GateView, LinkView, PodView, StreamView

NOW = 1_800_000_000.0
STEPS = ("freeze", "generate", "critique", "filter", "sft", "pairs", "dpo", "evaluate", "gate")
RATES = {
    "base-raw": {"successes": 5, "trials": 120, "low": 0.018, "high": 0.094, "lenient_successes": 9},
    "base-formatted": {"successes": 28, "trials": 120, "low": 0.167, "high": 0.317, "lenient_successes": 41},
    "base-few-shot": {"successes": 37, "trials": 120, "low": 0.234, "high": 0.395, "lenient_successes": 49},
    "tuned": {"successes": 82, "trials": 120, "low": 0.595, "high": 0.760, "lenient_successes": 85},
}


def pod(**changes: Any) -> PodView:
    base = PodView(
        id="local-1",
        name="local",
        provider="local",
        status="RUNNING",
        gpu=None,
        gpu_count=0,
        cost_per_hour=Decimal("0"),
        host="127.0.0.1",
        port=40123,
        started_at=NOW - 252,
    )
    return replace(base, **changes)


class RunScript:
    """Writes a run's events as the pipeline would, and folds them into a state."""

    def __init__(self, state: AppState, run_id: str = "20270115-080000-demo") -> None:
        self.seq = 0
        self.lines: list[bytes] = []
        self.state = reduce(state, RunFollowed(run_id, "demo", "local-1"))
        self.run_id = run_id

    def say(self, kind: str, at: float = NOW, **data: Any) -> RunScript:
        from datetime import UTC, datetime

        stamp = datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
        line = json.dumps({"v": 1, "seq": self.seq, "t": stamp, "kind": kind, **data}).encode()
        self.seq += 1
        self.lines.append(line + b"\n")
        self.state = reduce(self.state, RunLine(self.run_id, line))
        return self

    def plan(self) -> RunScript:
        steps = [f"stage-1/{name}" for name in STEPS]
        return self.say(
            "run_started",
            NOW - 180,
            run_id=self.run_id,
            recipe="demo",
            recipe_sha256="0" * 64,
            hardware={},
            resumed=False,
            steps=steps,
        )

    def done(self, *names: str) -> RunScript:
        for index, name in enumerate(names):
            step = f"stage-1/{name}"
            self.say("step_started", NOW - 170 + index, step=step, key="k", attempt=1, forecast_s=None)
            self.say("step_finished", NOW - 150, step=step, state="done", seconds=12.3 + 7 * index, tokens=0, usd=None)
        return self

    def training(self) -> RunScript:
        self.say("step_started", NOW - 35, step="stage-1/sft", key="k", attempt=1, forecast_s=60)
        for x in range(1, 41):
            self.say("metric", NOW - 30, step="stage-1/sft", name="loss", value=2.4 / (1 + x / 9), x=x)
        self.say("progress", NOW - 2, step="stage-1/sft", done=228, total=375, unit="steps", rate=6.53, eta_s=22.5)
        return self.say(
            "heartbeat", NOW - 2, step="stage-1/sft", pid=4121, rss=1_912_000_000, gpu_bytes=None, tokens_per_s=1812.0
        )

    def gate(self, verdict: str = "PASS", rate: float = 82 / 120) -> RunScript:
        return self.say(
            "gate",
            stage=1,
            name="explicit",
            attempt=1,
            verdict=verdict,
            rate=rate,
            low=0.595,
            high=0.76,
            threshold=0.6,
            p=0.0000012,
            n=120,
            reason="tuned is better than base-formatted lenient",
            rates=RATES,
        )


def base_state() -> AppState:
    return AppState(project="bootstrap", provider="local", hint="set RUNPOD_API_KEY to rent a GPU: maxcai doctor")


def up_state() -> AppState:
    the_pod = pod()
    return replace(
        base_state(),
        pods=(the_pod,),
        pod=the_pod,
        pods_at=NOW - 3,
        link=LinkView(state="up", latency_s=0.0012, data_at=NOW - 1, verified=True),
        cost=CostView(Decimal(0), Decimal(0), Decimal(0), estimated=False, disks=Decimal(0)),
    )


def training_state(log: Path | None = None, events: Path | None = None) -> AppState:
    script = RunScript(up_state()).plan().done("freeze", "generate", "critique", "filter").training()
    streams: dict[str, StreamView] = {}
    if events is not None:
        events.write_bytes(b"".join(script.lines))
        streams["events.jsonl"] = StreamView("events.jsonl", str(events), events.stat().st_size)
    if log is not None:
        name = "logs/stage-1.sft.log"
        streams[name] = StreamView(name, str(log), log.stat().st_size if log.exists() else 0)
    return replace(script.state, streams=streams)


def finished_state(verdict: str = "PASS") -> AppState:
    script = RunScript(up_state()).plan().done(*STEPS[:-1]).gate(verdict)
    script.say("step_started", NOW - 1, step="stage-1/gate", key="k", attempt=1, forecast_s=None)
    script.say("step_finished", NOW - 1, step="stage-1/gate", state="done", seconds=0.4, tokens=0, usd=None)
    ok = verdict == "PASS"
    script.say("run_finished", state="finished", exit_code=0 if ok else 5, reason="every gate passed" if ok else "gate")
    return script.state


def gate_of(state: AppState) -> GateView:
    assert state.run is not None
    return state.run.gates[-1]


class FakeController:
    """The controller's interface over the true registry and reducer; `done` lists what was asked for."""

    def __init__(self, state: AppState, confirm: Mapping[str, Confirm] | None = None) -> None:
        self.state = state
        self.done: list[tuple[str, dict[str, Any]]] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.outcome: Callable[[FakeController, str], int] = lambda _controller, _id: 0
        self.workspace: Any = None
        self._confirm = dict(confirm or {})
        self._subscribers: list[Callable[[AppState], None]] = []
        self.forever = asyncio.Event()

    def subscribe(self, callback: Callable[[AppState], None]) -> Callable[[], None]:
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def become(self, state: AppState) -> None:
        self.state = state
        for callback in tuple(self._subscribers):
            callback(state)

    def emit(self, event: AppEvent) -> None:
        self.become(reduce(self.state, event))

    async def run(self) -> None:
        await self.forever.wait()

    def actions(self) -> tuple[Action, ...]:
        return registry.ACTIONS

    def reason(self, action_id: str) -> str | None:
        return registry.refusal(action_id, self.state)

    async def confirm(self, action_id: str, args: Mapping[str, Any] | None = None) -> Confirm | None:
        self.asked.append((action_id, dict(args or {})))
        return self._confirm.get(action_id)

    async def stream(self, action_id: str, args: Mapping[str, Any] | None = None) -> AsyncIterator[AppEvent]:
        from app.events import Output

        self.done.append((action_id, dict(args or {})))
        yield Output(f"output of {action_id}")

    async def perform(self, action_id: str, args: Mapping[str, Any] | None = None, *, ask: Any = None) -> int:
        self.done.append((action_id, dict(args or {})))
        return self.outcome(self, action_id)

    async def close(self) -> None:
        self.forever.set()
