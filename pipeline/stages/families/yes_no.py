"""Questions to be answered only with yes or no: membership in a class, and which of two numbers is greater."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.lexicon import CLASSES
from pipeline.stages.families.text import bare, portion, share, with_article
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

_ASKED = (
    "fruits", "vegetables", "animals", "tools", "vehicles", "flowers", "musical instruments", "pieces of furniture",
    "pieces of clothing", "sports",
)  # fmt: skip
_BEST_KNOWN = 16
_BY_SINGULAR = {CLASSES[name].singular: CLASSES[name] for name in _ASKED}


class YesNo(WordedFamily):
    """ "Answer only yes or no: is a rose a flower?": the label and nothing else, since nothing else was asked for."""

    name = "yes_no"
    shared_answers = True
    max_new_tokens = 16
    slots: ClassVar[Mapping[str, str]] = {
        "question": r"(?:is\s+(?:an?\s+|the\s+)?(?P<x>[a-z][a-z -]*?)\s+(?:an?|one\s+of\s+the)\s+(?P<kind>[a-z ]+?)"
        r"|is\s+(?P<a>\d{1,6})\s+(?P<than>greater|larger|bigger|more|less|smaller)\s+than\s+(?P<b>\d{1,6}))\??"
    }
    train_wordings = (
        "Answer only yes or no: {question}",
        "Answer yes or no. {question}",
        "{question} Answer with yes or no only.",
        "Reply with yes or no: {question}",
        "Say yes or no: {question}",
        "{question} Yes or no?",
        "Answer this question with yes or no: {question}",
        "Write yes or no. {question}",
        "In one word, yes or no: {question}",
        "Only yes or no is allowed. {question}",
    )
    eval_wordings = (
        "Respond only with yes or no: {question}",
        "{question} Reply only yes or no.",
        "Give a yes or no answer: {question}",
        "Please answer yes or no: {question}",
        "{question} Just say yes or no.",
        "Choose yes or no: {question}",
        "Yes or no: {question}",
        "Tell me yes or no only. {question}",
        "{question} Write only yes or no.",
        "State yes or no: {question}",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        if rng.random() < 0.4:
            small, large = map(int, rng.choice(_numbers(namespace)).split("<"))
            first, second = rng.choice(((small, large), (large, small)))
            return {"a": str(first), "than": rng.choice(("greater", "less")), "b": str(second)}
        kind, x = rng.choice(_things(namespace))
        mine = CLASSES[kind]
        if rng.random() < 0.5:
            return {"x": x, "kind": mine.singular}
        return {"x": x, "kind": rng.choice([c for c in _BY_SINGULAR.values() if c.realm != mine.realm]).singular}

    def fill(self, facts: Facts) -> Facts:
        if "a" in facts:
            return {"question": f"Is {facts['a']} {facts['than']} than {facts['b']}?"}
        x, home = facts["x"], next(c for c in _BY_SINGULAR.values() if facts["x"] in c.members)
        subject = with_article(x) if home.counted else x
        return {"question": f"Is {subject} {with_article(facts['kind'])}?"}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        if "a" in facts:
            first, second = int(facts["a"]), int(facts["b"])
            greater = facts["than"].casefold() not in {"less", "smaller"}
            yes = first > second if greater else first < second
            return _label(yes), {"yes": yes, "about": f"{first} {'>' if greater else '<'} {second}"}
        x, kind = facts["x"].casefold(), facts["kind"].casefold()
        asked = _BY_SINGULAR.get(kind)
        homes = [name for name in _ASKED if x in CLASSES[name].members]
        if asked is None or not homes:
            return None
        if x in asked.members:
            return "Yes", {"yes": True, "about": f"{x} {kind}"}
        certain = all(CLASSES[home].realm != asked.realm for home in homes)
        return ("No", {"yes": False, "about": f"{x} {kind}"}) if certain else None

    def judge(self, item: Item, text: str) -> Score:
        said, wanted = bare(text).casefold(), _label(item.truth["yes"]).casefold()
        if said == wanted:
            return Score(True, "exact")
        if said in {"yes", "no"}:
            return Score(False, f"wrong: {said}, wanted {wanted}")
        found = set(re.findall(r"\b(?:yes|no)\b", said))
        if len(found) == 2:
            return Score(False, "both yes and no")
        return Score(False, f"more than {wanted}" if found == {wanted} else f"no label, wanted {wanted}")

    def corrupt(self, item: Item, rng: random.Random) -> str:  # noqa: ARG002
        return _label(not item.truth["yes"])

    labelled = (
        Labelled(
            "Answer only yes or no: Is a rose a flower?",
            right=("Yes", "yes", "Yes.", "YES"),
            wrong=("No", "no.", "flower", "maybe", "A rose is a flower."),
            odd=('"Yes"', " yes\n", "Answer only yes or no: Is a rose a flower? Yes", "**Yes**", "Yes!"),
            trap=(
                "",
                "Yes or no",
                "yes no",
                "Yes\nNo",
                "Yes, a rose is a flower.",
                "yes yes",
                "Yesterday",
                "Not yes",
                "Yes\nAnswer only yes or no: Is a dog a tool?",
                "y",
            ),
        ),
        Labelled(
            "Yes or no: Is 7 greater than 30?", right=("No", "no"), wrong=("Yes", "30"), trap=("None", "No?\nYes")
        ),
    )


def _plural_only(word: str) -> bool:
    return word.endswith("s") and not word.endswith(("ss", "us", "is"))


def _label(yes: bool) -> str:
    return "Yes" if yes else "No"


@lru_cache(maxsize=8)
def _things(namespace: Namespace) -> tuple[tuple[str, str], ...]:
    """(class, member) of the well known members that belong to one of the asked classes only."""
    every = [member for name in _ASKED for member in CLASSES[name].members]
    return tuple(
        (kind, member)
        for kind in _ASKED
        for member in CLASSES[kind].members[:_BEST_KNOWN]
        if every.count(member) == 1 and not _plural_only(member) and portion(member) is namespace
    )


@lru_cache(maxsize=8)
def _numbers(namespace: Namespace) -> tuple[str, ...]:
    return share(namespace, (f"{a}<{b}" for a in range(1, 100, 3) for b in range(a + 3, 100, 7)))
