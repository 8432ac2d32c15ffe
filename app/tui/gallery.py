"""The pictures of the documentation, drawn from a recorded run: `make screenshots RUN=…` writes `docs/images/`.

Tasks and reviews beside the run are examples, made by the commands that a person would use. Nothing else is made up:
what the run did not record is shown as unknown.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from app.errors import OK, AppError, exit_code, sentence
from app.recording import find, read
from app.replay import Player
from app.tui.screenshot import moment_of, picture, size_of, write
from app.tui.theme import DARK, LIGHT
from app.workspace import Workspace
from app.workspace import find as workspace_at

PICTURES = (
    ("panel-160x45", "overview", "160x45", DARK, "busy"),
    ("panel-80x24", "overview", "80x24", DARK, "busy"),
    ("panel-light", "overview", "160x45", LIGHT, "busy"),
    ("view-run", "run", "160x45", DARK, "100%"),
    ("view-logs", "logs", "120x35", DARK, "busy"),
    ("view-gpu", "gpu", "120x35", DARK, "busy"),
    ("view-board", "board", "160x45", DARK, "busy"),
    ("view-reviews", "reviews", "120x35", DARK, "busy"),
)
"""(file, view, size, theme, moment); "busy" is shortly after the SFT of the run's middle stage."""

TASKS = (
    ("Freeze the evaluation set", "--priority", "0"),
    ("Run stage 3 with twice the samples", "--priority", "1"),
    ("Write the model card", "--priority", "2"),
    ("Look at the answers that no critic can tell apart", "--priority", "1"),
)


def example(root: Path) -> None:
    """Tasks in three lanes and a review that waits, made by the commands themselves. Raises AppError."""
    from app.cli import main

    commands = [["init"], *(["task", "new", *words] for words in TASKS), ["task", "start", "freeze_the_evaluation_set"]]
    commands.append(["task", "block", "--reason", "waits for the review", "write_the_model_card"])
    commands.append(["review", "request", "--reviewer", "first", "--reviewer", "second", "The scorer of stage 1"])
    for words in commands:
        said = StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            code = main(["-C", str(root), *words])
        if code != OK:
            raise AppError(f"maxcai {' '.join(words)} failed, so there is no example to draw", said.getvalue())


def busy(player: Player) -> float:
    """A moment in the middle of the run at which a step that trains has just left its log."""
    ends = [at for stage in range(9) if (at := player.end_of(f"stage-{stage}/sft")) is not None]
    return ends[len(ends) // 2] if ends else moment_of(player, "60%")


def draw(workspace: Workspace, run: str | None, out: Path) -> list[Path]:
    """Every picture; returns the files."""
    recorded = read(find(workspace, run))
    made = []
    with tempfile.TemporaryDirectory(prefix="maxcai-gallery-") as folder:
        example(Path(folder))
        player = Player(recorded, root=Path(folder))
        player.still, player.playing = True, False
        for name, view, size, theme, moment in PICTURES:
            player.seek(busy(player) if moment == "busy" else moment_of(player, moment))
            svg = asyncio.run(picture(player, size_of(size), view=view, theme=theme.name))
            write(svg, out / f"{name}.svg", workspace)
            made.append(out / f"{name}.svg")
        player.remove()
    return made


def main(argv: list[str] | None = None) -> int:
    """Draw all pictures. Returns an exit code."""
    parser = argparse.ArgumentParser(prog="python -m app.tui.gallery", description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", metavar="RUN", help="a run's id or directory; default: the newest one here")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), metavar="DIR")
    asked = parser.parse_args(argv)
    try:
        asked.out.mkdir(parents=True, exist_ok=True)
        for path in draw(workspace_at(Path.cwd()), asked.run or None, asked.out):
            print(path)
    except Exception as error:
        print(sentence(error), file=sys.stderr)
        return exit_code(error)
    return OK


if __name__ == "__main__":
    sys.exit(main())
