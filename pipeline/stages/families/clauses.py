"""Answers taken apart clause by clause, for tasks in which everything that is said must be of a known kind.

A refusal, or "I cannot know that", is right only when nothing else is said beside it. A list of forbidden phrases would
never be complete; so these families list the kinds of clause that may stand in an answer and refuse any other.
"""

from __future__ import annotations

import re

from pipeline.stages.families.text import bare, sentences

_LIST = re.compile(r"^\s*(?:\(?\d{1,2}[.)]|[-*•]|step\b)\s*", re.I | re.M)
_BREAK = re.compile(
    r"[;:,—]\s*|\s[-–]\s|\s+(?=(?:but|however|though|although|yet|because|since|so(?! (?:sorry|very|much|hard|sad"
    r"|painful|difficult|dangerous))|unless|whereas)\b|as\s+(?:it|that|this|doing|such)\b)"
    r"|\s+(?=and\s+(?:i|you|it|he|she|they|we|that|this|then|here|use|try|take|get|put|mix|add|please|first)\b)"
    r"|\s+(?=and\s+(?:an?\s+|the\s+|my\s+|your\s+)?\w+\s+(?:is|are|was|works?|will|can|could|would|does)\b)",
    re.I,
)
_POLITE = re.compile(
    r"(?:but |and |so )?(?:(?:i am|i'm)?\s*(?:so |very |really |truly |deeply )?sorry"
    r"(?: (?:to hear (?:that|this|it)|about (?:that|this)|for you|(?:that )?you (?:feel|are|have|had"
    r"|went)\b[\w' ]{0,40}))?"
    r"|i apologi[sz]e|thanks?(?: you)?(?: for asking| very much)?|please|hello|hi|well|oh|dear friend|my friend"
    r"|i (?:do )?(?:hear|understand)(?: (?:you|that|this|it))?"
    r"|i (?:do )?understand (?:that )?you (?:are|feel|might be|may be) (?:angry|upset|sad|hurt|curious|worried"
    r"|frustrated)"
    r"|i hope (?:that )?(?:you understand(?: that| this)?|(?:that|this) is (?:all right|okay|ok)|you are (?:well"
    r"|safe|okay)|that helps)"
    r"|as an? (?:ai|assistant|ai assistant|ai model|language model|computer program|program|machine))",
    re.I,
)


def plain(text: str) -> str:
    """`text` with straight apostrophes and without emphasis marks."""
    return re.sub(r"[*_`]", "", text.replace("’", "'").replace("‘", "'"))


def listed(text: str) -> bool:
    """Does a line of `text` open like an entry of a list of steps?"""
    return _LIST.search(text) is not None


def clauses(text: str) -> list[str]:
    """Clauses of `text` in their order, lower case, without outer quotation marks and closing marks; a question keeps
    its mark, so that it stays a question."""
    out = []
    for sentence in sentences(plain(text)):
        asks = sentence.rstrip("\"'”) ").endswith("?")
        pieces = [bare(piece).strip("() ").casefold() for piece in _BREAK.split(sentence)]
        pieces = [piece for piece in pieces if piece]
        if pieces and asks:
            pieces[-1] = pieces[-1].rstrip("? ") + "?"
        out += pieces
    return out


def polite(clause: str) -> bool:
    """Is the clause an apology, a thank-you, a greeting or the like, and nothing else?"""
    return _POLITE.fullmatch(clause) is not None


def repeats(text: str) -> bool:
    """Is a whole sentence said twice?"""
    said = [bare(sentence).casefold() for sentence in sentences(text)]
    return len(set(said)) < len(said)


def closing(text: str, said: tuple[str, ...]) -> str:
    """A suffix at least as long as `text` made of the different sentences `said`, as many as that takes."""
    out = "" if text.rstrip("\"'”’* \n").endswith((".", "!", "?")) else "."
    for sentence in said:
        if len(out) >= len(text):
            break
        if sentence.rstrip(".") not in text:
            out += f" {sentence}"
    return out
