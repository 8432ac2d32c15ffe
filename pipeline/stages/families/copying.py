"""Exact copying: repeat a phrase as it stands, or write a word in capital letters."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.text import bare, sentences, share, word_list
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

_ADJECTIVES = word_list(
    """
green quiet heavy golden broken gentle frozen silver hidden purple hungry ancient bright clever dusty empty fancy
narrow polite rusty secret silent simple sleepy smooth square sudden tender tiny velvet warm wooden yellow angry
brave calm crooked curly distant early famous funny giant happy icy jolly kind lonely modern noisy orange plain
quick round salty shiny strange sweet tall useful wild young bitter cheap cloudy dark eager faint grand hollow lazy
lucky muddy nervous
"""
)
_NOUNS = word_list(
    """
lantern bucket pocket ladder window candle basket button carpet castle cotton desert dragon engine feather forest
garden hammer harbor island jacket jungle kettle kitten ladybug lemon letter market meadow mirror monkey needle
ocean orchard paper parrot pebble pencil pepper pillow planet puzzle rabbit ribbon river rocket saddle sandal shadow
signal spider spoon stable summer table temple thunder ticket tiger tunnel turtle valley violin wagon walnut whistle
winter wizard yogurt zebra anchor apple bakery bridge camera cherry circle coffee doctor finger flower friend guitar
helmet honey
"""
)


class Copy(WordedFamily):
    """ "Repeat this phrase: green lantern": those words in that spelling and order, once, and nothing else."""

    name = "copy"
    exact_blanks = True
    max_new_tokens = 16
    slots: ClassVar[Mapping[str, str]] = {"phrase": r"[\"'“‘]?(?P<phrase>[^\"“”:\n]+?)[\"'”’]?"}
    train_wordings = (
        "Repeat this phrase: {phrase}",
        "Copy these words exactly: {phrase}",
        "Say the following words: {phrase}",
        "Write this text again: {phrase}",
        'Repeat the words "{phrase}".',
        "Copy this: {phrase}",
        "Type these words: {phrase}",
        'Write exactly "{phrase}" and nothing else.',
        "Answer with these words: {phrase}",
        "Echo: {phrase}",
    )
    eval_wordings = (
        "Repeat after me: {phrase}",
        "Copy the following phrase: {phrase}",
        "Write the same words: {phrase}",
        'Say "{phrase}".',
        "Reproduce this text exactly: {phrase}",
        "Please repeat: {phrase}",
        'Respond only with "{phrase}".',
        "Write down these exact words: {phrase}",
        "Say this back to me: {phrase}",
        'Output the phrase "{phrase}".',
    )
    more_wordings = ("Repeat: {phrase}", "Repeat the following: {phrase}", "Repeat this: {phrase}", "Copy: {phrase}")

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        nouns, adjectives = _phrase_pools(namespace)
        noun = rng.choice(nouns)
        kind = rng.random()
        if kind < 0.2:
            return {"phrase": noun}
        phrase = f"{rng.choice(adjectives)} {noun}"
        if kind < 0.6:
            return {"phrase": phrase}
        return {"phrase": f"{phrase} and {rng.choice([n for n in nouns if n != noun])}"}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        phrase = facts["phrase"]
        if bare(phrase) != phrase or not 1 <= len(phrase.split()) <= 8:
            return None
        return phrase, {"phrase": phrase}

    def judge(self, item: Item, text: str) -> Score:
        phrase, said = item.truth["phrase"], bare(text)
        if said == phrase:
            return Score(True, "exact")
        if not said:
            return Score(False, "empty")
        if said.casefold() == phrase.casefold():
            return Score(False, "another case")
        if phrase in said:
            return Score(False, "more than the phrase")
        return Score(False, f"wrong: {said[:40]}, wanted {phrase}")

    def corrupt(self, item: Item, rng: random.Random) -> str:
        words = item.truth["phrase"].split()
        kind = rng.choice(("drop", "swap", "other", "twice")) if len(words) > 1 else rng.choice(("other", "twice"))
        if kind == "twice":
            return " ".join([*words, *words])
        place = rng.randrange(len(words))
        if kind == "drop":
            del words[place]
        elif kind == "swap":
            words = words[::-1]
        else:
            words[place] = rng.choice([n for n in _NOUNS if n not in words])
        return " ".join(words) if " ".join(words) != item.truth["phrase"] else f"{item.truth['phrase']}s"

    labelled = (
        Labelled(
            "Repeat this phrase: green lantern",
            right=("green lantern", "green lantern.", '"green lantern"'),
            wrong=("green", "blue lantern", "lantern green", "a light", "green lanterns"),
            odd=(
                " green lantern\n",
                "“green lantern”",
                "'green lantern'.",
                "Repeat this phrase: green lantern\ngreen lantern",
                "**green lantern**",
            ),
            trap=(
                "",
                "green lantern green lantern",
                "greenlantern",
                "Repeat this phrase",
                "green lantern\nRepeat this phrase: red hat",
                "GREEN LANTERN",
                "The phrase is a green light.",
                "green  lamp",
                "green lantern and more",
            ),
        ),
        Labelled(
            'Say "salty table and spoon".',
            right=("salty table and spoon",),
            wrong=("salty table", "salty spoon and table"),
        ),
    )


class Uppercase(WordedFamily):
    """ "Write the word lantern in capital letters.": the word in capitals, alone or named in one sentence."""

    name = "uppercase"
    exact_blanks = True
    max_new_tokens = 16
    slots: ClassVar[Mapping[str, str]] = {"word": r"[\"'“‘]?(?P<word>[a-z]+)[\"'”’]?"}
    train_wordings = (
        "Write the word {word} in capital letters.",
        "Put this word in uppercase: {word}",
        "Convert to uppercase: {word}",
        "Write {word} using only capital letters.",
        "Change the word {word} to capital letters.",
        "Answer in all caps with this word: {word}",
        "Capitalize every letter of {word}.",
        "Spell {word} with capital letters only.",
        "Make all letters of {word} capital.",
        "Type {word} in all capitals.",
    )
    eval_wordings = (
        "Write {word} in uppercase letters.",
        "Turn this word into capital letters: {word}",
        "Rewrite the word {word} in all caps.",
        "Give the word {word} in uppercase.",
        "Please write this word in capitals: {word}",
        "Make this word uppercase: {word}",
        "Print {word} in block capitals.",
        "Write every letter of {word} as a capital letter.",
        "Change to all caps: {word}",
        "Show {word} in capital letters.",
    )
    more_wordings = (
        "Write the word {word} in uppercase.",
        "Write {word} in capital letters.",
        "Write {word} in all caps.",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        return {"word": rng.choice(_word_pool(namespace))}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        word = facts["word"]
        return None if word == word.upper() or len(word) < 2 else (word.upper(), {"word": word})

    def judge(self, item: Item, text: str) -> Score:
        wanted, said = item.truth["word"].upper(), bare(text)
        if said == wanted:
            return Score(True, "exact")
        if not said:
            return Score(False, "empty")
        capitals = re.findall(r"\b[A-Z]{2,}\b", text)
        framed = re.search(rf"(?:\bis|:|=|->|→|becomes)\s*[\"'“‘*]*{wanted}[\"'”’*]*(?=[.!\s]|$)", text)
        if capitals == [wanted] and framed and len(sentences(text)) == 1 and not re.search(r"\bnot\b|n't", text):
            return Score(True, "stated in a sentence")
        if said.casefold() == wanted.casefold():
            return Score(False, "not all in capitals")
        return Score(False, f"wrong: {said[:40]}, wanted {wanted}")

    def corrupt(self, item: Item, rng: random.Random) -> str:
        word = item.truth["word"]
        other = rng.choice([n for n in _NOUNS if n != word]).upper()
        return rng.choice((word, word.capitalize(), word.upper() + word.upper()[-1], other))

    labelled = (
        Labelled(
            "Write the word lantern in capital letters.",
            right=("LANTERN", "LANTERN.", '"LANTERN"', "The word in capital letters is LANTERN."),
            wrong=("lantern", "Lantern", "LANTERNS", "LAMP", "capital"),
            odd=(" LANTERN\n", "**LANTERN**", "lantern -> LANTERN", "It is 'LANTERN'."),
            trap=(
                "",
                "LANTERN LANTERN",
                "L A N T E R N",
                "LANTERn",
                "LANTERN or LAMP",
                "LANTERN\nWrite the word table in capital letters.",
                "It is not LANTERN.",
                "LANTERN\nTABLE",
                "The word is lantern.",
                "LANTERNLANTERN",
            ),
        ),
        Labelled("Change to all caps: kitten", right=("KITTEN",), wrong=("Kitten", "KITTY")),
    )


@lru_cache(maxsize=8)
def _word_pool(namespace: Namespace) -> tuple[str, ...]:
    return share(namespace, (*_NOUNS, *_ADJECTIVES))


@lru_cache(maxsize=8)
def _phrase_pools(namespace: Namespace) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return share(namespace, _NOUNS), share(namespace, _ADJECTIVES)
