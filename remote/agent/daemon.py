"""Processes that outlive their caller, and questions to the system that may never be answered. Knows no runs."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Callable
from typing import Any

from .disk import Json


def let_go(keep: int) -> None:
    """Let go of the caller's channel and of every inherited descriptor but `keep`."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    for name in os.listdir("/dev/fd"):
        if int(name) > 2 and int(name) != keep:
            try:
                os.close(int(name))
            except OSError:
                continue  # the descriptor of the listing itself
    os.chdir("/")


def spawn(main: Callable[[int], None], deadline_s: float = 60.0) -> Json:
    """Fork twice so that `main` belongs to nobody, and wait for the word it writes to the descriptor it is given."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            if os.fork() == 0:
                main(writer)
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    words = read_until(reader, deadline_s)[0]
    os.close(reader)
    try:
        answer = json.loads(words)
    except ValueError:
        return {"ok": False}
    return answer if isinstance(answer, dict) else {"ok": False}


def read_until(reader: int, deadline_s: float) -> tuple[bytes, bool]:
    """What comes until the writer closes, or `deadline_s` seconds have passed; and whether it closed."""
    words, end = b"", time.monotonic() + deadline_s
    while select.select([reader], [], [], max(0.0, end - time.monotonic()))[0]:
        more = os.read(reader, 1 << 16)
        if not more:
            return words, True
        words += more
    return words, False


class Probe:
    """Asks in a child process with a deadline: a volume or a driver that hangs for ever then costs an answer, no more.

    While a child of an earlier question still hangs, no other is started.
    """

    def __init__(self, ask: Callable[[], Any]) -> None:
        self.ask = ask
        self.hanging: int | None = None

    def value(self, deadline_s: float) -> Any:
        """What `ask` returned (something JSON can carry), None when it raised, died or did not answer in time."""
        if self.hanging is not None and not self.over(self.hanging):
            return None
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            self.answer(writer)
        os.close(writer)
        words, whole = read_until(reader, deadline_s)
        os.close(reader)
        if not whole:
            os.kill(child, signal.SIGKILL)
        end = time.monotonic() + 1.0
        self.hanging = child
        while not self.over(child) and time.monotonic() < end:
            time.sleep(0.002)
        try:
            return json.loads(words) if whole else None
        except ValueError:
            return None

    def answer(self, writer: int) -> None:
        try:
            let_go(writer)  # no lock and no channel may hang with it
            words = json.dumps(self.ask()).encode()
            while words:
                words = words[os.write(writer, words) :]
        finally:
            os._exit(0)

    def over(self, child: int) -> bool:
        try:
            dead = os.waitpid(child, os.WNOHANG)[0] != 0
        except ChildProcessError:
            dead = True
        if dead:
            self.hanging = None
        return dead
