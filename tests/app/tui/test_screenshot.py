"""Pictures: what is on them is what was recorded, in the theme that was asked for, and nothing of this machine."""

from __future__ import annotations

import html
import json
import socket
from pathlib import Path

import pytest
import tui_samples as samples

from app.cli import main
from app.errors import AppError, UsageError
from app.recording import read
from app.replay import Player
from app.tui import svg as pictures
from app.tui.screenshot import moment_of, picture, size_of, write
from app.tui.theme import DARK, LIGHT
from app.workspace import find
from remote.secrets import Redactor


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    script = samples.RunScript(samples.base_state(), "R1").plan().done("freeze", "generate", "critique").training()
    script.say("step_finished", step="stage-1/sft", state="done", seconds=30.0, tokens=0, usd=None)
    folder = tmp_path / "runs" / "R1"
    (folder / "logs").mkdir(parents=True)
    (folder / "events.jsonl").write_bytes(b"".join(script.lines))
    (folder / "run.json").write_text(json.dumps({}))
    (folder / "logs" / "stage-1.sft.log").write_text("saved to /home/somebody/secret/place/adapter\nloss 0.31\n")
    return folder


async def shot(run_dir: Path, view: str, theme: str, at: str = "100%") -> str:
    player = Player(read(run_dir / "events.jsonl"))
    player.still, player.playing = True, False
    player.seek(moment_of(player, at))
    try:
        return await picture(player, (120, 35), view=view, theme=theme)
    finally:
        player.remove()


async def test_a_light_picture_has_no_dark_cell_and_no_font_from_the_net(run_dir: Path, tmp_path: Path) -> None:
    drawn = await shot(run_dir, "logs", LIGHT.name)
    assert str(DARK.background) not in drawn, "lines drawn before the theme was chosen keep no colour of it"
    assert "@font-face" in drawn
    write(drawn, tmp_path / "out.svg", find(tmp_path))
    written = (tmp_path / "out.svg").read_text()
    assert "@font-face" not in written
    assert "REPLAY" in written
    assert "/home/somebody" not in written
    assert "…/adapter" in written


async def test_a_picture_shows_the_moment_that_was_asked_for(run_dir: Path) -> None:
    assert "228/375" not in await shot(run_dir, "overview", DARK.name, "stage-1/generate")
    assert "loss&#160;0.31" in await shot(run_dir, "logs", DARK.name, "stage-1/sft")


def test_what_replaces_a_word_is_as_long_as_the_word(tmp_path: Path) -> None:
    host, home = socket.gethostname(), str(Path.home())
    text = f"<text x='0'>{home}/a/b.log&#160;on&#160;{host}&#160;/tmp/x&#160;1/2&#160;http://a/tmp/b</text>"
    said = pictures.scrubbed(text, tmp_path, Redactor()).replace("&#160;", " ")
    assert len(said) == len(text.replace("&#160;", " "))
    assert not (host in said and len(host) > 4) and f"{home}/a" not in said
    assert "1/2" in said
    assert "/tmp/x" not in said


def test_a_key_in_a_log_is_in_no_picture_not_even_in_two_halves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, key = "rpa" + "_ABCDEFGHIJKLMNOPQRST", "planted" + "-&-key-0123456789"
    monkeypatch.setenv("SOME_TOKEN", key)
    (tmp_path / ".env.runpod").write_text("RUNPOD_API_KEY=unlike-any-known-form-42\n")
    halves = key[:12], key[12:]
    shown = "".join(f"<text x='0'>{html.escape(word)}&#160;end</text>" for word in (token, key, *halves))
    write(shown + "<text>unlike-any-known-form-42</text>", tmp_path / "out.svg", find(tmp_path))
    said = html.unescape((tmp_path / "out.svg").read_text())
    assert len(said) == len(html.unescape(shown + "<text>unlike-any-known-form-42</text>"))
    assert not [part for part in (token[:12], *halves, "unlike", "form-42") if part in said]
    assert said.count("\xa0end") == 4


def test_a_machine_that_cannot_make_a_png_says_what_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "BROWSERS", ())
    monkeypatch.setattr(pictures, "find_spec", lambda _name: None)
    with pytest.raises(AppError, match=r"Chromium.*cairosvg"):
        pictures.to_png("<svg/>", tmp_path / "a.png")


def test_mistakes_are_named(run_dir: Path, tmp_path: Path) -> None:
    for size in ("160", "x", "10x10", "9999x9999"):
        with pytest.raises(UsageError, match="size"):
            size_of(size)
    player = Player(read(run_dir / "events.jsonl"))
    for at in ("101%", "stage-9/sft", "%"):
        with pytest.raises(UsageError, match="--at"):
            moment_of(player, at)
    player.remove()
    with pytest.raises(UsageError, match=r"\.svg"):
        write("", tmp_path / "a.gif", find(tmp_path))


def test_the_command_writes_a_picture_of_a_run(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["screenshot", "--run", "R1", "--size", "80x24", "out.svg"]) == 0
    assert capsys.readouterr().out == "out.svg\n"
    assert "REPLAY" in (tmp_path / "out.svg").read_text()
    assert main(["screenshot", "--view", "nothing", "out.svg"]) == 2
    assert "invalid choice: 'nothing'" in capsys.readouterr().err
    assert main(["screenshot", "--readonly", "out.svg"]) == 3
