"""Byte-exact follow: what grows in a run on the pod grows the same here, over any number of broken connections.

Each stream has a spool file whose own size is the offset, so that bytes and offset cannot disagree. A stream that was
rotated, truncated or replaced on the pod starts a new generation: the old spool is put aside under its number, never
spliced. Where bytes may be missing between two generations, the growth that begins the later one says so.
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
from pathlib import Path
from typing import Any

from msgspec import Struct

from remote.agent.client import Agent, Frames
from remote.agent.following import PRINT_BYTES
from remote.errors import AgentFailed, ConnectionLost
from remote.files import private_dir, write_atomic
from remote.sync.part import disk_full_named
from remote.sync.paths import safe_relative

META, LOCK = "meta.json", ".lock"
PAST = 16
"""Generations before the present one of which is known where on the pod they lie."""

SILENCE_S = 20.0
"""Seconds without a frame (the pod sends one each second) after which a link counts as lost."""


class Growth(Struct, frozen=True):
    """`stream` (its path in the run directory) has `size` bytes in the spool file `path`.

    `generation` counts from 0 and goes up when the file was rotated, truncated or replaced on the pod. `current`: these
    bytes are of the file that has the name on the pod now; else of one before it. `gap`: this generation has begun, and
    what was written to the one before it since it was last looked at, if anything was, is nowhere to be had. `behind`:
    bytes that this file had more on the pod.
    """

    stream: str
    path: Path
    size: int
    generation: int
    current: bool = True
    gap: bool = False
    behind: int = 0


class Alive(Struct, frozen=True):
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
                str(name): {
                    "ino": row["ino"],
                    "generation": int(row["generation"]),
                    "past": [[int(ino), int(number)] for ino, number in row.get("past", ())],
                }
                for name, row in streams.items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}
        return {name: row for name, row in rows.items() if row["ino"] is None or isinstance(row["ino"], int)}

    def path(self, stream: str) -> Path:
        if stream in (META, LOCK):
            raise AgentFailed("The pod offers a stream with the name of the spool's own file.")
        return self.folder / safe_relative(stream)

    def size(self, stream: str) -> int:
        return _size(self.path(stream))

    def have(self) -> dict[str, dict[str, Any]]:
        """What is here, so that the pod goes on from there: inode, offset and a print of the bytes before it.

        Of generations that were put aside the same, as `past`.
        """
        with self._locked():
            self.meta = self._read_meta()
            self._asked = {name: int(row["generation"]) for name, row in self.meta.items()}
            return {name: self._have(name) for name in self.meta}

    def _have(self, stream: str) -> dict[str, Any]:
        row, path = self.meta[stream], self.path(stream)
        if not path.exists() and (begun := _aside(path, row["generation"])).exists():
            os.replace(begun, path)  # put aside, and killed before the new generation was noted
        asides = [(ino, _aside(path, number)) for ino, number in row["past"]]
        past = [_known(ino, aside) for ino, aside in asides if aside.is_file()]
        return {**_known(row["ino"], path), "past": past}

    def take(self, head: dict[str, Any], data: bytes) -> Growth:
        """Append one frame, less what another follower wrote already.

        Raises DiskFull, UnsafePath, AgentFailed when it does not continue what is here, ConnectionLost when another
        follower is at a later generation.
        """
        stream, at = str(head.get("f")), head.get("o")
        offset = at if isinstance(at, int) else -1
        path = self.path(stream)
        with disk_full_named(path), self._locked():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.meta = self._read_meta()
            if head.get("past"):
                path, generation = self._past(stream, path, head)
            else:
                self._settle(stream, path, head, data)
                generation = int(self.meta[stream]["generation"])
            size = _size(path)
            if not _continues(path, offset, data):
                raise AgentFailed(f"The pod sent {stream} from byte {at}; the spool ends at {size}.")
            self._append(path, data[size - offset :])
        ends = max(size, offset + len(data))
        left = head.get("left")
        behind = max(0, left) if isinstance(left, int) else 0
        return Growth(stream, path, ends, generation, bool(head.get("cur", True)), bool(head.get("gap")), behind)

    def _past(self, stream: str, path: Path, head: dict[str, Any]) -> tuple[Path, int]:
        """The spool file, put aside, of an earlier generation to which bytes still came. Raises AgentFailed."""
        head["cur"] = False
        for ino, number in reversed(self.meta.get(stream, {}).get("past", [])):
            if ino == head.get("ino"):
                return _aside(path, number), number
        raise AgentFailed(f"The pod sent bytes of a file that {stream} never was.")

    def _settle(self, stream: str, path: Path, head: dict[str, Any], data: bytes) -> None:
        """Bring the stream to the generation that this frame belongs to; the first follower that sees it does so."""
        row = self.meta.get(stream)
        generation = None if row is None else int(row["generation"])
        if self._asked.get(stream, generation) != generation:  # another follower began a new one meanwhile
            if row is None or head.get("ino") != row["ino"] or head.get("o") != 0 or not _continues(path, 0, data):
                text = f"{stream} was replaced on the pod while it was followed; it is followed anew."
                raise ConnectionLost(text, why="replaced")
        elif head.get("o") == 0 and ((row is None and self.size(stream) > 0) or (row is not None and head.get("new"))):
            self._new_generation(stream, path, head.get("ino"))
        elif row is None:
            self._note(stream, {"ino": head.get("ino"), "generation": 0, "past": []})
        elif row["ino"] is None or head.get("moved"):
            self._note(stream, {**row, "ino": head.get("ino")})
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
        row = self.meta.get(stream, {"ino": None, "generation": 0, "past": []})
        number = int(row["generation"])
        while _aside(path, number).exists():
            number += 1
        past = list(row["past"])
        if path.exists():
            os.replace(path, _aside(path, number))
            past += [[row["ino"], number]] if row["ino"] is not None else []
        self._note(stream, {"ino": ino, "generation": number + 1, "past": past[-PAST:]})

    def _note(self, stream: str, row: dict[str, Any]) -> None:
        self.meta[stream] = row
        write_atomic(self.folder / META, json.dumps({"v": 1, "streams": self.meta}).encode())


def _aside(path: Path, number: int) -> Path:
    """Where the spool of a generation lies once there is a later one."""
    return path.with_name(f"{path.name}.~{number}")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _known(ino: int | None, path: Path) -> dict[str, Any]:
    """What the pod is told of one spool file."""
    size, before = _size(path), b""
    if size:
        begin = max(0, size - PRINT_BYTES)
        with path.open("rb") as file:
            file.seek(begin)
            before = file.read(size - begin)
    return {"ino": ino, "offset": size, "print": hashlib.blake2b(before, digest_size=16).hexdigest()}


def _continues(path: Path, offset: int, data: bytes) -> bool:
    """Whether these bytes go on where the spool ends, and what another follower wrote of them already is the same."""
    size = _size(path)
    if not 0 <= offset <= size:
        return False
    if not (overlap := data[: size - offset]):
        return True
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(len(overlap)) == overlap


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
