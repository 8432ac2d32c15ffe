"""The pure parts of the log view: total over any bytes, exact at any cut."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.tui.index import LineIndex
from app.tui.lines import MAX_CELLS, PLAIN, Sgr, cells, clean, parse
from app.tui.search import Matches, Pattern
from app.tui.spool import Spool

DANGEROUS = set(map(chr, [*range(0x20), *range(0x7F, 0xA0), 0x202E, 0x2066, 0x200B, 0xFEFF]))
ESCAPES = st.sampled_from(
    [b"\x1b[", b"\x1b]0;x\x07", b"\x1b[31m", b"\x1b[38;5;", b"\x1bP", b"\x9b", b"\r", b"\t", b"[/b]"]
)


@given(st.lists(st.one_of(st.binary(max_size=40), ESCAPES, st.text(max_size=10).map(str.encode)), max_size=12))
@settings(max_examples=300, deadline=None)
def test_any_bytes_become_harmless_text(parts: list[bytes]) -> None:
    line = parse(b"".join(parts))
    assert not set(line.text) & DANGEROUS
    assert "".join(text for text, _ in line.spans) == line.text
    assert cells(line.text) <= MAX_CELLS


@given(st.text())
def test_cleaned_text_is_one_harmless_line(text: str) -> None:
    assert not set(clean(text)) & DANGEROUS


def test_colours_survive_and_every_other_escape_is_dropped() -> None:
    line = parse(b"a\x1b]0;title\x07\x1b[1;31mred\x1b[0m\x1b[2J\x1b[10;10H b\x1b[48;5;27;4mx\x1b[39;49;24my")
    assert line.text == "ared bxy"
    assert line.spans[1] == ("red", Sgr(fg=1, bold=True))
    assert line.spans[-2] == ("x", Sgr(bg=27, underline=True))
    assert line.spans[-1] == ("y", PLAIN)


@pytest.mark.parametrize("codes", [b"38;2;999;1;1", b"38;5", b"38", b"4294967296999", b";;;", b"38;9;1"])
def test_malformed_colours_do_nothing_bad(codes: bytes) -> None:
    assert parse(b"\x1b[" + codes + b"mtext").text == "text"


def test_of_a_rewritten_progress_line_the_last_version_is_shown() -> None:
    assert parse(b" 10%\r 50%\r100% done\r\n").text == "100% done"


def test_a_long_line_is_cut_with_a_mark() -> None:
    line = parse(b"x" * 100_000)
    assert line.cut
    assert cells(line.text) == MAX_CELLS
    assert line.text.endswith("…")


@given(st.binary(max_size=400).map(lambda raw: raw.replace(b"\x01", b"\n")), st.lists(st.integers(1, 40)))
def test_the_index_is_exact_at_any_chunk_cut(content: bytes, cuts: list[int]) -> None:
    index, at = LineIndex(), 0
    for cut in [*cuts, len(content) + 1]:
        index.feed(content[at : at + cut])
        at = min(len(content), at + cut)
    expected = content.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    assert [content[slice(*index.span(n))] for n in range(len(index))] == expected
    assert index.complete == content.count(b"\n")


def test_a_spool_follows_growth_and_notices_a_replaced_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    spool = Spool(path)
    assert not spool.advance()
    path.write_bytes(b"one\ntw")
    assert spool.advance()
    assert [spool.line(n).text for n in range(len(spool))] == ["one", "tw"]
    with path.open("ab") as more:
        more.write(b"o\nthree\n")
    spool.advance()
    assert [spool.line(n).text for n in range(len(spool))] == ["one", "two", "three"]
    generation = spool.generation
    other = tmp_path / "new"
    other.write_bytes(b"fresh\n")
    os.replace(other, path)
    assert spool.advance()
    assert spool.generation == generation + 1
    assert [spool.line(n).text for n in range(len(spool))] == ["fresh"]
    spool.close()


def test_of_a_huge_progress_line_only_a_window_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"%7d%%\r" % n for n in range(200_000)) + b"the end")
    spool = Spool(path)
    while spool.advance():
        pass
    assert spool.line(0).text == "the end"
    spool.close()


@given(
    st.lists(
        st.sampled_from([b"loss 1", b"LOSS", b"gain", b"lo\x1b[31mss\x1b[0m", b"xloss\rgain", b"", b"\xff"]),
        max_size=60,
    )
)
@settings(deadline=None, max_examples=50)
def test_find_counts_what_a_person_sees_whatever_the_batch(lines: list[bytes]) -> None:

    with tempfile.NamedTemporaryFile() as file:
        file.write(b"".join(line + b"\n" for line in lines))
        file.flush()
        spool = Spool(Path(file.name))
        while spool.advance(7):
            pass
        pattern = Pattern("loss", literal=True)
        matches = Matches(pattern, spool.generation, spool.complete_to)
        while matches.advance(spool, 3):
            pass
        matches.take()
        found = [spool.index.line_at(offset) for offset in matches.lines]
        assert found == [n for n, raw in enumerate(lines) if "loss" in parse(raw).text.lower()]
        spool.close()


def test_a_filter_is_a_regular_expression_that_a_bang_inverts() -> None:
    assert Pattern("!step=\\d+", literal=False).matches("no number")
    assert not Pattern("!step=\\d+", literal=False).matches("step=12")
    with pytest.raises(ValueError, match="not a regular expression"):
        Pattern("(", literal=False)


@settings(deadline=None)
@given(
    st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"")), min_size=1, max_size=60),
    st.integers(1, 200),
)
def test_a_big_file_is_shown_from_its_end_and_then_whole(lines: list[bytes], tail: int) -> None:
    content = b"\n".join(lines) + b"\n"
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        spool, plain = Spool(Path(file.name), big=100, tail=tail), Spool(Path(file.name))
        plain.advance()
        spool.advance()
        assert [spool.raw_at(plain.index.span(n)[0]) for n in range(len(plain))] == [
            plain.raw(n) for n in range(len(plain))
        ]
        shown = [spool.raw(n) for n in range(len(spool))]
        assert shown == [plain.raw(n) for n in range(len(plain))][len(plain) - len(shown) :]
        assert spool.partial or len(shown) == len(plain)
        was = spool.partial
        if was:
            spool.index_head()
            file.write(b"more\n")  # what came meanwhile
            file.flush()
            while spool.advance(7):
                pass
            plain.advance()
        assert not spool.partial
        assert spool.shift == (len(plain) - 1 - len(shown) if was else 0)
        assert [spool.index.span(n) for n in range(len(spool))] == [plain.index.span(n) for n in range(len(plain))]
        spool.close()
        plain.close()


def test_the_beginning_of_a_file_that_was_replaced_is_thrown_away(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"old line\n" * 100)
    spool = Spool(path, big=100, tail=50)
    spool.advance()
    spool.index_head()
    (tmp_path / "new").write_bytes(b"new\n" * 3)
    (tmp_path / "new").replace(path)
    spool.advance()
    assert (len(spool), spool.partial, spool.raw(0)) == (3, False, b"new")
    spool.close()


def test_a_file_rewritten_in_place_is_noticed_although_it_grew(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"old line\n" * 10)
    spool = Spool(path, clock=lambda: 0.0)
    spool.advance()
    with path.open("r+b") as file:  # same inode, longer: what copytruncate leaves after a busy second
        file.write(b"new line\n" * 20)
    spool.advance()
    assert (spool.generation, len(spool), spool.raw(0)) == (2, 20, b"new line")
    assert [mark.offset for mark in spool.marks] == [0]
    assert "the 10 lines before were replaced or cut off" in spool.marks[0].text
    spool.close()


def test_the_time_a_line_came_is_known_only_from_when_it_was_watched(tmp_path: Path) -> None:
    clock = iter((200.0, 200.5, 300.0))
    path = tmp_path / "log"
    path.write_bytes(b"before\n")
    spool = Spool(path, clock=clock.__next__)
    spool.advance()
    for _ in range(3):
        with path.open("ab") as file:
            file.write(b"after\n")
        spool.advance()
    times = [spool.came(spool.index.span(n)[0]) for n in range(len(spool))]
    assert times == [None, 200.0, 200.0, 300.0]
    spool.close()


def test_reading_after_the_file_was_given_back_is_empty_and_not_another_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"mine\n")
    spool = Spool(path)
    spool.advance()
    spool.close()
    with (tmp_path / "other").open("wb+") as other:  # takes the descriptor
        other.write(b"other\n")
        other.flush()
        assert spool.raw(0) == b""
        assert spool.after(0) is None
        assert spool.before(5) is None
