"""Scoring an answer twice: strictly, as the model left it, and leniently, cut at the first turn boundary.

What is right stays with the family; here is only how a generated text becomes the answer that is judged. Length decides
nothing: an answer cut by the token limit fails because it is not finished.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pipeline.stages.base import Family, Item, Score

VERSION = 1
FinishReason = Literal["eos", "stop", "length"]

TURN = re.compile(
    r"\n[ \t]*(?:#+[ \t]*|\*+)?"
    r"(?:Instruction|Response|Question|Answer|Q|A|Human|Assistant|User|Input|Output|Task|Example)"
    r"(?:[ \t]*\d{1,3})?\*{0,2}[ \t]*:",
    re.I,
)
"""A line that opens a new turn of a dialogue or of a few-shot prompt."""
_FIRST_LINE_TURN = re.compile(r"^\s*(?:#+\s*)?(?:Instruction|Human|User|Question|Q)\s*:", re.I)
_BLANK_LINE = re.compile(r"\n[ \t]*\n")


def score(
    family: Family, item: Item, text: str, finish_reason: FinishReason, stopped: bool | None = None
) -> tuple[Score, Score]:
    """(strict, lenient) scores of a generated continuation.

    text: the continuation, decoded, without the prompt, stop string or end-of-text marker.
    finish_reason: "eos" (end-of-text token), "stop" (a stop string), "length" (token limit).
    stopped: did the model end its answer by itself? Only the prompt's maker knows whether a stop string was taught
        (the few-shot terminator) or is a mere safety net; None takes only "eos" as a proper end.
    """
    lenient_text = cut(text)
    lenient = family.check(item, lenient_text) if lenient_text else Score(False, "empty")
    return _strict(family, item, text, finish_reason, finish_reason == "eos" if stopped is None else stopped), lenient


def _strict(family: Family, item: Item, text: str, finish_reason: FinishReason, stopped: bool) -> Score:
    if finish_reason == "length":
        return Score(False, "truncated")
    if not stopped or runs_on(text):
        return Score(False, "runaway")
    answer = text.strip()
    return family.check(item, answer) if answer else Score(False, "empty")


def runs_on(text: str) -> bool:
    """Does the text open a new turn after its answer? Found by pattern, never by length."""
    return TURN.search(text) is not None or _FIRST_LINE_TURN.match(text) is not None


def decided(text: str) -> bool:
    """Whether whatever may follow changes neither score: a new turn stands behind the answer, or in its place. A turn
    in the very first line that the answer may still follow ("Response:") decides nothing."""
    text = text.lstrip()
    return TURN.search(text) is not None or _FIRST_LINE_TURN.match(text) is not None


def cut(text: str) -> str:
    """The answer up to the first turn boundary or blank line, trimmed. A blank line after a colon ("Here are three
    fruits:") does not end an answer."""
    text = text.lstrip()
    if _FIRST_LINE_TURN.match(text):
        return ""
    turn = TURN.search(text)
    if turn:
        text = text[: turn.start()]
    for blank in _BLANK_LINE.finditer(text):
        if not text[: blank.start()].rstrip().endswith(":"):
            return text[: blank.start()].rstrip()
    return text.rstrip()


@lru_cache(maxsize=1)
def fingerprint() -> str:
    """`VERSION:sha256` over this file and every file that decides what is right."""
    stages = Path(__file__).parent.parent / "stages"
    files = [Path(__file__), stages / "base.py", *sorted((stages / "families").glob("*.py"))]
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\x1f".encode())
        digest.update(file.read_bytes().replace(b"\r\n", b"\n"))
    return f"{VERSION}:{digest.hexdigest()}"
