"""`maxcai task` and `maxcai review`: the packages' verbs on the workspace's folders, or on a tree that is named."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app import cli, packages

TASK_KEYS = {
    "id", "lane", "file", "title", "slug", "priority", "assigned_to", "created", "estimate", "depends_on",
    "from_review", "criteria", "problems",
}  # fmt: skip
REVIEW_KEYS = {"id", "layout", "request", "title", "created", "reviewers", "findings", "complete"}
REQUEST = "# Scorer\n\n**Assigned Reviewers**: codex, gemini\n**Type**: deployment\n"
ANSWER = "# Review\n\n**Verdict**: APPROVED\n"


class Here:
    """Commands in a workspace, in this process."""

    def __init__(self, root: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.root, self.capture = root, capture

    def __call__(self, *words: str) -> tuple[int, str, str]:
        code = cli.main(["-C", str(self.root), *words])
        out, err = self.capture.readouterr()
        assert "Traceback" not in err
        assert "fault of maxcai" not in err, err
        return code, out, err

    def data(self, *words: str) -> Any:
        code, out, err = self(*words, "--json")
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
def here(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Here:
    for folder in ("task_board/pending", "reviews/requests", "reviews/responses"):
        (tmp_path / folder).mkdir(parents=True)
    return Here(tmp_path, capfd)


def verbs() -> Iterator[tuple[str, str]]:
    for group in packages.GROUPS:
        made = argparse.ArgumentParser()
        packages.build(group, made)
        listed = next(action for action in made._actions if isinstance(action.choices, dict))
        assert isinstance(listed.choices, dict)
        yield from ((group, verb) for verb in listed.choices)


@pytest.mark.parametrize(("group", "verb"), list(verbs()))
def test_every_verb_answers_help_under_its_own_name(here: Here, group: str, verb: str) -> None:
    code, out, _ = here(group, verb, "--help")
    assert code == 0
    assert out.startswith(f"usage: maxcai {group} {verb} ")
    assert "--root" in out
    assert "--readonly" in out


def test_the_verbs_that_only_look_exist() -> None:
    for group, looks in packages.LOOKS.items():
        assert looks < {verb for owner, verb in verbs() if owner == group}


@pytest.mark.parametrize(("group", "verb"), [("task", "start"), ("task", "undo"), ("review", "archive")])
def test_read_only_refuses_the_verbs_that_write(here: Here, group: str, verb: str) -> None:
    words = [group, verb] if verb == "undo" else [group, verb, "x"]
    for line in ([*words, "--readonly"], ["--readonly", *words]):
        code, out, err = here(*line)
        assert (code, out) == (3, "")
        assert f"{group} {verb}: read-only" in err
    assert here("task", "list", "--readonly")[0] == 0


def test_a_task_from_new_to_done_and_back_through_the_one_command(here: Here) -> None:
    made = here.data("task", "new", "Widen the pool", "-p", "P0", "--criterion", "it is wider")
    assert set(made) == TASK_KEYS
    assert (made["lane"], made["priority"], made["criteria"]) == ("pending", 0, {"open": 1, "done": 0})
    assert Path(made["file"]).resolve().is_relative_to(here.root.resolve())
    assert "maxcai task" in here("task", "prompt", made["id"])[1]
    assert here.data("task", "start", made["id"])["lane"] == "in_progress"
    assert here("task", "done", made["id"])[0] == 2, "notes are compulsory"
    assert here.data("task", "done", made["id"], "--notes", "wider now")["lane"] == "completed"
    assert here.data("task", "list") == []
    assert [task["id"] for task in here.data("task", "list", "--all")] == [made["id"]]
    here.data("task", "undo")
    assert [task["id"] for task in here.data("task", "list", "--lane", "in_progress")] == [made["id"]]


def test_a_tree_of_another_layout_is_read_where_it_lies(here: Here, tmp_path: Path) -> None:
    tree = tmp_path / "elsewhere/tasks"
    (tree / "claude/pending").mkdir(parents=True)
    (tree / "claude/pending/20260101_120000_P1_do_it.md").write_text("# Do it\n")
    for words in (["task", "list", "--root", str(tree)], ["task", "--root", str(tree), "list"]):
        (task,) = here.data(*words)
        assert (task["title"], task["assigned_to"], task["lane"]) == ("Do it", "claude", "pending")
    assert here.data("task", "list") == []


def test_reviews_are_listed_as_promised_and_become_tasks_of_this_workspace(here: Here) -> None:
    (here.root / "reviews/requests/20260101_120000_scorer.md").write_text(REQUEST)
    (here.root / "reviews/responses/20260101_120000_scorer_codex.md").write_text(
        f"{ANSWER}\n## High\n\n- The scorer counts blank answers (`pipeline/score.py:10`)\n"
    )
    (review,) = here.data("review", "list")
    assert set(review) == REVIEW_KEYS
    states = {one["name"]: (one["state"], one["verdict"]) for one in review["reviewers"]}
    assert states == {"codex": ("valid", "approve"), "gemini": ("waiting", None)}
    assert (review["complete"], review["findings"]["high"]) == (False, 1)
    assert here("review", "check", review["id"])[0] == 1
    assert len(here.data("review", "tasks", review["id"], "--dry-run", "--readonly")) == 1
    (task,) = here.data("review", "tasks", review["id"])
    assert Path(task["file"]).resolve().parent == (here.root / "task_board/pending").resolve()


def test_a_workspace_without_the_folders_lists_nothing_and_says_how_to_make_them(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bare = Here(tmp_path, capfd)
    assert bare.data("task", "list") == bare.data("review", "list") == []
    assert "pending (0)" in bare("task", "list")[1]
    code, out, err = bare("task", "new", "a title")
    assert (code, out) == (2, "")
    assert "maxcai init" in err
    assert not (tmp_path / "task_board").exists()


def test_tasks_do_not_wait_for_settings_that_are_mended(here: Here) -> None:
    (here.root / "maxcai.toml").write_text("recip = 'x'\n")
    assert here("status")[0] == 2
    assert here("task", "list")[0] == 0
