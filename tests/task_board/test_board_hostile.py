"""Whatever lies in a lane is shown, printed safely, and takes no other task down."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import task_board
from task_board import board, health, verbs
from task_board.document import printable
from task_board.errors import UsageError
from task_board.prompt import prompt

HOME = Path(task_board.__file__).parents[1]


def lane(root: Path, name: str = "pending") -> Path:
    (root / name).mkdir(parents=True, exist_ok=True)
    return root / name


def read_within(root: Path, seconds: float = 20) -> list[str]:
    """Titles of the board, read by a process that may be killed: what hangs is a failure, not a wait."""
    code = "import sys; from pathlib import Path; from task_board import board, health\n"
    code += (
        "print(*[t.title for t in board.read_board(Path(sys.argv[1]))], sep='\\n'); health.doctor(Path(sys.argv[1]))"
    )
    words = [sys.executable, "-c", code, str(root)]
    done = subprocess.run(
        words, env={**os.environ, "PYTHONPATH": str(HOME)}, timeout=seconds, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_names_and_files_that_are_no_text_stay_on_the_board_with_a_problem(tmp_path: Path) -> None:
    pending = lane(tmp_path)
    (pending / "P1_good.md").write_text("# Good\n")
    (pending / "a\nb.md").write_text("# New line\n")
    os.mkfifo(pending / "pipe.md")
    (pending / "endless.md").symlink_to("/dev/zero")
    (pending / "folder.md").symlink_to(pending)
    (pending / "gone.md").symlink_to(pending / "nowhere")
    with (pending / "large.md").open("wb") as file:
        file.truncate(5 << 20)
    assert set(read_within(tmp_path)) == {"Good", "New line", "pipe", "endless", "folder", "gone", "large"}
    problems = {task.id: task.problems for task in board.read_board(tmp_path)}
    assert problems["P1_good"] == ()
    assert problems["pipe"] == problems["endless"] == problems["folder"] == ("cannot be read: it is no ordinary file",)
    assert problems["large"] == ("cannot be read: it is larger than 4 MiB",) and problems["gone"]


@pytest.mark.parametrize(
    "front",
    [
        "priority: !!bool maybe", "created: !!timestamp foo", "priority: !!int ''", "a: " + "[" * 3000,
        "estimate: 0x" + "f" * 6000, "? [a]\n: b", "priority: {a: &x [*x]}",
        "\n".join(["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)), "run: *a39"]),
    ],
)  # fmt: skip
def test_front_matter_of_any_kind_leaves_the_task_readable(tmp_path: Path, front: str) -> None:
    (lane(tmp_path) / "x.md").write_text(f"---\n{front}\n---\n# T\n**Assigned to**: me\n")
    (task,) = board.read_board(tmp_path)
    assert (task.title, task.assigned_to) == ("T", "me")


LONG = 60_000


@pytest.mark.parametrize(
    "text",
    [
        "## x" + " " * LONG + "y", "## Dependencies\n" + "a" * LONG,
        "## Dependencies\n" + " " * LONG + "block", "## Dependencies\n" + "a/" * LONG,
        "## Dependencies\n- `a`" + "\n" * LONG, "## Dependencies\n" + "12345678" * (LONG // 8),
        "# T" + " " * LONG + "#x # y", "## Status Updates\n" + " " * LONG + "x", "- [ ]" + " " * LONG + "x",
        ("a | b" + " " * 1900 + "x\nc: d" + " " * 1900 + " | e\n") * 50, "- " + " " * LONG + "[",
        "Depends on: " + ".md" * 600, f"---\ndepends on: a{' ' * 19_000}b\n---\n",
    ],
)  # fmt: skip
def test_no_line_takes_more_than_a_moment(tmp_path: Path, text: str) -> None:
    (lane(tmp_path, "in_progress") / "x.md").write_text(text)
    assert len(read_within(tmp_path)) == 1  # seconds of the slowest were minutes before
    assert verbs.note(tmp_path, "x", "said").id == "x"


def test_a_linked_folder_is_walked_only_as_a_lane_and_only_its_own_files(tmp_path: Path) -> None:
    outside = lane(tmp_path / "outside")
    (outside / "P1_a.md").write_text("# A\n")
    lane(outside, "deep").joinpath("P1_b.md").write_text("# B\n")
    root = lane(tmp_path, "root")
    (root / "pending").symlink_to(outside)
    (root / "other").symlink_to(tmp_path / "outside")
    assert [task.title for task in board.read_board(root)] == ["A"]


def test_references_are_found_in_paths_and_prose() -> None:
    from task_board.fields import named_tasks, references

    assert references("`tasks/a/b/20250910_P1_other.md`, more and P0_x.md.COMPLETED") == [
        "20250910_P1_other",
        "more",
        "P0_x",
    ]
    assert named_tasks("see tasks/20250910_P1_a.md:12 and P2_b, 20250910_x/") == ["20250910_P1_a", "P2_b", "20250910_x"]


def test_what_is_printed_cannot_steer_a_terminal() -> None:
    assert printable("a\x1b[2Jb\r\nc\td\u202ee\udc80") == "a�[2Jb\nc\td�e�"
    assert health.doctor(Path("/nowhere-at-all")) == []


def run(root: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(HOME), **more}
    argv = [sys.executable, "-m", "task_board", "--root", str(root), *words]
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)


def test_commands_of_a_prompt_are_quoted_and_name_the_task(tmp_path: Path) -> None:
    root = tmp_path / "my board; x"
    for name in ("a b;rm -rf x.md", "-rf.md"):
        (lane(root) / name).write_text("# T\n")
    for reference in ("a b;rm -rf x", "rf"):
        text = prompt(root, reference)
        (line,) = [line for line in text.splitlines() if line.startswith("- Start:")]
        words = shlex.split(line)
        assert words[-4:-2] == ["--root", str(root)] and words[-2] == "start"
        assert verbs.find(root, words[-1]).id == verbs.find(root, reference).id and not words[-1].startswith("-")


def test_no_command_prints_what_steers_a_terminal(tmp_path: Path) -> None:
    (lane(tmp_path) / "P0_a\x1b[31m.md").write_text("# T\n\x1b]0;owned\x07\n- [ ] x\x1b[2J\n")
    (lane(tmp_path, "l\x1b[5m") / "P1_b.md").write_text("# B\n")
    shown = board.read_board(tmp_path)[0].id
    for words in (("show", shown), ("prompt", shown), ("next",), ("list",), ("note", shown, "x"), ("show", "\x1b")):
        done = run(tmp_path, *words)
        assert "\x1b" not in done.stdout + done.stderr and "\x07" not in done.stdout and done.returncode in (0, 2)
    assert run(tmp_path, "start", shown).returncode == 0  # the id that is shown can be used


@pytest.mark.parametrize("name", ["docs", "templates", "later"])
def test_a_move_that_would_hide_the_task_is_refused(tmp_path: Path, name: str) -> None:
    (lane(tmp_path) / "plain").write_text("# T\n")
    with pytest.raises(UsageError, match="in no list"):
        verbs.move(tmp_path, "plain", name, create=True)


@pytest.mark.parametrize("which", ["", " ", "²", "9" * 5000, "0"])
def test_a_criterion_must_be_named(tmp_path: Path, which: str) -> None:
    (lane(tmp_path) / "x.md").write_text("# T\n- [ ] only\n")
    with pytest.raises(UsageError):
        verbs.check(tmp_path, "x", which)


@pytest.mark.parametrize(
    "draft",
    [verbs.Draft("x", depends_on=("fix the login page",)), verbs.Draft("x", criteria=(" ",))],
)  # fmt: skip
def test_a_new_task_says_nothing_that_reads_back_as_nothing(tmp_path: Path, draft: verbs.Draft) -> None:
    lane(tmp_path)
    with pytest.raises(UsageError):
        verbs.new(tmp_path, draft)
    assert not list((tmp_path / "pending").iterdir())


def test_a_task_that_waits_for_itself_is_told_once(tmp_path: Path) -> None:
    (lane(tmp_path) / "P1_a.md").write_text("# A\nDepends on: P1_a\n")
    assert [item.kind for item in health.doctor(tmp_path)] == ["cycle"]


def test_what_cannot_be_done_is_a_sentence(tmp_path: Path) -> None:
    (lane(tmp_path) / "gone.md").symlink_to(tmp_path / "nowhere")
    (lane(tmp_path) / "P1_a.md").write_text("# A\n")
    for words in (
        ("show", "gone"),
        ("prompt", "gone"),
        ("doctor", "--stale-days", "nan"),
        ("doctor", "--stale-days", "1e300"),
    ):
        done = run(tmp_path, *words)
        assert done.returncode in (1, 2) and done.stderr and "Traceback" not in done.stderr
    verbs.start(tmp_path, "a")
    done = run(tmp_path, "undo", PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and "\\u2192" in done.stdout and (tmp_path / "pending" / "P1_a.md").exists()


def test_a_reader_that_leaves_is_no_error_and_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    (lane(tmp_path) / "P1_a.md").write_text("# A\n")
    argv = [sys.executable, "-m", "task_board", "--root", str(tmp_path), "list"]
    reader, writer = os.pipe()
    os.close(reader)
    env = {**os.environ, "PYTHONPATH": str(HOME)}
    done = subprocess.run(argv, env=env, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
    with open("/dev/full", "w") as full:
        done = subprocess.run(argv, env=env, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (
        done.returncode == 1 and done.stderr.startswith("the output cannot be written") and done.stderr.count("\n") == 1
    )
