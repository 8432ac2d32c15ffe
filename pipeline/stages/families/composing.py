"""Making a question or a sentence: about a topic, with two given words, of a given number of words."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.inflection import Plurals
from pipeline.stages.families.knowledge import LEAD_IN
from pipeline.stages.families.sentence_about import SentenceAbout
from pipeline.stages.families.text import bare, number_word, word_list, words
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

_WH = frozenset(word_list("what why how when where who whom whose which what's who's where's how's"))
_AUXILIARY = frozenset(
    word_list(
        """
is are was were am do does did can could will would shall should may might must has have had isn't aren't don't
doesn't didn't can't won't wouldn't haven't hasn't
"""
    )
)
_LIKING = re.compile(r"\b(I|we|you|they|people|children)((?:\s+\w+){0,2}?)\s+like\b", re.I)
_META = re.compile(r"\b(?:questions?|words|topic)\b", re.I)
_NUMBERS = {number_word(n): n for n in range(1, 21)}
_QUESTIONS = (
    "What do you know about {topic}?",
    "Why do so many people think about {topic}?",
    "What can children learn about {topic}?",
    "Where did you read about {topic}?",
    "Who told you so much about {topic}?",
    "How often do you talk about {topic}?",
)
_PAIRS = (
    "We talked about the {a} and the {b}.",
    "The {a} was not far from the {b}.",
    "She told us about the {a} and the {b}.",
    "He saw the {a} before he saw the {b}.",
)
_ABOUT = {
    2: ("I like",), 3: ("We all like", "I think about"), 4: ("We often talk about", "They know much about"),
    5: ("My sister often talks about", "He wrote a book about"), 6: ("My little sister often talks about",),
    7: ("My two sisters like to talk about", "Last night I had a dream about"),
    8: ("My friend likes to tell me stories about", "Last night we saw a good film about"),
}  # fmt: skip
"""Number of words -> openings of that many words; a topic follows each."""


class QuestionAbout(WordedFamily):
    """ "Ask one question about dogs.": a question in which the topic occurs, and no answer to it."""

    name = "question_about"
    slots: ClassVar[Mapping[str, str]] = {"topic": SentenceAbout.slots["topic"]}
    train_wordings = (
        "Write a question about {topic}.",
        "Ask one question about {topic}.",
        "Make a question about {topic}.",
        "Give me a question on the topic of {topic}.",
        "Think of a question about {topic} and write it.",
        "Write one question that a child might ask about {topic}.",
        "Ask me something about {topic}.",
        "I am writing a quiz. Give me one question about {topic}.",
        "Write a short question that has to do with {topic}.",
        "What could one ask about {topic}? Write the question.",
    )
    eval_wordings = (
        "Generate a question about {topic}.",
        "Create one question about {topic}.",
        "Please ask a question about {topic}.",
        "Come up with a question on {topic}.",
        "Compose a single question about {topic}.",
        "Provide a question for a quiz about {topic}.",
        "A teacher talks about {topic}. Write a question for the class.",
        "Produce an example of a question about {topic}.",
        "Formulate a question concerning {topic}.",
        "Pose a question on the subject of {topic}.",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        return SentenceAbout().draw(namespace, rng)

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        solved = SentenceAbout().solve(facts)
        if solved is None or _META.search(facts["topic"]):
            return None
        return _QUESTIONS[0].format(**solved[1]), solved[1]

    def vary(self, answer: str, truth: Mapping[str, Any], rng: random.Random) -> str:  # noqa: ARG002
        return rng.choice(_QUESTIONS).format(topic=truth["topic"])

    def judge(self, item: Item, text: str) -> Score:
        text = LEAD_IN.sub("", text.strip()).strip("\"“”'* ")
        if not text.endswith("?"):
            return Score(False, "does not end as a question")
        said = words(text)
        if not said or not (_WH & set(said) or said[0] in _AUXILIARY):
            return Score(False, "no question")
        if _META.search(text):
            return Score(False, "talks about the task")
        judged = about(item.truth["topic"], text.rstrip("? ") + ".")
        if "?" in text[:-1]:
            return Score(False, "more than one question")
        return Score(True, "one question about the topic") if judged.passed else judged

    def corrupt(self, item: Item, rng: random.Random) -> str:
        topic = item.truth["topic"]
        statement = f"Many people know something about {topic}."
        other = SentenceAbout().draw(Namespace.TRAIN, rng)["topic"]
        while other in topic or topic in other:
            other = SentenceAbout().draw(Namespace.CALIBRATION, rng)["topic"]
        foreign = rng.choice(_QUESTIONS).format(topic=other)
        return rng.choice((statement, foreign, f"{item.answer} {statement}"))

    def critique(self, item: Item, response: str, right: bool) -> str:
        if right:
            return f"The response is one question about {item.truth['topic']} and leaves the answer open."
        return (
            f"The response is not one open question about {item.truth['topic']}: {self.judge(item, response).reason}."
        )

    labelled = (
        Labelled(
            "Ask one question about dogs.",
            right=(
                "Why do dogs bark?",
                "What do dogs eat?",
                "Do you like dogs?",
                "How long does a dog live?",
                "Have you ever had a dog?",
            ),
            wrong=("Dogs bark.", "Why do cats purr?", "What?", "dogs", "What is the capital of France?", "Dogs?"),
            odd=(
                '"Why do dogs bark?"',
                "why do dogs bark at night when they hear a noise?",
                "Sure! Here is one: Which dog is the largest?",
                "If a dog could talk, what would it say?",
                "In which country do most dogs live?",
                "Are dogs loyal?",
            ),
            trap=(
                "",
                "Why do dogs bark? Because they are happy.",
                "Why do dogs bark? What do dogs eat?",
                "Ask one question about dogs.",
                "Can you ask a question about dogs?",
                "What about dogs?",
                "I wonder why dogs bark.",
                "Why do dogs bark",
                "Why do hotdogs taste good?",
                "What is a question about dogs?",
            ),
        ),
        Labelled("Pose a question on the subject of the moon.", right=("How far is the moon?",), wrong=("The moon?",)),
    )


class SentenceWith(WordedFamily):
    """ "Write a sentence that contains the words horse and river." """

    name = "sentence_with"
    slots: ClassVar[Mapping[str, str]] = {
        "a": r"[\"'“‘]?(?P<a>[a-z]+)[\"'”’]?",
        "b": r"[\"'“‘]?(?P<b>[a-z]+)[\"'”’]?",
    }
    train_wordings = (
        "Write a sentence that contains the words {a} and {b}.",
        "Make a sentence with the words {a} and {b}.",
        "Use {a} and {b} in one sentence.",
        "Give me one sentence in which {a} and {b} occur.",
        "Write one sentence with both {a} and {b} in it.",
        "Form a sentence from the words {a} and {b}.",
        "Think of a sentence that has {a} and {b} in it.",
        "Say something in one sentence. Use the words {a} and {b}.",
        "Put the words {a} and {b} into a sentence.",
        "I need a sentence. It must have the words {a} and {b}.",
    )
    eval_wordings = (
        "Create a sentence that uses the words {a} and {b}.",
        "Please write one sentence using {a} and {b}.",
        "Generate a sentence containing {a} and {b}.",
        "Compose a sentence that includes both {a} and {b}.",
        "Produce one sentence in which you use {a} and {b}.",
        "Come up with a sentence where {a} and {b} both appear.",
        "Build a sentence around the words {a} and {b}.",
        "Show me how to use {a} and {b} in the same sentence.",
        "Provide an example sentence with the words {a} and {b}.",
        "Write a sentence. The words {a} and {b} must be in it.",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        first = Plurals().draw(namespace, rng)["word"]
        while True:
            second = Plurals().draw(namespace, rng)["word"]
            if second not in first and first not in second:
                return {"a": first, "b": second}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        truth = {name: facts[name].casefold() for name in ("a", "b")}
        if truth["a"] == truth["b"] or any(Plurals().solve({"word": word}) is None for word in truth.values()):
            return None
        return _PAIRS[0].format(**truth), truth

    def vary(self, answer: str, truth: Mapping[str, Any], rng: random.Random) -> str:  # noqa: ARG002
        return rng.choice(_PAIRS).format(**truth)

    def topic(self, item: Item) -> str:
        return f"{item.truth['a']} {item.truth['b']}"

    def judge(self, item: Item, text: str) -> Score:
        text = LEAD_IN.sub("", text.strip())
        both = self.topic(item)
        if _META.search(text):
            return Score(False, "talks about the task")
        judged = about(_known_forms(both, text), text)
        return Score(True, "one sentence with both words") if judged.passed else judged

    def harmless_suffix(self, text: str) -> str | None:
        return SentenceAbout().harmless_suffix(text)

    def corrupt(self, item: Item, rng: random.Random) -> str:
        first, second = rng.sample((item.truth["a"], item.truth["b"]), 2)
        only = f"We talked about the {first} for a long time."
        return rng.choice((only, f"the {first} and the {second}", f"We saw the {first}. We saw the {second}."))

    def critique(self, item: Item, response: str, right: bool) -> str:
        both = f"{item.truth['a']} and {item.truth['b']}"
        if right:
            return f"The response is one sentence that contains {both}."
        return f"The response is not one sentence that contains {both}: {self.judge(item, response).reason}."

    labelled = (
        Labelled(
            "Write a sentence that contains the words horse and river.",
            right=(
                "The horse drinks from the river.",
                "A river runs past the field where my horse sleeps.",
                "I saw a horse near the river",
                "The horse was not far from the river.",
            ),
            wrong=("The horse is brown.", "The river is deep.", "horse and river", "Horse, river.", "I like fruit."),
            odd=(
                '"The horse crossed the river."',
                "Horses swim in rivers!",
                "Our horse, which is old, never goes near the river.",
                "Here is a sentence: The horse fell into the river.",
                "The river scared the horse.",
            ),
            trap=(
                "",
                "The horse ran. The river was deep.",
                "This sentence has a horse and a river.",
                "Write a sentence that contains the words horse and river.",
                "I use the words horse and river.",
                "A horse and a river",
                "Where is the horse that fell into the river?",
                "The seahorse swims in the river.",
                "horse river horse river horse river horse river",
            ),
        ),
        Labelled(
            "Use child and box in one sentence.", right=("The children opened their boxes.",), wrong=("A child.",)
        ),
    )


class SentenceOfLength(WordedFamily):
    """ "Write a sentence of exactly six words about dogs." """

    name = "sentence_of_length"
    slots: ClassVar[Mapping[str, str]] = {
        "topic": SentenceAbout.slots["topic"],
        "n": r"(?:exactly\s+)?(?P<n>\d{1,2}|" + "|".join(_NUMBERS) + ")",
    }
    train_wordings = (
        "Write a sentence of exactly {n} words about {topic}.",
        "Make a sentence about {topic} that has {n} words.",
        "Use exactly {n} words to write one sentence about {topic}.",
        "Write one sentence about {topic}. It must have {n} words.",
        "Say something about {topic} in a sentence of {n} words.",
        "Give me a sentence with {n} words about {topic}.",
        "In a sentence of {n} words, tell me about {topic}.",
        "Form a sentence about {topic} from {n} words.",
        "I need a sentence about {topic} which counts {n} words.",
        "Think of a sentence about {topic} with exactly {n} words.",
    )
    eval_wordings = (
        "Create a sentence about {topic} with exactly {n} words.",
        "Please write a sentence of {n} words on {topic}.",
        "Generate a sentence about {topic} that is {n} words long.",
        "Compose a sentence of exactly {n} words concerning {topic}.",
        "Produce one sentence about {topic} using {n} words.",
        "Come up with a sentence about {topic} in {n} words.",
        "Describe {topic} in a sentence that consists of {n} words.",
        "State something about {topic} in one sentence of {n} words.",
        "Provide a sentence about {topic}; its length must be {n} words.",
        "The topic is {topic}. Write a sentence with {n} words.",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        topic = SentenceAbout().draw(namespace, rng)["topic"]
        return {"topic": topic, "n": str(rng.choice(sorted(_ABOUT)[2:]) + len(topic.split()) - 1)}

    def fill(self, facts: Facts) -> Facts:
        return {"topic": facts["topic"], "n": number_word(int(facts["n"]))}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        solved = SentenceAbout().solve({"topic": facts["topic"]})
        asked = facts["n"].casefold()
        number = int(asked) if asked.isdigit() else _NUMBERS[asked]
        if solved is None or number - len(solved[1]["topic"].split()) not in _ABOUT:
            return None
        truth = {"topic": solved[1]["topic"], "n": number}
        return _sentences_of(truth)[0], truth

    def vary(self, answer: str, truth: Mapping[str, Any], rng: random.Random) -> str:  # noqa: ARG002
        return rng.choice(_sentences_of(truth))

    def judge(self, item: Item, text: str) -> Score:
        text = LEAD_IN.sub("", text.strip())
        judged = about(item.truth["topic"], text)
        if not judged.passed:
            return judged
        count = len(words(bare(text)))
        if count != item.truth["n"]:
            return Score(False, f"{count} words, wanted {item.truth['n']}")
        return Score(True, f"a sentence of {count} words")

    def corrupt(self, item: Item, rng: random.Random) -> str:
        said = item.answer.split()
        opening, topic = said[: item.truth["n"] - len(item.truth["topic"].split())], item.truth["topic"]
        more = " ".join([*opening, topic, rng.choice(("today", "again", "now"))]) + "."
        return rng.choice((more, f"{topic.capitalize()} matter.", " ".join(opening) + " nothing of it."))

    def critique(self, item: Item, response: str, right: bool) -> str:
        wanted = f"one sentence of {item.truth['n']} words about {item.truth['topic']}"
        if right:
            return f"The response is {wanted}."
        return f"The response is not {wanted}: {self.judge(item, response).reason}."

    labelled = (
        Labelled(
            "Write a sentence of exactly five words about dogs.",
            right=("Dogs are our best friends.", "My dog barks at night.", "I really like big dogs"),
            wrong=(
                "Dogs are loyal.",
                "Cats are our best friends.",
                "Dogs are our very best friends.",
                "dogs dogs dogs dogs dogs",
                "five",
            ),
            odd=(
                '"Dogs are our best friends."',
                "Dogs don't like cold water!",
                "Well-fed dogs sleep very long.",
                "Here is a sentence: Dogs are our best friends.",
                "The dogs ran home quickly.",
                "1. Dogs are our best friends.",
            ),
            trap=(
                "",
                "Dogs bark. Cats purr loudly.",
                "Do dogs like cold water?",
                "This sentence is about dogs.",
                "Big brown dogs and cats",
                "Dogs are our best friends (5 words).",
                "Dogs are our best friends. They help us.",
                "Write a sentence of exactly five words about dogs.",
            ),
        ),
        Labelled(
            "Make a sentence about the sea that has six words.",
            right=("We often swim in the sea.",),
            wrong=("The sea is deep.",),
        ),
    )


def about(topic: str, text: str) -> Score:
    """Is the text one sentence about the topic? "I like dogs" is one; alone, "like" would be taken for no verb."""
    return SentenceAbout().judge(Item("sentence_about", "", "", "", {"topic": topic}), _LIKING.sub(r"\1\2 love", text))


def _known_forms(both: str, text: str) -> str:
    """The two words, each in the number in which the text has it (child or children)."""
    said = set(words(text))
    found = []
    for word in both.split():
        solved = Plurals().solve({"word": word})
        forms = (word, *solved[1]["accepted"]) if solved else (word,)
        found.append(next((form for form in forms if form in said), word))
    return " ".join(found)


def _sentences_of(truth: Mapping[str, Any]) -> list[str]:
    openings = _ABOUT[truth["n"] - len(truth["topic"].split())]
    return [f"{opening} {truth['topic']}." for opening in openings]
