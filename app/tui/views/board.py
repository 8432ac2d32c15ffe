"""Board: tasks by lane, and the file of the one under the cursor."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical

from app.tui.boards import LANES, Card
from app.tui.logs import Logs
from app.tui.picture import Picture
from app.tui.shelf import Unreadable
from app.tui.widgets.board_column import card_lines, text_lines
from app.tui.widgets.chosen import Outdated
from app.tui.widgets.narrow import Narrow, matches
from app.tui.widgets.panel import MUTED, fitting, retitle, text
from app.tui.widgets.rows import Rows
from app.tui.widgets.tabs import TabLine

TITLES = {"pending": "PENDING", "in_progress": "IN PROGRESS", "blocked": "BLOCKED", "completed": "COMPLETED"}


class BoardView(Vertical):
    """Four lanes, each drawn line by line. Left and right change the lane."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "lane(-1)", show=False),
        Binding("right,l", "lane(1)", show=False),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.lane = "pending"
        self._picture: Picture | None = None

    def compose(self) -> ComposeResult:
        yield TabLine(id="lanes", names=tuple(TITLES.values()))
        with Horizontal(id="board-body"):
            for lane in LANES:
                yield Rows(id=f"lane-{lane}", each=2).add_class("lane")
            yield Rows(id="card")
        yield Narrow()

    @property
    def start(self) -> Rows:
        """The lane with the focus."""
        return self.query_one(f"#lane-{self.lane}", Rows)

    @property
    def subjects(self) -> dict[str, str]:
        """The task under the cursor."""
        card = self.start.chosen
        return {"task": f"{card.lane}/{card.id}"} if isinstance(card, Card) else {}

    @property
    def file(self) -> str | None:
        """Its file."""
        card = self.start.chosen
        return card.path if isinstance(card, Card) else None

    def go_to(self, path: Path) -> bool:
        """Put the cursor on the task in this file; False when it is not shown."""
        wanted = path.resolve()
        for lane in LANES:
            rows = self.query_one(f"#lane-{lane}", Rows)
            for place, card in enumerate(rows.items):
                if not isinstance(card, Card) or Path(card.path).name != path.name:
                    continue
                if Path(card.path).resolve() == wanted:
                    self.choose(lane)
                    rows.go(place)
                    return True
        return False

    def show(self, picture: Picture, _logs: Logs) -> None:
        """Draw the picture."""
        self._picture = picture
        boards, asked, g = picture.boards, self.query_one(Narrow).value, picture.glyphs
        error = text((boards.error or "", "bold $error")) if boards.error else None
        self.query_one(TabLine).show(TITLES[self.lane], g, error)
        for lane in LANES:
            rows = self.query_one(f"#lane-{lane}", Rows)
            cards = [card for card in boards.column(lane) if matches(asked, card.title, card.id)]
            flashing = [card.id for card in cards if card.id in boards.changed]
            rows.fill(cards, partial(card_lines, picture), (cards, flashing), lambda card: card.id)
            rows.set_class(lane == self.lane, "-current")
            count = str(len(cards)) if boards.cards is not None else "reading"
            only = f" of {len(boards.column(lane))}" if asked else ""
            retitle(rows, fitting(text((TITLES[lane], "bold"), f" {count}{only}"), g))
        self._show_card(picture)

    def _show_card(self, picture: Picture) -> None:
        rows, card = self.query_one("#card", Rows), self.start.chosen
        if not rows.display or rows.size.width < 1:
            return
        if not isinstance(card, Card):
            rows.fill([text(("no task is chosen", MUTED))], lambda line, _width: [line], None if self.lane else "")
            return
        found = picture.boards.text(card.path, card)
        width = rows.room
        shown = text_lines(found, width)
        rows.fill(shown, lambda line, _w: [fitting(line, picture.glyphs)], (card, type(found), width))
        retitle(rows, fitting(text(card.id), picture.glyphs))

    def action_lane(self, by: int) -> None:
        """The next lane, round and round."""
        self.choose(LANES[(LANES.index(self.lane) + by) % len(LANES)])

    def choose(self, lane: str) -> None:
        """Put the cursor into a lane."""
        self.lane = lane
        self.set_class(True, "-moved")
        for name in LANES:
            self.query_one(f"#lane-{name}").set_class(name == lane, "-current")
        self.start.focus()
        self.post_message(Outdated())

    def narrow(self) -> None:
        """Ask for text; only cards with it stay."""
        self.query_one(Narrow).ask()

    @on(TabLine.Picked)
    def _picked(self, event: TabLine.Picked) -> None:
        self.choose(next(lane for lane, title in TITLES.items() if title == event.name))

    @on(Narrow.Changed)
    def _narrowed(self, event: Narrow.Changed) -> None:
        if event.over:
            self.start.focus()
        self.post_message(Outdated())

    @on(Rows.Moved)
    def _moved(self, event: Rows.Moved) -> None:
        self._take(event.rows)

    @on(events.DescendantFocus)
    def _focused(self, event: events.DescendantFocus) -> None:
        if isinstance(event.widget, Rows):
            self._take(event.widget)

    def _take(self, rows: Rows) -> None:
        lane = (rows.id or "").removeprefix("lane-")
        if lane in LANES and lane != self.lane:
            self.choose(lane)
        self.post_message(Outdated())

    @on(Rows.Opened)
    async def _opened(self, event: Rows.Opened) -> None:
        card = event.rows.chosen
        if not isinstance(card, Card) or self._picture is None:
            return
        from app.tui.modals.help import Reader  # 40 ms of widgets nobody needs for the first frame

        found = self._picture.boards.text(card.path, card)
        if isinstance(found, str):
            self.app.push_screen(Reader(card.title, found))
        elif isinstance(found, Unreadable):
            self.app.push_screen(Reader(card.title, f"cannot be read: {found.why}"))
        else:
            self.set_timer(0.05, partial(self._opened, event))  # it is being read; `call_later` would spin

    def on_resize(self, _event: events.Resize) -> None:
        self.post_message(Outdated())
