"""The panel as a picture, drawn without a terminal: of a live workspace, of a recorded run, or of any controller.

`maxcai screenshot` runs this module as a process of its own: `python -m app.tui.screenshot OUT.svg|OUT.png …`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from app.errors import OK, UsageError, exit_code, sentence
from app.tui.app import PanelApp
from app.tui.svg import scrubbed, to_png
from app.tui.switch import VIEWS
from app.tui.theme import DARK, LIGHT
from remote.errors import ConfigError
from remote.secrets import KEY_NAME, Redactor, from_environment, runpod_key

if TYPE_CHECKING:
    from app.controller import Controller
    from app.replay import Player
    from app.workspace import Workspace

THEMES = {"dark": DARK.name, "light": LIGHT.name}
SETTLE_S = 8.0
"""Seconds that reading a run's files beside the screen may take at most."""


async def picture(
    controller: Controller | Player,
    size: tuple[int, int],
    *,
    view: str = "overview",
    theme: str = DARK.name,
    after_s: float = 0.0,
    ascii_only: bool = False,
) -> str:
    """The panel as SVG text.

    Args:
        controller: whose state is drawn.
        size: columns and rows.
        view: name of a view, as in `app.tui.switch`.
        theme: name of a registered theme.
        after_s: seconds to let the services run first, so that a live workspace has something to show.
        ascii_only: draw nothing but ASCII.
    """
    app = PanelApp(cast("Controller", controller), ascii_only=ascii_only, clock=getattr(controller, "clock", None))
    async with app.run_test(size=size, notifications=True) as pilot:
        app.theme = theme
        app.do(f"view.{view}")
        await pilot.pause(after_s)
        await _settled(app, pilot)
        app.clear_selection()
        return app.export_screenshot(title="maxcai", simplify=True)


async def _settled(app: PanelApp, pilot: Any) -> None:
    """Wait until tasks, reviews and the run's files have been read and drawn."""
    quiet = 0
    for _ in range(int(SETTLE_S / 0.05)):
        app.repaint()
        await pilot.pause(0.05)
        boards, home = app.bridge.boards, app.bridge.home
        reading = home.shelf.busy or boards.shelf.busy or (boards.root is not None and boards.cards is None)
        quiet = 0 if reading or app.view != app.wanted else quiet + 1
        if quiet == 3:
            return


def size_of(asked: str) -> tuple[int, int]:
    """`160x45` as columns and rows. Raises UsageError."""
    columns, _, rows = asked.partition("x")
    if not (columns.isdecimal() and rows.isdecimal() and 20 <= int(columns) <= 500 and 1 <= int(rows) <= 300):
        raise UsageError(f"--size {asked} is no size", "Write columns x rows, such as 160x45.")
    return int(columns), int(rows)


def moment_of(player: Player, asked: str) -> float:
    """`40%` of the recording, or the end of a step such as `stage-3/sft`, as unix seconds. Raises UsageError."""
    first, last = player.recording.moments[0].at, player.recording.moments[-1].at
    share = asked.removesuffix("%")
    if asked.endswith("%") and share.replace(".", "", 1).isdecimal() and float(share) <= 100:
        return first + (last - first) * float(share) / 100
    found = player.end_of(asked)
    if found is None:
        raise UsageError(f"--at {asked}: neither a share nor a finished step", "Write 40%, or a step: stage-3/sft.")
    return found


def write(svg: str, out: Path, workspace: Workspace) -> None:
    """Write the picture as what its name says, without secrets, paths and host names. Raises AppError."""
    clean = scrubbed(svg, workspace.root, known_secrets(workspace.root))
    if out.suffix.lower() == ".png":
        to_png(clean, out)
    elif out.suffix.lower() == ".svg":
        out.write_text(clean, encoding="utf-8")
    else:
        raise UsageError(f"{out} ends neither in .svg nor in .png", "Give it one of these endings.")


def known_secrets(root: Path) -> Redactor:
    """A redactor that knows the environment's secrets and the key of the workspace, wherever it is kept."""
    with suppress(ConfigError):  # a key that cannot be read is on no screen either
        if key := runpod_key(root):
            return from_environment(os.environ | {KEY_NAME: key.value})
    return from_environment()


async def _shoot(asked: argparse.Namespace, workspace: Workspace) -> str:
    from app.controller import Controller
    from app.recording import find, read
    from app.replay import Player
    from app.settings import load

    options = {"view": asked.view, "theme": THEMES.get(asked.theme, asked.theme)}
    size = size_of(asked.size)
    if asked.run is None:
        controller = Controller(workspace, load(workspace.root, os.environ), readonly=True)
        return await picture(controller, size, after_s=asked.after, **options)
    player = Player(read(find(workspace, asked.run)), root=workspace.root)
    player.still, player.playing = True, False
    try:
        player.seek(moment_of(player, asked.at))
        return await picture(player, size, **options)
    finally:
        player.remove()


def main(argv: list[str] | None = None) -> int:
    """Write one picture of a workspace or a run. Returns an exit code."""
    from app.settings import load
    from app.workspace import find

    parser = argparse.ArgumentParser(prog="python -m app.tui.screenshot", description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the file to write, .svg or .png")
    parser.add_argument("--size", default="160x45", help="columns x rows (default: %(default)s)")
    parser.add_argument("--view", choices=tuple(view.name for view in VIEWS), default="overview")
    parser.add_argument("--theme", default="dark", help="dark, light, or any theme of Textual's")
    parser.add_argument("--run", metavar="RUN", help="a recorded run: its id, its directory, its events.jsonl")
    parser.add_argument("--at", default="100%", metavar="WHEN", help="moment of the run: 40%%, or a step's end")
    parser.add_argument("--after", type=float, default=3.0, metavar="SECONDS", help="let the services run that long")
    parser.add_argument("-C", dest="folder", type=Path, default=Path.cwd(), metavar="DIR", help="the workspace")
    asked = parser.parse_args(argv)
    try:
        settings = load(asked.folder, os.environ)
        workspace = find(asked.folder, settings.state_dir, settings.runs_dir)
        write(asyncio.run(_shoot(asked, workspace)), asked.out, workspace)
    except Exception as error:
        print(sentence(error), file=sys.stderr)
        return exit_code(error)
    print(asked.out)
    return OK


if __name__ == "__main__":
    sys.exit(main())
