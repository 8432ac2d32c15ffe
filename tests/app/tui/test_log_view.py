"""The log view on a screen of its own: what is seen, where, and what stays in sight while the log grows."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import screen_text
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from app.tui.search import Pattern
from app.tui.spool import Spool
from app.tui.theme import DARK
from app.tui.widgets.log_view import LogView, log_status


class OneLog(App[None]):
    """A log view and nothing else, ticked by hand."""

    CSS_PATH = str(Path(__file__).parents[3] / "app/tui/views/logs.tcss")

    def __init__(self, spool: Spool) -> None:
        super().__init__()
        self.spool = spool
        self.register_theme(DARK)
        self.theme = DARK.name

    def compose(self) -> ComposeResult:
        yield LogView(id="log-full")

    def on_mount(self) -> None:
        self.query_one(LogView).focus()


class Seen:
    """The view under test, its file, and the screen as text."""

    def __init__(self, app: OneLog, pilot: Pilot[None], path: Path) -> None:
        self.app, self.pilot, self.path = app, pilot, path
        self.view = app.query_one(LogView)

    @property
    def lines(self) -> list[str]:
        rows = screen_text(self.app).split("\n")
        return [row[2 : self.view.scrollable_content_region.width].rstrip() for row in rows]

    @property
    def status(self) -> str:
        return " · ".join(part.plain for part in log_status(self.view, "v", "#"))

    def append(self, text: bytes) -> None:
        with self.path.open("ab") as log:
            log.write(text)

    async def tick(self, until: Callable[[], Any] = lambda: True) -> None:
        for _ in range(200):
            self.app.spool.advance()
            self.view.open(self.app.spool)
            self.view.grew()
            await self.pilot.pause()
            if until():
                return
        raise AssertionError(f"never came true: {self.status}\n{screen_text(self.app)}")


@pytest.fixture
def one_log(tmp_path: Path) -> Callable[..., Any]:
    @asynccontextmanager
    async def opened(content: bytes, size: tuple[int, int] = (40, 10), **options: Any) -> AsyncIterator[Seen]:
        path = tmp_path / "log"
        path.write_bytes(content)
        app = OneLog(Spool(path, **options))
        async with app.run_test(size=size) as pilot:
            seen = Seen(app, pilot, path)
            await seen.tick()
            yield seen
            app.spool.close()

    return opened


NUMBERED = b"".join(b"line %d\n" % n for n in range(1000))


async def test_wrapped_lines_are_whole_and_the_end_stays_in_sight(one_log: Callable[..., Any]) -> None:
    content = b"".join(b"%04d " % n + b"abcdefghij" * 9 + b"end\n" for n in range(18))
    async with one_log(content) as seen:
        seen.view.toggle("wrap")
        await seen.tick()
        text = "\n".join(seen.lines)
        assert text.count("end") == 3
        assert "0017" in text
        assert [line for line in seen.lines if line][-1].endswith("end")
        joined = "".join(line.rstrip() for line in seen.lines)
        assert "0016 " + "abcdefghij" * 9 + "end" in joined
        seen.append(b"short\n")
        await seen.tick()
        assert [line for line in seen.lines if line.strip()][-1].strip() == "short"
        shown = set()
        await seen.pilot.press("home")
        for _ in range(9):  # every line can be reached
            shown |= {line[:4] for line in seen.lines if line[:4].isdigit()}
            await seen.pilot.press("pagedown")
        assert shown == {f"{n:04d}" for n in range(18)}
        assert seen.view.follow


async def test_wide_characters_wrap_without_being_torn(one_log: Callable[..., Any]) -> None:
    async with one_log("漢字".encode() * 30 + b"\n" + "e\u0301".encode() * 60 + b"\n", size=(21, 12)) as seen:
        seen.view.toggle("wrap")
        await seen.tick()
        rows = screen_text(seen.app).split("\n")
        assert "".join(row[2:].strip() for row in rows).startswith("漢字" * 30 + "e\u0301" * 60)


async def test_a_filter_takes_in_new_matches_and_its_end_keeps_the_line_in_hand(one_log: Callable[..., Any]) -> None:
    async with one_log(NUMBERED) as seen:
        seen.view.show_only(Pattern("7$", literal=False))
        await seen.tick(lambda: len(seen.view.filter.lines) == 100)
        assert [line.strip() for line in seen.lines][-1] == "line 997"
        seen.append(b"line 1007\nline 1008\n")
        await seen.tick(lambda: "only '7$' 101" in seen.status)
        assert [line.strip() for line in seen.lines][-1] == "line 1007"
        await seen.pilot.press("up", "up", "up")
        assert seen.view.text_in_hand() == "line 977"
        seen.view.show_only(None)
        await seen.tick()
        assert seen.view.text_in_hand() == "line 977"
        assert "line 976" in [line.strip() for line in seen.lines]


async def test_rows_that_appear_above_do_not_move_what_is_seen(one_log: Callable[..., Any]) -> None:
    async with one_log(NUMBERED * 60, big=10_000, tail=3_000) as seen:
        seen.view.show_only(Pattern("!5$", literal=False))
        await seen.pilot.press("up", "up", "pageup")
        before, count = seen.lines, seen.view.rows
        seen.app.spool.index_head()
        await seen.tick(lambda: "only '!5$' 54,000" in seen.status and "+" not in seen.status.split("E")[0][7:20])
        assert seen.view.rows > count
        assert seen.lines == before
        assert "PAUSED +0 lines" in seen.status


async def test_find_reaches_into_what_is_not_counted_yet(one_log: Callable[..., Any]) -> None:
    async with one_log(b"needle\n" + NUMBERED * 60, big=10_000, tail=3_000) as seen:
        seen.view.look_for(Pattern("needle", literal=True))
        await seen.tick(lambda: "find 'needle' 1/1" in seen.status)
        seen.app.spool.index_head()
        await seen.tick(lambda: "needle" in "\n".join(seen.lines))
        assert not seen.view.follow


async def test_levels_are_counted_and_signed_in_the_gutter(one_log: Callable[..., Any]) -> None:
    async with one_log(b"fine\nERROR bad\nWARNING meh\n\x1b[31mERROR\x1b[0m red\n") as seen:
        await seen.tick(lambda: "E 2 W 1 · 4 lines" in seen.status)
        rows = screen_text(seen.app).split("\n")
        assert [row[:2] for row in rows[:4]] == ["  ", "✖ ", "! ", "✖ "]
        seen.append(b"ERROR again\n")
        await seen.tick(lambda: "E 3 W 1" in seen.status)


async def test_marks_stand_between_lines_and_are_passed_over_by_the_cursor(one_log: Callable[..., Any]) -> None:
    async with one_log(b"one\ntwo\n") as seen:
        seen.app.spool.add_mark("18:49:11 mark")
        seen.append(b"three\n")
        await seen.tick(lambda: seen.view.rows == 4)
        rows = screen_text(seen.app).split("\n")
        assert rows[2].startswith("─── 18:49:11 mark ──")
        assert [rows[n].strip() for n in (0, 1, 3)] == ["one", "two", "three"]
        await seen.pilot.press("up")
        assert seen.view.text_in_hand() == "two"
        assert screen_text(seen.app).split("\n")[1] == " ▸two"
        await seen.pilot.press("down")
        assert seen.view.text_in_hand() == "three"
        await seen.pilot.press("down")
        assert seen.view.follow


async def test_a_log_that_was_replaced_says_so(one_log: Callable[..., Any]) -> None:
    async with one_log(NUMBERED, size=(100, 10)) as seen:
        seen.view.look_for(Pattern("999", literal=True))
        other = seen.path.with_name("new")
        other.write_bytes(b"fresh 999\n")
        os.replace(other, seen.path)
        await seen.tick(lambda: "fresh" in "\n".join(seen.lines))
        assert "the 1,000 lines before were" in screen_text(seen.app)
        await seen.tick(lambda: "/1" in seen.status)


async def test_times_are_shown_for_lines_that_came_while_watching(one_log: Callable[..., Any]) -> None:
    async with one_log(b"before\n", clock=lambda: 1_800_000_000.0) as seen:
        seen.append(b"after\n")
        seen.view.toggle("stamps")
        await seen.tick(lambda: seen.view.rows == 2)
        assert seen.lines[0] == " " * 9 + "before"
        assert seen.lines[1][2:3] == ":"
        assert seen.lines[1].endswith(" after")


async def test_a_log_line_is_selected_by_character_under_wrap(one_log: Callable[..., Any]) -> None:
    async with one_log(b"0123456789" * 10 + b"\nsecond\n") as seen:
        seen.view.toggle("wrap")
        await seen.tick()
        await seen.pilot.mouse_down(seen.view, offset=(4, 0))
        await seen.pilot.hover(seen.view, offset=(5, 1))
        await seen.pilot.mouse_up(seen.view, offset=(5, 1))
        assert seen.app.screen.get_selected_text() in (("0123456789" * 10)[2:41], ("0123456789" * 10)[2:42])


async def test_home_and_end_go_to_the_ends_and_the_end_follows(one_log: Callable[..., Any]) -> None:
    async with one_log(b"x\n" * 2_000) as seen:
        await seen.pilot.press("home")
        assert not seen.view.follow
        assert seen.view.scroll_offset.y == 0
        await seen.pilot.press("end")
        assert seen.view.scroll_offset.y == 2_000 - 10
        assert seen.view.follow
