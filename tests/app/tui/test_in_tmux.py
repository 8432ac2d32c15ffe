"""The panel in a real terminal: boot, keys, resize, suspend, hang-up, no colour, and a terminal left as it was."""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
from terminal import PROMPT, Terminal, terminal

from remote import processes

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux: apt-get install tmux")

PANEL = "$PYTHON -m app; echo left=$?"
Opener = Callable[..., AbstractContextManager[Terminal]]


@pytest.fixture
def opened(workspace_dir: Path) -> Iterator[Opener]:
    """A terminal in the workspace. Sockets have short names, whatever the test's folder is called."""
    with tempfile.TemporaryDirectory(prefix="panel") as short:
        yield partial(terminal, Path(short) / "tmux", workspace_dir)


def boot(screen: Terminal) -> None:
    screen.type(PANEL)
    screen.sees("1 Overview", "6 Reviews")


def test_the_panel_starts_and_leaves_the_terminal_as_it_was(opened: Opener) -> None:
    with opened() as screen:
        screen.type("stty -a > before")
        boot(screen)
        assert screen.alternate
        screen.keys("q")
        assert "left=0" in screen.closes()
        screen.type("stty -a > after; cmp before after && echo the same")
        screen.sees("the same")


def test_number_keys_open_the_views(opened: Opener) -> None:
    with opened() as screen:
        boot(screen)
        for key, word in (("5", "PENDING"), ("6", "REVIEWS"), ("4", "HOST"), ("3", "Logs"), ("2", "Run"), ("1", "POD")):
            screen.keys(key)
            screen.sees(word)


def test_the_panel_follows_the_size_of_its_window(opened: Opener) -> None:
    with opened() as screen:
        boot(screen)
        screen.resize(60, 12)
        screen.until(lambda text: "6 Reviews" not in text and text.strip())
        screen.resize(80, 24)
        screen.sees("1 Overview")
        screen.resize(160, 45)
        screen.sees("1 Overview", "6 Reviews")


def test_the_panel_can_be_suspended_and_comes_back(opened: Opener) -> None:
    with opened() as screen:
        boot(screen)
        screen.keys("C-z")
        screen.until(lambda text: not screen.alternate)
        screen.type("echo still here")
        screen.sees("still here")
        screen.type("fg")
        screen.until(lambda text: screen.alternate and "6 Reviews" in text)
        screen.keys("q")
        screen.closes()


def test_a_terminal_that_vanishes_takes_the_panel_with_it(opened: Opener, workspace_dir: Path) -> None:
    with opened() as screen:
        boot(screen)
        (shell,) = screen.tmux("list-panes", "-F", "#{pane_pid}").split()
        children = Path(f"/proc/{shell}/task/{shell}/children")
        if not children.exists():
            pytest.skip("needs /proc to find the panel's process")
        (panel,) = map(int, children.read_text().split())
        running = processes.identify(panel)
        assert running is not None
        screen.tmux("respawn-pane", "-k", "sleep 60")
        ends = time.monotonic() + 30
        while running.alive and time.monotonic() < ends:
            time.sleep(0.1)
        assert not running.alive


def test_a_panel_that_is_killed_leaves_its_run_alone_and_the_next_one_takes_it_up(
    opened: Opener, workspace_dir: Path
) -> None:
    (workspace_dir / "maxcai.toml").write_text('recipe = "long"\n')
    state = workspace_dir / ".maxcai"
    with opened() as screen:
        screen.type("$PYTHON -m app & echo $! > panel; fg; echo left=$?")
        screen.sees("1 Overview", "6 Reviews")
        screen.keys("r")
        screen.sees("Start a new run?", "enter agrees")
        screen.keys("Enter")
        screen.sees("1/2")
        (there,) = (state / "pods/local/workspace/.maxcai/runs").iterdir()
        here, log = state / "spool" / there.name / "events.jsonl", there / "events.jsonl"
        screen.until(lambda _: here.read_bytes() == log.read_bytes())
        taken, inode = here.read_bytes(), here.stat().st_ino
        os.kill(int((workspace_dir / "panel").read_text()), signal.SIGKILL)
        screen.until(lambda text: "left=137" in text)
        (there / "go").touch()
        screen.until(lambda _: b"run_finished" in log.read_bytes())
        assert here.read_bytes() == taken, "nobody followed it meanwhile"
        screen.tmux("respawn-pane", "-k")  # a new shell: a killed panel leaves its terminal as it is
        screen.until(lambda text: not screen.alternate and PROMPT.strip() in text)
        boot(screen)
        screen.sees("✔ finished", "home and verified")
    assert (there / "starts").read_text() == "start\n"
    assert here.read_bytes() == log.read_bytes()
    assert here.stat().st_ino == inode, "its bytes were appended to what was there"


def test_without_colour_nothing_is_coloured(opened: Opener) -> None:
    with opened(NO_COLOR="1") as screen:
        boot(screen)
        found = re.findall(r"\[[0-9;]*?[34]8;2;(\d+);(\d+);(\d+)", screen.coloured)
        shades = {tuple(map(int, shade)) for shade in found}
        assert all(max(shade) - min(shade) <= 8 for shade in shades)
        assert not re.search(r"\[(?:3[1-6]|4[1-6]|9[1-6])m", screen.coloured)


