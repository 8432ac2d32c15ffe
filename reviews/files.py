"""Reading requests and responses: who was asked, who has answered, with which verdict.

A response without a verdict is INVALID and counts as no answer. Nothing here writes.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

INVALID = "INVALID"

_REVIEWERS = re.compile(r"^[\s*_>#-]*assigned reviewers?[\s*_]*:[\s*_]*(.+?)[\s*_]*$", re.IGNORECASE | re.MULTILINE)
_VERDICT = re.compile(
    r"^[\s*_>#-]*(?:overall\s+)?verdict[\s*_]*:?[\s*_]*\n?[\s*_>-]*([A-Za-z][A-Za-z _-]*)", re.IGNORECASE | re.MULTILINE
)
_TITLE = re.compile(r"^#\s+(.+?)\s*$", re.MULTILINE)
_VERDICTS = (
    ("REQUEST_CHANGES", ("request changes", "changes requested", "needs changes", "revise")),
    ("REJECT", ("reject", "rejected", "fail", "block", "blocked", "no-go")),
    ("APPROVE", ("approve", "approved", "accept", "accepted", "pass", "lgtm", "ship it", "go")),
)


@dataclass(frozen=True, slots=True)
class Response:
    """One answer. `verdict` is APPROVE, REQUEST_CHANGES, REJECT or INVALID."""

    reviewer: str
    verdict: str
    path: str


@dataclass(frozen=True, slots=True)
class Review:
    """One request with the answers to it. An answer to no known request is listed with `requested` False."""

    name: str
    title: str
    reviewers: tuple[str, ...]
    responses: tuple[Response, ...]
    requested: bool = True

    @property
    def complete(self) -> bool:
        """True when every assigned reviewer has a valid answer."""
        answered = {r.reviewer.lower() for r in self.responses if r.verdict != INVALID}
        return self.requested and bool(self.reviewers) and all(name.lower() in answered for name in self.reviewers)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "complete": self.complete}


def read_reviews(root: Path) -> list[Review]:
    """Every request under `root`/requests with its answers, and the answers that belong to no request."""
    requests = {path.stem: _text(path) for path in _files(root / "requests")}
    answers: dict[str, list[Response]] = {name: [] for name in requests}
    for path in _files(root / "responses"):
        # The longest request name wins: `a_b` must not take the answers to `a_b_c`.
        asked = max((name for name in requests if path.stem.startswith(name + "_")), key=len, default=None)
        name = asked or path.stem.rpartition("_")[0] or path.stem
        reviewer = path.stem.removeprefix(name).lstrip("_") or "unknown"
        answers.setdefault(name, []).append(Response(reviewer, verdict(_text(path)), str(path)))
    return [_review(name, requests.get(name), tuple(found)) for name, found in answers.items()]


def verdict(text: str) -> str:
    """The verdict a response states, or INVALID when it states none that is known."""
    for found in _VERDICT.finditer(text):
        said = " ".join(found[1].lower().replace("_", " ").split())
        for name, words in _VERDICTS:
            if any(re.match(rf"{re.escape(word)}\b", said) for word in words):
                return name
    return INVALID


def render(reviews: list[Review]) -> str:
    """Requests and answers as text."""
    lines = []
    for review in reviews:
        state = "complete" if review.complete else "open" if review.requested else "no such request"
        lines.append(f"{review.name}  [{state}]  {review.title}")
        lines += [f"  {r.reviewer}: {r.verdict}" for r in review.responses]
        answered = {r.reviewer.lower() for r in review.responses}
        lines += [f"  {name}: no answer yet" for name in review.reviewers if name.lower() not in answered]
    return "\n".join(lines) or "no review requests"


def _review(name: str, text: str | None, responses: tuple[Response, ...]) -> Review:
    named = _REVIEWERS.search(text or "")
    reviewers = tuple(part.strip(" *_`") for part in re.split(r"[,;]", named[1])) if named else ()
    title = _TITLE.search(text or "")
    shown = "".join(c for c in (title[1] if title else "") if c.isprintable())
    return Review(name, shown, tuple(filter(None, reviewers)), responses, text is not None)


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # unreadable: no verdict, hence INVALID
