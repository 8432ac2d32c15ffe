"""Byte-exact follow: what grows in a run on the pod grows the same here, over any number of broken connections.

Each stream has a spool file whose own size is the offset, so that bytes and offset cannot disagree. A stream that was
truncated or replaced on the pod starts a new generation: the old spool is put aside under its number, never spliced.
Several followers of one run (a panel, a command) share its spool: each byte is written once, by whoever has it first.
Reading meaning into the bytes, and reconnecting, are left to the caller.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remote.agent.client import Agent, Frames
from remote.agent.reading import PRINT_BYTES
from remote.errors import AgentFailed, ConnectionLost
from remote.files import private_dir, write_atomic
from remote.sync.part import disk_full_named
from remote.sync.paths import safe_relative

META, LOCK = "meta.json", ".lock"
SILENCE_S = 20.0
"""Seconds without a frame (the pod sends one each second) after which a link counts as lost."""


@dataclass(frozen=True, slots=True)
class Growth:
    """`stream` (its path in the run directory) has `size` bytes in the spool file `path`.

    `generation` counts from 0 and goes up when the file was truncated or replaced on the pod.
    """

    stream: str
    path: Path
    size: int
    generation: int


@dataclass(frozen=True, slots=True)
class Alive:
    """The pod's word of each second: its clock (unix seconds) and the state of the run's newest attempt."""

    clock: float
    state: str
    attempt: int


class Spool:
    """The local copies of one run's streams under `<spool_dir>/<run_id>/`."""

    def __init__(self, spool_dir: Path, run_id: str) -> None:
        self.folder = private_dir(spool_dir / safe_relative(run_id))
        self.meta = self._read_meta()
        self._asked: dict[str, int] = {}  # generation of each stream when the pod was told what is here

    def _read_meta(self) -> dict[str, dict[str, Any]]:
        """What is known of the spool files; a damaged record is none, and its files are then brought anew."""
        try:
            streams = json.loads((self.folder / META).read_bytes())["streams"]
            rows = {
                str(name): {"ino": row["ino"], "generation": int(row["generation"])} for name, row in streams.items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}
        return {name: row for name, row in rows.items() if row["ino"] is None or isinstance(row["ino"], int)}

    def path(self, stream: str) -> Path:
        if stream in (META, LOCK):
            raise AgentFailed("The pod offers a stream with the name of the spool's own file.")
        return self.folder / safe_relative(stream)

    def size(self, stream: str) -> int:
        try:
            return self.path(stream).stat().st_size
        except FileNotFoundError:
            return 0

    def have(self) -> dict[str, dict[str, Any]]:
        """What is here, so that the pod goes on from there: inode, offset and a print of the bytes before it."""
        with self._locked():
            self.meta = self._read_meta()
            self._asked = {name: int(row["generation"]) for name, row in self.meta.items()}
            return {name: self._have(name) for name in self.meta}

    def _have(self, stream: str) -> dict[str, Any]:
        size = self.size(stream)
        before = b""
        if size:
            with self.path(stream).open("rb") as file:
                file.seek(max(0, size - PRINT_BYTES))
                before = file.read(size - max(0, size - PRINT_BYTES))
        digest = hashlib.blake2b(before, digest_size=16).hexdigest()
        return {"ino": self.meta[stream].get("ino"), "offset": size, "print": digest}

    def take(self, head: dict[str, Any], data: bytes) -> Growth:
        """Append one frame, less what another follower wrote already.

        Raises DiskFull, UnsafePath, AgentFailed when it does not continue what is here.
        """
        stream, offset = str(head.get("f")), head.get("o")
        path = self.path(stream)
        with disk_full_named(path), self._locked():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.meta = self._read_meta()
            self._settle(stream, path, head)
            size = self.size(stream)
            if (
                not isinstance(offset, int)
                or not 0 <= offset <= size
                or not _agree(path, offset, data[: size - offset])
            ):
                raise AgentFailed(f"The pod sent {stream} from byte {offset}; the spool ends at {size}.")
            self._append(path, data[size - offset :])
            generation = int(self.meta[stream]["generation"])
        return Growth(stream, path, max(size, offset + len(data)), generation)

    def _settle(self, stream: str, path: Path, head: dict[str, Any]) -> None:
        """Bring the stream to the generation that this frame belongs to; the first follower that sees it does so."""
        row = self.meta.get(stream)
        generation = None if row is None else int(row["generation"])
        if self._asked.get(stream, generation) != generation:  # another follower began a new one meanwhile
            if head.get("o") != 0:
                text = f"{stream} was replaced on the pod while it was followed; it is followed anew."
                raise ConnectionLost(text, why="replaced")
        elif head.get("o") == 0 and ((row is None and self.size(stream) > 0) or (row is not None and head.get("new"))):
            self._new_generation(stream, path, head.get("ino"))
        elif row is None or row.get("ino") is None:
            self._note(stream, {"ino": head.get("ino"), "generation": generation or 0})
        self._asked[stream] = int(self.meta[stream]["generation"])

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Held for the microseconds of one append, against other followers of this run."""
        fd = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _append(self, path: Path, data: bytes) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
        finally:
            os.close(fd)

    def _new_generation(self, stream: str, path: Path, ino: Any) -> None:
        number = int(self.meta[stream]["generation"]) if stream in self.meta else 0
        while path.with_name(f"{path.name}.~{number}").exists():
            number += 1
        if path.exists():
            os.replace(path, path.with_name(f"{path.name}.~{number}"))
        self._note(stream, {"ino": ino, "generation": number + 1})

    def _note(self, stream: str, row: dict[str, Any]) -> None:
        self.meta[stream] = row
        write_atomic(self.folder / META, json.dumps({"v": 1, "streams": self.meta}).encode())


def _agree(path: Path, offset: int, data: bytes) -> bool:
    """Whether the spool holds these very bytes there: what another follower wrote must be what the pod sends."""
    if not data:
        return True
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(len(data)) == data


async def follow(
    agent: Agent,
    run_id: str,
    spool_dir: Path,
    names: Sequence[str] = (),
    until_exit: bool = False,
    on_alive: Callable[[Alive], None] | None = None,
    poll_s: float = 0.2,
    silence_s: float = SILENCE_S,
) -> AsyncIterator[Growth]:
    """Yield each growth of the named streams (none named: events.jsonl, logs/*.log, .agent/console.log, also such as
    appear later), after its bytes are in the spool.

    Goes on where the spool ends. With `until_exit` it ends when the newest attempt is over and everything is here,
    else never. `on_alive` hears the pod's word of each second. Raises ConnectionLost when the link breaks or is silent
    for `silence_s` seconds: reconnect and call again. Close the iterator (`aclosing`) when leaving it early.
    """
    spool = Spool(spool_dir, run_id)
    request = {
        "run_id": run_id,
        "follow": True,
        "names": list(names),
        "have": spool.have(),
        "until_exit": until_exit,
        "poll_s": poll_s,
    }
    async with agent.frames(request) as frames:
        while (frame := await _next(frames, silence_s)) is not None:
            head, data = frame
            if "alive" in head:
                if on_alive is not None:
                    on_alive(Alive(float(head["alive"]), str(head.get("state")), int(head.get("attempt", 0))))
            else:
                yield spool.take(head, data)


async def _next(frames: Frames, silence_s: float) -> tuple[dict[str, Any], bytes] | None:
    try:
        async with asyncio.timeout(silence_s):
            return await frames.next()
    except TimeoutError:
        raise ConnectionLost(f"The pod was silent for {silence_s:.0f} seconds.", why="silence") from None
