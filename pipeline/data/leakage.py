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


@dataclass(frozen=True, slots=True)
class _Held:
    id: str
    item: Item
    words: list[str]
    keys: frozenset[str]


Words = tuple[Sequence[str], Sequence[str]]
"""The words of an item's instruction, and its key words."""


def words_of(item: Item) -> Words:
    """What the index needs to know of an item: the costly part of building it, and a pure function of the item."""
    return tokens(item.instruction), sorted(key_words(item))


class Guard:
    """The held-out items, indexed once. families: those whose parser may read a text, for the `question` test. words:
    `words_of` each item, where it is known already."""

    def __init__(
        self, items: Sequence[Item], families: Iterable[Family] = (), words: Sequence[Words] | None = None
    ) -> None:
        self._readers = tuple(families)
        self._by_text: dict[str, list[_Held]] = defaultdict(list)
        self._by_truth: dict[tuple[str, str], list[_Held]] = defaultdict(list)
        self._by_key: dict[str, list[_Held]] = defaultdict(list)
        for item, (said, keys) in zip(items, words or [words_of(item) for item in items], strict=True):
            one = _Held(item.id, item, list(said), frozenset(keys))
            self._by_text[" ".join(one.words)].append(one)
            self._by_truth[_truth(item)].append(one)
            self._by_key[_rarest(one.keys)].append(one)

    def hits(self, rows: Iterable[tuple[str, str]]) -> list[Hit]:
        """Hits of every (row id, text); at most one, the first test that applies, per row and item."""
        return [hit for row, text in rows for hit in self._hits(row, text)]

    def _hits(self, row: str, text: str) -> Iterable[Hit]:
        words = tokens(text)
        found: dict[str, Hit] = {}
        for one in self._by_text.get(" ".join(words), ()):
            found.setdefault(one.id, Hit(row, one.id, "exact", 1.0))
        for family in self._readers:
            read = family.parse(text.strip())
            for one in self._by_truth.get(_truth(read), ()) if read else ():
                found.setdefault(one.id, Hit(row, one.id, "question", 1.0))
        for one in self._near(words):
            hit = None if one.id in found else _overlap(row, words, one)
            if hit:
                found[one.id] = hit
        return found.values()

    def _near(self, words: list[str]) -> list[_Held]:
        """Items whose filed key word occurs in the text, and those without key words."""
        return [one for word in {*words, ""} for one in self._by_key.get(word, ())]


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


def _overlap(row: str, words: list[str], one: _Held) -> Hit | None:
    ngrams = _grams(_span(one), NGRAM)
    if ngrams:
        value = len(ngrams & _grams(words, NGRAM)) / len(ngrams)
        if value >= NGRAM_LIMIT:
            return Hit(row, one.id, "ngram", value)
    if min(len(words), len(one.words)) >= SHINGLE_WORDS:
        mine, theirs = _grams(words, SHINGLE), _grams(one.words, SHINGLE)
        value = len(mine & theirs) / len(mine | theirs)
        if value >= SHINGLE_LIMIT:
            return Hit(row, one.id, "shingle", value)
    same = one.keys <= set(words) and _numbers(words) == _numbers(one.words)
    if same and rouge_bound(words, one.words) >= ROUGE_LIMIT:
        value = rouge_l(words, one.words)
        if value >= ROUGE_LIMIT:
            return Hit(row, one.id, "rouge", value)
    return None


def _span(one: _Held) -> list[str]:
    """The item's words from its first to its last key word; all of them when it has none."""
    places = [place for place, word in enumerate(one.words) if word in one.keys]
    return one.words[places[0] : places[-1] + 1] if places else one.words


def _grams(words: Sequence[str], size: int) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + size]) for i in range(len(words) - size + 1)}


def _numbers(words: Sequence[str]) -> list[str]:
    return sorted(word for word in words if word[0].isdigit())
