"""Rows of a run as a person reads them: one line in a list, all of it below. Pure; what rows say is data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from textual.content import Content

from app.tui import fmt
from app.tui.lines import clean
from app.tui.rundir import Family, Item, Row
from app.tui.theme import Glyphs
from app.tui.widgets.conditions import wrap
from app.tui.widgets.panel import MUTED, text

LABEL = 15
"""Cells of the names at the left."""

HIDDEN = frozenset({"id", "parents", "seed", "stage", "prompts", "text_raw", "decoding", "model", "scorer"})
"""Fields that only programs read."""


def said(row: Mapping[str, Any] | None, name: str) -> str:
    """A field as harmless text; empty when it is absent."""
    value = row.get(name) if row else None
    return "" if value is None else clean(str(value)).strip()


def body(row: Mapping[str, Any] | None, name: str) -> str:
    """A field as it is, line ends and all: only for `paragraph`, which makes it harmless."""
    value = row.get(name) if row else None
    return "" if value is None else str(value).strip()


def family_line(family: Family, glyphs: Glyphs) -> Content:
    """`✔ 2/3 I should know the capital of Namibia`: how many of its answers were accepted."""
    accepted = sum(row.get("accepted") is True for row in family.judgements)
    glyph, style = (glyphs.done, "$success") if accepted else (glyphs.todo, MUTED)
    of = f" {accepted}/{len(family.judgements)} " if family.judgements else " "
    return text((glyph, style), (of, MUTED), said(family.instruction, "instruction"))


def family_lines(family: Family, width: int, glyphs: Glyphs) -> list[Content]:
    """The instruction, its answers with what the critics measured, critique, revision, and what became of it."""
    lines = paragraph("instruction", body(family.instruction, "instruction"), width, "bold")
    lines += _measures(family.instruction, ("family", "rejected"))
    judged: dict[str, Row] = {}
    for judgement in family.judgements:
        parents = judgement.get("parents")
        judged |= {str(parent): judgement for parent in parents} if isinstance(parents, list) else {}
    for answer in family.answers:
        number = said(answer, "sample")
        lines += paragraph(f"answer {number}", body(answer, "text"), width)
        lines += _verdict(judged.get(str(answer.get("id"))), glyphs)
    for critique in family.critiques:
        lines += paragraph(f"critique, {said(critique, 'principle')}", body(critique, "text"), width)
    for revision in family.revisions:
        lines += paragraph("revision", body(revision, "text"), width)
        lines += _verdict(judged.get(str(revision.get("id"))), glyphs)
    for row in family.trained:
        lines += paragraph("trained on", body(row, "completion"), width, "$success")
    for row in family.dropped:
        lines.append(
            text((f"{'dropped':<{LABEL}}", MUTED), f"{said(row, 'response')}: ", (said(row, "reason"), "$warning"))
        )
    for pair in family.pairs:
        lines += pair_lines(pair, width)
    return lines


def _verdict(judgement: Row | None, glyphs: Glyphs) -> list[Content]:
    if judgement is None:
        return [text((f"{'':<{LABEL}}not judged", MUTED))]
    accepted = judgement.get("accepted")
    glyph, style = known(accepted, glyphs)
    word = "accepted" if accepted is True else "not accepted" if accepted is False else "no threshold"
    parts = [f"{name} {fmt.number(value)}" for name, value in _numbers(judgement)]
    return [text(" " * LABEL, (f"{glyph} {word}", style), ("  " + "  ".join(parts), MUTED))]


def _numbers(judgement: Row) -> Iterator[tuple[str, float]]:
    for name in ("margin", "score", "agreement", "mean_logprob"):
        value = judgement.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield name.replace("_", " "), float(value)


def _measures(row: Row, names: tuple[str, ...]) -> list[Content]:
    parts = [f"{name} {said(row, name)}" for name in names if said(row, name)]
    return [text((f"{'':<{LABEL}}{'  '.join(parts)}", MUTED))] if parts else []


def known(right: Any, glyphs: Glyphs) -> tuple[str, str]:
    """Glyph and style of a yes, a no, or anything that is neither."""
    if right is True:
        return glyphs.done, "$success"
    return (glyphs.bad, "$error") if right is False else (glyphs.todo, MUTED)


def pair_line(row: Row, glyphs: Glyphs) -> Content:
    """`+ Windhoek  – fish   I should know …`."""
    return text(
        (f"+ {said(row, 'chosen')}", "$success"), (f"  {glyphs.dash} {said(row, 'rejected')}  ", "$error"),
        (said(row, "instruction"), MUTED),
    )  # fmt: skip


def pair_lines(row: Row, width: int) -> list[Content]:
    """Both sides of a preference and where they come from."""
    lines = paragraph("chosen", body(row, "chosen"), width, "$success")
    lines += paragraph("rejected", body(row, "rejected"), width, "$error")
    return lines + _measures(row, ("source", "margin", "chosen_score", "rejected_score"))


def trained_line(row: Row, glyphs: Glyphs) -> Content:
    """`✔ Windhoek   I should know …`; what programmatic truth says is told, where it can say."""
    glyph, style = known(row.get("known_right"), glyphs)
    return text((f"{glyph} ", style), said(row, "completion"), (f"  {said(row, 'instruction')}", MUTED))


def dropped_line(row: Row, glyphs: Glyphs) -> Content:
    """`critics unsure  fish   I should know …`."""
    why = (said(row, "reason") or said(row, "rejected")).partition(":")[0]
    body = said(row, "response") or said(row, "text")
    return text((f"{glyphs.skip} {why:<16} ", "$warning"), body, (f"  {said(row, 'instruction')}", MUTED))


def row_lines(row: Row, width: int) -> list[Content]:
    """Every field that a person reads, the long ones wrapped."""
    lines = []
    for name, value in row.items():
        if name not in HIDDEN and value not in (None, [], ""):
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            lines += paragraph(name.replace("_", " "), shown, width)
    return lines or [text(("this row cannot be read", "$warning"))]


def item_line(item: Item, glyphs: Glyphs) -> Content:
    """`↑ gained  I have no idea …`, `↓ lost  …`."""
    glyph, word, style = (glyphs.up, "gained", "$success") if item.gained else (glyphs.down, "lost  ", "bold $error")
    return text((f"{glyph} {word} ", style), clean(item.instruction) or f"item {clean(item.id)}")


def item_lines(item: Item, a: str, b: str, width: int) -> list[Content]:
    """What both conditions answered, and why the scorer judged so."""
    lines = paragraph("instruction", item.instruction, width, "bold")
    for side, row in ((a, item.first), (b, item.second)):
        name, _, rule = clean(side).partition(" ")
        if row is None:
            lines.append(text((f"{name:<{LABEL}}", MUTED), ("its answers are not at home", MUTED)))
            continue
        lines += paragraph(name, body(row, "text"), width)
        right = row.get(rule)
        word = "right" if right is True else "wrong" if right is False else "not scored"
        style = "$success" if right is True else "$error" if right is False else MUTED
        lines.append(text(" " * LABEL, (f"{rule} {word}", style), (f"  {said(row, f'{rule}_reason')}", MUTED)))
    return lines


def paragraph(name: str, body: str, width: int, style: str = "") -> list[Content]:
    """A name and its wrapped text beside it; line ends of the text are kept."""
    room = max(8, width - LABEL)
    lines = [line for part in body.splitlines() or [""] for line in wrap(clean(part), room)]
    label = name if len(name) < LABEL else ""
    out = [] if label else [text((clean(name), MUTED))]
    for place, line in enumerate(lines):
        out.append(text((f"{label if place == 0 else '':<{LABEL}}", MUTED), (line, style)))
    return out
