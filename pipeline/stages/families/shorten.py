"""Revising a one-sentence story: cut it to a number of words with every fact kept, or change what a comment names."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.lexicon import CLASSES
from pipeline.stages.families.revising import RevisionFamily, presented
from pipeline.stages.families.stories import Story, draw_story, read_story
from pipeline.stages.families.text import number_words_to_digits, word_list, words
from pipeline.stages.families.worded import Facts, Labelled

_OPENINGS = (
    "As far as I can remember, ",
    "To tell you the truth, ",
    "I would like to tell you that ",
    "It may interest you to hear that ",
    "Believe it or not, ",
    "As you have perhaps heard already, ",
    "I think I should mention that ",
    "",
)
_CLOSINGS = (
    ", and that is really all there is to say about it.",
    ", in case you have ever wondered about it.",
    ", as everybody in our street knows by now.",
    ", as I have told you many times before.",
    ", and I say this only so that you know it.",
    ", which is what I wanted to tell you.",
)
_LINKING = frozenset(word_list("a an the and in on at by of has had have was were been that there"))
_COLOURS = frozenset(CLASSES["colours"].members)
_NAMED = r"[\"'“‘]?(?P<text>[A-Z][^\n\"“”:]*?[.]?)[\"'”’]?"


class Shorten(RevisionFamily):
    """ "Shorten this to at most 9 words and keep the facts": who, did what, how many, which colour and thing, where.

    The limit on words is what is asked for, so it is counted; nothing may be said that the long text does not say.
    """

    name = "shorten"
    max_new_tokens = 48
    fault = "The response is not a short version that keeps every fact"
    topic_fields = ("story",)
    slots: ClassVar[Mapping[str, str]] = {"n": r"(?P<n>\d{1,2})", "text": _NAMED}
    train_wordings = (
        "Shorten this to at most {n} words and keep the facts: {text}",
        "Say this in {n} words or fewer without losing a fact: {text}",
        "Make this shorter, at most {n} words, but keep all facts: {text}",
        "Cut this down to {n} words or less and keep what happened: {text}",
        "This is too long. Write it in at most {n} words with all its facts: {text}",
        "Remove the empty words from this, at most {n} words may stay: {text}",
        "Use no more than {n} words for the same facts: {text}",
        "Revise this to be brief, {n} words at most, facts included: {text}",
        "Improve this by shortening it to {n} words or fewer, with every fact: {text}",
        "{text} Write that in at most {n} words and lose no fact.",
    )
    eval_wordings = (
        "Please shorten this to no more than {n} words, keeping the facts: {text}",
        "Give the same facts in at most {n} words: {text}",
        "Trim this text to {n} words or fewer, but drop no fact: {text}",
        "Rewrite this briefly. Limit: {n} words. Keep every fact. Text: {text}",
        "Condense this into at most {n} words, with all the facts: {text}",
        "Get to the point in {n} words or less, facts included: {text}",
        "Tell only what happened, in at most {n} words: {text}",
        "Make a version of at most {n} words that keeps all facts: {text}",
        "My editor allows {n} words. Shorten this but keep its facts: {text}",
        "{text} Shorten that to {n} words at most, with the facts kept.",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        story = draw_story(namespace, rng)
        limit = len(story.text.split()) + rng.randint(0, 2)
        return {"text": rng.choice(_OPENINGS) + story.text.rstrip(".") + rng.choice(_CLOSINGS), "n": str(limit)}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        text, limit = " ".join(facts["text"].split()), int(facts["n"])
        text = text.rstrip(".") + "."
        core = next((text.removeprefix(opening) for opening in _OPENINGS if opening and text.startswith(opening)), text)
        core = next((core.removesuffix(end) for end in _CLOSINGS if core.endswith(end)), core)
        story = read_story(core)
        if story is None or core == text or len(story.text.split()) > limit:
            return None
        return story.text, {"story": story.text, "n": limit, "text": text}

    def judge(self, item: Item, text: str) -> Score:
        story = read_story(item.truth["story"])
        if story is None or not words(text):
            return Score(False, "empty")
        verdicts = [_judge_short(one, story, item.truth) for one in presented(text)]
        return next((verdict for verdict in verdicts if verdict.passed), verdicts[0])

    def harmless_suffix(self, text: str) -> str | None:  # noqa: ARG002
        return None  # the number of words is limited

    def corrupt(self, item: Item, rng: random.Random) -> str:
        story = read_story(item.truth["story"])
        if story is None:
            raise ValueError(f"the truth of {item.id} holds no story")
        kind = rng.choice(("same", "name", "colour", "number", "place"))
        if kind == "same":
            return str(item.truth["text"])
        if kind == "colour":
            other = rng.choice([c for c in ("red", "blue", "green", "white") if c != story.colour])
            return replace(story, colour=other).text
        if kind == "number":
            return item.answer.replace(f" {story.number} ", " ")
        if kind == "place":
            return f"{story.name} {story.past} {story.number} {story.colour} {story.thing}."
        return item.answer.replace(story.name, "Somebody")

    labelled = (
        Labelled(
            "Shorten this to at most 9 words and keep the facts: To tell you the truth, Anna bought 7 red pens "
            "at the market, in case you have ever wondered about it.",
            right=(
                "Anna bought 7 red pens at the market.",
                "Anna bought seven red pens at the market",
                "At the market, Anna bought 7 red pens.",
            ),
            wrong=(
                "Anna bought 7 red pens.",
                "Anna bought red pens at the market.",
                "Ben bought 7 red pens at the market.",
                "Anna bought 7 blue pens at the market.",
                "Anna sold 7 red pens at the market.",
                "You have wondered about it.",
            ),
            odd=(
                '"Anna bought 7 red pens at the market."',
                "Shorter version: Anna bought 7 red pens at the market.",
                "Anna has bought 7 red pens at the market.",
                "ANNA BOUGHT 7 RED PENS AT THE MARKET.",
                "Here is the shorter text: Anna bought seven red pens at the market.",
            ),
            trap=(
                "",
                "To tell you the truth, Anna bought 7 red pens at the market, in case you have ever wondered about it.",
                "Anna bought 7 or 8 red pens at the market.",
                "Anna never bought 7 red pens at the market.",
                "Anna, pens, 7, red, market",
                "pens red 7 bought Anna market the at",
                "Anna bought 7 red pens at the station.",
                "At the market, Anna bought 7 very nice red pens.",
                "Shorten this to at most 9 words.",
            ),
        ),
        Labelled(
            "My editor allows 8 words. Shorten this but keep its facts: Believe it or not, Tom lost three green cups "
            "yesterday, as everybody in our street knows by now.",
            right=("Tom lost three green cups yesterday.", "Yesterday Tom lost 3 green cups."),
            wrong=("Tom lost three cups yesterday.", "Tom lost three green cups."),
        ),
    )


def _judge_short(text: str, story: Story, truth: Mapping[str, Any]) -> Score:
    said = number_words_to_digits(" ".join(words(text)))
    number = number_words_to_digits(story.number)
    if len(said.split()) > truth["n"]:
        return Score(False, f"{len(said.split())} words, at most {truth['n']} allowed")
    allowed = set(number_words_to_digits(" ".join(words(truth["text"]))).split()) | _LINKING
    foreign = [word for word in said.split() if word not in allowed]
    if foreign:
        return Score(False, f"says something new: {foreign[0]}")
    name, past = story.name.casefold(), story.past
    facts = (
        (rf"\b{name} (?:has |had )?{past}\b|\b{past} by {name}\b", f"{story.name} {past}"),
        (rf"\b{number} {story.colour} {story.thing}\b", f"{story.number} {story.colour} {story.thing}"),
        (rf"\b{story.place.casefold()}\b", story.place),
    )
    lost = next((fact for pattern, fact in facts if not re.search(pattern, said)), None)
    if lost:
        return Score(False, f"lost a fact: {lost}")
    return Score(True, f"all facts in {len(said.split())} words")


class FollowFeedback(RevisionFamily):
    """ "Revise the sentence as the comment says": another name, number or colour, or no place; the rest stays."""

    name = "follow_feedback"
    max_new_tokens = 40
    fault = "The response does not change exactly what the comment names"
    topic_fields = ("story",)
    slots: ClassVar[Mapping[str, str]] = {
        "text": _NAMED,
        "comment": r"(?P<comment>it was [a-z]+, not [a-z]+|(?:there|they) were [a-z\d]+, not [a-z\d]+"
        r"|leave out where or when it was)",
    }
    train_wordings = (
        "Revise this sentence as the comment says. Sentence: {text} Comment: {comment}.",
        "{text} Correct that. Comment: {comment}.",
        "My friend read this: {text} Her comment: {comment}. Write it again.",
        "Change the sentence to fit the note. Note: {comment}. Sentence: {text}",
        "Feedback: {comment}. Improve this sentence with it: {text}",
        "Here is a sentence: {text} Here is the feedback: {comment}. Apply it.",
        "Draft: {text} Feedback from a reader: {comment}. New draft?",
        "Put this right: {text} What is wrong: {comment}.",
        "Update the sentence. Old: {text} Remark: {comment}.",
        "A reader says: {comment}. Rewrite the sentence: {text}",
    )
    eval_wordings = (
        "Use the feedback to revise the sentence. Sentence: {text} Feedback: {comment}.",
        "{text} Please edit that. The editor's note: {comment}.",
        "The teacher read this: {text} Her remark: {comment}. Give the new sentence.",
        "Adapt the sentence to the remark. Remark: {comment}. Sentence: {text}",
        "Comment: {comment}. Revise this sentence with it: {text}",
        "This is my sentence: {text} This is your advice: {comment}. Follow it.",
        "First draft: {text} Comment from a witness: {comment}. Second draft?",
        "Mend this report: {text} The mistake: {comment}.",
        "Write the improved sentence. Before: {text} Criticism: {comment}.",
        "Somebody objects: {comment}. Write the sentence anew: {text}",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        story = draw_story(namespace, rng)
        kind = rng.choice(("name", "number", "colour", "place"))
        if kind == "place":
            return {"text": story.text, "comment": "leave out where or when it was"}
        old, new = getattr(story, kind), getattr(story, kind)
        while number_words_to_digits(new) == number_words_to_digits(old):
            new = getattr(draw_story(namespace, rng), kind)
        subject = {"name": "it was", "number": "there were", "colour": "they were"}[kind]
        return {"text": story.text, "comment": f"{subject} {new}, not {old}"}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        story = read_story(facts["text"])
        if story is None:
            return None
        revised = _changed(story, " ".join(facts["comment"].split()))
        if revised is None:
            return None
        truth = {"story": story.text, "comment": facts["comment"], "accepted": [revised]}
        return revised, truth

    def original(self, item: Item) -> str:
        return str(item.truth["story"])

    def corrupt(self, item: Item, rng: random.Random) -> str:
        story, answer = item.truth["story"], item.answer
        said = answer.rstrip(".").split()
        other = " ".join([*said[:1], *said[2:]]) + "."
        return rng.choice((story, f"{item.truth['comment'].capitalize()}.", other, f"{story} {answer}"))

    labelled = (
        Labelled(
            "Revise this sentence as the comment says. Sentence: Anna bought 7 red pens at the market. "
            "Comment: they were blue, not red.",
            right=("Anna bought 7 blue pens at the market.", "Anna bought seven blue pens at the market"),
            wrong=(
                "Anna bought 7 red pens at the market.",
                "Anna bought 7 green pens at the market.",
                "Anna bought blue pens at the market.",
                "They were blue, not red.",
                "blue",
                "Ben bought 7 blue pens at the market.",
            ),
            odd=(
                '"Anna bought 7 blue pens at the market."',
                "Revised: Anna bought 7 blue pens at the market.",
                "The revised sentence is: Anna bought 7 blue pens at the market.",
                "Anna bought 7 red pens at the market. -> Anna bought 7 blue pens at the market.",
                "Anna bought 7 blue pens at the market. I changed the colour.",
            ),
            trap=(
                "",
                "Anna bought 7 blue or red pens at the market.",
                "Anna bought 7 blue, not red, pens at the market.",
                "Anna bought 7 blue pens.",
                "Anna bought 7 red blue pens at the market.",
                "Anna bought 7 blue pens at the market. Anna bought 7 red pens at the market.",
                "Anna did not buy 7 blue pens at the market.",
            ),
        ),
        Labelled(
            "Comment: it was Tom, not Anna. Revise this sentence with it: Anna lost three green cups in town.",
            right=("Tom lost three green cups in town.", "Tom lost 3 green cups in town."),
            wrong=("Anna lost three green cups in town.", "Tom and Anna lost three green cups in town."),
        ),
        Labelled(
            "Mend this report: Tom lost three green cups in town. The mistake: leave out where or when it was.",
            right=("Tom lost three green cups.",),
            wrong=("Tom lost three green cups in town.", "Tom lost three cups."),
            trap=("in town",),
        ),
    )


def _changed(story: Story, comment: str) -> str | None:
    """The story with the comment's change; None when the comment does not fit it."""
    if comment.casefold().startswith("leave out"):
        return f"{story.name} {story.past} {story.number} {story.colour} {story.thing}."
    match = re.fullmatch(r"(it was|there were|they were) (\w+), not (\w+)", comment, re.I)
    if match is None or match[2].casefold() == match[3].casefold():
        return None
    subject, new, old = match[1].casefold(), match[2], match[3]
    if subject == "it was" and old == story.name and new.istitle():
        return replace(story, name=new).text
    if subject == "there were" and old == story.number and number_words_to_digits(new).isdigit():
        return replace(story, number=new).text
    if subject == "they were" and old == story.colour and new in _COLOURS:
        return replace(story, colour=new).text
    return None
