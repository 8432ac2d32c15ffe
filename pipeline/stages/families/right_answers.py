"""Judging answers to questions of fact: is an answer right, and which of two is better. The facts are stage 1's own;
wrong answers are made from right ones, so the label is known by construction and confirmed by stage 1's checkers."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace
from pipeline.stages.families.arithmetic import Arithmetic
from pipeline.stages.families.capitals import Capitals
from pipeline.stages.families.inflection import PastTense, Plurals
from pipeline.stages.families.opposites import Opposites
from pipeline.stages.families.verdicts import ChoiceVerdict, YesNoVerdict, yes_or_no
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

SOURCES: tuple[WordedFamily, ...] = (Capitals(), Opposites(), Plurals(), PastTense(), Arithmetic())
_FIELDS = tuple(
    frozenset(row.split())
    for row in """
true false right wrong good bad yes no positive negative guilty innocent better worse best worst honest dishonest
up down over under top bottom tall short inside outside in out on off north south east west left right front back
forward backward entrance exit import export here there near far
big small tall short long wide narrow thick thin deep shallow many few more less major minor maximum minimum increase
decrease add subtract multiply divide full empty
light dark black white day night noon midnight dawn dusk summer winter sharp dull heaven hell clean dirty
young old new ancient modern fresh stale early late raw cooked
begin end first last birth death life open closed before after early late push pull start
happy sad smile frown laugh cry love hate kind unkind sweet sour friend enemy peace war attack defend
give take buy sell borrow lend teach learn rich poor cheap expensive generous stingy push pull
strong weak hard soft easy difficult fast slow smooth rough tight loose straight crooked sharp dull possible impossible
kind unkind polite rude generous stingy brave cowardly honest dishonest patient impatient good bad nice lazy hardworking
sick healthy alive dead life death asleep awake strong weak ugly beautiful birth
everything nothing everybody nobody always never often rarely all none many few more less
come go arrive leave appear disappear present absent here there visible invisible enter
hero villain friend enemy brave cowardly optimist pessimist
man woman boy girl male female king queen husband wife brother sister father mother
win lose victory defeat success failure profit loss lucky unlucky better worse
build destroy lock unlock open closed freeze melt float sink hot cold wet dry
wise foolish remember forget question answer ask accept reject
public private visible invisible legal illegal safe dangerous wild tame same different temporary permanent
loud quiet whisper shout sit stand vertical horizontal singular plural
""".strip().splitlines()
)
"""Words so close in meaning that the opposite of one might pass for the opposite of another."""
_QUESTION = r"[\"'“‘]?(?P<question>[A-Z][^?\"“”]*\?)[\"'”’]?"
_PREDICATE = (
    r"(?:^\W*|\b(?:is|was|are|looks|seems)\s+(?:not\s+)?|['’]s\s+(?:not\s+)?)(?:(?:quite|entirely|indeed|a|the)\s+)?"
)
_PREDICATE_END = (
    r"\b(?:\s+answer\W*$|(?!\s+(?:answer|one|reply|plural|past|form|capital|city|word|opposite|result|number)))"
)
"""So that "the right answer is Paris" is not read as "the answer is right"."""


class RightAnswer(YesNoVerdict):
    """ "Is this answer correct? Question: What is 7 + 5? Answer: 13": Yes or No."""

    name = "right_answer"
    slots: ClassVar[Mapping[str, str]] = {
        "question": _QUESTION,
        "answer": r"[\"'“‘]?(?P<answer>-?\w[\w'’ -]*?)[\"'”’]?",
    }
    train_wordings = (
        "Is this answer correct? Question: {question} Answer: {answer}",
        "Question: {question} Answer: {answer}. Is the answer right?",
        'Someone asked "{question}" and was told "{answer}". Is that right?',
        'To the question "{question}" a pupil wrote "{answer}". Is it correct?',
        "Say whether the reply is right. {question} {answer}",
        "Would you mark this as correct? {question} {answer}",
        "A quiz asked: {question} The reply was: {answer}. Was the reply right?",
        "Here is a question and a reply: {question} {answer}. Is the reply correct?",
        'The book asks "{question}" and my answer is "{answer}". Am I right?',
        "Judge the reply. {question} Reply: {answer}",
    )
    eval_wordings = (
        "Has this question been answered correctly? {question} Answer: {answer}",
        'Is "{answer}" a correct answer to the question "{question}" or not?',
        "Check the answer: {question} {answer}. Is it right?",
        'My friend was asked "{question}" and said "{answer}". Was my friend right?',
        "Question: {question} Reply: {answer}. Does the reply give the right answer?",
        "Decide whether this reply is correct. {question} {answer}",
        "In a test we read: {question} Somebody filled in: {answer}. Is that correct?",
        "Please mark this work, yes for right and no for wrong. {question} {answer}",
        'Yes or no, is "{answer}" right when somebody asks "{question}" in a quiz?',
        "Would a teacher accept this? {question} {answer}",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        asked, right, wrong = fact(namespace, rng)
        return {"question": asked, "answer": right if rng.random() < 0.5 else wrong}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        source = read(facts["question"])
        if source is None:
            return None
        said = facts["answer"]
        yes = by_family()[source.family].check(source, said).passed
        return yes_or_no(yes), {**_about(source), "said": said, "yes": yes}

    def claims(self, item: Item) -> tuple[str, str]:  # noqa: ARG002
        right, wrong = "correct|right|true|accurate", "wrong|incorrect|false|mistaken|inaccurate"
        return rf"{_PREDICATE}(?:{right}){_PREDICATE_END}", rf"{_PREDICATE}(?:{wrong}){_PREDICATE_END}"

    def topic(self, item: Item) -> str:
        return f"{item.truth['kind']} {item.truth['about']}"

    def ground(self, item: Item) -> str:
        return f"{item.truth['said']} is {'a right' if item.truth['yes'] else 'not the right'} answer"

    labelled = (
        Labelled(
            "Is this answer correct? Question: What is the capital of France? Answer: Rome",
            right=("No", "No.", "No, it is not.", "It is wrong.", "No, the capital of France is Paris."),
            wrong=("Yes", "Yes, it is correct.", "Rome", "Paris", "It is right.", "I like Paris."),
            odd=(
                "Incorrect",
                "**No**",
                "The answer is not correct.",
                "No, the right answer is Paris.",
                "That is false.",
            ),
            trap=(
                "",
                "Yes or no",
                "The correct answer is Rome.",
                "No, it is correct.",
                "Correct or incorrect",
                "It is not wrong.",
                "Is this answer correct",
                "No. Yes.",
                "It depends.",
                "No\nSay whether the reply is right. What is 7 + 5? 12",
                "not sure",
                "It might be wrong.",
            ),
        ),
        Labelled(
            "Question: What is 7 + 5? Reply: 12. Does the reply give the right answer?",
            right=("Yes", "Yes, 7 + 5 = 12.", "It is correct.", "Yes, that is right."),
            wrong=("No", "No, it is 13.", "12"),
            odd=("Correct!", "That's right.", "Yes, the reply is not wrong.", "The reply is the right answer."),
            trap=("Yes, it is wrong.", "yes yes", "Yes. No, wait, it is wrong."),
        ),
    )


class BetterAnswer(ChoiceVerdict):
    """ "Which answer is better? What is the capital of France? A: Rome B: Paris": the letter of the right one."""

    name = "better_answer"
    praise = r"\b(?:right|correct|better|best|true|accurate)\b"
    blame = r"\b(?:wrong|incorrect|worse|false|mistaken|inaccurate)\b"
    slots: ClassVar[Mapping[str, str]] = {
        "question": _QUESTION,
        "a": r"[\"'“‘]?(?P<a>-?\w[\w'’ -]*?)[\"'”’]?",
        "b": r"[\"'“‘]?(?P<b>-?\w[\w'’ -]*?)[\"'”’]?",
    }
    train_wordings = (
        "Which answer is better? {question} A: {a} B: {b}",
        "{question} A: {a} or B: {b}. Which is right?",
        "Question: {question} Answer A: {a}. Answer B: {b}. Choose the better answer.",
        "Two pupils were asked: {question} A wrote {a}, B wrote {b}. Who is right?",
        "Pick the right answer to the question. {question} A: {a}, B: {b}",
        "Compare two answers. {question} A: {a}; B: {b}. Which one is correct?",
        "Say which reply is better, A or B. {question} A: {a} B: {b}",
        "Of the answers A: {a} and B: {b}, which one answers this question: {question} Say A or B.",
        "Somebody asks: {question} Is it better to say A: {a} or B: {b}?",
        "Look at both answers, A: {a} and B: {b}. The question was: {question} Which is better?",
    )
    eval_wordings = (
        "Which of these two answers is the better one? {question} A: {a} B: {b}",
        "Question: {question} A says {a}. B says {b}. Which of them is correct?",
        "Here are two replies to one question. {question} A: {a}, B: {b}. Which would you prefer?",
        "Choose A or B as the better reply. {question} A: {a} B: {b}",
        "Somebody wants to know: {question} Which answer is right, A: {a} or B: {b}?",
        "Answer with a letter: {question} A: {a} B: {b}",
        "My sister asked: {question} Should I tell her A: {a} or B: {b}?",
        "Decide between the two. {question} A: {a}; B: {b}",
        "In a quiz there was this: {question} A: {a}. B: {b}. Which letter is correct?",
        'A: {a} B: {b} Which of these is the right answer to "{question}" here?',
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        asked, right, wrong = fact(namespace, rng)
        first, second = rng.choice(((right, wrong), (wrong, right)))
        return {"question": asked, "a": first, "b": second}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        source = read(facts["question"])
        if source is None:
            return None
        check = by_family()[source.family].check
        good = [check(source, facts[name]).passed for name in ("a", "b")]
        if good[0] == good[1]:
            return None
        letter = "A" if good[0] else "B"
        return letter, {**_about(source), "a": facts["a"], "b": facts["b"], "value": letter}

    def topic(self, item: Item) -> str:
        return f"{item.truth['kind']} {item.truth['about']}"

    def ground(self, item: Item) -> str:
        return f"{item.truth[item.answer.casefold()]} is the right answer"

    labelled = (
        Labelled(
            "Which answer is better? What is the capital of France? A: Rome B: Paris",
            right=("B", "B.", "Paris", "B: Paris", "B is better.", "The answer is B."),
            wrong=("A", "Rome", "A: Rome", "A is the better answer.", "C", "London"),
            odd=(
                "b",
                "(B)",
                "B is better than A.",
                "Option B",
                "B, because Paris is the capital of France.",
                "A is wrong.",
                "Paris is correct.",
                "I would choose B",
                "The capital of France is Paris.",
                "The better answer is B.",
                "I prefer B.",
                "Paris, not Rome.",
                "B. Rome is the capital of Italy.",
                "B. A is wrong.",
                "A is wrong, B is right.",
            ),
            trap=(
                "",
                "A or B",
                "A and B",
                "B: Rome",
                "B is worse.",
                "Both are right",
                "A: Rome B: Paris",
                "B, A",
                "Berlin",
                "Neither",
                "B B",
                "A city",
                "B is not correct.",
                "Rome or Paris",
                "B\nWhich answer is better? What is 7 + 5? A: 12 B: 13",
                "Rome is better.",
                "The capital of France is Rome.",
                "I like Paris.",
                "B. Rome is better.",
                "B. Rome",
                "Rome, not Paris.",
                "The capital of France is not Paris.",
            ),
        ),
        Labelled(
            "Choose A or B as the better reply. What is 7 + 5? A: 12 B: 13",
            right=("A", "12", "A is right."),
            wrong=("B", "13"),
            odd=("A, since 7 + 5 = 12", "B is wrong."),
            trap=("A and B is right.", "12 and 13", "A is right and B is right."),
        ),
    )


def fact(namespace: Namespace, rng: random.Random) -> tuple[str, str, str]:
    """(question, right answer, wrong answer) from one of stage 1's families.

    A wrong capital or opposite is the right one of another entry, so that no answer tells by itself what it is;
    an uninflected word is given often enough that the longer form is not the wrong one.
    """
    family = rng.choice(SOURCES)
    source = _question(family, namespace, rng)
    check = family.check
    while True:
        if isinstance(family, Capitals | Opposites):
            wrong = _question(family, namespace, rng).answer
        elif isinstance(family, Plurals | PastTense) and rng.random() < 0.3:
            wrong = str(source.truth["word"])
        else:
            wrong = family.corrupt(source, rng)
        doubtful = isinstance(family, Opposites) and _close(str(source.truth["word"]), wrong)
        if not doubtful and not check(source, wrong).passed and not wrong.startswith("-"):
            return source.instruction, source.answer, wrong


def _question(family: WordedFamily, namespace: Namespace, rng: random.Random) -> Item:
    """A fact of the namespace, asked in the family's plainest wording."""
    item = family.parse(family.train_wordings[0].format(**family.fill(family.draw(namespace, rng))))
    if item is None:
        raise ValueError(f"family {family.name} cannot read its own wording")
    return item


def _close(word: str, other: str) -> bool:
    return any({word, other} <= field for field in _FIELDS)


@lru_cache(maxsize=4096)
def read(question: str) -> Item | None:
    """The stage-1 item that a question states, if it is one of the sources'."""
    return next((item for family in SOURCES if (item := family.parse(question)) is not None), None)


@lru_cache(maxsize=1)
def by_family() -> Mapping[str, WordedFamily]:
    """The sources by name."""
    return {family.name: family for family in SOURCES}


def _about(source: Item) -> dict[str, str]:
    """What the question is about: the country, the word, or both numbers in order."""
    truth = source.truth
    about = truth.get("country") or truth.get("word") or f"{min(truth['a'], truth['b'])} {max(truth['a'], truth['b'])}"
    return {"kind": source.family, "about": str(about)}
