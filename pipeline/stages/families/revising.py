"""What the families of revision share: how an answer presents a revised text, and when it is the one asked for.

A revision is judged by the text itself, word by word. What may stand around it (a lead-in, quotation marks, the
original before an arrow, a note on what was changed) is taken away first; nothing else is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar

from pipeline.stages.base import Item, Score
from pipeline.stages.families.text import bare, number_words_to_digits
from pipeline.stages.families.worded import WordedFamily

_POLITE_START = re.compile(
    r"^(?:sure|certainly|of course|okay|ok|no|actually|that(?:['’]s| is) (?:wrong|false|incorrect|not (?:right|true)))"
    r"\b[,.!:]*\s+",
    re.I,
)
_KIND = r"(?:corrected|correct|revised|rewritten|right|proper|improved|better|shorter|shortened|polite|new|fixed|final)"
_THING = (
    r"(?:version|sentence|text|phrase|statement|form|list|answer|response|revision|correction|request|order|words"
    r"|plural|spelling)"
)
_LEAD_IN = re.compile(
    rf"^(?:here(?:['’]s| is| are)\b[^:\n]{{0,60}}:"
    rf"|(?:(?:the|my)\s+)?(?:{_KIND}\s+)?{_THING}\s*(?:should be|should read|would be|reads|is|are)?\s*:"
    rf"|(?:(?:the|my)\s+)?(?:{_KIND}\s+)?{_THING}\s+(?:should be|should read|would be|reads|is|are)(?=\s)"
    rf"|{_KIND}\s*:"
    r"|(?:it|this) should (?:be|read|say)\b:?"
    r")\s*",
    re.I,
)
_ANY_LEAD_IN = re.compile(r"^[A-Z][^:\n.?!]{0,60}:\s*")
_DENIES = re.compile(r"\b(?:no|not|never|wrong|original|or|instead|is (?:correct|right))\b|n['’]t\b", re.I)
_DONE = r"(?:changed|corrected|fixed|replaced|removed|moved|left|kept|shortened|rewrote|rewritten|turned|written|made)"
_ABOUT = r"(?:past tense|plural|verb|noun|article|word|mistake|error|change|correction|spelling)"
_NOTE = re.compile(
    r"(?:(?<=[.!?\"'”’])\s+|\s*\n+\s*)"
    rf"(?:I(?:['’]ve| have)? (?:also )?{_DONE}|(?:the|this) (?:only |one )?{_ABOUT}"
    r"|[\"“‘'][\w' ]+[\"”’'] (?:is|was|should))\b[^.!?\n]*[.!]?$",
    re.I,
)
_NOTE_IN_BRACKETS = re.compile(r"\s*\((?:corrected|changed|fixed|removed|I )[^()\n]*\)[.!]?$", re.I)
_UNSURE = re.compile(r"\b(?:or|maybe|perhaps|unsure|not sure)\b", re.I)
_BECOMES = re.compile(r"^[\s\"'”’.!]*(?:->|→|=>|becomes|should (?:be|read|say))\s*:?", re.I)


class RevisionFamily(WordedFamily):
    """A text in, the revised text out. `truth["accepted"]` lists every accepted revision, the preferred one first."""

    exact_case: ClassVar[bool] = False
    """Is the case of every letter part of the task?"""
    fault: ClassVar[str] = "The response is not the text that was asked for"
    """What a wrong response has most likely got wrong; a critique says it with the reason and the remedy."""

    def original(self, item: Item) -> str:
        """The text that is to be revised, as the truth keeps it; empty when it does not."""
        return str(item.truth.get("text", ""))

    def check(self, item: Item, text: str) -> Score:
        if canonical(text) == canonical(item.instruction):
            return Score(False, "repeats the instruction")
        return super().check(item, text)

    def judge(self, item: Item, text: str) -> Score:
        return judge_revision(text, item.truth["accepted"], self.original(item), self.exact_case)

    def harmless_suffix(self, text: str) -> str | None:
        return note(text)

    def critique(self, item: Item, response: str, right: bool) -> str:
        if right:
            return "The response makes the change that was asked for and keeps everything else."
        reason = self.check(item, response).reason.partition(", wanted")[0]
        wanted = " / ".join(item.answer.splitlines())
        return f"{self.fault} ({' '.join(reason.split())}); it should read: {wanted}"


def judge_revision(text: str, accepted: Sequence[str], original: str = "", exact_case: bool = False) -> Score:
    """Is `text` one of the `accepted` revisions, once what may stand around a revision is taken away?

    Blanks, commas, outer quotation marks and closing marks do not count, nor does the case of letters unless
    `exact_case`, nor whether a number is written as a word.
    """
    if not bare(text):
        return Score(False, "empty")
    right = {form for one in accepted for form in _forms(canonical(one, exact_case))}
    found = [canonical(one, exact_case) for one in presented(text, original)]
    if found[0] in right:
        return Score(True, "exact")
    if any(one in right for one in found):
        return Score(True, "presented in a sentence")
    if original and canonical(original, exact_case) in found:
        return Score(False, "unchanged")
    if any(one.casefold() in {r.casefold() for r in right} for one in found):
        return Score(False, f"another case, wanted {accepted[0]}")
    if any(one in found[0] for one in right):
        return Score(False, f"more than the revision, wanted {accepted[0]}")
    return Score(False, f"wrong: {text[:60]}, wanted {accepted[0]}")


def _forms(right: str) -> tuple[str, ...]:
    """A question may come back without its mark; a statement may not become a question."""
    return (right, right.rstrip("? ")) if right.endswith("?") else (right,)


def presented(text: str, original: str = "") -> Iterator[str]:
    """`text` itself, then what remains without notes, lead-in, emphasis and the original before an arrow."""
    yield text
    text = without_notes(text.replace("**", ""))
    yield text
    if original:
        rejected = rf",?\s+(?:and\s+)?not\s+[\"'“‘]?{re.escape(original.rstrip('.!? '))}[\"'”’]?\W*$"
        text = re.sub(rejected, "", text, flags=re.I)
    text = _POLITE_START.sub("", text, count=1)
    for _ in range(2):
        text = without_original(text, original)
        yield text
        text = _LEAD_IN.sub("", text, count=1)
        yield text
    lead_in = _ANY_LEAD_IN.match(text)
    if lead_in and not _DENIES.search(lead_in.group()):
        yield text[lead_in.end() :]


def without_notes(text: str) -> str:
    """`text` without closing remarks of the kind "I changed one word." that express no doubt."""
    text = text.strip()
    while match := _NOTE.search(text) or _NOTE_IN_BRACKETS.search(text):
        if _UNSURE.search(match.group()):
            break
        text = text[: match.start()].rstrip()
    return text


def without_original(text: str, original: str) -> str:
    """What follows `original` and an arrow ("two mouses -> two mice"); `text` itself when it does not begin so."""
    start, wanted = text.lstrip(" \"'“‘"), original.rstrip(".!? ")
    if not wanted or not start.casefold().startswith(wanted.casefold()):
        return text
    rest = start[len(wanted) :]
    arrow = _BECOMES.match(rest)
    return rest[arrow.end() :] if arrow else text


def note(text: str) -> str:
    """A closing note that says what was done and no more, as long as `text` itself at least."""
    stop = "" if text.rstrip("\"'”’* \n").endswith((".", "!", "?")) else "."
    said = " I have corrected the text in the way that was asked for."
    return stop + said * (len(text) // len(said) + 1)


def canonical(text: str, exact_case: bool = False) -> str:
    """The form in which two revisions are called equal."""
    text = re.sub(r"\s+", " ", bare(text).replace(",", " ").replace("**", "")).replace("’", "'").strip()
    return text if exact_case else number_words_to_digits(text).casefold()
