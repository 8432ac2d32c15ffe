"""Duplicates in a growing pool of instructions: exact after normalisation, or nearly the same words in the same order.

ROUGE-L as in Self-Instruct (arXiv 2212.10560), with one correction for short instructions: "What is the capital of
France?" and "What is the capital of Peru?" share five of six words and are two different tasks. Below `short_words` two
texts whose numbers differ, or each of which has a content word that the other lacks, are different.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import lru_cache

from pipeline.stages.families.text import number_words_to_digits, word_list

_TOKEN = re.compile(
    r"\d+(?:\.\d+)?|(?<=[^\W\d_])'s\b|[^\W\d_]+(?:'(?!s\b)[^\W\d_]+)*|[+=<>*/×÷]|(?<![^\W\d_])-(?=\s*\d)|(?<=\d)-"
)
FUNCTION_WORDS = frozenset(
    word_list(
        """
a an the this that these those of for in on at to from with by about and or is are was be it its me my you your i
what which who how does do did can could would please only just exactly one 's
"""
    )
)
TASK_WORDS = frozenset(
    word_list(
        """
give name write tell say state list answer complete finish make find provide show word words sentence text question
following called means mean
"""
    )
)


def tokens(text: str) -> list[str]:
    """Lower-case words, numbers and arithmetic signs; number words become digits; other punctuation disappears."""
    return list(_tokens(text))


@lru_cache(maxsize=65536)
def _tokens(text: str) -> tuple[str, ...]:
    text = unicodedata.normalize("NFKC", text).casefold().replace("’", "'").replace("−", "-").replace("–", "-")
    return tuple(_TOKEN.findall(number_words_to_digits(text)))


def normalise(text: str) -> str:
    """The form in which two texts are called equal: its `tokens`, one blank between."""
    return " ".join(tokens(text))


def rouge_l(first: Sequence[str], second: Sequence[str]) -> float:
    """ROUGE-L F1 of two token lists: longest common subsequence over mean length (Lin 2004). 0.0 when one is empty."""
    if not first or not second:
        return 0.0
    return 2 * _common(first, second) / (len(first) + len(second))


def rouge_bound(first: Sequence[str], second: Sequence[str]) -> float:
    """An upper bound of `rouge_l` at the cost of a bag comparison."""
    if not first or not second:
        return 0.0
    return 2 * (Counter(first) & Counter(second)).total() / (len(first) + len(second))


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, one row of the table at a time."""
    row = [0] * (len(second) + 1)
    for left in first:
        diagonal = 0
        for column, right in enumerate(second, 1):
            above = row[column]
            row[column] = diagonal + 1 if left == right else max(above, row[column - 1])
            diagonal = above
    return row[-1]


def content(words: Sequence[str]) -> tuple[frozenset[str], tuple[str, ...]]:
    """What a text is about: its words without function and task words, and its numbers in order."""
    numbers = tuple(word for word in words if word[0].isdigit())
    about = frozenset(words) - FUNCTION_WORDS - TASK_WORDS
    return (about or frozenset(words)), numbers


class Deduper:
    """A pool that refuses what it already holds. Order matters: the first of two near texts stays.

    limit: texts at or above this ROUGE-L are near. short_words: texts with fewer tokens must agree in content, too;
    0 gives the plain Self-Instruct rule.
    """

    def __init__(self, limit: float = 0.7, short_words: int = 20) -> None:
        self.limit = limit
        self.short_words = short_words
        self._kept: list[list[str]] = []
        self._exact: dict[str, int] = {}
        self._content: list[tuple[frozenset[str], tuple[str, ...]]] = []
        self._about: dict[str, list[int]] = defaultdict(list)
        self._long_with: dict[str, list[int]] = defaultdict(list)

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, text: str) -> str | None:
        """Keep `text` and return None, or say why not: "empty", "exact" or "near: 0.83"."""
        words = tokens(text)
        if not words:
            return "empty"
        key = " ".join(words)
        if key in self._exact:
            return "exact"
        nearest = max((self._similarity(words, other) for other in self._candidates(words)), default=0.0)
        if nearest >= self.limit:
            return f"near: {nearest:.2f}"
        self._keep(key, words)
        return None

    def _keep(self, key: str, words: list[str]) -> None:
        place = len(self._kept)
        self._kept.append(words)
        self._exact[key] = place
        about, numbers = content(words)
        self._content.append((about, numbers))
        for word in about:
            self._about[word].append(place)
        if len(words) >= self.short_words:
            for word in set(words):
                self._long_with[word].append(place)

    def _candidates(self, words: list[str]) -> set[int]:
        """Kept texts that can be near: both long with a word in common, or equal in content."""
        about, numbers = content(words)
        found = {place for word in about for place in self._about.get(word, ()) if self._same(about, numbers, place)}
        if len(words) >= self.short_words:
            found |= {place for word in set(words) for place in self._long_with.get(word, ())}
        return found

    def _same(self, about: frozenset[str], numbers: tuple[str, ...], place: int) -> bool:
        theirs, their_numbers = self._content[place]
        return numbers == their_numbers and (about <= theirs or theirs <= about)

    def _similarity(self, words: list[str], place: int) -> float:
        other = self._kept[place]
        return rouge_l(words, other) if rouge_bound(words, other) >= self.limit else 0.0
