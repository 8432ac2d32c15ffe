"""Reviews: requests, who has answered with which verdict, and what they wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Static

from app.tui.boards import ReviewCard
from app.tui.lines import clean
from app.tui.logs import Logs
from app.tui.picture import Picture
from app.tui.shelf import Unreadable
from app.tui.widgets.chosen import Outdated
from app.tui.widgets.narrow import Narrow, matches
from app.tui.widgets.panel import MUTED, fitting, retitle, text
from app.tui.widgets.review_lines import answer_lines, review_lines
from app.tui.widgets.rows import Rows

if TYPE_CHECKING:
    from textual.widgets import Markdown


class Paper(VerticalScroll, inherit_bindings=False):
    """What a document is scrolled in; left and right are the view's."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_up", show=False),
        Binding("down,j", "scroll_down", show=False),
        Binding("pageup", "page_up", show=False),
        Binding("pagedown,space", "page_down", show=False),
        Binding("home", "scroll_home", show=False),
        Binding("end", "scroll_end", show=False),
    ]


class ReviewsView(Vertical):
    """A list, and beside it the request or an answer as Markdown. Left and right change the document."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "document(-1)", show=False),
        Binding("right,l", "document(1)", show=False),
        Binding("escape", "back", show=False),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.document = 0  # 0 the request, then one per answer
        self._picture: Picture | None = None
        self._written: tuple[str, str] | None = None

    def compose(self) -> ComposeResult:
        with Horizontal(id="reviews-body"):
            yield Rows(id="requests", each=2)
            with Vertical(id="review"):
                yield Static(id="answers", markup=False)
                yield Paper(id="paper")
        yield Narrow()

    @property
    def start(self) -> Rows:
        """What has the focus first."""
        return self.query_one("#requests", Rows)

    @property
    def subjects(self) -> dict[str, str]:
        """The review under the cursor."""
        card = self.start.chosen
        return {"review": card.id} if isinstance(card, ReviewCard) else {}

    @property
    def file(self) -> str | None:
        """The document that is shown."""
        card = self.start.chosen
        found = papers(card) if isinstance(card, ReviewCard) else []
        return found[self.document] if self.document < len(found) else None

    def show(self, picture: Picture, _logs: Logs) -> None:
        """Draw the picture."""
        self._picture = picture
        rows, g, asked = self.start, picture.glyphs, self.query_one(Narrow).value
        cards = [card for card in picture.boards.reviews or () if matches(asked, card.title, card.id, card.state)]
        rows.fill(
            cards, lambda card, width: [fitting(line, g) for line in review_lines(card, width, g)],
            (picture.boards.reviews, asked), lambda card: card.id,
        )  # fmt: skip
        waiting = sum(card.state == "open" for card in cards)
        said = f"{waiting} open of {len(cards)}" if picture.boards.reviews is not None else "reading"
        retitle(rows, fitting(text(("REVIEWS", "bold"), f" {said}"), g))
        self._show_paper(picture, rows.chosen)

    def _show_paper(self, picture: Picture, card: ReviewCard | None) -> None:
        board = self.query_one("#answers", Static)
        if card is None:
            said = "reviews are asked for with `maxcai review request`, and lie in reviews/requests"
            board.update(text((said if picture.boards.reviews == () else "reading", MUTED)))
            self._write("", "")
            return
        documents = papers(card)
        self.document = min(self.document, len(documents) - 1)
        width = max(20, self.query_one("#review").size.width - 2)
        board.update(fitting(answer_lines(card, self.document, width, picture.glyphs), picture.glyphs))
        path = documents[self.document]
        found = "" if path is None else picture.boards.text(path, card)
        if found is None:
            return  # the page before stays until this one is read
        body = f"cannot be read: {found.why}" if isinstance(found, Unreadable) else found
        self._write(path or "", body or "*no answer yet*")

    def _write(self, path: str, body: str) -> None:
        if self._written == (path, body):
            return
        self._written = (path, body)
        self.run_worker(self._render_paper(body), exclusive=True, group="paper", exit_on_error=False)

    async def _render_paper(self, body: str) -> None:
        paper = self.query_one(Paper)
        harmless = "\n".join(clean_line(line) for line in body.splitlines())
        found = paper.query("#markdown")
        if not found:
            from textual.widgets import Markdown  # 400 ms that only who reads a review should pay

            viewer: Markdown = Markdown(harmless, id="markdown", open_links=False)
            await paper.mount(viewer)
            return
        await self.query_one("#markdown", _markdown()).update(harmless)
        paper.scroll_home(animate=False)

    def action_document(self, by: int) -> None:
        """The request, or the next answer to it."""
        card = self.start.chosen
        if isinstance(card, ReviewCard):
            self.document = (self.document + by) % len(papers(card))
            self.post_message(Outdated())

    def action_back(self) -> None:
        self.start.focus()

    def narrow(self) -> None:
        """Ask for text; only reviews with it stay."""
        self.query_one(Narrow).ask()

    @on(Narrow.Changed)
    def _narrowed(self, event: Narrow.Changed) -> None:
        if event.over:
            self.start.focus()
        self.post_message(Outdated())

    @on(Rows.Moved)
    def _moved(self, _event: Rows.Moved) -> None:
        self.document = 0
        self.post_message(Outdated())

    @on(Rows.Opened)
    def _opened(self, _event: Rows.Opened) -> None:
        self.query_one(Paper).focus()

    def on_resize(self, _event: events.Resize) -> None:
        self.post_message(Outdated())


def papers(card: ReviewCard) -> list[str | None]:
    """Files to read: the request, then each answer; None where there is none yet."""
    return [card.path, *(answer.path for answer in card.answers)]


def clean_line(line: str) -> str:
    """A line of Markdown without anything a terminal would obey; its indent stays, for it means something."""
    indent = line[: len(line) - len(line.lstrip(" "))]
    return indent + clean(line.lstrip(" "))


def _markdown() -> type[Markdown]:
    from textual.widgets import Markdown

    return Markdown
