"""A wish that is only implied: a word somebody is looking for, things that somebody needs."""

from __future__ import annotations

import re

from pipeline.stages.base import Item, Score
from pipeline.stages.families.implied_reply import Reworded
from pipeline.stages.families.list_n import ListN
from pipeline.stages.families.opposites import Opposites
from pipeline.stages.families.worded import Labelled

_APPROVAL = re.compile(r"\s+(?:would|will|should) (?:be (?:good|nice|fine)|do|work|fit)(?: well)?\b", re.I)


class WantedOpposite(Reworded):
    """ "I am looking for a word that means the opposite of hot.": any listed opposite. Pool and sides are those of the
    plain question."""

    name = "wanted_opposite"
    source = Opposites()
    slots = Opposites.slots
    max_new_tokens = 24
    train_wordings = (
        "I am looking for a word that means the opposite of {word}.",
        "I need the opposite of {word} for my crossword.",
        "The opposite of {word} is",
        "My crossword clue says: the opposite of {word}",
        "I keep forgetting the opposite of {word}.",
        "The opposite of {word} will not come to me.",
        "I am stuck on the opposite of {word}.",
        "My teacher asked me for the opposite of {word}.",
        "It would help me to know the opposite of {word}.",
        "I cannot remember the antonym of {word}.",
        "The antonym of {word} would be",
        "Nobody in my class knew the opposite of {word}.",
    )
    eval_wordings = (
        "I am searching for a word opposite in meaning to {word}.",
        "What I need is the opposite of {word}.",
        "The next clue in my puzzle is the opposite of {word}.",
        "I have forgotten which word is the opposite of {word}.",
        "My list of opposites has no partner for {word} yet.",
        "I would like a word that says the reverse of {word}.",
        "I want to write the opposite of {word}, but the word escapes me.",
        "We are learning opposites, and my word is {word}.",
        "A word with the opposite meaning of {word} is",
        "My son wonders what the opposite of {word} might be.",
        "In my exercise I have to write the opposite of {word}.",
        "The opposite of {word} is on the tip of my tongue.",
    )
    more_wordings = (
        "I need a word that means the opposite of {word}.",
        "I forgot the opposite of {word}.",
        "I need an antonym for {word}.",
        "The antonym of {word} is",
    )

    def critique(self, item: Item, response: str, right: bool) -> str:  # noqa: ARG002
        if right:
            return "The response gives the word that the speaker is looking for."
        return f"The speaker is looking for an opposite of {item.truth['word']}, for example {item.answer}."

    labelled = (
        Labelled(
            "I am looking for a word that means the opposite of hot.",
            right=("cold", "Cold.", "The opposite of hot is cold.", "cool", "The word is cold."),
            wrong=("hot", "warm", "The opposite of hot is warm.", "sun", "not hot", "I am looking for it too."),
            odd=(
                '"cold"',
                "You mean cold.",
                "You are looking for the word cold.",
                "Sure! Cold.",
                "How about cold?",
                "cold, chilly",
                "hot -> cold",
            ),
            trap=(
                "",
                "I am looking for a word that means the opposite of hot.",
                "cold or warm",
                "The opposite of cold is hot.",
                "Is it cold?",
                "coldness",
                "hot, cold",
                "You are looking for an opposite.",
                "cold. I am looking for a word that means the opposite of big. small",
                "The opposite of hot is not cold.",
            ),
        ),
        Labelled(
            "My list of opposites has no partner for empty yet.",
            right=("full", "The partner is full."),
            wrong=("vacant", "empty"),
            odd=("Try full.",),
            trap=("full\nempty\nfull", "empty is empty"),
        ),
    )


class NeededThings(Reworded):
    """ "I need three colours for my poster.": exactly that many different members of the class."""

    name = "needed_things"
    source = ListN()
    slots = ListN.slots
    shared_answers = True
    max_new_tokens = 48
    train_wordings = (
        "I need {n} {things} for my quiz.",
        "I could use {n} {things} for a word game.",
        "I am collecting {n} {things} for my homework.",
        "My class has to name {n} {things} today.",
        "It would be nice to have {n} {things} for my poster.",
        "We still lack {n} {things} for our crossword.",
        "My teacher wants to hear {n} {things} from me.",
        "For the game I must think of {n} {things}.",
        "I would like to know {n} {things}.",
        "I cannot think of {n} {things}.",
    )
    eval_wordings = (
        "I am looking for {n} {things} for a story.",
        "My puzzle still needs {n} {things}.",
        "I want {n} {things} for my list.",
        "The game asks me for {n} {things}.",
        "I have to come up with {n} {things}.",
        "My daughter must learn {n} {things} by tomorrow.",
        "We need the names of {n} {things} for our quiz night.",
        "My drawing should be about {n} {things}.",
        "It is my turn to name {n} {things}.",
        "I wish somebody could tell me {n} {things}.",
    )
    more_wordings = ("I need {n} {things}.", "I need the names of {n} {things}.", "I want {n} {things}.")

    def judge_plain(self, item: Item, text: str) -> Score:
        return self.source.judge(item, _APPROVAL.sub("", text))

    def critique(self, item: Item, response: str, right: bool) -> str:  # noqa: ARG002
        wanted = f"{item.truth['n']} {item.truth['class']}"
        if right:
            return f"The response gives the {wanted} that the speaker needs."
        return f"The speaker needs exactly {wanted}, all different, for example: {item.answer}"

    labelled = (
        Labelled(
            "I need three colours for my quiz.",
            right=("red, blue, green", "Red, blue and green.", "1. Red\n2. Blue\n3. Green", "red\nblue\ngreen"),
            wrong=("red, blue", "red, hammer, green", "I like colours.", "red, blue, green, yellow", "What quiz?"),
            odd=(
                "Sure! Red, blue and green.",
                "How about red, blue and green?",
                "You could use red, blue and green.",
                "Red, blue and green would be good.",
                "Here are three colours:\n- red\n- blue\n- green",
                "Three colours are red, blue and green.",
            ),
            trap=(
                "",
                "I need three colours for my quiz.",
                "red, red, blue",
                "red, blue, ...",
                "You need three colours.",
                "red, blue, green. I need three fruits for my quiz. apple, pear, plum",
                "Which colours do you need?",
                "red, blue, large",
                "1. 2. 3.",
                "Sure!",
            ),
        ),
        Labelled(
            "My puzzle still needs 2 planets.",
            right=("Mars and Venus", "Earth, Mars"),
            wrong=("Mars and Moon", "Mars"),
            odd=("Try Mars and Venus.",),
            trap=("Mars, Mars", "a puzzle needs planets"),
        ),
    )
