"""What the Run view, the Board and the Reviews read from disk: whatever lies there, nothing raises and nothing is made
up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import run_samples
from hypothesis import given, settings
from hypothesis import strategies as st

from app.tui import rundir
from app.tui.boards import Boards, read_cards, read_review_cards
from app.tui.braille import bounds, braille, dots, marks, resampled
from app.tui.shelf import Shelf, Unreadable
from app.tui.theme import ASCII, UNICODE
from app.tui.widgets.plot import Plot, plot_lines
from app.tui.widgets.records import family_lines, item_lines


def test_an_instruction_is_read_with_all_that_was_made_of_it(tmp_path: Path) -> None:
    root = run_samples.run_directory(tmp_path)
    found = rundir.samples(root, 1)
    assert found is not None
    family = found.family(0)
    assert [row["text"] for row in family.answers] == ["Oslo", "Bergen"]
    assert len(family.judgements) == 2
    assert (len(family.critiques), len(family.revisions), len(family.trained), len(family.dropped)) == (1, 1, 1, 1)
    text = "\n".join(line.plain for line in family_lines(family, 80, UNICODE))
    for words in ("Oslo", "margin 1.25", "not accepted", "Bergen is no capital.", "critics unsure", "chosen"):
        assert words in text


def test_remote_text_in_records_is_harmless(tmp_path: Path) -> None:
    found = rundir.samples(run_samples.run_directory(tmp_path), 1)
    assert found is not None
    text = "\n".join(line.plain for line in family_lines(found.family(1), 80, UNICODE))
    assert "\x1b" not in text
    assert "hello [bold]" in text


def test_items_that_differ_come_with_both_answers_and_reasons(tmp_path: Path) -> None:
    found = rundir.discordant(run_samples.run_directory(tmp_path), 1)
    assert found is not None
    assert [(item.id, item.gained) for item in found[0].items] == [("x3", False), ("x1", True), ("x2", True)]
    text = "\n".join(line.plain for line in item_lines(found[0].items[0], found[0].a, found[0].b, 80))
    assert "wrong: Rome, wanted Oslo" in text
    assert "lenient right" in text


def test_quality_tells_a_broken_limit_from_an_unknown_one(tmp_path: Path) -> None:
    found = rundir.quality(run_samples.run_directory(tmp_path), 1)
    assert found.limits is not None
    held = {limit.name: limit.held for limit in found.limits}
    assert held["acceptance"] is True
    assert held["runaway_rate"] is False
    assert held["banned"] is None
    assert dict(found.funnel)["answers sampled"] == 3
    assert found.unused == ("harmless-privacy",)


def test_the_recipe_is_compared_with_the_newest_other_run_at_home(tmp_path: Path) -> None:
    root, older = run_samples.run_directory(tmp_path), run_samples.run_directory(tmp_path, "older", 7, 0.5)
    found = rundir.config(root, (tmp_path / "gone", older))
    assert found is not None
    assert found.earlier == "older"
    assert {one.name: (one.old, one.new) for one in found.differences} == {
        "seed": ("7", "0"),
        "evaluation.threshold": ("0.5", "0.6"),
    }


def test_an_empty_directory_says_nothing_and_raises_nothing(tmp_path: Path) -> None:
    found = rundir.quality(tmp_path, 1)
    assert (found.limits, found.coverage, found.funnel) == (None, None, ())
    assert rundir.samples(tmp_path, 1) is None
    assert rundir.discordant(tmp_path, 1) is None
    assert rundir.config(tmp_path, ()) is None
    assert rundir.kept_files(tmp_path) == ()


@settings(deadline=None, max_examples=30)
@given(st.lists(st.one_of(st.binary(max_size=40), st.just(b'{"id": "i1"}'), st.just(b"[1]"))))
def test_damaged_rows_are_counted_and_empty(tmp_path_factory: object, lines: list[bytes]) -> None:
    folder: Path = tmp_path_factory.mktemp("rows")  # type: ignore[attr-defined]
    path = folder / "rows.jsonl"
    path.write_bytes(b"".join(line.replace(b"\n", b"") + b"\n" for line in lines))
    rows = rundir.RowFile(path)
    assert len(rows) == len(lines)
    assert [rows[place] for place in range(len(rows))] == list(rows)


def test_every_file_of_a_board_is_a_card_in_one_of_four_columns(tmp_path: Path) -> None:
    run_samples.board(tmp_path)
    cards = read_cards(tmp_path / "task_board")
    assert next(card.title for card in cards if card.column == "pending") == "clean eval prompts"
    assert len(cards) == 5
    assert {card.column for card in cards} == {"pending", "in_progress", "blocked", "completed"}
    first = next(card for card in cards if card.title == "clean eval prompts")
    assert (first.done, first.boxes, first.level) == (1, 2, 0)


def test_a_review_says_who_has_answered_and_an_answer_to_nothing_is_shown(tmp_path: Path) -> None:
    run_samples.reviews(tmp_path)
    cards = read_review_cards(tmp_path / "reviews")
    assert [card.state for card in cards] == ["open", "orphan"]
    assert [(answer.reviewer, answer.verdict) for answer in cards[0].answers] == [("ann", "approve"), ("ben", None)]
    assert cards[0].answered == 1
    assert dict(cards[0].links) == {"run": "r1", "gate": "1"}


async def test_a_card_changed_from_outside_is_marked_for_a_while(tmp_path: Path) -> None:
    run_samples.board(tmp_path)
    boards = Boards(tmp_path)
    await _read(boards, 0.0)
    assert boards.open_tasks == 4
    assert boards.changed == {}
    path = tmp_path / "task_board/pending/P0_20270114_clean_prompts.md"
    path.write_text(path.read_text() + "- [ ] one more\n")
    await _read(boards, 2.0)
    assert len(boards.changed) == 1
    boards.advance(2.5, True)
    assert len(boards.changed) == 1
    await _read(boards, 60.0)
    boards.advance(61.0, True)
    assert boards.changed == {}


async def _read(boards: Boards, now: float) -> None:
    boards.advance(now, True)
    while boards._task is not None and not boards._task.done():
        await asyncio.sleep(0)
        await asyncio.wait({boards._task})


async def test_a_shelf_reads_once_and_tells_a_failure(tmp_path: Path) -> None:
    shelf, asked = Shelf(), []

    def read() -> int:
        asked.append(1)
        return 7

    assert shelf.get("seven", read) is None
    assert shelf.get("seven", read) is None
    while not shelf.advance():
        await asyncio.sleep(0.001)
    assert shelf.get("seven", read) == 7
    assert asked == [1]
    shelf.get("gone", lambda: (tmp_path / "gone").read_bytes())
    while not shelf.advance():
        await asyncio.sleep(0.001)
    assert isinstance(shelf.get("gone", read), Unreadable)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.one_of(st.none(), st.floats(-1e9, 1e9)), max_size=60), st.integers(4, 120), st.integers(1, 20))
def test_a_plot_fits_its_room_whatever_is_drawn(values: list[float | None], width: int, height: int) -> None:
    for glyphs in (UNICODE, ASCII):
        lines = plot_lines(Plot("x", values, threshold=0.5), width, height, glyphs)
        assert len(lines) <= max(1, height)
        known = bounds(values, 0.5) is not None and width >= 14
        assert not known or all(line.cell_length <= width + 4 for line in lines)
        assert not glyphs.ascii or all(line.plain.isascii() for line in lines if known)


def test_a_line_goes_from_its_first_to_its_last_value() -> None:
    assert resampled([0.0, 1.0], 3) == [0.0, 0.5, 1.0]
    assert resampled([0.0, 2.0, 4.0, 6.0], 2) == [1.0, 5.0]
    grid = dots([0.0, 1.0], 4, 4, 0.0, 1.0)
    assert marks(grid, 4, 4)[0][-1] == "*"
    assert marks(grid, 4, 4)[-1][0] == "*"
    assert [len(line) for line in braille(grid, 4, 4)] == [2]


def test_an_unknown_value_leaves_a_gap() -> None:
    assert marks(dots([1.0, None, 1.0], 3, 1, 0.0, 1.0), 3, 1) == ["* *"]