def test_a_tiny_terminal_gets_one_line(opened: Opener) -> None:
    with opened(size=(40, 8)) as screen:
        screen.type(PANEL)
        text = screen.until(lambda text: screen.alternate and text.strip())
        assert "6 Reviews" not in text
        screen.keys("q")
        assert "left=0" in screen.closes()


def test_a_file_is_edited_in_the_editor_of_the_user(opened: Opener, workspace_dir: Path) -> None:
    lane = workspace_dir / "task_board" / "pending"
    lane.mkdir(parents=True)
    (lane / "20260101_P1_look.md").write_text("# Look\n\n**Priority:** P1\n")
    editor = workspace_dir / "editor"
    editor.write_text('#!/bin/sh\necho edited >> "$1"\necho "in the editor"\nsleep 0.3\n')
    os.chmod(editor, 0o755)
    with opened(EDITOR=str(editor)) as screen:
        boot(screen)
        screen.keys("5")
        screen.sees("Look", "**Priority:**")
        screen.keys("e")
        screen.until(lambda text: (lane / "20260101_P1_look.md").read_text().endswith("edited\n") and screen.alternate)
        screen.sees("PENDING")


def lanes(root: Path) -> dict[str, list[str]]:
    """Names of the files in each lane."""
    board = root / "task_board"
    return {lane.name: sorted(path.name for path in lane.glob("*.md")) for lane in board.iterdir() if lane.is_dir()}


def test_a_task_is_made_moved_noted_blocked_and_taken_back_by_keys(opened: Opener, workspace_dir: Path) -> None:
    pending = workspace_dir / "task_board" / "pending"
    pending.mkdir(parents=True)
    (pending / "20260101_P1_look.md").write_text("# Look\n\n**Priority:** P1\n\n## Odd header\nkept  as it is\n")
    with opened() as screen:
        boot(screen)
        screen.keys("5")
        screen.sees("PENDING 1", "Look", "kept  as it is")
        screen.keys("Space")
        screen.sees("PENDING 0", "IN PROGRESS 1")
        screen.keys("Right", "m")
        screen.sees("enter goes on")
        screen.type("half of it is done")
        task = workspace_dir / "task_board" / "in_progress" / "20260101_P1_look.md"
        screen.until(lambda _: "half of it is done" in task.read_text())
        screen.keys("b")
        screen.sees("enter goes on")
        screen.type("waits for the pod")
        screen.sees("IN PROGRESS 0", "BLOCKED 1")
        screen.keys("u")
        screen.sees("IN PROGRESS 1", "BLOCKED 0")
        screen.keys("n")
        screen.sees("what is to be done?")
        first = screen.row
        screen.type("Another thing")
        screen.until(lambda _: screen.row > first)
        screen.type("P0")
        screen.sees("PENDING 1", "Another thing")
        (pending / "20260102_P2_outside.md").write_text("# From outside\n")
        screen.sees("PENDING 2", "From outside")
        screen.keys("q")
        screen.closes()
    found = lanes(workspace_dir)
    assert found["in_progress"] == ["20260101_P1_look.md"]
    assert (len(found["pending"]), found.get("blocked")) == (2, [])
    assert "## Odd header\nkept  as it is\n" in task.read_text()


def test_findings_of_a_review_become_tasks_by_one_key(opened: Opener, workspace_dir: Path) -> None:
    reviews = workspace_dir / "reviews"
    for folder in ("requests", "responses"):
        (reviews / folder).mkdir(parents=True)
    (reviews / "requests" / "gate.md").write_text(
        "# Review Request: Look at the gate\n\n**Assigned Reviewers**: codex, gemini\n"
    )
    (reviews / "responses" / "gate_codex.md").write_text(
        "# Review Response\n\n## Summary\nIssues Found\n\n### HIGH\n1. Wrong default\n   - File: `a/loader.py:130`\n"
    )
    with opened() as screen:
        boot(screen)
        screen.keys("6")
        screen.sees("Look at the gate", "codex", "gemini")
        screen.keys("T")
        board = workspace_dir / "task_board" / "pending"
        screen.until(lambda _: board.is_dir() and len(list(board.glob("*.md"))) == 1)
        screen.keys("T")
        screen.keys("5")
        screen.sees("PENDING 1", "Wrong default")
        screen.keys("q")
        screen.closes()
    assert len(lanes(workspace_dir)["pending"]) == 1


def test_the_first_hour_is_done_by_keys(opened: Opener, workspace_dir: Path) -> None:
    """Start, push, run, watch, gate, pull, stop; every question is answered with enter."""
    with opened() as screen:
        boot(screen)
        for key, question, then in (
            ("s", "Start pod", "● RUNNING"),
            ("P", "Push the code?", "as last pushed"),
            ("r", "Start a new run?", "◆ PASS"),
        ):
            screen.keys(key)
            screen.sees(question, "enter agrees")
            screen.keys("Enter")
            screen.sees(then)
        screen.sees("✔ finished", "70% 60–78", "against ≥60%")
        screen.keys("p")
        screen.sees("home and verified")
        screen.keys("x")
        screen.sees("■ STOPPED")
        screen.keys("q")
        assert "left=0" in screen.closes()
    (run,) = (workspace_dir / "runs").glob("*/report.md")
    assert run.read_text().endswith("verdict PASS\n")
