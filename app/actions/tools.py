"""Tools of the panel itself: recordings, pictures, keys, settings, completion, the read-only panel in a browser."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from importlib.util import find_spec

from app.actions.base import Action, Args, Context, Param, Scope, in_the_panel
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


async def _keys(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from app import keymap
    from app.actions import registry

    actions = registry.remapped(context.supervisor.settings.keys)
    if args["markdown"]:
        yield Output(keymap.markdown(actions, replay_actions()).rstrip("\n"))
    else:
        yield Output(keymap.text(actions), keymap.data(actions))


def replay_actions() -> tuple[Action, ...]:
    """The replay's own acts, as the documentation lists them."""
    from app.replay import CONTROLS

    return tuple(
        Action(i, (), title, said, key, Scope.GLOBAL, in_the_panel, writes=False) for i, key, title, said, _ in CONTROLS
    )


async def _schema(_context: Context, _args: Args) -> AsyncIterator[AppEvent]:
    import msgspec

    from app.settings import Settings

    schema = msgspec.json.schema(Settings)
    yield Output(json.dumps(schema, ensure_ascii=False, indent=2), schema)


async def _locate(context: Context, _args: Args) -> AsyncIterator[AppEvent]:
    from app.settings import FILE

    place = context.workspace
    found = {"settings": place.root / FILE, "state": place.state_dir, "runs": place.runs_dir}
    lines = [f"{name:<9} {path}" + ("" if path.exists() else "  (not there)") for name, path in found.items()]
    yield Output("\n".join(lines), {name: {"path": str(path), "exists": path.exists()} for name, path in found.items()})


async def _show(context: Context, _args: Args) -> AsyncIterator[AppEvent]:
    from app.settings import effective
    from app.text import table

    named = {"provider": context.supervisor.settings.provider}
    found = effective(context.workspace.root, os.environ)
    rows = [(key, json.dumps(named.get(key, value), ensure_ascii=False), origin) for key, value, origin in found]
    data = {key: {"value": named.get(key, value), "from": origin} for key, value, origin in found}
    yield Output(table(("setting", "value", "from"), rows), data)


async def _completion(_context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from app.cli import parser
    from app.completion import SHELLS, script

    if args["shell"] is None:
        raise UsageError("which shell", f"Name one of {', '.join(SHELLS)}.")
    yield Output(script(args["shell"], parser()).rstrip("\n"))


async def _serve(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    """Serve until this is cancelled; the address is told when it listens."""
    if find_spec("textual_serve") is None:
        raise AppError("the panel in a browser needs the package textual-serve", "pip install 'maximalcai[serve]'")
    words = [*(("--port", str(args["port"])) if args["port"] is not None else ()), "-C", str(context.workspace.root)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.tui.serve", *words, stdout=PIPE, stderr=PIPE, stdin=DEVNULL
    )  # fmt: skip
    assert process.stdout is not None
    try:
        while line := await process.stdout.readline():
            context.supervisor.say("info", line.decode("utf-8", "replace").strip())
        _out, err = await process.communicate()
        if process.returncode:
            raise _failed(process.returncode, err, "app.tui.serve")
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    return
    yield  # makes this an async generator


def _failed(code: int, err: bytes, module: str) -> AppError:
    """The error that a process of ours ended with, in its own last words."""
    said = err.decode("utf-8", "replace").strip().splitlines()[-1:] or [f"it ended with code {code}"]
    return (UsageError if code == USAGE else AppError)(said[0].removeprefix(f"python -m {module}: error: "))


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
    if process.returncode:
        raise _failed(process.returncode, err, module)
    return (out.decode("utf-8", "replace").strip().splitlines()[-1:] or [""])[0]


ACTIONS: tuple[Action, ...] = (
    Action(
        "keys", ("keys",), "Keys", "every key and command with its action, as they hold here", "", Scope.GLOBAL, _keys,
        writes=False, prints=True, params=(Param("markdown", "as the page of the documentation"),),
    ),
    Action(
        "config.show", ("config", "show"), "Settings", "every setting, its value and where that comes from", "",
        Scope.GLOBAL, _show, writes=False, prints=True,
    ),
    Action(
        "config.locate", ("config", "locate"), "Where files lie", "settings, state and results of this workspace", "",
        Scope.GLOBAL, _locate, writes=False, prints=True,
    ),
    Action(
        "config.schema", ("config", "schema"), "Schema of settings", "JSON schema of maxcai.toml, for editors", "",
        Scope.GLOBAL, _schema, writes=False, prints=True,
    ),
    Action(
        "completion", ("completion",), "Shell completion", "a script that completes commands: bash, zsh or fish", "",
        Scope.GLOBAL, _completion, writes=False,
        params=(Param("shell", "bash, zsh or fish", kind="positional", metavar="SHELL"),),
    ),
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
        "serve", ("serve",), "In a browser", "the read-only panel in this machine's browser, until ctrl+c", "",
        Scope.GLOBAL, _serve, writes=False,
        params=(Param("port", "where to listen on loopback (default: 8377)", kind="option", metavar="N", type=int),),
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
