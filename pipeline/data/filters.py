"""Quality numbers of a data set and the hard limits on them. It measures and compares; what happens on a breach is the
step's business."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from pipeline.data.dedup import normalise
from pipeline.evals.scorers import runs_on

BANNED = (
    "lorem ipsum", "[insert", "<insert", "[your", "as an ai language model", "as a language model", "placeholder",
    "todo:", "tbd", "fixme", "example response", "your answer here", "response goes here", "i'm sorry, but as an ai",
    "xxx", "n/a n/a",
)  # fmt: skip
"""Texts that stand for an answer and are none. Matched in lower case at word boundaries."""

MARKERS = (
    r"(?m)^\s*(?:#+\s*)?(?:Instruction|Response)\s*:", r"<\|[a-z_]+\|>", r"</?s>", r"<(?:bos|eos|pad|unk)>",
    r"<(?:start|end)_of_turn>", r"\[/?INST\]", r"(?m)^###", r"\uFFFD",
)  # fmt: skip
"""Delimiters, chat markers and broken characters that may never stand in a kept response."""

_MARKERS = tuple(re.compile(marker, re.I) for marker in MARKERS)
_BANNED = re.compile("|".join(rf"(?<!\w){re.escape(text)}(?!\w)" for text in BANNED), re.I)


@dataclass(frozen=True, slots=True)
class Sample:
    """One generated answer, with the reason for which generation ended ("eos", "stop", "length")."""

    instruction: str
    response: str
    finish_reason: str


@dataclass(frozen=True, slots=True)
class Quality:
    """Rates in 0..1 and counts of a data set; None where there was nothing to measure."""

    generated: int
    kept: int
    runaway_rate: float | None  # of the generated answers
    length_limit_rate: float | None  # of the generated answers
    unique_rate: float | None  # different instructions among the kept rows
    acceptance: float | None  # instructions that kept an answer, among those asked
    markers: int  # kept responses with a delimiter or marker
    banned: int  # kept responses or instructions with a placeholder text
    truncated: int  # kept responses that were cut by the token limit
    empty: int  # kept responses without a word


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Hard limits. Rates named `max` may be reached and not passed, rates named `min` must be reached."""

    max_runaway_rate: float = 0.05
    max_length_limit_rate: float = 0.10
    min_unique_rate: float = 0.99
    min_acceptance: float = 0.5
    max_markers: int = 0
    max_banned: int = 0
    max_truncated: int = 0
    max_empty: int = 0


@dataclass(frozen=True, slots=True)
class Breach:
    """One number on the wrong side of its limit; `value` None means that it could not be measured."""

    name: str
    value: float | None
    limit: float

    def __str__(self) -> str:
        shown = "not measured" if self.value is None else f"{self.value:.4g}"
        return f"{self.name} is {shown}, the limit is {self.limit:g}"


def measure(generated: Sequence[Sample], kept: Sequence[Sample]) -> Quality:
    """Quality numbers of the answers that were generated and of those kept for training."""
    asked = {normalise(sample.instruction) for sample in generated}
    held = {normalise(sample.instruction) for sample in kept}
    return Quality(
        generated=len(generated),
        kept=len(kept),
        runaway_rate=_rate(sum(runs_on(s.response) for s in generated), len(generated)),
        length_limit_rate=_rate(sum(s.finish_reason == "length" for s in generated), len(generated)),
        unique_rate=_rate(len(held), len(kept)),
        acceptance=_rate(len(held & asked), len(asked)),
        markers=sum(bool(markers_in(s.response)) for s in kept),
        banned=sum(bool(banned_in(s.response) or banned_in(s.instruction)) for s in kept),
        truncated=sum(s.finish_reason == "length" for s in kept),
        empty=sum(not normalise(s.response) for s in kept),
    )


def check(quality: Quality, thresholds: Thresholds) -> list[Breach]:
    """Every limit that does not hold; a number that could not be measured is a breach, never a pass."""
    found = []
    for limit in fields(thresholds):
        side, _, name = limit.name.partition("_")
        value, bound = getattr(quality, name), getattr(thresholds, limit.name)
        if value is None or (value > bound if side == "max" else value < bound):
            found.append(Breach(name, value, bound))
    return found


def markers_in(text: str) -> list[str]:
    """Delimiters and chat markers found in `text`."""
    return [match.group().strip() for marker in _MARKERS if (match := marker.search(text))]


def banned_in(text: str) -> str | None:
    """The first placeholder text found in `text`, or None."""
    match = _BANNED.search(text)
    return match.group().casefold() if match else None


def unique_rate(texts: Iterable[str]) -> float | None:
    """Share of different texts after normalisation; None for no texts."""
    forms = [normalise(text) for text in texts]
    return _rate(len(set(forms)), len(forms))


def _rate(count: int, total: int) -> float | None:
    return count / total if total else None
