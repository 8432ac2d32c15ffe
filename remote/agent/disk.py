"""Files as the agent handles them: atomic notes, paths that cannot leave their folder, and refusals. Knows no runs."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from typing import Any

PROTOCOL = 1
CHUNK = 8 << 20
Json = dict[str, Any]


class Refused(Exception):
    """A request that is answered with ok=false: `code` for programs, the text for people."""

    def __init__(self, code: str, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.code, self.detail, self.more = code, detail, more


def fsync_dir(path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_json(path: str, value: Json, durable: bool = True) -> None:
    """Write atomically: temporary file, fsync, rename, fsync of the folder."""
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "w", encoding="utf-8") as out:
        out.write(json.dumps(value, separators=(",", ":")))  # `dump` would take ten times as long
        out.flush()
        if durable:
            os.fsync(out.fileno())
    os.replace(temporary, path)
    if durable:
        fsync_dir(os.path.dirname(path))


def read_json(path: str) -> Json | None:
    try:
        with open(path, encoding="utf-8") as lines:
            value = json.load(lines)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def safe_relative(path: Any) -> str:
    """`path` if it names something below its folder, in normal form; else Refused("unsafe_path")."""
    parts = path.split("/") if isinstance(path, str) else []
    if not parts or "\0" in path or any(part in ("", ".", "..") for part in parts) or len(path) > 4096:
        raise Refused("unsafe_path", f"not a path inside the folder: {path!r}")
    return "/".join(parts)


def open_inside(base: str, relative: Any) -> int:
    """A read-only descriptor of the regular file `relative` below `base`; symlinks that leave `base` are refused."""
    path = os.path.join(base, safe_relative(relative))
    real, home = os.path.realpath(path), os.path.realpath(base)
    if not real.startswith(home + os.sep):
        raise Refused("unsafe_path", f"{relative!r} leaves its folder")
    fd = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Refused("unsafe_path", f"{relative!r} is not a regular file")
    return fd


def sha256_fd(fd: int) -> str:
    digest, offset = hashlib.sha256(), 0
    while True:
        chunk = os.pread(fd, CHUNK, offset)
        if not chunk:
            return digest.hexdigest()
        digest.update(chunk)
        offset += len(chunk)


def canonical(entries: list[Json]) -> bytes:
    """The bytes whose sha256 is a tree id; the pushing side computes the same."""
    return json.dumps(entries, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def walk(base: str, below: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """(relative path, lstat) of everything below `base` that is not a folder, sorted; symlinks are not followed."""
    with os.scandir(os.path.join(base, below)) as entries:
        for entry in sorted(entries, key=lambda item: item.name):
            relative = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from walk(base, relative)
            else:
                try:
                    yield relative, entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue


def free_bytes(path: str) -> int | None:
    try:
        info = os.statvfs(path)
        return info.f_bavail * info.f_frsize
    except OSError:
        return None


def os_refusal(error: OSError) -> Json:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    detail = f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
    return {"code": "disk_full" if full else "os", "detail": detail}
