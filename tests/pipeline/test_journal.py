"""The journal keeps what was committed and believes nothing that was damaged."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.journal import Journal

ROWS: list[tuple[int, dict[str, Any]]] = [
    (2, {"text": "drei ü\n"}),
    (0, {"x": 0.1, "n": None}),
    (1, {"list": [1, "2", {"a": True}]}),
]


def written(path: Path) -> bytes:
    with Journal(path) as journal:
        journal.append(ROWS)
    return path.read_bytes()


def test_rows_come_back_and_are_published_in_position_order(tmp_path: Path) -> None:
    written(tmp_path / "r.part")
    with Journal(tmp_path / "r.part") as journal:
        assert journal.damaged == 0
        assert journal.complete(range(3))
        assert not journal.complete(range(4))
        assert journal.publish(tmp_path / "r.jsonl", expected=3) == 3
    lines = (tmp_path / "r.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [row for _, row in sorted(ROWS, key=lambda r: r[0])]


def test_a_byte_flipped_anywhere_loses_at_most_the_rows_it_touches(tmp_path: Path) -> None:
    path = tmp_path / "r.part"
    good = written(path)
    expected = dict(ROWS)
    for place in range(len(good)):
        for bit in (0x01, 0x20, 0x80):
            path.write_bytes(good[:place] + bytes([good[place] ^ bit]) + good[place + 1 :])
            with Journal(path) as journal:
                kept = {pos: journal.row(pos) for pos in range(3) if pos in journal}
                assert len(journal) == len(kept)
            assert all(expected[pos] == row for pos, row in kept.items())
            touched = 2 if good[place] == 10 and place != len(good) - 1 else 1
            assert len(kept) == 3 - touched


def test_a_file_cut_anywhere_keeps_every_whole_line_and_goes_on_cleanly(tmp_path: Path) -> None:
    path = tmp_path / "r.part"
    good = written(path)
    for size in range(len(good) + 1):
        path.write_bytes(good[:size])
        with Journal(path) as journal:
            assert len(journal) == good[:size].count(b"\n")
            journal.append(ROWS)
        with Journal(path) as journal:
            assert journal.damaged == 0
            assert len(journal) == 3


def test_a_batch_that_was_redone_replaces_its_rows(tmp_path: Path) -> None:
    with Journal(tmp_path / "r.part") as journal:
        journal.append([(0, {"v": 1})])
        journal.append([(0, {"v": 2}), (1, {"v": 2})])
    with Journal(tmp_path / "r.part") as journal:
        assert journal.rows() == [{"v": 2}, {"v": 2}]


def test_missing_rows_are_never_published(tmp_path: Path) -> None:
    with Journal(tmp_path / "r.part") as journal:
        journal.append([(0, {}), (2, {})])
        with pytest.raises(ValueError, match=r"first missing: \[1\]"):
            journal.publish(tmp_path / "r.jsonl", expected=3)
    assert not (tmp_path / "r.jsonl").exists()


def test_nan_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with Journal(tmp_path / "r.part") as journal, pytest.raises(ValueError, match="JSON"):
        journal.append([(0, {"x": 1.0}), (1, {"x": float("nan")})])
    assert (tmp_path / "r.part").read_bytes() == b""


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    with Journal(tmp_path / "r.part") as journal:
        journal.append([(0, {"v": 0})])

        room = [20]  # bytes left on the disk

        def full(fd: int, data: bytes) -> int:
            if not room[0]:
                raise OSError(errno.ENOSPC, "No space left on device")
            count = real(fd, data[: room[0]])
            room[0] -= count
            return count

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            journal.append([(1, {"v": 1}), (2, {"v": 2})])
        monkeypatch.undo()
        assert 1 not in journal
        journal.append([(1, {"v": 1})])
    with Journal(tmp_path / "r.part") as journal:
        assert journal.rows() == [{"v": 0}, {"v": 1}]
        assert journal.damaged == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(rows=st.lists(st.dictionaries(st.text(), JSON, max_size=4), max_size=5))
def test_any_json_row_survives(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    path = tmp_path_factory.mktemp("journal") / "r.part"
    with Journal(path) as journal:
        journal.append(enumerate(rows))
    with Journal(path) as journal:
        assert journal.rows() == rows
        assert journal.damaged == 0
