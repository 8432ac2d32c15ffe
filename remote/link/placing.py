"""Puts a file on a pod over a connection: atomically, verified there by hash, with nothing but a Python 3.9 there.

Also packs Python sources into one such file. What the file is for is the caller's business.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping

from remote.errors import AgentFailed, DiskFull, PythonMissing
from remote.link.connection import Completed, Connection

TOO_OLD, NO_COMMAND, NO_FILE = 39, 127, 2
"""Exit codes: Python is older than 3.9, there is none, and it found no file to run."""

PLACE = """\
import hashlib, os, sys
if sys.version_info < (3, 9): sys.exit(39)
path, want = sys.argv[1], sys.argv[2]
data = sys.stdin.buffer.read()
if hashlib.sha256(data).hexdigest() != want: sys.exit("the file arrived damaged")
if sys.argv[3:] == ["program"]:
    import importlib.util, io, marshal, zipfile
    old, raw = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    with zipfile.ZipFile(raw, "w") as new:
        for name in old.namelist():
            source = old.read(name)
            new.writestr(zipfile.ZipInfo(name), source)
            code = marshal.dumps(compile(source, path + "/" + name, "exec", dont_inherit=True))
            new.writestr(zipfile.ZipInfo(name + "c"), importlib.util.MAGIC_NUMBER + b"\\1" + bytes(11) + code)
    data = raw.getvalue()
os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
temporary = "%s.%d.tmp" % (path, os.getpid())
with open(temporary, "wb") as out:
    out.write(data); out.flush(); os.fsync(out.fileno())
os.replace(temporary, path)
print("placed")
"""
"""Runs on the pod's Python, fixed text: receive, verify, rename. A program is compiled there once, beside its sources,
which another Python on the same volume falls back on: compiling takes longer than most of its calls."""


async def place(conn: Connection, path: str, data: bytes, deadline_s: float = 120.0, program: bool = False) -> None:
    """Put `data` at `path` on the pod; a `program` is a zip file of `packed`. Raises PythonMissing, DiskFull,
    AgentFailed, SshError."""
    argv = [conn.python, "-I", "-S", "-c", PLACE, path, hashlib.sha256(data).hexdigest()]
    done = await conn.run([*argv, "program"] if program else argv, data, deadline_s)
    if done.exit_code in (NO_COMMAND, TOO_OLD):
        raise missing_python(done, conn.python)
    if done.exit_code != 0 or b"placed" not in done.stdout:
        if b"No space left" in done.stderr:
            raise DiskFull(f"The pod's disk is full: {path}.", "Free space on the pod's volume.", where=path)
        raise AgentFailed(f"{path} could not be written on the pod: {last_line(done.stderr)}")


def packed(files: Mapping[str, bytes]) -> bytes:
    """One executable zip file, equal bytes for equal files."""
    import zipfile  # only where something is placed

    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return raw.getvalue()


def missing_python(done: Completed, python: str) -> PythonMissing:
    """The error for a command that ended with `TOO_OLD` or `NO_COMMAND`."""
    why = "is older than Python 3.9" if done.exit_code == TOO_OLD else f"cannot be run: {last_line(done.stderr)}"
    return PythonMissing(f"{python} on the pod {why}.", "Use an image with Python 3.9 or later.")


def last_line(said: bytes) -> str:
    """The last line of what a remote command complained, fit for a message."""
    lines = said.decode("utf-8", "replace").strip().splitlines() or ["no explanation"]
    return printable(lines[-1])


def printable(text: str) -> str:
    """Remote text without control characters, at most 500 characters."""
    return "".join(char for char in text if char.isprintable())[:500]
