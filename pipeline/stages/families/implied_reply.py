"""Tasks that are implied rather than stated: a known family behind other wordings, and replies with their courtesies
taken off, so that what they say can be judged like a plain answer."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

from pipeline.stages.base import Family, Item, Namespace, Score
from pipeline.stages.families.text import sentences
from pipeline.stages.families.worded import Facts, WordedFamily

_OPENER = re.compile(
    r"^(?:(?:sure(?: thing)?|of course|certainly|absolutely|okay|ok|yes|well|oh|ah|hm+|no problem|no worries|"
    r"(?:do not|don['’]t) worry|(?:i am |i['’]m )?(?:happy|glad) to help|"
    r"here (?:you go|it is|they are)|let me help(?: you)?)"
    r"\s*[,.!:–—-]+\s*)+",
    re.I,
)
_LEAD = re.compile(
    r"^(?:(?:i think|i believe|perhaps|maybe)\s+)?(?:you (?:probably )?mean|you (?:need|want)|"
    r"you(?: are|['’]re| may be| might be) (?:looking for|thinking of|searching for|after)|"
    r"you (?:could|can|might|may) (?:use|take|try|choose|pick)|you write|try)\s+(?:the word\s+)?(?=\S)",
    re.I,
)
_PROPOSAL = re.compile(r"^(?:how|what) about\s+(?P<what>[^?]+)\?\.?", re.I)
_LONGEST_TAIL = 3  # words of an answer that may follow a task on its own line


def plain_reply(text: str) -> str:
    """`text` without polite openings ("Sure!", "You mean"); a proposal ("How about red?") loses its question mark."""
    text = _OPENER.sub("", text.strip())
    proposal = _PROPOSAL.match(text)
    return f"{proposal['what']}.{text[proposal.end() :]}" if proposal else _LEAD.sub("", text)


def opens_next_task(family: Family, text: str) -> bool:
    """Does a later sentence of `text` state another task of `family`, alone or with its answer behind it?"""
    for sentence in sentences(text)[1:]:
        said = sentence.rstrip(".!?").split()
        ends = range(len(said), max(0, len(said) - _LONGEST_TAIL - 1), -1)
        if any(family.parse(" ".join(said[:end])) is not None for end in ends):
            return True
    return False


def judge_reply(family: Family, text: str, judge: Callable[[str], Score]) -> Score:
    """`judge` on the reply without its courtesies, unless it goes on with a further task of its own making."""
    reply = plain_reply(text)
    return Score(False, "goes on with another task") if opens_next_task(family, reply) else judge(reply)


class Reworded(WordedFamily):
    """The facts and the judgement of `source` behind other wordings; pools and sides stay those of the source."""

    source: ClassVar[WordedFamily]

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        return self.source.draw(namespace, rng)

    def fill(self, facts: Facts) -> Facts:
        return self.source.fill(facts)

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        return self.source.solve(facts)

    def vary(self, answer: str, truth: Mapping[str, Any], rng: random.Random) -> str:
        return self.source.vary(answer, truth, rng)

    def judge(self, item: Item, text: str) -> Score:
        return judge_reply(self, text, partial(self.judge_plain, item))

    def judge_plain(self, item: Item, text: str) -> Score:
        """Judge a reply without its courtesies."""
        return self.source.judge(item, text)

    def topic(self, item: Item) -> str:
        return self.source.topic(item)

    def harmless_suffix(self, text: str) -> str | None:
        return self.source.harmless_suffix(text)

    def corrupt(self, item: Item, rng: random.Random) -> str:
        return self.source.corrupt(item, rng)
