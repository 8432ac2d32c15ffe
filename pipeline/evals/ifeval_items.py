"""The prompts of the instruction check: a writing task and one to three verifiable instructions, put together from our
own wordings, each with a witness text that follows them all.

`python -m pipeline.evals.ifeval_items freeze` writes the frozen block once; it is kept with the code, hash and all.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

from pipeline.evals.ifeval import FAMILY, check, frozen_path
from pipeline.evals.ifeval_witness import witness
from pipeline.evals.items import FROZEN_SEED, write
from pipeline.stages.base import Item

FROZEN_COUNT = 240

TASKS: tuple[str, ...] = (
    "Write a short note about {topic}.",
    "Tell a visitor what matters about {topic}.",
    "Write a letter to a friend about {topic}.",
    "Give advice to someone who is new to {topic}.",
    "Write a small story that has to do with {topic}.",
    "Explain to a child why people like {topic}.",
    "Write an announcement for a meeting about {topic}.",
    "Describe an ordinary day that is all about {topic}.",
    "Argue for spending more time on {topic}.",
    "Write the opening of a speech on {topic}.",
    "Sum up for a newspaper what is going on in {topic}.",
    "Say what you would ask an expert on {topic}.",
    "Write a page of a diary kept by somebody who loves {topic}.",
    "Compare {topic} today with {topic} a hundred years ago.",
    "Draw up a plan for a weekend course in {topic}.",
    "Write a review of a book about {topic}.",
)
QUESTIONS: tuple[str, ...] = (
    "Is it worth while to learn about {topic}?",
    "Would you spend a free day on {topic}?",
    "Do most people understand {topic}?",
    "Should schools teach {topic}?",
)
"""Tasks that can be answered with a yes or a no."""
TOPICS: tuple[str, ...] = (
    "beekeeping", "night trains", "baking bread", "lighthouses", "chess", "mending clothes", "river ferries",
    "growing tomatoes", "old maps", "choir singing", "bicycle repair", "bird watching", "pottery", "mountain huts",
    "street markets", "letter writing", "sailing", "public libraries", "astronomy", "making soap",
)  # fmt: skip
WORDS: tuple[str, ...] = (
    "copper", "window", "harvest", "lantern", "bridge", "winter", "garden", "signal", "basket", "thunder", "pocket",
    "ladder", "velvet", "anchor", "pepper", "orchard", "marble", "whistle", "meadow", "compass",
)  # fmt: skip
PHRASES: tuple[str, ...] = (
    "That is all there is to it.", "Let me know what you think.", "The rest is up to you.", "And so the day ended.",
    "Nothing more needs to be said.", "We shall see.",
)  # fmt: skip

Arguments = dict[str, Any]
Draw = Callable[[random.Random, str], Arguments]


def _some(rng: random.Random, pool: Sequence[str], count: int) -> list[str]:
    return rng.sample(list(pool), count)


def _relation(rng: random.Random) -> str:
    return rng.choice(["at least", "less than"])


def _nothing(rng: random.Random, task: str) -> Arguments:  # noqa: ARG001
    return {}


def _nth(rng: random.Random, task: str) -> Arguments:  # noqa: ARG001
    count = rng.randint(2, 5)
    return {"num_paragraphs": count, "nth_paragraph": rng.randint(1, count), "first_word": rng.choice(WORDS)}


DRAWS: Mapping[str, Draw] = {
    "keywords:existence": lambda r, _: {"keywords": _some(r, WORDS[:10], r.randint(1, 3))},
    "keywords:forbidden_words": lambda r, _: {"forbidden_words": _some(r, WORDS[10:], r.randint(1, 3))},
    "keywords:frequency": lambda r, _: {
        "keyword": r.choice(WORDS[:10]), "frequency": r.randint(2, 5), "relation": _relation(r),
    },
    "keywords:letter_frequency": lambda r, _: {
        "letter": r.choice("bcfgkmpvwz"), "let_frequency": r.randint(4, 12), "let_relation": "at least",
    },
    "length_constraints:number_words": lambda r, _: {
        "num_words": r.choice([40, 60, 80, 100, 150]), "relation": _relation(r),
    },
    "length_constraints:number_sentences": lambda r, _: {
        "num_sentences": r.choice([4, 5, 6, 8, 10]), "relation": _relation(r),
    },
    "length_constraints:number_paragraphs": lambda r, _: {"num_paragraphs": r.randint(2, 5)},
    "length_constraints:nth_paragraph_first_word": _nth,
    "detectable_content:number_placeholders": lambda r, _: {"num_placeholders": r.randint(1, 5)},
    "detectable_content:postscript": lambda r, _: {"postscript_marker": r.choice(["P.S.", "P.P.S."])},
    "detectable_format:number_bullet_lists": lambda r, _: {"num_bullets": r.randint(2, 6)},
    "detectable_format:constrained_response": _nothing,
    "detectable_format:number_highlighted_sections": lambda r, _: {"num_highlights": r.randint(1, 4)},
    "detectable_format:multiple_sections": lambda r, _: {
        "section_spliter": r.choice(["Section", "Part", "Chapter", "Day"]), "num_sections": r.randint(2, 5),
    },
    "detectable_format:json_format": _nothing,
    "detectable_format:title": _nothing,
    "combination:two_responses": _nothing,
    "combination:repeat_prompt": lambda _, task: {"prompt_to_repeat": task},
    "change_case:capital": _nothing,
    "change_case:lowercase": _nothing,
    "change_case:capital_word_frequency": lambda r, _: {
        "capital_frequency": r.randint(2, 6), "capital_relation": _relation(r),
    },
    "startend:end_checker": lambda r, _: {"end_phrase": r.choice(PHRASES)},
    "startend:quotation": _nothing,
    "punctuation:no_comma": _nothing,
}  # fmt: skip
"""How the arguments of each kind are drawn; the task is needed where it is to be repeated."""

WORDINGS: Mapping[str, tuple[str, ...]] = {
    "keywords:existence": ("Use these words: {keywords}.", "The following must be mentioned: {keywords}."),
    "keywords:forbidden_words": (
        "Do not use these words: {forbidden_words}.", "Avoid every one of these words: {forbidden_words}.",
    ),
    "keywords:frequency": (
        'The word "{keyword}" must come up {relation} {frequency} times.',
        'Use "{keyword}" {relation} {frequency} times.',
    ),
    "keywords:letter_frequency": (
        'The letter "{letter}" must stand in it {let_relation} {let_frequency} times.',
        'Write it so that the letter "{letter}" occurs {let_relation} {let_frequency} times.',
    ),
    "length_constraints:number_words": (
        "Your answer must have {relation} {num_words} words.", "Write {relation} {num_words} words.",
    ),
    "length_constraints:number_sentences": (
        "Your answer must have {relation} {num_sentences} sentences.", "Write {relation} {num_sentences} sentences.",
    ),
    "length_constraints:number_paragraphs": (
        "Write exactly {num_paragraphs} paragraphs and put a line of three asterisks (***) between them.",
        "There must be {num_paragraphs} paragraphs, divided by ***.",
    ),
    "length_constraints:nth_paragraph_first_word": (
        "Write exactly {num_paragraphs} paragraphs with a blank line between them; paragraph {nth_paragraph} must "
        'start with the word "{first_word}".',
        "Use {num_paragraphs} paragraphs, kept apart by blank lines and by nothing else, and let number "
        '{nth_paragraph} begin with "{first_word}".',
    ),
    "detectable_content:number_placeholders": (
        "Leave {num_placeholders} or more gaps to be filled in, each in square brackets, such as [name].",
        "Put in at least {num_placeholders} placeholders in square brackets, such as [date].",
    ),
    "detectable_content:postscript": (
        "Close with a postscript that starts with {postscript_marker}",
        "After the text, add a postscript; it starts with {postscript_marker}",
    ),
    "detectable_format:number_bullet_lists": (
        'Include exactly {num_bullets} bullet points, each on its own line and starting with "* ".',
        'Give {num_bullets} bullet points, no more and no fewer, in this form: "* a point".',
    ),
    "detectable_format:constrained_response": (
        'Reply with one of these: "My answer is yes." or "My answer is no." or "My answer is maybe."',
        'The only replies allowed are "My answer is yes." and "My answer is no." and "My answer is maybe."',
    ),
    "detectable_format:number_highlighted_sections": (
        "Highlight at least {num_highlights} passages with asterisks, *like this*.",
        "Set {num_highlights} or more passages between asterisks, such as *a highlighted passage*.",
    ),
    "detectable_format:multiple_sections": (
        'Divide it into at least {num_sections} numbered sections, each under a line such as "{section_spliter} 1".',
        'Use {num_sections} or more sections; head them "{section_spliter} 1", "{section_spliter} 2" and so on.',
    ),
    "detectable_format:json_format": (
        "The whole answer must be one JSON object.", "Give the answer as JSON, with nothing before or after it.",
    ),
    "detectable_format:title": (
        "Give it a title in double angle brackets, such as <<a title>>.",
        "It needs a title, which stands in double angle brackets: <<title>>.",
    ),
    "combination:two_responses": (
        "Give two different answers and only those, with a line of six asterisks (******) between them.",
        "Answer twice, in two different ways, and separate the two by ******.",
    ),
    "combination:repeat_prompt": (
        'Before you answer, repeat this request word for word: "{prompt_to_repeat}"',
        'Start by saying again, unchanged, "{prompt_to_repeat}" and only then answer.',
    ),
    "change_case:capital": ("Use capital letters only.", "Not one small letter may occur."),
    "change_case:lowercase": ("Use small letters only.", "Not one capital letter may occur."),
    "change_case:capital_word_frequency": (
        "Words written wholly in capitals must come up {capital_relation} {capital_frequency} times.",
        "Write {capital_relation} {capital_frequency} words all in capitals.",
    ),
    "startend:end_checker": ('End with exactly these words: "{end_phrase}"', 'The last words must be: "{end_phrase}"'),
    "startend:quotation": (
        "Put the whole answer between double quotation marks.", "Everything must stand in double quotation marks.",
    ),
    "punctuation:no_comma": ("Use no commas.", "Do without commas altogether."),
}  # fmt: skip

SHAPES = frozenset({
    "detectable_format:constrained_response", "detectable_format:json_format", "detectable_format:multiple_sections",
    "combination:two_responses", "combination:repeat_prompt", "length_constraints:number_paragraphs",
    "length_constraints:nth_paragraph_first_word",
})  # fmt: skip
CASES = frozenset(kind for kind in DRAWS if kind.startswith("change_case:"))
LENGTHS = frozenset({"length_constraints:number_words", "length_constraints:number_sentences"})
ENDS = frozenset({"startend:end_checker", "startend:quotation", "detectable_content:postscript"})
WITH_JSON = frozenset(kind for kind in DRAWS if kind.startswith("keywords:")) | CASES | {"punctuation:no_comma"}


def compatible(kinds: Sequence[str]) -> bool:
    """Whether a sensible answer can follow all of them at once."""
    chosen = set(kinds)
    if any(len(chosen & group) > 1 for group in (SHAPES, CASES, LENGTHS, ENDS)):
        return False
    rest = chosen - {"detectable_format:json_format"}
    if len(rest) < len(chosen) and not rest <= WITH_JSON:
        return False
    if "detectable_format:constrained_response" in chosen and len(chosen) > 1:
        return False
    word_for_word = "combination:repeat_prompt" in chosen
    return not (word_for_word and chosen & (CASES | {"startend:quotation", "punctuation:no_comma"}))


def build(count: int, seed: int) -> list[Item]:
    """`count` different prompts: a third each with one, two and three instructions, in mixed order, every kind about
    equally often. The same arguments give the same prompts, always."""
    rng = random.Random(f"{seed}/{FAMILY}")
    used: Counter[str] = Counter()
    items: list[Item] = []
    while len(items) < count:
        number = len(items)
        kinds = _kinds(rng, used, 1 + number % 3)
        item = _item(rng, number % len(TASKS), kinds)
        if item.instruction not in {other.instruction for other in items} and check(item, item.answer).prompt_strict:
            used.update(kinds)
            items.append(item)
    rng.shuffle(items)
    return items


def _kinds(rng: random.Random, used: Counter[str], size: int) -> tuple[str, ...]:
    """Compatible kinds: the rarest so far first, then whatever goes with it, rather rare ones."""
    ranked = sorted(DRAWS, key=lambda kind: (used[kind], rng.random()))
    for first, *others in ([kind, *(k for k in ranked if k != kind)] for kind in ranked):
        fitting = [c for c in combinations(others[:12], size - 1) if compatible((first, *c))]
        if fitting:
            return (first, *rng.choice(fitting))
    raise AssertionError("no kinds go together")


def _item(rng: random.Random, task_number: int, kinds: Sequence[str]) -> Item:
    template, wording = f"task-{task_number}", TASKS[task_number]
    if "detectable_format:constrained_response" in kinds:
        number = rng.randrange(len(QUESTIONS))
        template, wording = f"question-{number}", QUESTIONS[number]
    task = wording.format(topic=rng.choice(TOPICS))
    stated = [{"kind": kind, **DRAWS[kind](rng, task)} for kind in kinds]
    prompt = " ".join([task, *(_worded(rng, one) for one in stated)])
    return Item(FAMILY, template, prompt, witness(stated), {"instructions": stated})


def _worded(rng: random.Random, stated: Mapping[str, Any]) -> str:
    shown = {k: ", ".join(v) if isinstance(v, list) else v for k, v in stated.items()}
    shown = {k: "fewer than" if v == "less than" else v for k, v in shown.items()}
    return rng.choice(WORDINGS[stated["kind"]]).format(**shown)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: `freeze [--replace]`. An existing block is kept unless told otherwise."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.evals.ifeval_items", description="Instruction check.")
    freeze = parser.add_subparsers(dest="command", required=True).add_parser("freeze", help="write the prompts")
    freeze.add_argument("--replace", action="store_true", help="overwrite: earlier results are then not comparable")
    options, path = parser.parse_args(arguments), frozen_path()
    if path.exists() and not options.replace:
        print(f"{path} exists and is kept; --replace overwrites it", file=sys.stderr)
        return 0
    print(write(path, build(FROZEN_COUNT, FROZEN_SEED)), path.name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
