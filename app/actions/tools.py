"""Tools of the panel itself: recordings, pictures, keys, settings, completion, the read-only panel in a browser."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator

from app.actions.base import Action, Args, Context, Param, Scope
from app.errors import USAGE, AppError, UsageError
from app.events import AppEvent, Output

SPEED = 60.0
"""Recorded seconds per second in the panel, unless asked otherwise: an hour's run in a minute."""


def speed(value: str) -> float:
    """`60`, `60x` or `60×` as a number. Raises ValueError for what is no speed."""
    found = float(value.lower().rstrip("x×"))
    if not 0 < found < float("inf"):
        raise ValueError(value)
    return found


async def _replay(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    """The recording as lines: at once, or at the speed that was asked for."""
    from app import recording, replay
    from app.text import moment

    found = await asyncio.to_thread(recording.read, recording.find(context.workspace, args["recording"]))
    if found.damaged:
        context.supervisor.say("warn", f"{found.damaged} damaged lines of {found.path} are left out")
    player = replay.Player(found, files=False)
    before = None
    try:
        for at, line in replay.plain(player):
            if args["speed"] is not None and before is not None:
                await asyncio.sleep(min(at - before, replay.GAP_S) / args["speed"])
            before = at
            yield Output(f"{moment(at)}  {line}", {"at": at, "text": line})
    finally:
        player.remove()


async def _screenshot(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    words = [str(args["out"] or f"maxcai-{args['view'] or 'overview'}.svg"), "-C", str(context.workspace.root)]
    for name in ("view", "size", "theme", "run", "at"):
        words += [f"--{name}", str(args[name])] if args[name] is not None else []
    out = await _beside("app.tui.screenshot", words)
    yield Output(out, {"written": out})


async def _beside(module: str, words: list[str]) -> str:
    """Run a module that draws as a process of its own: this one may hold a panel, or no screen library at all.

    Returns the last line that it printed. Raises what it failed with.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *words, stdout=PIPE, stderr=PIPE, stdin=DEVNULL
    )  # fmt: skip
    try:
        out, err = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    said = (err if process.returncode else out).decode("utf-8", "replace").strip().splitlines()[-1:] or [""]
    if process.returncode:
        kind = UsageError if process.returncode == USAGE else AppError
        raise kind(said[0].removeprefix(f"python -m {module}: error: "))
    return said[0]


ACTIONS: tuple[Action, ...] = (
    Action(
        "replay", ("replay",), "Replay", "show a recorded run, session or journal again; nothing can be done in it", "",
        Scope.GLOBAL, _replay, writes=False, prints=True,
        params=(
            Param(
                "recording", "a run's id, directory or events, a session, a journal; default: the newest run",
                kind="positional", metavar="JOURNAL",
            ),
            Param("speed", f"recorded seconds per second (default: {SPEED:g} in the panel, at once as lines)",
                  kind="option", metavar="N", type=speed),
            Param("plain", "lines instead of the panel"),
        ),
    ),
    Action(
        "screenshot", ("screenshot",), "Screenshot", "a picture of the panel, for a paper or a page", "",
        Scope.GLOBAL, _screenshot, prints=True,
        params=(
            Param("out", "the file to write, .svg or .png", kind="positional", metavar="OUT"),
            Param("view", "overview, run, logs, gpu, board or reviews", kind="option", metavar="VIEW"),
            Param("size", "columns x rows (default: 160x45)", kind="option", metavar="160x45"),
            Param("theme", "dark, light, or any theme of Textual's", kind="option", metavar="THEME"),
            Param("run", "a recorded run instead of what is now: id or directory", kind="option", metavar="DIR"),
            Param("at", "moment of that run: 40%%, or a step's end (default: 100%%)", kind="option", metavar="WHEN"),
        ),
    ),
)  # fmt: skip
