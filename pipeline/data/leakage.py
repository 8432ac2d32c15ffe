"""Does a training text give away a held-out item? Every training row of every stage is checked against every item.

Held-out instructions are short and made from wordings, so plain overlap would call "What is the capital of Peru?" a
copy of "What is the capital of France?". What leaks is the *fact* asked for. The words that make an item's truth (the
country, the two numbers, the stem) are its key words, read off its truth. A training text leaks

- `exact`: when it is equal after normalisation;
- `question`: when its family reads the same truth out of it, whatever its wording;
- `ngram`: when it holds at least half of the 8-grams of the item's content, the span from its first to its last key
  word (the wording around it is stripped);
- `shingle`: when both have 12 words or more and the Jaccard similarity of their 5-grams is at least 0.8 (computed
  exactly: MinHash estimates the same number, and these sets are small);
- `rouge`: when ROUGE-L is at least 0.7, it holds all key words, and its numbers are the item's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pipeline.data.dedup import FUNCTION_WORDS, rouge_bound, rouge_l, tokens
from pipeline.stages.base import Family, Item

ROUGE_LIMIT = 0.7
NGRAM, NGRAM_LIMIT = 8, 0.5
SHINGLE, SHINGLE_LIMIT, SHINGLE_WORDS = 5, 0.8, 12


@dataclass(frozen=True, slots=True)
class Hit:
    """A training row that must leave the training side, the held-out item it gives away, and by which test."""

    row: str
    item: str
    kind: str
    value: float


Found = tuple[str, str, float]
"""A held-out item's id, the test by which a text gives it away, and that test's value."""


class _Said:
    """A text's words, and what the tests ask of them, worked out when first asked."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words

    @cached_property
    def all(self) -> frozenset[str]:
        return frozenset(self.words)

    @cached_property
    def ngrams(self) -> frozenset[tuple[str, ...]]:
        return _grams(self.words, NGRAM)

    @cached_property
    def shingles(self) -> frozenset[tuple[str, ...]]:
        return _grams(self.words, SHINGLE)

    @cached_property
    def numbers(self) -> list[str]:
        return sorted(word for word in self.words if word[0].isdigit())


class _Held(_Said):
    """A held-out item."""

    def __init__(self, item: Item, words: Sequence[str], keys: Iterable[str]) -> None:
        super().__init__(words)
        self.item, self.keys = item, frozenset(keys)

    @cached_property
    def id(self) -> str:
        return self.item.id

    @cached_property
    def content(self) -> frozenset[tuple[str, ...]]:
        """The 8-grams from its first to its last key word; of all its words when it has none."""
        places = [place for place, word in enumerate(self.words) if word in self.keys]
        return _grams(self.words[places[0] : places[-1] + 1] if places else self.words, NGRAM)


Words = tuple[Sequence[str], Sequence[str]]
"""The words of an item's instruction, and its key words."""


def words_of(item: Item) -> Words:
    """What the index needs to know of an item: the costly part of building it, and a pure function of the item."""
    return tokens(item.instruction), sorted(key_words(item))


class Guard:
    """The held-out items, indexed once. families: those whose parser may read a text, for the `question` test. words:
    `words_of` each item, where it is known already. What a text gives away is worked out once."""

    def __init__(
        self, items: Sequence[Item], families: Iterable[Family] = (), words: Sequence[Words] | None = None
    ) -> None:
        self._readers = tuple(families)
        self._by_text: dict[str, list[_Held]] = defaultdict(list)
        self._by_truth: dict[tuple[str, str], list[_Held]] = defaultdict(list)
        self._by_key: dict[str, list[_Held]] = defaultdict(list)
        self._known: dict[str, list[Found]] = {}
        for item, (said, keys) in zip(items, words or [words_of(item) for item in items], strict=True):
            one = _Held(item, said, keys)
            self._by_text[" ".join(one.words)].append(one)
            self._by_truth[_truth(item)].append(one)
            self._by_key[_rarest(one.keys)].append(one)

    def hits(self, rows: Iterable[tuple[str, str]]) -> list[Hit]:
        """Hits of every (row id, text); at most one, the first test that applies, per row and item."""
        return [Hit(row, *found) for row, text in rows for found in self._given_away(text)]

    def _given_away(self, text: str) -> list[Found]:
        if text not in self._known:
            self._known[text] = list(self._search(text))
        return self._known[text]

    def _search(self, text: str) -> Iterable[Found]:
        said = _Said(tokens(text))
        found: dict[str, Found] = {}
        for one in self._by_text.get(" ".join(said.words), ()):
            found.setdefault(one.id, (one.id, "exact", 1.0))
        for family in self._readers:
            read = family.parse(text.strip())
            for one in self._by_truth.get(_truth(read), ()) if read else ():
                found.setdefault(one.id, (one.id, "question", 1.0))
        for one in self._near(said):
            hit = None if one.id in found else _overlap(said, one)
            if hit:
                found[one.id] = (one.id, *hit)
        return found.values()

    def _near(self, said: _Said) -> list[_Held]:
        """Items whose filed key word occurs in the text, and those without key words."""
        return [one for word in {*said.words, ""} for one in self._by_key.get(word, ())]


def check(
    train_rows: Iterable[tuple[str, str]], eval_items: Sequence[Item], families: Iterable[Family] = ()
) -> list[Hit]:
    """One check without keeping the index. train_rows: instructions (or whole prompts, for few-shot pools)."""
    return Guard(eval_items, families).hits(train_rows)


def key_words(item: Item) -> frozenset[str]:
    """Words and numbers of the instruction that occur in its truth, without function words where others remain."""
    truth = {word for value in _strings(item.truth) for word in tokens(value)}
    mine = frozenset(tokens(item.instruction)) & truth
    return (mine - FUNCTION_WORDS) or mine


def _strings(truth: Mapping[str, object]) -> list[str]:
    """Texts of the truth; the accepted answers are not part of the question."""
    return [str(value) for name, value in truth.items() if name not in {"accepted", "value", "yes", "field"}]


def _truth(item: Item) -> tuple[str, str]:
    return item.family, repr(sorted(item.truth.items()))


def _rarest(keys: frozenset[str]) -> str:
    """One key word to file an item under; any would do, a long one is rare."""
    return max(sorted(keys), key=len, default="")


def _overlap(said: _Said, one: _Held) -> tuple[str, float] | None:
    """The first test of likeness that applies, and its value."""
    if said.ngrams and one.content:
        value = len(one.content & said.ngrams) / len(one.content)
        if value >= NGRAM_LIMIT:
            return "ngram", value
    if min(len(said.words), len(one.words)) >= SHINGLE_WORDS:
        value = len(said.shingles & one.shingles) / len(said.shingles | one.shingles)
        if value >= SHINGLE_LIMIT:
            return "shingle", value
    same = one.keys <= said.all and said.numbers == one.numbers
    if same and rouge_bound(said.words, one.words) >= ROUGE_LIMIT:
        value = rouge_l(said.words, one.words)
        if value >= ROUGE_LIMIT:
            return "rouge", value
    return None


def _grams(words: Sequence[str], size: int) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(words[i : i + size]) for i in range(len(words) - size + 1))
