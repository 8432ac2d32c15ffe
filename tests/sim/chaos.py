"""A TCP proxy that does to connections what bad networks do: delay, jitter, a rate limit, silence, cuts, damage.

What is read is stamped with the time it is due and handed on in order; only the TCP handshake is not delayed. In a test
use `ChaosProxy`. As a process, `python -m tests.sim.chaos --target HOST:PORT --delay-ms 40 --control PORT` prints one
JSON line with its ports; each line sent to the control port is one call, {"do": "set", "rate": 1e6}, answered by one.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Literal, Self

from tests.sim.sockets import Leg

LOOPBACK = "127.0.0.1"
Direction = Literal["up", "down"]
UP: Direction = "up"  # from the client to the target
DOWN: Direction = "down"
_SLICE_S = 0.01  # under a rate limit, at most what passes in this time is written at once
_SLICE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Link:
    """What the network is like, in each direction alike.

    `delay_s` seconds one way, half a round trip; `jitter_s` up to so much more, drawn anew for each piece, order kept;
    `rate` bytes/second, None for no limit; `queue` bytes under way at most in one direction of one connection: a sender
    is not read from until there is room.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    rate: float | None = None
    queue: int = 32 << 20

    def __post_init__(self) -> None:
        if min(self.delay_s, self.jitter_s) < 0 or (self.rate is not None and self.rate <= 0) or self.queue < 1:
            raise ValueError(f"{self} makes no sense.")


