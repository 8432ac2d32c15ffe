"""The deployment gate before a run: `[reviews] required = true` asks for an approved review of what will run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from app.errors import Refused, UsageError

if TYPE_CHECKING:
    from app.supervisor import Supervisor

NO_CODE = (":(exclude)reviews", ":(exclude)task_board")
"""What may change after a review: its own answer, and the tasks that came of it."""


class Cleared(Struct, frozen=True):
    """Why a run may start: the review that approves it, or a person's reason to go without. Both None: not asked."""

    review: str | None = None
    without: str | None = None


def clear(supervisor: Supervisor, recipe: str, without: str | None = None) -> Cleared:
    """May a run of this recipe start? Raises Refused with what is missing, UsageError for a reason that says nothing.

    Args:
        recipe: as the run will name it; only the built-in `demo` and `smoke` never need a review.
        without: the reason of a person who goes on without one.
    """
    from reviews.gate import deployment_gate

    if without is not None and not without.strip():
        raise UsageError("--without-review gives no reason", "Say why, in a few words; the run's entry keeps it.")
    workspace = supervisor.workspace
    folder = workspace.root / "reviews"
    found = deployment_gate(folder, recipe, required=supervisor.settings.reviews.required)
    missing = None if found.allowed else found.reason
    if missing is None and found.review is not None:
        missing = _changed(workspace.root, folder, found.review)
    if missing is None:
        return Cleared(found.review)
    if without is None:
        raise Refused(
            f"a run of {recipe} is not started: {missing}",
            "Finish the review (`maxcai review list`), or start with --without-review REASON, which is recorded.",
        )
    supervisor.say("warn", f"started without a review: {missing}")
    return Cleared(without=without.strip())


def _changed(root: Path, folder: Path, review_id: str) -> str | None:
    """Why an approved review is not of the code that is here; None when it is, or names no commit.

    The tracked files as they lie are compared, not the commits: committing the answer leaves the code as it was
    reviewed, an edit that nobody committed does not.
    """
    from reviews.files import read_reviews

    reviews = (one for one in read_reviews(folder) if one.id == review_id and one.request)
    commit = next((one.headers.get("commit", "").strip() for one in reviews), "")
    if not commit or not (root / ".git").exists():
        return None
    if not re.fullmatch(r"[\w./~^-]+", commit) or commit.startswith("-"):  # git would take it for an option
        return f"{review_id} names no commit, but {commit[:40]!r}"
    argv = ["git", "diff", "--quiet", commit, "--", ".", *NO_CODE]
    try:
        code = subprocess.run(argv, cwd=root, capture_output=True, timeout=60, check=False).returncode
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the code cannot be compared with commit {commit[:12]}, which {review_id} is about ({error})"
    if code == 0:
        return None
    what = "the code has changed since" if code == 1 else "there is no such commit here as"
    return f"{what} {commit[:12]}, which {review_id} is about"
