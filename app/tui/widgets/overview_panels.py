"""Panes of the wide overview: what is home, the board's lanes in brief, the last commands that went outside."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from app.tui import fmt
from app.tui.lines import clean
from app.tui.picture import ENDED, Picture
from app.tui.widgets.board_column import level_mark
from app.tui.widgets.notices import note_line
from app.tui.widgets.panel import MUTED, Panel, spread, text
from app.tui.widgets.review_lines import review_lines


class SyncPanel(Panel):
    """Which bytes of the run are on this machine."""

    def heading(self, _picture: Picture) -> tuple[Content, Content]:
        return text(("SYNC", "bold")), text(("P push, p pull", MUTED))

    def draw(self, picture: Picture, _width: int, _height: int) -> Sequence[Content]:
        state, run, g = picture.state, picture.run, picture.glyphs
        if run is None:
            return [text(("nothing to fetch", MUTED))]
        if run.pulled:
            home = text((f"{g.done} home and verified", "$success"))
        else:
            late = run.state in ENDED
            home = text(
                (f"{g.warn} not pulled yet" if late else "pulled when the run ends", "bold $warning" if late else MUTED)
            )
        here = sum(stream.size for stream in state.streams.values())
        behind = sum(stream.behind for stream in state.streams.values())
        return [
            text((f"{'results':<9}", MUTED), home),
            text((f"{'followed':<9}", MUTED), f"{len(state.streams)} files, {fmt.size(here)} here"),
            text((f"{'to come':<9}", MUTED), (fmt.size(behind), "$warning" if behind else "")),
        ]


class LanePanel(Panel):
    """One lane of the board in a few lines."""

    def __init__(self, lane: str, title: str, *, id: str) -> None:
        super().__init__(id=id)
        self.lane, self.titled = lane, title

    def heading(self, picture: Picture) -> tuple[Content, Content]:
        known = picture.boards.cards is not None
        count = str(len(picture.boards.column(self.lane))) if known else ""
        return text((self.titled, "bold"), f" {count}"), text("")

    def draw(self, picture: Picture, width: int, height: int) -> Sequence[Content]:
        cards = picture.boards.column(self.lane)
        lines = [
            spread(text(level_mark(card.level), " ", clean(card.title)), text(""), width) for card in cards[:height]
        ]
        return lines or [text(("none" if picture.boards.cards is not None else "", MUTED))]


class ReviewPanel(Panel):
    """Reviews that wait for an answer."""

    def heading(self, picture: Picture) -> tuple[Content, Content]:
        return text(("REVIEWS", "bold"), f" {picture.boards.open_reviews} open"), text("")

    def draw(self, picture: Picture, width: int, height: int) -> Sequence[Content]:
        found = [card for card in picture.boards.reviews or () if card.state in ("open", "orphan")]
        lines = []
        for card in found[:height]:
            first, _ = review_lines(card, width, picture.glyphs)
            lines.append(spread(first, text((f"{card.answered} of {len(card.answers)}", MUTED)), width))
        return lines or [text(("none waits" if picture.boards.reviews is not None else "", MUTED))]


class CommandsPanel(Panel):
    """What was done last and what came of it."""

    def heading(self, _picture: Picture) -> tuple[Content, Content]:
        return text(("COMMANDS", "bold")), text(("@ opens", MUTED))

    def draw(self, picture: Picture, _width: int, height: int) -> Sequence[Content]:
        notices = picture.state.notices[-height:]
        return [note_line(notice, picture.glyphs) for notice in notices] or [text(("nothing yet", MUTED))]
