"""Other programs, run so that one that hangs does not hang us, or with every line of theirs logged and shown."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

TAIL = 20  # lines of a failed program that are told

Line = Callable[[str], None]


@dataclass(frozen=True)
class Answer:
    """How a program ended: `code` None when it took too long, then `out` is empty."""

    code: int | None
    out: str
    err: str

    @property
    def last(self) -> str:
        """The last line of its complaint."""
        lines = (self.err.strip() or self.out.strip()).splitlines()
        return lines[-1].strip() if lines else "it said nothing"


def ask(argv: list[str], deadline_s: float, env: dict[str, str] | None = None, cwd: str | None = None) -> Answer:
    """Run to the end or to the deadline (seconds). What then cannot be killed, as in a hung driver, is left behind."""
    pipe = subprocess.PIPE
    try:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=env, cwd=cwd, start_new_session=True
        )
    except (OSError, ValueError) as error:
        return Answer(127, "", str(error))
    try:
        out, err = child.communicate(timeout=deadline_s)
    except subprocess.TimeoutExpired:
        try:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait(timeout=1.0)
        except (OSError, subprocess.TimeoutExpired):
            pass
        return Answer(None, "", "")
    return Answer(child.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


def logged(
    argv: list[str],
    env: dict[str, str],
    cwd: str,
    log: str,
    on_line: Line,
    tick: Callable[[], None] | None = None,
    keep: tuple[int, ...] = (),
) -> tuple[int, list[str]]:
    """Run to the end; every line goes to the file `log` and to `on_line`, `tick` is called about once a second.

    Returns the exit code and the last lines. The child stays in our process group, so that a cancel reaches it, and
    holds the descriptors `keep`: a lock among them stays taken until the child is gone, even when we are killed.
    """
    last: deque[str] = deque(maxlen=TAIL)

    def tell(raw: bytes) -> None:
        if line := shown(raw):
            last.append(line)
            on_line(line)

    os.makedirs(os.path.dirname(log), exist_ok=True)
    with open(log, "ab", buffering=0) as file:
        file.write(f"$ {' '.join(argv)}\n".encode())
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, cwd=cwd,
            pass_fds=keep,
        )  # fmt: skip
        assert child.stdout is not None
        try:
            if rest := shown(_follow(child.stdout, file, tell, tick)):
                last.append(rest)
            return child.wait(), list(last)
        finally:
            if child.poll() is None:
                child.kill()


def _follow(source: IO[bytes], log: IO[bytes], tell: Callable[[bytes], None], tick: Callable[[], None] | None) -> bytes:
    """Copy `source` to `log` until its end, each whole line also to `tell`; returns what follows the last one."""
    rest = b""
    while True:
        if select.select([source], [], [], 1.0)[0]:
            data = os.read(source.fileno(), 65536)
            if not data:
                return rest
            log.write(data)
            *lines, rest = (rest + data).replace(b"\r", b"\n").split(b"\n")
            for raw in lines:
                tell(raw)
        if tick is not None:
            tick()


def shown(raw: bytes) -> str:
    """One line without control characters, at most 300 characters of it."""
    text = raw.decode("utf-8", "replace")
    return "".join(char for char in text if char.isprintable()).strip()[:300]
