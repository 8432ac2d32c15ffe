"""A failing program and its error message: the reply that is wanted names the cause. Causes come from a fixed table."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.errors_table import CAUSES, MESSAGES
from pipeline.stages.families.implied_reply import judge_reply
from pipeline.stages.families.text import bare, sentences, share, word_list, words
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

_MANY = 3  # other causes named beside the right one: a list of everything, not an answer
_DENIES = re.compile(
    r"\bnot\s+(?:because|due|caused|about|mean|a problem|a question|the (?:cause|reason|problem))\b", re.I
)
_NAMED = frozenset({"module", "command"})
_MESSAGE_WORDS = frozenset(
    word_list(
        """
modulenotfounderror importerror loaderror error no not module named cannot find package does exist load such file bash
make zsh command found recognized internal external the
"""
    )
)
_PUZZLED = re.compile(r"\b(?:do not|cannot|ca not)\s+(?:know|say|tell|help|see)\b|\bno idea\b|\bis unknown\b", re.I)


class ErrorCause(WordedFamily):
    """ "My code fails with ZeroDivisionError: division by zero": what went wrong, in other words than the message's."""

    name = "error_cause"
    shared_answers = True
    max_new_tokens = 96
    topic_fields = ("error",)
    slots: ClassVar[Mapping[str, str]] = {"error": r"[\"“‘`]?(?P<error>\S.*?)[\"”’`]?"}
    train_wordings = (
        "My code fails with {error}",
        "My script stops and prints {error}",
        "I ran my program and got {error}",
        "Since this morning my program only says {error}",
        "I am stuck, because the log says {error}",
        "My build ends with {error}",
        "All I get is {error}",
        "Every time I press the run button I see {error}",
        "My application shows {error} and nothing works.",
        "I changed one line and now there is {error}",
    )
    eval_wordings = (
        "My program crashes with {error}",
        "I keep getting {error}",
        "The console prints {error} and then stops.",
        "It does not work, I only see {error}",
        "When I start my script, it ends with {error}",
        "Help, my code says {error}",
        "My colleague sent me this error: {error}",
        "The last line of the log is {error}",
        "After my last change I get {error}",
        "Our nightly job died with {error}",
    )
    more_wordings = ("My code fails with error: {error}", "I get this error: {error}", "I get {error}")

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        return {"error": rng.choice(_pool(namespace))}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        error = _BY_KEY.get(_key(facts["error"]))
        if error is None:
            return None
        cause = MESSAGES[error]
        return CAUSES[cause][0], {"error": error, "cause": cause}

    def judge(self, item: Item, text: str) -> Score:
        return judge_reply(self, text, lambda reply: _judge_cause(item, reply))

    def harmless_suffix(self, text: str) -> str | None:
        stop = "" if text.rstrip("\"'”’* \n").endswith((".", "!")) else "."
        said = " I hope this helps you to go on with your work today."
        return stop + said * (len(text) // len(said) + 1)

    def corrupt(self, item: Item, rng: random.Random) -> str:
        answers = [answer for cause, (answer, _) in CAUSES.items() if not names_cause(answer, item.truth["cause"])]
        return rng.choice(answers)

    def critique(self, item: Item, response: str, right: bool) -> str:  # noqa: ARG002
        if right:
            return "The response says what causes the error."
        return f"The response does not say what causes the error. {item.answer}"

    labelled = (
        Labelled(
            "My code fails with ModuleNotFoundError: No module named 'numpy'",
            right=(
                "The module is not installed.",
                "The numpy package is missing.",
                "You need to install the module numpy.",
                "Python cannot find the library, so install it with pip install numpy.",
                "The library numpy is not installed on your machine.",
            ),
            wrong=(
                "A number is divided by zero.",
                "The disk is full.",
                "You should learn to program.",
                "I do not know what this means.",
                "Is your computer on?",
            ),
            odd=(
                "numpy is a package that you have not installed yet.",
                "Don't worry, the module is just not installed.",
                "Missing module.",
                "Numpy is not installed.",
                "It means that the dependency is not available in your environment.",
            ),
            trap=(
                "",
                "ModuleNotFoundError: No module named 'numpy'",
                "My code fails with ModuleNotFoundError: No module named 'numpy'",
                "Your code fails with an error.",
                "It is not because the module is missing.",
                "I don't know why the module is missing.",
                "No module named 'numpy'.",
                "Perhaps the module is missing, or the disk is full, or the file does not exist, or a bracket was "
                "never closed, or the server is down.",
                "Is the module missing?",
            ),
        ),
        Labelled(
            "Our nightly job died with OSError: No space left on device",
            right=("The disk is full.", "There is no free space on the disk."),
            wrong=("The program ran out of memory.", "The file does not exist."),
            odd=("Your drive has run out of space.",),
            trap=("No space left on device.", "Your job died."),
        ),
        Labelled(
            "My code fails with PermissionError: Permission denied: 'log.txt'",
            right=("The program lacks permission for this.", "You aren't allowed to write the file."),
            wrong=("The file does not exist.",),
            odd=("Your user doesn't have the rights to write to that file.",),
            trap=("The root cause is unknown.", "It isn't because of a missing permission.", "Permission denied"),
        ),
        Labelled(
            "I keep getting java.lang.NullPointerException",
            right=("The object is null.", "You use a reference that is null."),
            wrong=("The index is out of range.",),
            odd=("A variable was None or null when it was used.",),
            trap=("You keep getting java.lang.NullPointerException",),
        ),
    )


def names_cause(text: str, cause: str) -> bool:
    """Does one sentence of `text` speak of everything that `cause` is told by?"""
    patterns = CAUSES[cause][1]
    return any(all(re.search(rf"\b(?:{p})\b", s, re.I) for p in patterns) for s in sentences(text))


def _judge_cause(item: Item, text: str) -> Score:
    cause = item.truth["cause"]
    said = re.sub(re.escape(item.truth["error"]), " ", text, flags=re.I)
    said = re.sub(r"n['’]t\b", " not", said)  # one form of denial for all patterns
    if len(words(said)) < 2 or " ".join(words(said)) in " ".join(words(item.instruction)):
        return Score(False, "repeats the message")
    if "?" in said:
        return Score(False, "asks a question")
    if _DENIES.search(said) or _PUZZLED.search(said):
        return Score(False, "denies or leaves open the cause")
    if cause in _NAMED:  # "numpy is not installed" names the module as well as "the module" would
        said = re.sub(rf"\b(?:{_parties(item.truth['error'])})\b", cause, said, flags=re.I)
    if not names_cause(said, cause):
        return Score(False, f"another cause or none, wanted: {CAUSES[cause][0]}")
    others = [other for other in CAUSES if other != cause and names_cause(said, other)]
    if len(others) > _MANY:
        return Score(False, f"names many causes: {', '.join(others)}")
    return Score(True, f"names the cause: {cause}")


def _parties(error: str) -> str:
    """The module or command that a message is about, as a pattern."""
    return "|".join(re.escape(word) for word in words(error) if len(word) > 2 and word not in _MESSAGE_WORDS)


def _key(error: str) -> str:
    return re.sub(r"\s+", " ", bare(error)).casefold().replace("’", "'")


_BY_KEY = {_key(error): error for error in MESSAGES}


@lru_cache(maxsize=8)
def _pool(namespace: Namespace) -> tuple[str, ...]:
    return share(namespace, MESSAGES)
