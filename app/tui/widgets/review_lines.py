"""A review as lines: what was asked, who has answered how, what it belongs to. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from app.tui.boards import Answer, ReviewCard
from app.tui.lines import clean
from app.tui.theme import Glyphs
from app.tui.widgets.panel import MUTED, pack, text

_STATE = {
    "open": ("gate", "bold $warning"),
    "complete": ("done", "$success"),
    "orphan": ("bad", "$error"),
    "archived": ("off", MUTED),
}
_VERDICT = {
    "approve": ("done", "$success"),
    "changes": ("warn", "bold $warning"),
    "reject": ("bad", "bold $error"),
    "INVALID": ("bad", "bold $error"),
    None: ("wait", MUTED),
}


def review_lines(card: ReviewCard, width: int, glyphs: Glyphs) -> Sequence[Content]:
    """`◇ gate-1 scorer` over `open · 1 of 2 answers · 2 critical`."""
    glyph, style = _STATE.get(card.state, ("info", MUTED))
    name = clean(card.title) or clean(card.id)
    first = text((f"{getattr(glyphs, glyph)} ", style), (name, "" if card.state != "archived" else MUTED))
    state = {"orphan": "answers no known request"}.get(card.state, card.state)
    parts = [text((state, style))]
    if card.answers:
        parts.append(text(f"{card.answered} of {len(card.answers)} answers"))
    parts += [text((f"{count} {clean(severity)}", MUTED)) for severity, count in card.findings]
    parts.append(text((clean(card.id), MUTED)))
    return [first, text("  ", pack(parts, max(1, width - 2), f" {glyphs.dot} "))]


def answer_lines(card: ReviewCard, shown: int, width: int, glyphs: Glyphs) -> Content:
    """The documents of a review with the one that is shown in brackets, and what the review belongs to."""
    names = [text("request")] + [_answer(answer, glyphs) for answer in card.answers]
    marked = [text(" ", name, " ") for name in names]
    marked[shown] = text(("[", "bold $accent"), names[shown], ("]", "bold $accent"))
    lines = [pack(marked, width, " ")]
    if card.links:
        lines.append(pack([text((f"{name} ", MUTED), clean(value)) for name, value in card.links], width, "   "))
    return Content("\n").join(lines)


def _answer(answer: Answer, glyphs: Glyphs) -> Content:
    glyph, style = _VERDICT.get(answer.verdict, ("info", MUTED))
    word = "no answer yet" if answer.verdict is None else clean(answer.verdict)
    return text(clean(answer.reviewer), " ", (f"{getattr(glyphs, glyph)} {word}", style))
