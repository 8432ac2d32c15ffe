"""The deployment gate: before a big run, an approved review is asked for. Says yes or no; the caller records."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from reviews.files import ARCHIVE, Review, read_reviews


@dataclass(frozen=True, slots=True)
class Clearance:
    """`allowed`, why in one sentence, what to do if not, and the review that was looked at (its id)."""

    allowed: bool
    reason: str
    hint: str = ""
    review: str | None = None
    waived: bool = False


def deployment_gate(
    root: Path, recipe: str, *, required: bool, without_review: bool = False, commit: str | None = None
) -> Clearance:
    """May a run of `recipe` start?

    The newest request whose Type says deployment, or whose Recipe is this one, decides; an older approval does not
    outlive a newer refusal. Archived requests count, but of one day an open one is newer, and an open one without a
    date is the newest of all.

    Args:
        root: folder of the reviews.
        recipe: name of the recipe; `demo` and `smoke` never need a review.
        required: is the gate switched on?
        without_review: the person goes on without one; recorded by the caller (`waived`).
        commit: the commit that will run; a review of another one does not count.
    """
    if not required or recipe in ("demo", "smoke"):
        return Clearance(True, "no review is asked for")
    found = [review for review in read_reviews(root) if review.request and _concerns(review, recipe)]
    found.sort(key=_age)
    refusal = _refusal(found[-1] if found else None, recipe, commit)
    last = found[-1].id if found else None
    if refusal is None:
        return Clearance(True, f"{last} is approved", review=last)
    if without_review:
        return Clearance(True, f"started without a review: {refusal}", review=last, waived=True)
    return Clearance(False, refusal, "Finish the review, or start with --without-review, which is recorded.", last)


def _age(review: Review) -> tuple[str, bool, str, str]:
    """Sorts the newest last."""
    live = review.layout != ARCHIVE
    created = review.created or ("9" if live else "")
    return created[:10], live, created, review.id


def _concerns(review: Review, recipe: str) -> bool:
    named = re.findall(r"[\w.-]+", review.headers.get("recipe", "").lower())
    if named:
        return recipe.lower() in {word.strip(".").removesuffix(".yaml") for word in named}
    return "deploy" in review.headers.get("type", "").lower()


def _refusal(review: Review | None, recipe: str, commit: str | None) -> str | None:
    if review is None:
        return f"there is no deployment review of recipe {recipe}"
    if not review.complete:
        return f"{review.id} waits for {', '.join(review.waiting) or 'its reviewers to be named'}"
    if not review.approved:
        words = "; ".join(f"{r.reviewer}: {r.words}" for r in review.counted if r.verdict != "approve")
        return f"{review.id} is not approved ({words})"
    reviewed = review.headers.get("commit", "").strip()
    if commit and reviewed and not (commit.startswith(reviewed) or reviewed.startswith(commit)):
        return f"{review.id} is about commit {reviewed[:12]}, not {commit[:12]}"
    return None
