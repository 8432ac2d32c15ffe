"""Correcting one grammatical mistake, and leaving a sentence alone that has none."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.grammar_pool import ROWS, Mistake
from pipeline.stages.families.revising import RevisionFamily, canonical, judge_revision
from pipeline.stages.families.text import bare, share
from pipeline.stages.families.worded import Facts, Labelled

_TEXT = r"[\"'“‘]?(?P<text>[A-Z][^\n\"“”:]*?[.?]?)[\"'”’]?"
_NO_MISTAKE = re.compile(
    r"^(?:there (?:is|are) no (?:mistakes?|errors?)(?: here| in (?:it|this|the) ?(?:sentence|text)?)?"
    r"|(?:the|this) (?:sentence|text) is (?:already )?(?:correct|right)"
    r"|no (?:mistakes?|errors?|changes?)(?: needed)?)\s*[.:!]\s*",
    re.I,
)


class FixGrammar(RevisionFamily):
    """ "Correct the grammar: Yesterday she goed to the market.": the whole sentence, mended in a known way."""

    name = "fix_grammar"
    max_new_tokens = 40
    fault = "The response is not the sentence with its grammar corrected"
    slots: ClassVar[Mapping[str, str]] = {"text": _TEXT}
    train_wordings = (
        "Correct the grammar: {text}",
        "Correct the grammar mistake in this sentence: {text}",
        "Fix the grammar of this: {text}",
        "This sentence is not good English. Improve it: {text}",
        "Rewrite this sentence in correct English: {text}",
        "Say this correctly: {text}",
        "A learner wrote this. Correct it: {text}",
        "There is one grammar error here, mend it: {text}",
        "Make this sentence grammatical: {text}",
        "{text} Write that in proper English.",
    )
    eval_wordings = (
        "Please correct the grammar of this sentence: {text}",
        "Fix the grammatical error: {text}",
        "Put this into correct English: {text}",
        "My English is weak. How should I say this? {text}",
        "Edit this sentence for grammar: {text}",
        "Find the grammar mistake and write the right sentence: {text}",
        "A pupil wrote the following. Give the corrected sentence: {text}",
        "One thing is wrong with the grammar here. Repair it: {text}",
        "Revise this sentence so that it is good English: {text}",
        "{text} Write the same sentence without the mistake.",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        return {"text": rng.choice(_mistakes(namespace)).wrong}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        row = _by_wrong().get(_key(facts["text"]))
        if row is None:
            return None
        return row.accepted[0], {"word": row.key, "text": row.wrong, "accepted": list(row.accepted)}

    def corrupt(self, item: Item, rng: random.Random) -> str:
        return _spoilt(item, item.truth["text"], rng)

    labelled = (
        Labelled(
            "Correct the grammar: Yesterday she goed to the market.",
            right=(
                "Yesterday she went to the market.",
                "yesterday she went to the market",
                "Yesterday, she went to the market.",
            ),
            wrong=(
                "Yesterday she goed to the market.",
                "Yesterday she goes to the market.",
                "Yesterday she gone to the market.",
                "Yesterday she went.",
                "She was at the market.",
            ),
            odd=(
                '"Yesterday she went to the market."',
                "Corrected: Yesterday she went to the market.",
                "Yesterday she goed to the market. -> Yesterday she went to the market.",
                "The correct sentence is: Yesterday she went to the market.",
                "It should be: Yesterday she went to the market.",
                "**Corrected sentence:** Yesterday she went to the market.",
                "In good English one would say: Yesterday she went to the market.",
                'Yesterday she went to the market. "Goed" is not a word.',
                "Yesterday she went to the market. I changed the verb to went.",
            ),
            trap=(
                "",
                "went",
                "Yesterday she went to the market or goed to the market.",
                "Yesterday she went to the market. Yesterday she goed to the market.",
                "Yesterday he went to the market.",
                "Correct the grammar: Yesterday she goed to the market.",
                "Yesterday she did not go to the market.",
                "Yesterday she went to the marked.",
                "The grammar is wrong.",
            ),
        ),
        Labelled(
            "Please correct the grammar of this sentence: I do not know nothing about it.",
            right=("I do not know anything about it.", "I know nothing about it."),
            wrong=("I do not know nothing about it.", "I know about it."),
            trap=("I do not know.", "I know anything about it."),
        ),
    )


class MendOrKeep(RevisionFamily):
    """ "If this sentence has a mistake, correct it; if not, repeat it": half of the sentences have none.

    A correct sentence must come back unchanged; saying that it has no mistake and nothing else is not writing it.
    """

    name = "mend_or_keep"
    max_new_tokens = 40
    fault = "The response is neither a correct sentence left as it is nor a mistaken one corrected"
    slots: ClassVar[Mapping[str, str]] = {"text": _TEXT}
    train_wordings = (
        "Correct this sentence if it has a mistake, else repeat it: {text}",
        "If this is wrong, correct it; if it is right, copy it: {text}",
        "Write this sentence, corrected only where that is needed: {text}",
        "Change nothing but mistakes: {text}",
        "Give me this sentence back without mistakes, if it has any: {text}",
        "Correct what is wrong and leave the rest alone: {text}",
        "Check this sentence and write it correctly: {text}",
        "Is there an error here? Write the correct sentence: {text}",
        "Revise this only if you have to: {text}",
        "{text} Repeat that, and correct the grammar if it is wrong.",
    )
    eval_wordings = (
        "Mend this sentence if it is wrong, otherwise write it unchanged: {text}",
        "Write this sentence again and repair any mistake: {text}",
        "There may or may not be a mistake here. Write the correct sentence: {text}",
        "Proofread this, and do not change what is right: {text}",
        "Please return this sentence, corrected if necessary: {text}",
        "Leave this as it is unless it has an error: {text}",
        "Look for a mistake and write the sentence as it should be: {text}",
        "Give the correct form of this sentence, even if it is the same: {text}",
        "Edit this only where the grammar is wrong: {text}",
        "{text} Write it down again, with any error removed.",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        row = rng.choice(_mistakes(namespace))
        return {"text": rng.choice((row.wrong, row.accepted[0]))}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        said = _key(facts["text"])
        row = _by_right().get(said)
        if row is not None:
            text = next(one for one in row.accepted if _key(one) == said)
            return text, {"word": row.key, "text": text, "accepted": [text]}
        row = _by_wrong().get(said)
        if row is None:
            return None
        return row.accepted[0], {"word": row.key, "text": row.wrong, "accepted": list(row.accepted)}

    def judge(self, item: Item, text: str) -> Score:
        said = _NO_MISTAKE.sub("", text, count=1) if item.truth["text"] in item.truth["accepted"] else text
        if not bare(said):
            return Score(False, "empty" if not bare(text) else f"the sentence is missing, wanted {item.answer}")
        return judge_revision(said, item.truth["accepted"], self.original(item))

    def corrupt(self, item: Item, rng: random.Random) -> str:
        row = next(row for row in ROWS if row.key == item.truth["word"])
        return _spoilt(item, row.wrong, rng)

    labelled = (
        Labelled(
            "Correct this sentence if it has a mistake, else repeat it: The dogs are hungry.",
            right=("The dogs are hungry.", "the dogs are hungry", '"The dogs are hungry."'),
            wrong=(
                "The dogs is hungry.",
                "The dog is hungry.",
                "The dogs are not hungry.",
                "dogs",
                "The cats are hungry.",
            ),
            odd=(
                "There is no mistake: The dogs are hungry.",
                "The sentence is correct. The dogs are hungry.",
                "The sentence is: The dogs are hungry.",
                "The dogs are hungry. I left it as it is.",
            ),
            trap=(
                "",
                "The sentence is correct.",
                "There is no mistake.",
                "The dogs are very hungry.",
                "The dogs were hungry.",
                "The dogs are hungry. The dogs is hungry.",
                "Correct this sentence if it has a mistake, else repeat it: The dogs are hungry.",
                "The dogs are hungry or the dogs is hungry.",
                "hungry are the dogs",
            ),
        ),
        Labelled(
            "Leave this as it is unless it has an error: The dogs is hungry.",
            right=("The dogs are hungry.", "The dog is hungry."),
            wrong=("The dogs is hungry.", "There is no mistake: The dogs is hungry."),
            trap=("There is no mistake: The dogs are hungry.", "There is no mistake."),
        ),
    )


def _spoilt(item: Item, wrong: str, rng: random.Random) -> str:
    """The mistaken sentence, a sentence that lost a word, or one with its last words turned."""
    said = item.answer.rstrip(".?").split()
    place = rng.randrange(len(said))
    dropped = " ".join(said[:place] + said[place + 1 :])
    turned = " ".join([*said[:-2], said[-1], said[-2]])
    right = {canonical(one) for one in item.truth["accepted"]}
    return rng.choice([one for one in (wrong, dropped, turned) if canonical(one) not in right])


@lru_cache(maxsize=8)
def _mistakes(namespace: Namespace) -> tuple[Mistake, ...]:
    keys = set(share(namespace, (row.key for row in ROWS)))
    return tuple(row for row in ROWS if row.key in keys)


@lru_cache(maxsize=1)
def _by_wrong() -> dict[str, Mistake]:
    return {_key(row.wrong): row for row in ROWS}


@lru_cache(maxsize=1)
def _by_right() -> dict[str, Mistake]:
    return {_key(one): row for row in ROWS for one in row.accepted}


def _key(text: str) -> str:
    """A sentence as it is looked up: its closing mark may be missing."""
    return canonical(text).rstrip("? ")
