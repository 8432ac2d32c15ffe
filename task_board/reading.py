"""Bytes of one file, whatever a lane holds: a pipe does not hang, a device does not fill the memory."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

LARGEST = 4 << 20
"""Bytes: a task is text that a person wrote."""


def read_file(path: Path, largest: int | None = LARGEST) -> bytes:
    """All bytes of an ordinary file (links to one are followed).

    Raises OSError for anything else, and for more than `largest` bytes.
    """
    # Without O_NONBLOCK, opening a pipe waits for somebody who writes into it.
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        state = os.fstat(number)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "it is no ordinary file")
        # Files of /proc say 0 bytes and hold more: never read further than the limit.
        limit = largest if largest is not None else max(state.st_size, 1) + LARGEST
        parts, total = [], 0
        while total <= limit and (part := os.read(number, min(limit + 1 - total, max(state.st_size, 4096) + 1))):
            parts.append(part)
            total += len(part)
    finally:
        os.close(number)
    if total > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit >> 20} MiB")
    return b"".join(parts)
