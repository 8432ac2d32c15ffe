"""What a person or agent should know of the reviews first. Reads files only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reviews.files import ARCHIVE, Review, read_reviews


@dataclass(frozen=True, slots=True)
class ReviewSummary:
    """Archived sets are left out. `waiting` are (request, reviewers without a valid answer)."""

    open: tuple[Review, ...]
    complete: tuple[Review, ...]
    orphans: tuple[Review, ...]
    waiting: tuple[tuple[str, tuple[str, ...]], ...]
    invalid: tuple[str, ...]


def summary(root: Path) -> ReviewSummary:
    """The state of the reviews at `root`; an absent folder has none. `invalid` are files without a verdict."""
    live = [review for review in read_reviews(root) if review.layout != ARCHIVE]
    unfinished = tuple(review for review in live if review.request and not review.complete)
    return ReviewSummary(
        open=unfinished,
        complete=tuple(review for review in live if review.complete),
        orphans=tuple(review for review in live if review.request is None),
        waiting=tuple((review.id, review.waiting) for review in unfinished),
        invalid=tuple(r.file for review in live for r in review.responses if not r.valid),
    )
