"""Searching and counting a log by slabs: what a line-by-line look at the visible text would find, from any anchor."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.tui.levels import level_of
from app.tui.lines import parse
from app.tui.scan import Ends
from app.tui.search import Matches, Pattern, required
from app.tui.spool import WINDOW, Spool

LINES = st.lists(
    st.sampled_from(
        [
            *(
                b"loss 1",
                b"LOSS",
                b"gain 17 ms",
                b"lo\x1b[31mss\x1b[0m",
                b"xloss\rgain",
                b"",
                b"\xff",
                b"step=224 loss=0.9\r",
            ),
            *(
                "ſtep loß K".encode(),
                b"a\tb",
                b"ERROR x",
                b"WARN y",
                b"\x1b[31mERROR\x1b[0m",
                b"ERROR\rok",
                b"no ERRORS",
            ),
            *(b"x" * 2100 + b"loss", b"y" * 300 + b"ERROR", b"\x07bell loss", b"\x1b]0;loss\x07", b'{"loss": 1}'),
        ]
    ),
    max_size=40,
)
PATTERNS = st.sampled_from(
    [
        *("loss", "LOSS", "!loss", r"loss[ =]\d", r"gain \d+ ms|error", r"^loss", r"s$", r"[^a-z]+$", r"\s", "x+loss"),
        *(r"(?i)LOSS", r"(?:loss|gain)", r"lo*s*", r"\S{4,}", ".", "!.", r"K", "ß", r"[\]l]oss", r"st?ep=2{2}4"),
    ]
)


def spooled(content: bytes) -> Spool:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        spool = Spool(Path(file.name))
        while spool.advance():
            pass
    return spool


@given(LINES, PATTERNS, st.booleans(), st.integers(0, 40), st.integers(1, 3000))
@settings(deadline=None, max_examples=300)
def test_slabs_find_what_a_look_at_every_visible_line_finds(
    lines: list[bytes], asked: str, literal: bool, at: int, size: int
) -> None:
    spool = spooled(b"".join(line + b"\n" for line in lines))
    pattern = Pattern(asked, literal=literal)
    starts = [spool.index.span(n)[0] for n in range(len(lines))]
    matches = Matches(pattern, spool.generation, [*starts, spool.complete_to][min(at, len(lines))])
    while matches.advance(spool, size):
        matches.take()
    matches.take()
    assert list(matches.lines) == [s for s, raw in zip(starts, lines, strict=True) if pattern.matches(parse(raw).text)]
    assert not matches.behind(spool)
    spool.close()


@given(LINES, st.integers(1, 3000))
@settings(deadline=None)
def test_levels_are_counted_as_they_are_drawn(lines: list[bytes], size: int) -> None:
    spool = spooled(b"".join(line + b"\n" for line in lines))
    while spool.tally.advance(spool, size):
        pass
    spool.tally.take()
    levels = [level_of(parse(raw).text) for raw in lines]
    assert (spool.tally.errors, spool.tally.warnings) == (levels.count("error"), levels.count("warning"))
    spool.close()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (r"loss=0\.9\d+", ("loss=0.9",)),
        (r"ERROR|WARN", ("ERROR", "WARN")),
        (r"ab?c", ("a",)),
        (r"(?:ERROR|WARN)", ()),
        (r"a|\d", ()),
        (r"x(abc)?y", ("x",)),
        (r"stepp*=1{0,2}", ("step",)),
        (r"(?i)loss", ()),
        (r"tok\/s\s+\d", ("tok/s",)),
        (r"[(]loss", ("loss",)),
    ],
)
def test_the_words_a_pattern_cannot_do_without(body: str, words: tuple[str, ...]) -> None:
    assert required(body) == words


@pytest.mark.filterwarnings("ignore:Possible nested set")
@given(st.text(alphabet="ab|()*+?[]^$.\\{}1,d", max_size=12), st.text(alphabet="ab1.|", max_size=8))
@settings(max_examples=500, deadline=None)
def test_a_line_without_the_required_words_never_matches(body: str, line: str) -> None:
    try:
        found = re.search(body, line)
    except re.error:
        return
    words = required(body)
    assert found is None or not words or any(word in line for word in words)


@given(st.lists(st.integers(0, 2**40), unique=True), st.integers(0, 40))
def test_a_sequence_grown_at_both_ends_reads_in_order(values: list[int], cut: int) -> None:
    import numpy as np

    values.sort()
    ends = Ends()
    for n in range(min(cut, len(values)), len(values)):
        ends.add(np.array([values[n]]), below=True)
    for n in range(min(cut, len(values)) - 1, -1, -1):
        ends.add(np.array([values[n]]), below=False)
    assert list(ends) == values
    assert [ends[-1 - n] for n in range(len(values))] == values[::-1]


def test_lines_longer_than_a_slab_are_found_and_passed_over_both_ways() -> None:
    long = b"z" * (3 * WINDOW)
    lines = [b"loss", b"loss " + long, long + b" loss", b" 1%\r" * WINDOW + b"loss", b"loss"]
    spool = spooled(b"".join(line + b"\n" for line in lines))
    starts = [spool.index.span(n)[0] for n in range(len(lines))]
    for anchor in (0, starts[2], spool.complete_to):
        matches = Matches(Pattern("loss", literal=True), spool.generation, anchor)
        while matches.advance(spool, 1000):
            pass
        matches.take()
        assert list(matches.lines) == [starts[0], starts[1], starts[3], starts[4]]
    spool.close()


def test_a_search_ends_when_the_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"loss\n" * 1000)
    spool = Spool(path)
    spool.advance()
    matches = Matches(Pattern("loss", literal=True), spool.generation, 0)
    assert matches.advance(spool, 500)
    path.write_bytes(b"gain\n" * 10)
    spool.advance()
    assert not matches.advance(spool, 500)
    assert not matches.behind(spool)
    spool.close()


def test_hits_near_the_anchor_come_first() -> None:
    spool = spooled(b"loss\n" * 10_000)
    matches = Matches(Pattern("loss", literal=True), spool.generation, 25_000)
    assert matches.advance(spool, 100)
    assert matches.take() == (19, 20)  # a line torn by the slab's edge waits
    assert (matches.lines[0], matches.lines[-1]) == (24_905, 25_095)
    spool.close()
