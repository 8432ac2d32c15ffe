"""What keeps the tests themselves harmless."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest


def test_no_test_sees_a_key_or_leaves_this_machine() -> None:
    assert not [name for name in os.environ if name.startswith("RUNPOD_") or name.endswith(("_TOKEN", "_API_KEY"))]
    for address in (("192.0.2.1", 443), ("2001:db8::1", 443, 0, 0), ("example.org", 443)):
        family = socket.AF_INET6 if len(address) == 4 else socket.AF_INET
        with socket.socket(family) as far:
            far.settimeout(0.1)
            with pytest.raises(AssertionError, match="outside of this machine"):
                far.connect(address)
            with pytest.raises(AssertionError, match="outside of this machine"):
                far.connect_ex(address)


async def test_neither_does_a_client_that_asyncio_connects() -> None:
    with pytest.raises(AssertionError, match="outside of this machine"):
        await asyncio.open_connection("192.0.2.1", 443)


async def test_connections_to_this_machine_go_through() -> None:
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("localhost", port)
        assert await reader.read() == b""
        writer.close()