class ChaosProxy:
    """Listens on `port` of loopback (0: any) and connects each client to `target`, over a network like `link`.

    `passed` counts the bytes handed on in each direction. Jitter is drawn from `seed`.
    """

    def __init__(self, target: tuple[str, int], link: Link = Link(), port: int = 0, seed: int = 0) -> None:
        self.target, self.link, self.port = target, link, port
        self.passed: dict[Direction, int] = {UP: 0, DOWN: 0}
        self.stalled: frozenset[Direction] = frozenset()
        self.random = random.Random(seed)
        self.free_at: dict[Direction, float] = {UP: 0.0, DOWN: 0.0}  # when the rate limit lets the next byte pass
        self._cut: dict[Direction, tuple[int, bool]] = {}  # at which count of passed bytes, and whether with RST
        self._damage: dict[Direction, int] = {}
        self._pairs: set[Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Leg(self._accepted), LOOPBACK, self.port, reuse_address=True)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()
        for task in (tasks := list(self._tasks)):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def connections(self) -> int:
        """Clients connected now."""
        return len(self._pairs)

    @property
    def held_bytes(self) -> int:
        """Bytes under way now, of all connections."""
        return sum(flow.held_bytes for pair in self._pairs for flow in pair.flows)

    def set(self, **changes: Any) -> None:
        """Change fields of the link, for what is read from now on. Raises TypeError or ValueError."""
        self.link = replace(self.link, **changes)
        self._release()

    def retarget(self, host: str, port: int) -> None:
        """Hand the port to another machine: new connections go there, those that stand stay where they are."""
        self.target = (host, port)

    def stall(self, direction: Direction) -> None:
        """Nothing passes in this direction, no end of a connection either, until `heal`."""
        self.stalled |= {direction}

    def blackhole(self) -> None:
        """Nothing passes at all: connections stand half-open, new ones get no answer, until `heal`."""
        self.stalled = frozenset((UP, DOWN))

    def heal(self) -> None:
        """What was held back passes now, as when a network comes back before TCP has given up."""
        self.stalled = frozenset()
        self._release()

    def reset(self) -> None:
        """Cut every connection with RST at both ends; what was under way is lost."""
        for pair in list(self._pairs):
            pair.cut(with_reset=True)
            pair.abort()

    def finish(self) -> None:
        """Cut every connection with FIN at both ends; what was under way is lost."""
        for pair in list(self._pairs):
            pair.cut(with_reset=False)

    def cut_after(self, count: int, direction: Direction = DOWN, with_reset: bool = True) -> None:
        """Once: cut the connection that would pass more than `count` further bytes, after exactly those."""
        self._cut[direction] = self.passed[direction] + count, with_reset

    def corrupt(self, after: int, direction: Direction = DOWN) -> None:
        """Once: invert the byte that comes after `after` further ones."""
        self._damage[direction] = self.passed[direction] + after

    def _release(self) -> None:
        for pair in list(self._pairs):
            for flow in pair.flows:
                flow.release()

    def _accepted(self, client: Leg) -> None:
        task = asyncio.get_running_loop().create_task(self._connect(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, client: Leg) -> None:
        try:
            _, target = await asyncio.get_running_loop().create_connection(Leg, *self.target)
        except OSError:
            client.reset()
            return
        except asyncio.CancelledError:
            client.reset()
            raise
        pair = Pair(self, client, target)
        self._pairs.add(pair)
        pair.begin()

    def forget(self, pair: Pair) -> None:
        """The pair's sockets are closed."""
        self._pairs.discard(pair)

    def admit(self, direction: Direction, data: bytes) -> tuple[bytes, bool | None]:
        """What of `data` passes now, and whether the connection is cut after it: None no, True with RST."""
        begin = self.passed[direction]
        end, with_reset = self._cut.get(direction, (None, False))
        cut = end is not None and begin + len(data) > end
        if cut:
            data = data[: end - begin] if end is not None else data
            del self._cut[direction]
        spot = self._damage.get(direction)
        if spot is not None and begin <= spot < begin + len(data):
            data = data[: spot - begin] + bytes([data[spot - begin] ^ 0xFF]) + data[spot - begin + 1 :]
            del self._damage[direction]
        self.passed[direction] += len(data)
        return data, (with_reset if cut else None)


class Pair:
    """A client's connection and ours to the target."""

    def __init__(self, proxy: ChaosProxy, client: Leg, target: Leg) -> None:
        self._proxy = proxy
        self.legs = (client, target)
        self.flows = (Flow(proxy, self, UP, client, target), Flow(proxy, self, DOWN, target, client))

    def begin(self) -> None:
        """Read from both sockets from now on."""
        for leg, into, out_of in zip(self.legs, self.flows, reversed(self.flows), strict=True):
            leg.attach(into.feed, out_of.release, self._check_lost)

    def cut(self, with_reset: bool) -> None:
        """Close both sockets, after what was handed on already; what is held is dropped."""
        for flow in self.flows:
            flow.stop()
        for leg in self.legs:
            (leg.reset if with_reset else leg.close)()

    def abort(self) -> None:
        """Close both sockets now, were nobody reading what was handed on."""
        for leg in self.legs:
            leg.abort()

    def check_done(self) -> None:
        """Close both sockets once both directions have ended."""
        if all(flow.ended for flow in self.flows):
            self.cut(with_reset=False)

    def _check_lost(self) -> None:
        if all(leg.lost for leg in self.legs):
            self._proxy.forget(self)


class Flow:
    """One direction of one connection: take, hold until due, hand on."""

    def __init__(self, proxy: ChaosProxy, pair: Pair, direction: Direction, source: Leg, sink: Leg) -> None:
        self.ended = False
        self._proxy, self._pair, self._direction = proxy, pair, direction
        self._source, self._sink = source, sink
        self._held: deque[tuple[float, bytes | None]] = deque()  # when due; b"" stands for FIN, None for RST
        self.held_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def feed(self, data: bytes | None) -> None:
        """Take what was read: bytes, b"" for FIN, None for RST."""
        if self.ended:
            return
        link = self._proxy.link
        due = time.monotonic() + link.delay_s + self._proxy.random.uniform(0, link.jitter_s)
        self._held.append((due, data))
        self.held_bytes += len(data or b"")
        if self.held_bytes > link.queue:
            self._source.pause()
        self.release()

    def release(self) -> None:
        """Hand on what is due, and come back for the rest."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._held and self._sink.writable and self._direction not in self._proxy.stalled:
            due, data = self._held[0]
            wait = max(due, self._proxy.free_at[self._direction]) - time.monotonic()
            if wait > 0:
                self._timer = asyncio.get_running_loop().call_later(wait, self.release)
                return
            self._held.popleft()
            self._end(data) if not data else self._hand_on(due, data)

    def _end(self, data: bytes | None) -> None:
        self.ended = True
        if data is None:
            self._pair.cut(with_reset=True)
        else:
            self._sink.finish()
            self._pair.check_done()

    def _hand_on(self, due: float, data: bytes) -> None:
        rate = self._proxy.link.rate
        if rate is not None and len(data) > (most := max(_SLICE_BYTES, int(rate * _SLICE_S))):
            self._held.appendleft((due, data[most:]))
            data = data[:most]
        self.held_bytes -= len(data)
        if self.held_bytes <= self._proxy.link.queue // 2:
            self._source.resume()
        data, with_reset = self._proxy.admit(self._direction, data)
        if rate is not None:
            free_at = self._proxy.free_at[self._direction]
            self._proxy.free_at[self._direction] = max(free_at, time.monotonic()) + len(data) / rate
        self._sink.write(data)
        if with_reset is not None:
            self._pair.cut(with_reset)

    def stop(self) -> None:
        """Drop what is held and take no more."""
        self.ended = True
        if self._timer is not None:
            self._timer.cancel()
        self._held.clear()


if __name__ == "__main__":
    from tests.sim.chaos_control import main

    main()
