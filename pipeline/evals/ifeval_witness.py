"""A text that follows given instructions, put together by construction: proof that a prompt can be fulfilled.

Not good prose and never an example to learn from. It uses no comma, and no capital but at the start of a sentence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from pipeline.evals.ifeval_checks import OPTIONS, sentences, words

FILLER = (
    "This is what there is to say about it.",
    "It takes a little time and some care.",
    "Most people start with small steps.",
    "The first try is seldom the best one.",
    "Others have done it before and were glad of it.",
    "There is no need to hurry.",
    "A good friend can help with the rest.",
    "It is all the better for being simple.",
)
Stated = Mapping[str, Any]


def witness(stated: Sequence[Stated]) -> str:
    """A text that follows all of `stated` ({"kind": ..., arguments}), as far as they go together."""
    asked = {str(one["kind"]): one for one in stated}
    if "detectable_format:constrained_response" in asked:
        return OPTIONS[0]
    body = _long_enough(_said(asked), asked)
    text = _ended(_shaped(body, asked), asked)
    if "change_case:capital" in asked:
        return text.upper()
    return text.lower() if "change_case:lowercase" in asked else text


def _said(asked: Mapping[str, Stated]) -> list[str]:
    """One sentence for each thing that must occur somewhere; at least one sentence."""
    said = [FILLER[0]]
    if one := asked.get("keywords:existence"):
        said.append(f"It has to do with {' and '.join(one['keywords'])}.")
    one = asked.get("keywords:frequency")
    if one and one["relation"] == "at least":
        said.append(f"Think of {' and '.join([one['keyword']] * one['frequency'])}.")
    one = asked.get("keywords:letter_frequency")
    if one and one["let_relation"] == "at least":
        said.append(f"Think of {one['letter'] * one['let_frequency']}.")
    if one := asked.get("detectable_content:number_placeholders"):
        said.append(f"Ask {' and '.join(f'[name {k}]' for k in range(1, one['num_placeholders'] + 1))}.")
    if one := asked.get("detectable_format:number_highlighted_sections"):
        said.append(f"Look at {' and '.join(['*this*'] * one['num_highlights'])}.")
    one = asked.get("change_case:capital_word_frequency")
    if one and one["capital_relation"] == "at least":
        said.append(f"This is {' '.join(['VERY'] * one['capital_frequency'])} good.")
    return said


def _long_enough(said: list[str], asked: Mapping[str, Stated]) -> list[str]:
    """Filler until length and shape have what they need."""
    fewest_words = _at_least(asked.get("length_constraints:number_words"), "num_words")
    fewest_sentences = max(
        _at_least(asked.get("length_constraints:number_sentences"), "num_sentences"),
        max((one.get("num_paragraphs", one.get("num_sections", 1)) for one in asked.values()), default=1),
        2 if "combination:two_responses" in asked else 1,
    )
    while len(said) < fewest_sentences or len(words(" ".join(said))) < fewest_words:
        said.append(FILLER[len(said) % len(FILLER)])
    assert len(sentences(" ".join(said))) == len(said)
    return said


def _at_least(one: Stated | None, name: str) -> int:
    return int(one[name]) if one and one["relation"] == "at least" else 0


def _shaped(said: Sequence[str], asked: Mapping[str, Stated]) -> str:
    """The sentences in the shape that is asked for, with title, bullets and repeated request where they belong."""
    text = " ".join(said)
    if one := asked.get("length_constraints:number_paragraphs"):
        text = "\n***\n".join(_parts(said, one["num_paragraphs"]))
    if one := asked.get("length_constraints:nth_paragraph_first_word"):
        parts = _parts(said, one["num_paragraphs"])
        parts[one["nth_paragraph"] - 1] = f"{one['first_word'].capitalize()} {parts[one['nth_paragraph'] - 1]}"
        text = "\n\n".join(parts)
    if one := asked.get("detectable_format:multiple_sections"):
        parts = _parts(said, one["num_sections"])
        text = "\n".join(f"{one['section_spliter']} {k}\n{part}" for k, part in enumerate(parts, 1))
    if "combination:two_responses" in asked:
        text = "\n******\n".join(_parts(said, 2))
    if one := asked.get("detectable_format:number_bullet_lists"):
        text += "".join(f"\n* point {k}" for k in range(1, one["num_bullets"] + 1))
    if "detectable_format:title" in asked:
        text = f"<<A title>>\n{text}"
    if one := asked.get("combination:repeat_prompt"):
        text = f"{one['prompt_to_repeat']}\n{text}"
    return json.dumps({"answer": text}) if "detectable_format:json_format" in asked else text


def _parts(said: Sequence[str], count: int) -> list[str]:
    """The sentences in `count` runs, the first ones longest."""
    size, rest = divmod(len(said), count)
    ends = [size * k + min(k, rest) for k in range(count + 1)]
    return [" ".join(said[start:end]) for start, end in pairwise(ends)]


def _ended(text: str, asked: Mapping[str, Stated]) -> str:
    if one := asked.get("detectable_content:postscript"):
        return f"{text}\n{one['postscript_marker']} Thank you."
    if one := asked.get("startend:end_checker"):
        return f"{text}\n{one['end_phrase']}"
    return f'"{text}"' if "startend:quotation" in asked else text
