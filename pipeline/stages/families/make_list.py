"""Turning a sentence that names several things into a list of a given form."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.objects import objects_of
from pipeline.stages.families.revising import RevisionFamily, presented
from pipeline.stages.families.text import bare, folded, with_article
from pipeline.stages.families.worded import Facts, Labelled

_FORMS = {
    "with commas between them": "commas",
    "separated by commas": "commas",
    "with semicolons between them": "semicolons",
    "separated by semicolons": "semicolons",
    "one on each line": "lines",
    "each on a line of its own": "lines",
    "with a number before each": "numbers",
    "numbered from one": "numbers",
}
_FRAMES = (
    "I need", "We bought", "My bag holds", "On the table you see", "She packed", "He found", "In the attic there were",
    "The shop sells", "They brought", "Tomorrow we have to buy",
)  # fmt: skip
_BULLET = re.compile(r"^\s*[-*•–·]\s*")
_NUMBER = re.compile(r"^\s*\(?(\d{1,2})(?:[.):]\s*|\s+)")
_LIST_LEAD_IN = re.compile(r"^[^\n:]{0,60}:[ \t]*\n+")


class MakeList(RevisionFamily):
    """ "Make a list of the things, separated by commas: I need a hammer, a cup and a key." Order does not matter."""

    name = "make_list"
    max_new_tokens = 40
    fault = "The response is not the list in the form that was asked for"
    topic_fields = ("items",)
    slots: ClassVar[Mapping[str, str]] = {
        "form": f"(?P<form>{'|'.join(_FORMS)})",
        "text": rf"[\"'“‘]?(?P<text>(?:{'|'.join(_FRAMES)})\s[^\n\"“”:.]+?\.?)[\"'”’]?",
    }
    train_wordings = (
        "Make a list of the things in this sentence, {form}: {text}",
        "Turn this into a list, {form}: {text}",
        "Write the things named here, {form}: {text}",
        "Rewrite this sentence as a list of things, {form}: {text}",
        "Which things are named? Write them {form}: {text}",
        "I want only the things, {form}: {text}",
        "Improve this by making it a list, {form}: {text}",
        "Change the sentence to a plain list, {form}: {text}",
        "{text} Write these things as a list, {form}.",
        "Put the things of this sentence into a list, {form}: {text}",
    )
    eval_wordings = (
        "Please list the things in this sentence, {form}: {text}",
        "Convert this sentence to a list, {form}: {text}",
        "Give just the things mentioned here, {form}: {text}",
        "Revise this sentence so that it is a list, {form}: {text}",
        "Make this easier to read as a list of things, {form}: {text}",
        "What things occur here? List them {form}: {text}",
        "Pull the things out of this sentence and write them {form}: {text}",
        "Reformat this as a list, {form}: {text}",
        "{text} Give me that as a list of things, {form}.",
        "Note down the things from this sentence, {form}: {text}",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        items = [with_article(one) for one in rng.sample(objects_of(namespace), rng.randint(3, 4))]
        text = f"{rng.choice(_FRAMES)} {', '.join(items[:-1])} and {items[-1]}."
        return {"text": text, "form": rng.choice(list(_FORMS))}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        form, text = _FORMS[" ".join(facts["form"].casefold().split())], " ".join(facts["text"].split()).rstrip(".")
        frame = next((one for one in _FRAMES if text.casefold().startswith(f"{one.casefold()} ")), None)
        if frame is None:
            return None
        items = [folded(part) for part in re.split(r",\s*(?:and\s+)?|\s+and\s+", text[len(frame) :])]
        if (
            not 2 <= len(items) <= 6
            or len(set(items)) < len(items)
            or not all(re.fullmatch("[a-z ]+", i) for i in items)
        ):
            return None
        return _written(items, form), {"items": items, "form": form}

    def judge(self, item: Item, text: str) -> Score:
        if not bare(text):
            return Score(False, "empty")
        verdicts = [_judge_list(one, item.truth) for one in (*presented(text), _LIST_LEAD_IN.sub("", text, count=1))]
        return next((verdict for verdict in verdicts if verdict.passed), verdicts[0])

    def harmless_suffix(self, text: str) -> str | None:  # noqa: ARG002
        return None  # a further line would be a further entry

    def corrupt(self, item: Item, rng: random.Random) -> str:
        items, form = list(item.truth["items"]), item.truth["form"]
        kind = rng.choice(("form", "fewer", "twice", "sentence"))
        if kind == "form":
            return _written(items, rng.choice([one for one in ("commas", "semicolons") if one != form]))
        if kind == "fewer":
            return _written(items[:-1], form)
        if kind == "twice":
            return _written([*items, items[0]], form)
        return f"There are {' and '.join(map(with_article, items))}."

    labelled = (
        Labelled(
            "Make a list of the things in this sentence, separated by commas: I need a hammer, a cup and a key.",
            right=("hammer, cup, key", "a hammer, a cup, a key", "Hammer, cup, key."),
            wrong=(
                "hammer, cup",
                "hammer; cup; key",
                "hammer\ncup\nkey",
                "I need a hammer, a cup and a key.",
                "hammer, cup, spoon",
                "hammer cup key",
            ),
            odd=(
                "cup, key, hammer",
                "hammer, cup, and key",
                "List: hammer, cup, key",
                "Here is the list: a hammer, a cup, a key",
                '"hammer, cup, key"',
            ),
            trap=(
                "",
                "hammer, cup, key, key",
                "hammer, cup, key, pen",
                "a hammer, a cup or a key",
                "I need, a hammer, a cup, a key",
                "hammer, cup and key",
                "Make a list of the things in this sentence, separated by commas.",
                "hammer, cup, keyboard",
                ", , ,",
            ),
        ),
        Labelled(
            "Reformat this as a list, with a number before each: She packed a pen and a map.",
            right=("1. pen\n2. map", "1) a pen\n2) a map", "1. Pen 2. Map", "1 pen\n2 map"),
            wrong=("pen\nmap", "pen, map", "1. pen"),
            odd=("Here is the list:\n1. a pen\n2. a map",),
            trap=("2. pen\n1. map", "1. pen\n1. map"),
        ),
        Labelled(
            "Which things are named? Write them one on each line: He found a ball and a coin.",
            right=("ball\ncoin", "- ball\n- coin"),
            wrong=("ball, coin", "ball coin"),
        ),
    )


def _written(items: list[str], form: str) -> str:
    if form == "numbers":
        return "\n".join(f"{place}. {one}" for place, one in enumerate(items, 1))
    return {"commas": ", ", "semicolons": "; ", "lines": "\n"}[form].join(items)


def _judge_list(text: str, truth: Mapping[str, Any]) -> Score:
    form, wanted = truth["form"], sorted(truth["items"])
    entries = _entries(bare(text) if form in {"commas", "semicolons"} else text, form)
    if entries is None:
        return Score(False, f"not a list with {form}")
    named = sorted(folded(one) for one in entries)
    if named == wanted:
        return Score(True, f"{len(named)} things with {form}")
    foreign = next((one for one in named if one not in wanted), None)
    if foreign is not None:
        return Score(False, f"not in the sentence: {foreign[:40]}")
    return Score(False, f"{len(named)} entries with {form}, wanted {len(wanted)}")


def _entries(text: str, form: str) -> list[str] | None:
    """The entries of a list of that form; None when it has another form."""
    if form == "numbers":
        lines = re.sub(r"\s+(?=\d{1,2}[.)]\s)", "\n", text.strip()).splitlines()
        found = [_NUMBER.match(line) for line in lines]
        if [int(match[1]) if match else 0 for match in found] != list(range(1, len(lines) + 1)):
            return None
        return [_NUMBER.sub("", line) for line in lines]
    if form == "lines":
        lines = text.strip().splitlines()
        return [_NUMBER.sub("", _BULLET.sub("", line)) for line in lines] if len(lines) > 1 else None
    mark = "," if form == "commas" else ";"
    if "\n" in text or mark not in text:
        return None
    return [re.sub(r"^\s*and\s+", "", part) for part in text.split(mark)]
