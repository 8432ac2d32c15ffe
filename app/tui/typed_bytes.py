"""What a terminal sends is not always text: a stray byte is a replacement character, never the end of the panel.

Textual's own driver decodes strictly, and its input thread ends with the first byte that is not UTF-8: binary from the
clipboard, a meta key in eight-bit mode, noise on a serial line.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from functools import partial
from typing import Any

from textual.drivers import linux_driver


class TolerantDriver(linux_driver.LinuxDriver):
    """Textual's driver with a decoder that replaces what it cannot read, so that a paste stays a paste."""

    def run_input_thread(self) -> None:
        """Read until the panel ends. The decoder is a name in the driver's module: there is no other way in."""
        linux_driver.getincrementaldecoder = _tolerant  # type: ignore[attr-defined]
        super().run_input_thread()


def _tolerant(encoding: str) -> Any:
    return partial(getincrementaldecoder(encoding), "replace")
