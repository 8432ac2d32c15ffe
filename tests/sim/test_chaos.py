"""The chaos proxy does what it says: what is late, lost, damaged, cut, and that all else passes unharmed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.sim.chaos import DOWN, LOOPBACK, UP, ChaosProxy, Link

MIB = 1 << 20


class Peer:
    """A server that echoes, counts what it got and, on the first byte "s", sends `supply` instead."""

    def __init__(self, name: bytes = b"") -> None:
        self.name = name
        self.supply = b""
        self.received = bytearray()
        self.how_ended: list[str] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(self.name)
            while data := await reader.read(1 << 18):
                self.received += data
                writer.write(self.supply if self.supply else data)
                await writer.drain()
            self.how_ended.append("FIN")
        except ConnectionResetError:
            self.how_ended.append("RST")
        except asyncio.CancelledError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(peer: Peer) -> AsyncIterator[tuple[str, int]]:
    server = await asyncio.start_server(peer.handle, LOOPBACK, 0)
    try:
        yield server.sockets[0].getsockname()[:2]
    finally:
        server.close()


@pytest.fixture
async def peer() -> Peer:
    return Peer()


@pytest.fixture
async def proxy(peer: Peer) -> AsyncIterator[ChaosProxy]:
    async with serving(peer) as target, ChaosProxy(target) as proxy:
        yield proxy


@asynccontextmanager
async def client(proxy: ChaosProxy) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port, limit=1 << 22)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def until(truth: Iterator[bool] | object, seconds: float = 5.0) -> None:
    """Wait for `truth()`; the time is only a way to fail."""
    async with asyncio.timeout(seconds):
        while not truth():  # type: ignore[operator]
            await asyncio.sleep(0.002)


async def is_silent(reader: asyncio.StreamReader, seconds: float = 0.15) -> bool:
    try:
        await asyncio.wait_for(reader.read(1), seconds)
    except TimeoutError:
        return True
    return False


async def test_bytes_pass_unharmed_both_ways_with_jitter_and_a_small_queue(peer: Peer, proxy: ChaosProxy) -> None:
    proxy.set(delay_s=0.002, jitter_s=0.005, queue=1 << 16)
    data = random.Random(1).randbytes(MIB)
    async with client(proxy) as (reader, writer):

        async def send() -> None:
            for start in range(0, len(data), 10_007):
                writer.write(data[start : start + 10_007])
                await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(send())
        echoed = await asyncio.wait_for(reader.read(-1), 10)
        await sending
    assert hashlib.sha256(echoed).digest() == hashlib.sha256(data).digest()
    assert proxy.passed == {UP: len(data), DOWN: len(data)}
    await until(lambda: proxy.connections == 0)


async def test_the_answer_takes_one_round_trip(proxy: ChaosProxy) -> None:
    proxy.set(delay_s=0.04)
    async with client(proxy) as (reader, writer):
        begin = time.monotonic()
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"
        assert time.monotonic() - begin >= 0.08


async def test_the_rate_limit_counts_all_connections_of_a_direction(proxy: ChaosProxy) -> None:
    proxy.set(rate=200_000.0)
    begin = time.monotonic()
    async with client(proxy) as (one, writer_one), client(proxy) as (two, writer_two):
        for writer in (writer_one, writer_two):
            writer.write(bytes(20_000))
        await asyncio.gather(one.readexactly(20_000), two.readexactly(20_000))
    assert time.monotonic() - begin >= 0.19  # 40,000 bytes at 200,000 a second, less the last slice


async def test_a_blackhole_keeps_the_connection_and_answers_nothing(peer: Peer, proxy: ChaosProxy) -> None:
    async with client(proxy) as (reader, writer):
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        proxy.blackhole()
        writer.write(b"b")
        assert await is_silent(reader)
        assert proxy.connections == 1 and bytes(peer.received) == b"a"
        async with client(proxy) as (late, late_writer):
            late_writer.write(b"c")
            assert await is_silent(late)
        proxy.heal()
        assert await asyncio.wait_for(reader.readexactly(1), 5) == b"b"


async def test_a_peer_behind_a_blackhole_is_not_told_that_the_client_left(peer: Peer, proxy: ChaosProxy) -> None:
    async with client(proxy) as (reader, writer):
        writer.write(b"a")
        await reader.readexactly(1)
        proxy.blackhole()
    await asyncio.sleep(0.1)
    assert peer.how_ended == []
    proxy.heal()
    await until(lambda: peer.how_ended == ["FIN"])


@pytest.mark.parametrize(("direction", "arrives"), [(UP, b""), (DOWN, b"x")])
async def test_a_one_way_stall_lets_the_other_way_pass(
    peer: Peer, proxy: ChaosProxy, direction: str, arrives: bytes
) -> None:
    proxy.stall(UP if direction == "up" else DOWN)
    async with client(proxy) as (reader, writer):
        writer.write(b"x")
        assert await is_silent(reader)
        assert bytes(peer.received) == arrives
        proxy.heal()
        assert await asyncio.wait_for(reader.readexactly(1), 5) == b"x"


async def test_a_stalled_sender_is_held_back_rather_than_buffered_without_end(proxy: ChaosProxy) -> None:
    proxy.set(queue=MIB)
    proxy.stall(UP)
    async with client(proxy) as (_, writer):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                for _ in range(200):
                    writer.write(bytes(MIB))
                    await writer.drain()
        assert writer.transport.get_write_buffer_size() > 0
        assert MIB < proxy.held_bytes <= MIB + (1 << 18)  # the queue, and what one read may bring
        assert proxy.passed[UP] == 0
        writer.transport.abort()


async def test_reset_is_seen_as_reset_and_finish_as_the_end(peer: Peer, proxy: ChaosProxy) -> None:
    async with client(proxy) as (reader, writer):
        writer.write(b"a")
        await reader.readexactly(1)
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
    await until(lambda: peer.how_ended == ["RST"])
    async with client(proxy) as (reader, writer):
        writer.write(b"a")
        await reader.readexactly(1)
        proxy.finish()
        assert await reader.read(1) == b""
    await until(lambda: peer.how_ended == ["RST", "FIN"])


@pytest.mark.parametrize("with_reset", [True, False])
async def test_a_cut_comes_after_exactly_so_many_bytes(peer: Peer, proxy: ChaosProxy, with_reset: bool) -> None:
    peer.supply = bytes(range(250)) * 4000
    proxy.cut_after(700_001, DOWN, with_reset)
    async with client(proxy) as (reader, writer):
        writer.write(b"s")
        got = bytearray()
        with contextlib.suppress(ConnectionResetError):
            while data := await reader.read(1 << 16):
                got += data
    assert bytes(got) == peer.supply[:700_001]
    async with client(proxy) as (reader, writer):  # once only
        writer.write(b"s")
        assert await reader.readexactly(len(peer.supply)) == peer.supply


async def test_exactly_one_byte_is_damaged(proxy: ChaosProxy, peer: Peer) -> None:
    data = bytes(100_000)
    proxy.corrupt(54_321, UP)
    async with client(proxy) as (reader, writer):
        writer.write(data)
        await reader.readexactly(len(data))
    assert [(spot, byte) for spot, byte in enumerate(peer.received) if byte] == [(54_321, 0xFF)]


async def test_a_port_handed_to_another_machine_leaves_old_connections_alone(proxy: ChaosProxy) -> None:
    async with client(proxy) as (reader, writer), serving(Peer(b"stranger")) as (host, port):
        writer.write(b"a")
        await reader.readexactly(1)
        proxy.retarget(host, port)
        async with client(proxy) as (other, _):
            assert await other.readexactly(8) == b"stranger"
        writer.write(b"b")
        assert await reader.readexactly(1) == b"b"


async def test_a_target_that_refuses_resets_the_client(proxy: ChaosProxy) -> None:
    async with serving(Peer()) as (host, port):
        pass
    proxy.retarget(host, port)
    async with client(proxy) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.read(1)


async def test_a_client_that_dies_is_noticed_by_the_target(peer: Peer, proxy: ChaosProxy) -> None:
    reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
    writer.write(b"a")
    await reader.readexactly(1)
    peer.supply = bytes(64 * MIB)  # more than the buffers take: unread data make the kernel send RST
    writer.write(b"s")
    await reader.readexactly(1)
    writer.transport.abort()
    await until(lambda: peer.how_ended == ["RST"])


async def test_a_link_that_makes_no_sense_is_refused(proxy: ChaosProxy) -> None:
    with pytest.raises(ValueError, match="makes no sense"):
        proxy.set(rate=0.0)
    with pytest.raises(TypeError):
        proxy.set(speed=1)


async def test_as_a_process_it_is_steered_through_its_control_port(peer: Peer) -> None:
    async with serving(peer) as (host, port):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.sim.chaos", "--target", f"{host}:{port}", "--delay-ms", "1",
            stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        try:
            assert process.stdout is not None
            ports = json.loads(await process.stdout.readline())
            control_reader, control = await asyncio.open_connection(LOOPBACK, ports["control"])

            async def ask(**request: object) -> dict[str, object]:
                control.write(json.dumps(request).encode() + b"\n")
                return dict(json.loads(await control_reader.readline()))

            reader, writer = await asyncio.open_connection(LOOPBACK, ports["port"])
            writer.write(b"a")
            assert await reader.readexactly(1) == b"a"
            state = await ask(do="set", rate=1e6)
            assert state["ok"] and state["connections"] == 1 and state["passed"] == {"up": 1, "down": 1}
            assert state["link"] == {"delay_s": 0.001, "jitter_s": 0.0, "rate": 1e6, "queue": Link().queue}
            assert (await ask(do="explode"))["ok"] is False
            assert (await ask(do="blackhole"))["stalled"] == ["down", "up"]
            await ask(do="heal")
            await ask(do="reset")
            with pytest.raises(ConnectionResetError):
                await reader.read(1)
            control.close()
            writer.close()
        finally:
            process.terminate()
            assert await process.wait() == 0


@pytest.mark.slow
async def test_at_80_ms_it_carries_60_mib_a_second() -> None:
    peer, size = Peer(), 192 * MIB
    peer.supply = bytes(size)
    async with serving(peer) as target, ChaosProxy(target, Link(delay_s=0.04)) as proxy, client(proxy) as (reader, w):
        w.write(b"s")
        await reader.readexactly(1)
        begin, left = time.monotonic(), size - 1
        while left:
            left -= len(await reader.read(1 << 20))
        assert size / MIB / (time.monotonic() - begin) >= 60
