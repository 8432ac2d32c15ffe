"""Revisions on the surface of a short text: drop a doubled word, follow feedback on letters and order."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace
from pipeline.stages.families.copying import Copy
from pipeline.stages.families.revising import RevisionFamily
from pipeline.stages.families.worded import Facts, Labelled

_FEEDBACK = {
    "write it in capital letters": "capitals",
    "use capital letters only": "capitals",
    "write it in small letters": "small",
    "use small letters only": "small",
    "turn the order of the words": "order",
    "put the last word first": "order",
    "leave out the last word": "last",
    "drop the last word": "last",
}


class DropRepeat(RevisionFamily):
    """ "Remove the word that stands twice: the old old house": the text with that word once."""

    name = "drop_repeat"
    max_new_tokens = 24
    fault = "The response does not have every word exactly once"
    slots: ClassVar[Mapping[str, str]] = {"text": r"[\"'“‘]?(?P<text>[a-z]+(?:\s+[a-z]+){2,8})[\"'”’]?"}
    train_wordings = (
        "Remove the word that stands twice: {text}",
        "One word is doubled, take one away: {text}",
        "Drop the repeated word: {text}",
        "Delete the double word: {text}",
        "Correct the repetition: {text}",
        "A word was typed twice here. Correct it: {text}",
        'Write "{text}" without the repeated word.',
        "Fix the doubled word: {text}",
        "Revise this so that no word stands twice: {text}",
        "Say each word only once: {text}",
    )
    eval_wordings = (
        "Remove the repetition: {text}",
        "Take out the doubled word: {text}",
        "Please delete the word that is repeated: {text}",
        "Clean up the double word in this text: {text}",
        "This text repeats a word. Remove it: {text}",
        "One word stands here twice, correct that: {text}",
        'Rewrite "{text}" with no doubled word.',
        "Leave out the second copy of the word: {text}",
        "Repair the text by dropping the repeat: {text}",
        "Strike out the word written twice: {text}",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        said = ["the", *_phrase(namespace, rng).split()]
        place = rng.randrange(1, len(said))
        return {"text": " ".join([*said[:place], said[place], *said[place:]])}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        said = facts["text"].casefold().split()
        doubled = [place for place in range(1, len(said)) if said[place] == said[place - 1]]
        if len(doubled) != 1 or len(set(said)) != len(said) - 1:
            return None
        once = " ".join(said[: doubled[0]] + said[doubled[0] + 1 :])
        return once, {"phrase": once.removeprefix("the "), "text": " ".join(said), "accepted": [once]}

    def corrupt(self, item: Item, rng: random.Random) -> str:
        text: str = item.truth["text"]
        said = text.split()
        double = next(word for place, word in enumerate(said[1:], 1) if word == said[place - 1])
        neither = " ".join(word for word in said if word != double)
        shorter = " ".join(item.answer.split()[:-1])
        return rng.choice((text, neither, double, shorter))

    labelled = (
        Labelled(
            "Remove the word that stands twice: the old old house",
            right=("the old house", "The old house.", '"the old house"', "the  old house"),
            wrong=("the old old house", "the house", "old", "the old", "old house", "the new house"),
            odd=(
                "Corrected: the old house",
                "the old old house -> the old house",
                "Here is the corrected text: the old house",
                "The correct phrase is the old house.",
                "The old house. I removed one word.",
                "THE OLD HOUSE",
            ),
            trap=(
                "",
                "the old house the old house",
                "Remove the word that stands twice",
                "the old house or the house",
                "the house old",
                "the old house\nthe old old house",
                "The word that stands twice is old.",
                "the old house is nice",
                "the oldold house",
            ),
        ),
        Labelled(
            'Rewrite "the salty table and and spoon" with no doubled word.',
            right=("the salty table and spoon",),
            wrong=("the salty table spoon", "the salty table and and spoon"),
        ),
    )


class ApplyForm(RevisionFamily):
    """ "Revise the text 'small house' as the feedback says: write it in capital letters": "SMALL HOUSE"."""

    name = "apply_form"
    max_new_tokens = 24
    exact_case = True
    fault = "The response does not follow the feedback"
    topic_fields = ("phrase",)
    slots: ClassVar[Mapping[str, str]] = {
        "text": r"[\"'“‘]?(?P<text>[a-z]+(?:\s+[a-z]+){1,5})[\"'”’]?",
        "feedback": f"(?P<feedback>{'|'.join(_FEEDBACK)})",
    }
    train_wordings = (
        "Revise the text '{text}' as the feedback says: {feedback}",
        "Text: {text}. Feedback: {feedback}.",
        "Change '{text}' like this: {feedback}",
        "Somebody says of '{text}': {feedback}. Do so.",
        "Follow the feedback. Feedback: {feedback}. Text: {text}",
        "Here is my text: {text}. My wish: {feedback}.",
        "Improve '{text}' by this rule: {feedback}",
        "Take the text '{text}' and {feedback}.",
        "Apply this to the text '{text}': {feedback}",
        "Rewrite '{text}' as I ask: {feedback}",
    )
    eval_wordings = (
        "Revise '{text}' with this feedback: {feedback}",
        "Draft: {text}. Comment: {feedback}.",
        "Edit the words '{text}' as told: {feedback}",
        "My teacher read '{text}' and said: {feedback}. Please do that.",
        "Heed the comment. Comment: {feedback}. Text: {text}",
        "This is the draft: {text}. The request is: {feedback}.",
        "Make this change to '{text}': {feedback}",
        "Look at the text '{text}' and {feedback}.",
        "Give a new version of '{text}' after this advice: {feedback}",
        "With the words '{text}', do this: {feedback}",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        feedback, text = rng.choice(list(_FEEDBACK)), _phrase(namespace, rng, at_most=2)
        return {"text": text.upper() if _FEEDBACK[feedback] == "small" else text, "feedback": feedback}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        text, kind = " ".join(facts["text"].split()), _FEEDBACK[facts["feedback"].casefold()]
        revised = _revised(text, kind)
        if revised == text:
            return None
        accepted = [revised] if kind in {"capitals", "small"} else [revised, revised.capitalize()]
        return revised, {"phrase": text.casefold(), "kind": kind, "text": text, "accepted": accepted}

    def corrupt(self, item: Item, rng: random.Random) -> str:
        text: str = item.truth["text"]
        others = {_revised(text, kind) for kind in ("capitals", "small", "order", "last")} - {item.answer}
        return rng.choice([*sorted(others), f"{item.answer} {item.answer}"])

    labelled = (
        Labelled(
            "Revise the text 'small house' as the feedback says: write it in capital letters",
            right=("SMALL HOUSE", "SMALL HOUSE.", '"SMALL HOUSE"', "The revised text is SMALL HOUSE."),
            wrong=("small house", "Small House", "SMALL house", "HOUSE", "house small", "BIG HOUSE"),
            odd=("**SMALL HOUSE**", "Revised: SMALL HOUSE", "small house -> SMALL HOUSE", "'SMALL HOUSE'"),
            trap=(
                "",
                "SMALL HOUSE SMALL HOUSE",
                "SMALL HOUSE or small house",
                "write it in capital letters",
                "WRITE IT IN CAPITAL LETTERS",
                "SMALLHOUSE",
                "HOUSE SMALL",
                "SMALL HOUSE -> small house",
                "SMALL",
            ),
        ),
        Labelled(
            "Draft: green lantern. Comment: put the last word first.",
            right=("lantern green", "lantern green."),
            wrong=("green lantern", "lantern", "LANTERN GREEN"),
            odd=("The new text is: lantern green", "Lantern green."),
        ),
        Labelled(
            "With the words 'OLD TIGER', do this: use small letters only",
            right=("old tiger",),
            wrong=("OLD TIGER", "Old tiger"),
        ),
        Labelled(
            "Revise 'old tiger' with this feedback: leave out the last word",
            right=("old", '"old"'),
            wrong=("tiger", "old tiger"),
            trap=("old tiger old",),
        ),
    )


def _phrase(namespace: Namespace, rng: random.Random, at_most: int = 4) -> str:
    """A phrase of two words or more from the pools of copying."""
    while True:
        phrase = Copy().draw(namespace, rng)["phrase"]
        if 2 <= len(phrase.split()) <= at_most:
            return phrase


def _revised(text: str, kind: str) -> str:
    said = text.split()
    if kind == "order":
        return " ".join(said[::-1]) if len(said) == 2 else text
    if kind == "last":
        return " ".join(said[:-1])
    return text.upper() if kind == "capitals" else text.lower()
