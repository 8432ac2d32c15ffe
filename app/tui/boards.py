"""Tasks and reviews as the panel shows them: a small read interface over `task_board` and `reviews`.

Read in a thread, once a second while a view shows them and rarely otherwise; never written. Whatever lies in the
folders becomes a card.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from app.tui.shelf import Shelf, Unreadable

if TYPE_CHECKING:
    from reviews.files import Response, Review
    from task_board.index import Cache
from task_board.task import Task

LANES = ("pending", "in_progress", "blocked", "completed")
SEEN_S, UNSEEN_S = 1.0, 15.0
"""Seconds between two readings while a view shows them, and while none does."""

FLASH_S = 5.0
"""Seconds for which a card that was changed from outside stays marked."""

PREVIEW = 256 * 1024
"""Bytes of a file that are shown."""


class Card(Struct, frozen=True):
    """One task file. `level` is its priority, `lane` the folder it lies in, `column` the lane it is shown under."""

    id: str
    title: str
    lane: str
    column: str
    level: int | None
    path: str
    done: int = 0
    boxes: int = 0
    after: tuple[str, ...] = ()
    review: str | None = None
    assigned: str | None = None
    problems: tuple[str, ...] = ()


class Answer(Struct, frozen=True):
    """What one reviewer said; `verdict` is approve, changes, reject, INVALID, or None while nothing came."""

    reviewer: str
    verdict: str | None
    path: str | None = None


class ReviewCard(Struct, frozen=True):
    """One request with its answers. State: open | complete | orphan | archived."""

    id: str
    title: str
    state: str
    path: str | None
    answers: tuple[Answer, ...] = ()
    findings: tuple[tuple[str, int], ...] = ()
    links: tuple[tuple[str, str], ...] = ()  # ("run", "0142"), ("gate", "1"), ("task", …)

    @property
    def answered(self) -> int:
        return sum(answer.verdict not in (None, "INVALID") for answer in self.answers)


class Boards:
    """Both folders of a workspace.

    Args:
        root: the workspace; None: there is nothing to read.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root
        self.cards: tuple[Card, ...] | None = None  # None: not read yet
        self.reviews: tuple[ReviewCard, ...] | None = None
        self.error: str | None = None
        self.changed: dict[str, float] = {}  # card id → when it was changed from outside
        self.shelf = Shelf()
        self._cache: Cache = {}
        self._looked = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self._fresh = False

    def advance(self, now: float, seen: bool) -> bool:
        """Read again when it is time; True when something looks different."""
        if not 0 <= now - self._looked < (SEEN_S if seen else UNSEEN_S):
            self._begin(now)
        faded = [name for name, at in self.changed.items() if now - at > FLASH_S]
        for name in faded:
            del self.changed[name]
        fresh, self._fresh = self._fresh, False
        return self.shelf.advance() or fresh or bool(faded)

    def again(self, now: float, then: Callable[[], None]) -> None:
        """Read at once, or as soon as the reading under way is over: something was done from here. `then` is called
        when it has been read at once."""
        self._looked = float("-inf")
        begun = self._begin(now)
        if begun is not None:
            begun.add_done_callback(lambda _: then())

    def _begin(self, now: float) -> asyncio.Task[None] | None:
        """Read, unless that is under way."""
        if self.root is None or not (self._task is None or self._task.done()):
            return None
        self._looked = now
        self._task = asyncio.get_running_loop().create_task(self._read(self.root, now))
        return self._task

    def column(self, name: str) -> tuple[Card, ...]:
        """The cards shown under one lane, most urgent first."""
        return tuple(card for card in self.cards or () if card.column == name)

    @property
    def open_tasks(self) -> int:
        """Tasks that are neither completed nor closed."""
        return sum(card.column != "completed" for card in self.cards or ())

    @property
    def open_reviews(self) -> int:
        return sum(review.state == "open" for review in self.reviews or ())

    def text(self, path: str, mark: object = None) -> str | Unreadable | None:
        """The beginning of a file as text; None while it is being read. `mark` asks anew when it differs."""
        return self.shelf.get((path, mark), lambda: beginning(Path(path)))

    async def _read(self, root: Path, now: float) -> None:
        tasks, failed = await _or_reason(lambda: read_cards(root / "task_board", self._cache))
        found, also = await _or_reason(lambda: read_review_cards(root / "reviews"))
        error = failed or also
        if (tasks, found, error) == (self.cards, self.reviews, self.error):
            return
        if self.cards is not None and tasks is not None:
            before = {card.id: card for card in self.cards}
            self.changed |= {card.id: now for card in tasks if before.get(card.id) != card}
        self.cards, self.reviews, self.error, self._fresh = tasks, found, error, True


T = TypeVar("T")


async def _or_reason(read: Callable[[], T]) -> tuple[T | None, str | None]:
    """What `read` gives in a thread, or why it could not."""
    try:
        return await asyncio.to_thread(read), None
    except (OSError, ValueError, RecursionError) as error:
        return None, str(error) or type(error).__name__


def beginning(path: Path) -> str:
    """The first part of a file; bytes that are no text are replaced. Raises OSError."""
    with path.open("rb") as file:
        return file.read(PREVIEW).decode("utf-8", "replace")


def read_cards(root: Path, cache: Cache | None = None) -> tuple[Card, ...]:
    """Every task file below `root` as a card, in the board's own order."""
    from task_board.board import read_board  # 20 ms that the first frame need not wait for
    from task_board.index import kept

    if cache:
        return tuple(card_of(task) for task in read_board(root, cache=cache))
    with kept(root) as found:
        tasks = read_board(root, cache=found)
    if cache is not None:
        cache.update(found)
    return tuple(map(card_of, tasks))


def card_of(task: Task) -> Card:
    """A task as a card. Lanes of another name stand under the lane that they mean."""
    column = task.role if task.role in LANES else "completed" if task.role == "closed" else "pending"
    boxes = task.criteria.open + task.criteria.done
    return Card(
        task.id, task.title, task.lane, column, task.priority, task.file, task.criteria.done, boxes,
        tuple(task.depends_on), task.from_review, task.assigned_to, tuple(task.problems),
    )  # fmt: skip


def read_review_cards(root: Path) -> tuple[ReviewCard, ...]:
    """Every request and every answer without one, open ones first."""
    from reviews.files import read_reviews  # as above

    order = {"open": 0, "orphan": 1, "complete": 2, "archived": 3}
    cards = [review_of(review) for review in read_reviews(root)]
    return tuple(sorted(cards, key=lambda card: order[card.state]))


def review_of(review: Review) -> ReviewCard:
    """A review as a card."""
    state = "complete" if review.complete else "open" if review.request else "orphan"
    links = [(name, review.headers[name]) for name in ("run", "gate", "task", "stage") if review.headers.get(name)]
    findings = [(severity, count) for severity, count in review.findings().items() if count]
    card = ReviewCard(
        review.id, review.title, state, review.request,
        tuple(_answer(name, review.answer(name)) for name in review.people()), tuple(findings), tuple(links),
    )  # fmt: skip
    return replace(card, state="archived") if review.layout == "archive" else card


def _answer(name: str, response: Response | None) -> Answer:
    return Answer(name, None) if response is None else Answer(name, response.verdict, response.file)
