"""Any bytes survive; processes that change one board at once lose, double and overwrite nothing."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import task_board
from task_board import board, edits, headers, store, verbs
from task_board.document import Document

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
EXAMPLES = int(os.environ.get("MAXCAI_EXAMPLES", "150"))
HOME = Path(task_board.__file__).parents[1]

PIECES = st.sampled_from(
    ["# T", "**Priority**: P0", "**Priority: CRITICAL (P0)**", "Priority: P9", "Depends on: a, b", "```", "~~~~",
     "````md", "## Status Updates",
     "## Success Criteria", "### X", "- [ ] a", "* [x] b", "1. [X] c", "---", "Created: Oct 4, 2025", "- [2025] x",
     "| Priority | P1 |", "\ufeff", "\x0b", "\u2028", "Assigned To: ", "## Completion Notes", "  ", "#"]
)  # fmt: skip
TEXTS = st.text(max_size=20).map(lambda text: text.encode("utf-8", "replace"))
LINES = st.one_of(PIECES.map(str.encode), st.binary(max_size=30), TEXTS)
FILES = st.builds(
    lambda lines, ends, last: b"".join(a + b for a, b in zip(lines, ends, strict=False)) + last,
    st.lists(LINES, max_size=12), st.lists(st.sampled_from([b"\n", b"\r\n", b"\n\n"]), min_size=12, max_size=12), LINES,
)  # fmt: skip
QUICK = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@QUICK
@given(FILES)
def test_any_file_survives_reading_and_every_edit_byte_for_byte(raw: bytes) -> None:
    document = Document(raw)
    assert document.text.encode("utf-8", "surrogateescape") == raw
    headers.read(document)
    for edit in (edits.update(raw, "said", NOW), edits.completion(raw, "said", NOW)):
        after = edit.apply(raw)
        assert after[: edit.at] + after[edit.at + len(edit.new) :] == raw
        assert edit.inverse().apply(after) == raw
        again = edits.update(after, "more", NOW).apply(after)
        assert again.count(b"## Status Updates") <= max(1, after.count(b"## Status Updates") + 1)
    for number, box in enumerate(document.boxes):
        made = edits.tick(document, number, not box.done)
        assert made is not None and Document(made.apply(raw)).boxes[number].done is not box.done


@settings(QUICK, max_examples=max(EXAMPLES // 4, 25))
@given(FILES, st.sampled_from(["20260101_000000_P1_x.md", "x.md.COMPLETED", "P0_x", "x y.txt"]))
def test_a_move_and_its_undo_leave_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes, name: str
) -> None:
    root = tmp_path_factory.mktemp("b")
    (root / "pending").mkdir()
    (root / "pending" / name).write_bytes(raw)
    task = verbs.move(root, str(root / "pending" / name), "completed", NOW)
    assert not (root / "pending" / name).exists() and Path(task.file) == root / "completed" / name
    verbs.undo(root, NOW)
    assert (root / "pending" / name).read_bytes() == raw and not (root / "completed" / name).exists()


WORKER = """
import random, sys
from pathlib import Path
from task_board import verbs
from task_board.errors import BoardError
root, seed, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
draw = random.Random(seed)
for n in range(count):
    slug = f"t{draw.randrange(12)}"
    act = draw.choice([
        lambda: verbs.start(root, slug), lambda: verbs.done(root, slug, "x"), lambda: verbs.block(root, slug, "x"),
        lambda: verbs.unblock(root, slug), lambda: verbs.move(root, slug, "pending"),
        lambda: verbs.note(root, slug, f"{seed}-{n}"),
        lambda: verbs.new(root, verbs.Draft(f"made {seed} {n}")), lambda: verbs.undo(root),
    ])
    try:
        act()
    except BoardError:
        pass
"""


def race(root: Path, processes: int, count: int) -> None:
    for lane in board.LANES:
        (root / lane).mkdir()
    for n in range(12):
        (root / "pending" / f"20260101_0000{n:02}_P1_t{n}.md").write_bytes(random.Random(n).randbytes(40) + b"\n# T\n")
    before = tree(root)
    argv = [[sys.executable, "-c", WORKER, str(root), str(seed), str(count)] for seed in range(processes)]
    running = [subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(HOME)}) for words in argv]
    assert [process.wait(580) for process in running] == [0] * processes
    after = tree(root)
    assert store.replay(before, store.entries(root)) == after
    names = Counter(name.rpartition("/")[2] for name in after)
    assert set(names.values()) == {1} and {name.rpartition("/")[2] for name in before} <= set(names)
    for name, raw in before.items():  # nothing of what was there is lost
        moved = next(path for path in after if path.endswith(name.rpartition("/")[2]))
        assert after[moved].startswith(raw)


def tree(root: Path) -> dict[str, bytes]:
    return {
        p.relative_to(root).as_posix(): p.read_bytes()
        for p in root.rglob("*")
        if p.is_file() and ".maxcai" not in p.parts
    }


def test_processes_that_work_on_one_board_lose_and_double_nothing(tmp_path: Path) -> None:
    race(tmp_path, 3, 12)


@pytest.mark.slow
def test_eight_processes_with_500_operations_each_lose_and_double_nothing(tmp_path: Path) -> None:
    race(tmp_path, 8, 500)


def test_of_two_processes_that_start_one_task_one_wins_and_the_other_is_told(tmp_path: Path) -> None:
    (tmp_path / "pending").mkdir()
    (tmp_path / "pending" / "P1_a.md").write_text("# A\n")
    argv = [sys.executable, "-m", "task_board", "--root", str(tmp_path), "start", "a"]
    running = [subprocess.Popen(argv, cwd=HOME, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate(timeout=60)[1] for process in running]
    assert sorted(process.returncode for process in running) == [0, 3]
    assert any("in_progress" in text for text in told)
    assert (tmp_path / "in_progress" / "P1_a.md").read_text().count("Started") == 1


@pytest.mark.parametrize("performed", [False, True])
def test_a_change_that_was_cut_off_is_finished_by_the_next(tmp_path: Path, performed: bool) -> None:
    (tmp_path / "pending").mkdir()
    (tmp_path / "pending" / "P1_a.md").write_text("# A\n")
    before = tree(tmp_path)
    verbs.start(tmp_path, "a", NOW)
    wanted = tree(tmp_path)
    journal = tmp_path / ".maxcai" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().splitlines(keepends=True)[0] + b'{"v":1,"se')  # killed while writing
    if not performed:
        (tmp_path / "in_progress" / "P1_a.md").unlink()
        (tmp_path / "pending" / "P1_a.md").write_bytes(before["pending/P1_a.md"])
    else:
        journal.write_bytes(journal.read_bytes().splitlines(keepends=True)[0])
    if not performed:
        journal.write_bytes(journal.read_bytes().splitlines(keepends=True)[0])
    with store.locked(tmp_path):
        pass
    assert tree(tmp_path) == wanted
    assert store.replay(before, store.entries(tmp_path)) == wanted


def test_a_torn_journal_line_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "pending").mkdir()
    (tmp_path / "pending" / "P1_a.md").write_text("# A\n")
    verbs.start(tmp_path, "a", NOW)
    with (tmp_path / ".maxcai" / "journal.jsonl").open("ab") as file:
        file.write(b'{"v":1,"seq":2,"t"')
    verbs.done(tmp_path, "a", "x", NOW)
    assert [entry.seq for entry in store.entries(tmp_path)] == [1, 2]
