"""Tools of the panel itself: recordings, pictures, keys, settings, completion, the read-only panel in a browser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from app.actions.base import Action, Args, Context, Param, Scope
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
)  # fmt: skip
