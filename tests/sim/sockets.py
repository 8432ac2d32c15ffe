"""One socket of a proxied connection, as an asyncio protocol: flow control, half-close, and both ways to close."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable

_WRITE_BUFFER = 1 << 20


class Leg(asyncio.Protocol):
    """Reads nothing before `attach`. `writable` is False while the peer takes no more."""

    def __init__(self, accepted: Callable[[Leg], None] | None = None) -> None:
        self._accepted = accepted
        self._feed: Callable[[bytes | None], None] | None = None
        self._release: Callable[[], None] | None = None
        self._closed: Callable[[], None] | None = None
        self._transport: asyncio.Transport | None = None
        self.writable = True
        self.lost = False

    def attach(
        self, feed: Callable[[bytes | None], None], release: Callable[[], None], closed: Callable[[], None]
    ) -> None:
        """Read from now on into `feed` (b"" is FIN, None is RST); `release` is called when writable again, `closed`
        when the socket is."""
        self._feed, self._release, self._closed = feed, release, closed
        if self.lost:
            feed(None)
            closed()
        else:
            self.resume()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        transport.pause_reading()
        if self._accepted is not None:
            self._accepted(self)

    def data_received(self, data: bytes) -> None:
        if self._feed is not None:
            self._feed(data)

    def eof_received(self) -> bool:
        if self._feed is not None:
            self._feed(b"")
        return True  # the other direction goes on

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost, self.writable = True, True  # what comes for a dead socket is dropped, as by the network
        if exc is not None and self._feed is not None:
            self._feed(None)
        if self._release is not None:
            self._release()
        if self._closed is not None:
            self._closed()

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        if self._release is not None:
            self._release()

    def write(self, data: bytes) -> None:
        """Send; nothing happens on a closed socket."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def finish(self) -> None:
        """Send FIN after what was written."""
        if self._transport is not None and not self._transport.is_closing():
            with contextlib.suppress(OSError):
                self._transport.write_eof()

    def pause(self) -> None:
        """Stop reading."""
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._transport is not None and not self._transport.is_closing() and not self._transport.is_reading():
            self._transport.resume_reading()

    def close(self) -> None:
        """Send what was written, then FIN."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Send what was written, then RST."""
        if self._transport is not None and not self._transport.is_closing():
            linger = struct.pack("ii", 1, 0)  # on, for no time: closing drops what the kernel holds and sends RST
            with contextlib.suppress(OSError):
                self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._transport.close()

    def abort(self) -> None:
        """Close now, were the peer not reading."""
        if self._transport is not None:
            self._transport.abort()
