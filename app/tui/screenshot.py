"""The panel as an SVG picture, drawn without a terminal: of a live workspace, or of any controller.

`python -m app.tui.screenshot OUT.svg --size 160x45 [--view logs] [--theme maxcai-light] [-C DIR] [--after SECONDS]`
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from app.tui.app import PanelApp
from app.tui.switch import VIEWS
from app.tui.theme import DARK

if TYPE_CHECKING:
    from app.controller import Controller


async def picture(
    controller: Controller,
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
    app = PanelApp(controller, ascii_only=ascii_only)
    async with app.run_test(size=size, notifications=True) as pilot:
        app.theme = theme
        app.do(f"view.{view}")
        await pilot.pause(after_s)
        app.repaint()
        await pilot.pause()
        app.clear_selection()
        return app.export_screenshot(title="maxcai", simplify=True)


def main(argv: list[str] | None = None) -> int:
    """Write one picture of a workspace."""
    from app.controller import Controller
    from app.settings import load
    from app.workspace import find

    parser = argparse.ArgumentParser(prog="python -m app.tui.screenshot", description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the SVG file to write")
    parser.add_argument("--size", default="160x45", help="columns x rows (default: %(default)s)")
    parser.add_argument("--view", choices=tuple(view.name for view in VIEWS), default="overview")
    parser.add_argument("--theme", default=DARK.name)
    parser.add_argument("--after", type=float, default=3.0, metavar="SECONDS", help="let the services run that long")
    parser.add_argument("-C", dest="folder", type=Path, default=Path.cwd(), metavar="DIR", help="the workspace")
    asked = parser.parse_args(argv)
    columns, _, rows = asked.size.partition("x")
    if not (columns.isdecimal() and rows.isdecimal()):
        parser.error(f"--size {asked.size}: write it like 160x45")
    settings = load(asked.folder, os.environ)
    controller = Controller(find(asked.folder, settings.state_dir, settings.runs_dir), settings, readonly=True)
    svg = asyncio.run(
        picture(controller, (int(columns), int(rows)), view=asked.view, theme=asked.theme, after_s=asked.after)
    )
    asked.out.write_text(svg, encoding="utf-8")
    print(asked.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
