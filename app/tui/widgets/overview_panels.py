"""Panes of the wide overview: what is home, what would be pushed, the lanes in brief, the last commands, what waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.content import Content

from app.brief import waits
from app.tui import fmt
from app.tui.lines import clean
from app.tui.picture import ENDED, Picture
from app.tui.theme import Glyphs
from app.tui.widgets.board_column import level_mark
from app.tui.widgets.panel import MUTED, Panel, spread, text
from app.tui.widgets.review_lines import review_lines

if TYPE_CHECKING:
    from remote.journal import Intent


class SyncPanel(Panel):
    """Which bytes of the run are on this machine."""

    def heading(self, picture: Picture) -> tuple[Content, Content]:
        return text(("SYNC", "bold")), text(("P push, p pull" if picture.acts else "", MUTED))

    def draw(self, picture: Picture, _width: int, _height: int) -> Sequence[Content]:
        run, g = picture.run, picture.glyphs
        home = text(("no run yet", MUTED))
        if run is not None and run.pulled:
            home = text((f"{g.done} home and verified", "$success"))
        elif run is not None:
            late = run.state in ENDED
            home = text(
                (f"{g.warn} not pulled yet" if late else "pulled as it goes", "bold $warning" if late else MUTED)
            )
        here = sum(stream.size for stream in picture.state.streams.values())
        behind = sum(stream.behind for stream in picture.state.streams.values())
        come = text((f", {fmt.size(behind)} to come", "$warning")) if behind else text("")
        return [
            text((f"{'results':<9}", MUTED), home),
            text((f"{'followed':<9}", MUTED), f"{len(picture.state.streams)} files, {fmt.size(here)} here", come),
            text((f"{'code':<9}", MUTED), code_line(picture)),
            text((f"{'git':<9}", MUTED), git_line(picture)),
        ]


def code_line(picture: Picture) -> Content:
    """What a push would send now: `↑ 3 differ, 0 deleted`, or that the last push is what lies here."""
    found, g = picture.desk.sending, picture.glyphs
    if found is None or found.plan is None:
        return text((clean(found.why), "$warning") if found and found.why else (picture.absent(), MUTED))
    if found.plan.first:
        return text(("never pushed from here", MUTED))
    if found.plan.same:
        return text((f"{g.done} as last pushed", "$success"))
    count, gone = len(found.plan.added) + len(found.plan.changed), len(found.plan.deleted)
    return text((f"{g.up} {count} newer", "bold $warning"), (f", {gone} deleted" if gone else "", "bold $warning"))


def git_line(picture: Picture) -> Content:
    """`main 4e1a2c changed`; without git it says so."""
    found = picture.desk.sending
    if found is None:
        return text((picture.absent(), MUTED))
    if found.git is None or found.git.commit is None:
        return text(("no git here", MUTED))
    state = {True: (" changed", "$warning"), False: (" clean", MUTED), None: (" unknown", MUTED)}[found.git.dirty]
    return text(clean(found.branch or "no branch"), (f" {found.git.commit[:8]}", MUTED), state)


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
    """What was sent outside last, and what came of it."""

    def heading(self, _picture: Picture) -> tuple[Content, Content]:
        return text(("COMMANDS", "bold")), text(("@ opens", MUTED))

    def draw(self, picture: Picture, _width: int, height: int) -> Sequence[Content]:
        found = picture.desk.commands
        if not found:
            return [text((picture.absent() if found is None else "nothing was sent outside yet", MUTED))]
        return [command_line(intent, picture.glyphs) for intent in found[-height:]]


_PHASE = {"acked": ("done", "$success"), "failed": ("bad", "bold $error"), "unknown": ("warn", "bold $warning")}


def command_line(intent: Intent, glyphs: Glyphs) -> Content:
    """`18:47:08 ✔ pod.stop  pod=local`."""
    glyph, style = _PHASE.get(intent.phase.value, ("wait", "$accent"))
    facts = "  ".join(f"{name}={value}" for name, value in intent.facts.items() if value not in (None, "", [], {}))
    return text((f"{fmt.clock(intent.at)} ", MUTED), (f"{getattr(glyphs, glyph)} {intent.phase.value} ", style),
                (clean(intent.op), "bold"), (f"  {clean(facts)}", MUTED))  # fmt: skip


class NextPanel(Panel):
    """Starting the day: what waits for somebody, what is in hand, what comes next."""

    def heading(self, picture: Picture) -> tuple[Content, Content]:
        count = len(waiting(picture))
        return text(("NEXT", "bold"), f" {count} waiting" if count else ""), text(("5 board, 6 reviews", MUTED))

    def draw(self, picture: Picture, _width: int, height: int) -> Sequence[Content]:
        found, g = picture.desk.brief, picture.glyphs
        if found is None:
            return [text((picture.absent(), MUTED))]
        lines = [text((f"{g.warn} ", "bold $warning"), clean(line)) for line in waiting(picture)]
        tasks = found.tasks
        lines += [text((f"{g.now} ", "$primary"), level_mark(t.priority), " ", clean(t.title))
                  for t in (tasks.in_progress[:height] if tasks else ())]  # fmt: skip
        if tasks is not None and tasks.next is not None:
            lines.append(
                text((f"{g.todo} next ", MUTED), level_mark(tasks.next.priority), f" {clean(tasks.next.title)}")
            )
        lines += [text((f"? {clean(line)}", MUTED)) for line in found.unknown]
        return lines[:height] or [text(("nothing waits", MUTED))]


def waiting(picture: Picture) -> list[str]:
    """What needs somebody on the board and among the reviews; of the run and the pod the alerts tell."""
    found = picture.desk.brief
    return [] if found is None else list(waits(found))
