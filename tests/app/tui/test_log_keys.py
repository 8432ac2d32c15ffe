"""The keys of a log in the panel: copy, save, mark, times, wrap, one line in full, clear."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import tui_samples as samples
from conftest import Opener
from msgspec.structs import replace

from app.actions import registry
from app.tui import clipboard
from app.tui.detail import full
from app.tui.export import name_for


async def test_a_log_is_read_marked_copied_and_saved_by_keys(
    panel: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clipboard, "command", lambda environ: None)
    log = tmp_path / "sft.log"
    record = b'18:49 INFO {"loss": 0.5, "note": "\x1b[31mlong\\u202e ' + b"word " * 40 + b'"}'
    log.write_bytes(b"".join(b"line %d\n" % n for n in range(50)) + record + b"\nERROR last\n")
    async with panel(samples.training_state(log)) as shown:
        shown.controller.workspace = SimpleNamespace(state_dir=tmp_path)  # type: ignore[attr-defined]
        await shown.pilot.press("3")
        await shown.sees("[3 Logs]", "ERROR last", "E 1 W 0")
        await shown.pilot.press("w", "t", "m")
        await shown.sees("08:00:00 mark", "word word", "wrap · times")
        await shown.pilot.press("w", "t", "up", "up", "y")
        await shown.sees("copied 1 line through the terminal")
        assert shown.app.clipboard.startswith('18:49 INFO {"loss": 0.5, "note": "long')
        await shown.pilot.press("Y")
        await shown.until(lambda: shown.app.clipboard.endswith("ERROR last\n08:00:00 mark"))
        await shown.pilot.press("enter")
        text = await shown.sees("line 51", "18:49 INFO", '"loss": 0.5,')
        assert "\u202e" not in text
        await shown.pilot.press("right")
        await shown.sees("line 52")
        await shown.pilot.press("escape")
        await shown.sees("PAUSED")
        await shown.pilot.press("slash", *"line", "enter")
        await shown.sees("find 'line'", "/50")
        await shown.pilot.press("ampersand", *"[05]$", "enter")
        await shown.sees("only '[05]$' 10")
        await shown.pilot.press("ctrl+s")
        await shown.until(lambda: list(tmp_path.glob("saved-logs/stage-1.sft-*.log")))
        saved = next(tmp_path.glob("saved-logs/*.log")).read_text()
        assert saved == "".join(f"line {n}\n" for n in range(0, 50, 5))
        await shown.pilot.press("escape")
        assert "only" not in await shown.sees("find 'line'")
        await shown.pilot.press("escape")
        await shown.until(lambda: "find 'line'" not in shown.text)


def test_json_in_a_line_is_indented_and_what_only_looks_like_it_stays() -> None:
    assert full(b'12:00 {"a": [1, "\\u001b[2J\\n"]} end') == [
        "12:00",
        *("{", '  "a": [', "    1,", '    "\\u001b[2J\\n"', "  ]", "}"),
        "end",
    ]
    assert full(b"[INFO] {not json} []") == ["[INFO] {not json} []"]
    assert full(b"[" * 70_000) == ["[" * 65_535 + "…"]
    assert full(b"[1" + b"0" * 5000 + b"]") == ["[1" + "0" * 5000 + "]"]
    wide = json.dumps({"note": "x" * 10_000}).encode()
    assert "".join(full(wide)).count("x") == 10_000


@pytest.mark.parametrize(
    ("environ", "have", "words"),
    [
        ({"DISPLAY": ":0"}, {"xclip", "xsel"}, "xclip"),
        ({"WAYLAND_DISPLAY": "w", "DISPLAY": ":0"}, {"wl-copy", "xclip"}, "wl-copy"),
        ({"DISPLAY": ":0"}, {"xsel"}, "xsel"),
        ({"SSH_CONNECTION": "x"}, {"pbcopy", "xclip"}, None),
        ({}, {"xclip"}, None),
    ],
)
def test_the_clipboard_of_the_desktop_is_used_where_there_is_one(
    environ: dict[str, str], have: set[str], words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    found = clipboard.command(environ, lambda name: name if name in have else None)
    assert (found and found[0]) == words


async def test_a_clipboard_command_that_fails_leaves_it_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[str] = []
    for words in (("false",), ("no-such-command-here",)):
        monkeypatch.setattr(clipboard, "command", lambda environ, words=words: words)
        assert await clipboard.copy("text", {}, got.append) == "the terminal"
    assert got == ["text", "text"]
    with pytest.raises(ValueError, match="ctrl\\+s"):
        await clipboard.copy("x" * 100_000, {}, got.append)


def test_saving_is_refused_in_a_read_only_panel(tmp_path: Path) -> None:
    state = samples.training_state(tmp_path / "x.log")
    assert registry.refusal("view.save", state) is None
    assert "read-only" in str(registry.refusal("view.save", replace(state, readonly=True)))


@pytest.mark.parametrize("stream", ["logs/stage-1.sft.log", "../../etc/passwd", "", "a\x1b[2J/b"])
def test_a_saved_file_stays_in_its_folder_whatever_the_stream_is_called(stream: str) -> None:
    name = name_for(stream, "20270115-080000")
    assert name.endswith("-20270115-080000.log")
    assert "/" not in name
    assert not name.startswith(".")
    assert name.isprintable()
