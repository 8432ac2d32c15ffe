"""Small durable file operations shared by this package: private directories, atomic writes, appends, locks."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

from remote.errors import ConfigError, DiskFull, Occupied


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write `path` into a sentence: DiskFull, or ConfigError for everything else."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"No space is left to write {path}.", "Free some space there and do it again.", where=str(path)
            ) from exc
        raise ConfigError(
            f"{path} cannot be written: {exc.strerror}.", "Choose a folder that you may write to, or mend its rights."
        ) from exc


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the system's refusal to read `path` into a sentence. A missing file stays FileNotFoundError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}.", "Mend its rights, or move it away.") from exc


def private_dir(path: Path) -> Path:
    """Create `path` with mode 0700 if it is missing; an existing directory is left as it is."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    return path


def write_atomic(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write to a temporary file beside `path`, fsync, rename: a reader sees the old bytes or the new, never a mix."""
    with writing(path):
        _replace(path, data, mode)


def _replace(path: Path, data: bytes, mode: int) -> None:
    import tempfile  # about 5 ms with what it loads: who only reads does not pay

    fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, mode)
            file.write(data)
            file.flush()
            os.fsync(fd)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_dir(path.parent)


def remove_tree(path: Path) -> None:
    """Remove a folder and all in it, as far as that can be done; a missing one is fine."""
    import shutil  # about 4 ms with what it loads

    shutil.rmtree(path, ignore_errors=True)


def sync_dir(path: Path) -> None:
    """Make a rename or a new name in `path` durable."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def append_json(path: Path, row: Mapping[str, Any]) -> None:
    """Append one JSON line and fsync before returning. Safe between processes; a torn last line is closed off first."""
    private_dir(path.parent)
    with writing(path):
        _append(path, json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")


def _append(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            data = b"\n" + data
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of an append-only file, oldest first. Lines that are no JSON object are skipped; see `unreadable`.

    Raises ConfigError when the file cannot be read.
    """
    for line in _lines(path):
        row = _row(line)
        if row is not None:
            yield row


def unreadable(path: Path) -> tuple[int, ...]:
    """Numbers (from 1) of the lines that say nothing any more and are not just the torn end of a write."""
    return tuple(n for n, line in enumerate(_lines(path), 1) if _row(line) is None and not _torn(line))


def _lines(path: Path) -> list[bytes]:
    try:
        with reading(path):
            return path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _torn(line: bytes) -> bool:
    """An interrupted write leaves the beginning of a row, or zeros; it said nothing that anybody had relied on."""
    return not line.strip(b" \r\0") or (line.startswith(b'{"') and not line.endswith(b"}"))


@contextlib.asynccontextmanager
async def locked(path: Path, what: str, deadline_s: float = 60.0) -> AsyncIterator[None]:
    """Hold an exclusive lock on the file `path`; `what` names the work for the error message.

    Raises Occupied when another process holds it for `deadline_s` seconds. The kernel frees it when we die.
    """
    private_dir(path.parent)
    with writing(path):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        end = time.monotonic() + deadline_s
        while not _try_lock(fd):
            if time.monotonic() > end:
                raise Occupied(
                    f"Another process has been busy {what} for {deadline_s:.0f} seconds.",
                    f"Wait for it, or find the process that holds {path} and end it.",
                )
            await asyncio.sleep(0.02)
        yield
    finally:
        os.close(fd)


def held(path: Path) -> bool:
    """Whether somebody, this process included, holds `locked` on a file at this moment."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _try_lock(fd)
    finally:
        os.close(fd)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
