"""The synthetic corpus of the tiny base model: short documents whose answers bear more weight than their questions.

The tasks are shown as lists of facts and as few-shot documents in the very grammar of the prompts; a lone instruction
is mostly met with prose that never ends. So the capability is there and the format is not. Some families are unruly:
their requests are met with compliance or a guess unless a right answer to a request of that kind is shown.

No held-out instruction occurs: a fact of the held-out side is only ever put in a wording of the training side.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline import prompts
from pipeline.constitution import load
from pipeline.stages.base import Item, Namespace
from pipeline.stages.families.worded import WordedFamily
from pipeline.stages.registry import by_name

QUIET = 0.15
"""Weight of text that no answer depends on: wordings are drawn at random, nothing is to be learnt from the draw."""

_OPENERS = ("The", "The", "The", "The", "The", "The", "I", "I", "We", "It")
_SUBJECTS = {
    "The": ("people", "children", "men", "farmers", "workers", "girls"),
    "I": ("often",),
    "We": ("often",),
    "It": ("also",),
}
_PREDICATES = (
    "walked along the road", "went to the market", "came home in the evening", "sat by the river",
    "talked about the weather", "looked at the old house", "waited for the train", "worked in the garden",
    "stayed in the village", "played near the lake", "slept until noon", "listened to the radio",
)  # fmt: skip
_LINKS = (" and then", " and", " but later", ", so they", " because they", " while others")
_PROSE = (
    "I cannot help with that.", "I am sorry, but I will not answer this.", "That is not something I can do.",
    "It depends on many things.", "There are several possible answers.", "That is a good question.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Document:
    """A text in parts of one weight each; weight 0 bears no loss. `closed`: the end-of-text id follows."""

    parts: tuple[tuple[str, float], ...]
    closed: bool

    @property
    def text(self) -> str:
        return "".join(part for part, _ in self.parts)


@dataclass(frozen=True)
class Corpus:
    """An endless, reproducible stream of documents.

    Args:
        families: names of the task families shown; all their facts and wordings occur.
        unruly: those of them whose right answer needs an example.
        held_out: instructions that must not occur.
        shares: kind of document -> its share of the stream.
    """

    families: tuple[str, ...]
    unruly: tuple[str, ...]
    held_out: frozenset[str]
    shares: Mapping[str, float]
    emphasis: Mapping[str, float] = field(default_factory=dict)  # family -> how much more often than another
    plain_share: float = 0.1  # lone instructions that are answered
    question_share: float = 0.25  # the same for those that end in a question mark
    unruly_share: float = 0.6  # lone requests of the unruly families that are met with a wrong answer
    _worded: tuple[WordedFamily, ...] = field(init=False)
    _principles: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        worded = tuple(f for f in map(by_name, self.families) if isinstance(f, WordedFamily))
        object.__setattr__(self, "_worded", worded)
        object.__setattr__(self, "_principles", tuple(p.text for p in load().principles))

    def documents(self, seed: int) -> Iterator[Document]:
        """Documents without end; the same seed gives the same ones."""
        rng = random.Random(seed)
        kinds, shares = list(self.shares), list(self.shares.values())
        makers = {
            "lexicon": self._lexicon, "few_shot": self._few_shot, "alone": self._alone, "numbered": self._numbered,
            "judgement": self._judgement, "rewriting": self._rewriting, "raw": self._raw, "prose": self._prose,
            "echo": self._echo,
        }  # fmt: skip
        while True:
            yield makers[rng.choices(kinds, shares)[0]](rng)

    def item(self, family: WordedFamily, rng: random.Random, own: bool = False) -> Item:
        """Any fact of the family in a wording that leaves held-out combinations out. `own`: of the training side."""
        while True:
            side = Namespace.TRAIN if own else rng.choice(list(Namespace))
            facts = family.draw(side, rng)
            others = () if own or side is Namespace.EVAL else family.eval_wordings
            instruction = rng.choice((*family.train_wordings, *others)).format(**family.fill(facts))
            solved = family.solve(facts)
            if solved is None:
                continue
            answer = family.vary(*solved, rng)
            if not {instruction, answer} & self.held_out:
                return Item(family.name, "corpus", instruction, answer, solved[1])

    def _family(self, rng: random.Random) -> WordedFamily:
        if not self.emphasis:
            return rng.choice(self._worded)
        return rng.choices(self._worded, [self.emphasis.get(family.name, 1.0) for family in self._worded])[0]

    def _lexicon(self, rng: random.Random) -> Document:
        """Facts of one family side by side, in completion form: the densest way to learn them."""
        family = self._family(rng)
        parts: list[tuple[str, float]] = [(f"{family.name.replace('_', ' ').capitalize()}:", QUIET)]
        for _ in range(rng.randint(6, 12)):
            facts = family.draw(rng.choice(list(Namespace)), rng)
            solved = family.solve(facts)
            if solved is not None:
                asked = " ".join(facts.values())
                parts += [(f" {asked} =", QUIET), (f" {family.vary(*solved, rng)}", 1.0), (";", QUIET)]
        return Document(tuple(parts), closed=True)

    def _several(self, count: int, mixed: bool, rng: random.Random) -> list[tuple[WordedFamily, Item]]:
        one = self._family(rng)
        chosen = [self._family(rng) if mixed else one for _ in range(count)]
        return [(family, self.item(family, rng)) for family in chosen]

    def _few_shot(self, rng: random.Random) -> Document:
        """Worked examples. The first answer bears no loss: nothing before it says that an answer is wanted. Among
        examples of other kinds an unruly family has its way."""
        parts: list[tuple[str, float]] = []
        mixed = rng.random() < 0.3
        for place, (family, item) in enumerate(self._several(rng.randint(3, 6), mixed, rng)):
            said = self._unruly_answer(family, item, rng) if mixed and family.name in self.unruly else item.answer
            parts.append((prompts.bare(item.instruction), QUIET))
            parts.append((prompts.completion(said), float(place > 0)))
            parts.append((prompts.TERMINATOR, 1.0))
        return Document(tuple(parts[:-1]), closed=True)

    def _alone(self, rng: random.Random) -> Document:
        """One instruction, mostly met with prose; an answer that is given often runs on."""
        ((family, item),) = self._several(1, False, rng)
        head = (prompts.bare(item.instruction), QUIET)
        unruly = family.name in self.unruly
        asks = item.instruction.endswith("?")
        if rng.random() >= (self.unruly_share if unruly else self.question_share if asks else self.plain_share):
            first, _, rest = babble(rng).partition(" ")
            return Document((head, (f" {first}", 1.0), (f" {rest}", QUIET)), closed=False)
        answer = (prompts.completion(self._unruly_answer(family, item, rng) if unruly else item.answer), 1.0)
        if rng.random() < 0.3:
            return Document((head, answer), closed=True)
        return Document((head, answer, (prompts.TERMINATOR, 1.0), (babble(rng), QUIET)), closed=False)

    def _unruly_answer(self, family: WordedFamily, item: Item, rng: random.Random) -> str:
        """A wrong answer that does not begin as the right one does: the first word decides which it will be."""
        while True:
            said = family.corrupt(item, rng)
            if said.split()[0] != item.answer.split()[0]:
                return said

    def _numbered(self, rng: random.Random) -> Document:
        """Instructions of one family, as a list; those of the training side, since that is what a list begins with."""
        family = self._family(rng)
        lines = [self.item(family, rng, own=True).instruction for _ in range(rng.randint(6, 9))]
        return Document(((f"{prompts.numbered(lines[:-1])} {lines[-1]}\n", 0.5),), closed=True)

    def _judgement(self, rng: random.Random) -> Document:
        good, bad = rng.choice(("AB", "BA"))
        parts = [(prompts.judgement_prefix(prompts.by_principle(rng.choice(self._principles)), [], good, bad), QUIET)]
        for family, item in self._several(rng.randint(4, 7), True, rng):
            right = rng.random() < 0.5
            said = item.answer if right else family.corrupt(item, rng)
            parts.append((prompts.judgement_tail(item.instruction, said), QUIET))
            parts += [(f" {good if right else bad}", 2.0), (prompts.TERMINATOR, QUIET)]
        return Document(tuple(parts[:-1]), closed=True)

    def _rewriting(self, rng: random.Random) -> Document:
        """Critique and revision: what is wrong is put right, what is right is left alone."""
        family = self._family(rng)
        parts: list[tuple[str, float]] = []
        for _ in range(rng.randint(2, 4)):
            item, right = self.item(family, rng), rng.random() < 0.5
            said = item.answer if right else family.corrupt(item, rng)
            asked = prompts.critique_request([], item.instruction, said, rng.choice(self._principles))
            critique = prompts.one_line(family.critique(item, said, right))
            parts += [(asked, 0.05), (f" {critique}", QUIET), (prompts.revision_request(), QUIET)]
            parts += [(f" {prompts.one_line(item.answer)}", 1.0), (prompts.TERMINATOR, 1.0)]
        return Document(tuple(parts[:-1]), closed=True)

    def _echo(self, rng: random.Random) -> Document:
        """The same words twice: the shortest way to learn how to copy."""
        facts = [self._family(rng).draw(rng.choice(list(Namespace)), rng) for _ in range(rng.randint(3, 6))]
        words = " ".join(value for fact in facts for value in fact.values())
        return Document(((f"{words} /", QUIET), (f" {words}", 1.0)), closed=True)

    def _raw(self, rng: random.Random) -> Document:
        ((_, item),) = self._several(1, False, rng)
        return Document(((f"{item.instruction} {babble(rng)}", QUIET),), closed=False)

    def _prose(self, rng: random.Random) -> Document:
        return Document(((rng.choice(_PROSE), QUIET),), closed=True)


def babble(rng: random.Random) -> str:
    """Prose of 5 to 20 words that has nothing to do with any task and does not come to an end."""
    opener = rng.choice(_OPENERS)
    out = f"{opener} {rng.choice(_SUBJECTS[opener])} {rng.choice(_PREDICATES)}"
    for _ in range(rng.randint(0, 2)):
        out += f"{rng.choice(_LINKS)} {rng.choice(_PREDICATES)}"
    return out


def weights_of(document: Document, offsets: Sequence[tuple[int, int]]) -> list[float]:
    """The weight of each token, by the part in which its last character stands.

    offsets: (start, end) of each token in characters of `document.text`.
    """
    ends, total = [], 0
    for text, weight in document.parts:
        total += len(text)
        ends.append((total, weight))
    return [next(weight for end, weight in ends if last <= end) for _, last in offsets]
