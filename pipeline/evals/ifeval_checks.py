"""Verifiers of single instructions, one function a kind: does this text follow that instruction?

Kinds and argument names are those of IFEval (Zhou et al. 2023, arXiv 2311.07911), so that its items can be scored too;
left out is the one kind that needs a language detector. The code is our own, as are the readings that the paper leaves
open: what a word, a sentence or a section is stands beside each function. An empty text follows nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Verifier = Callable[..., bool]

OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
"""The choices of a constrained response when an instruction names none."""

_ABBREVIATION = re.compile(r"(?:\b(?:mr|mrs|ms|dr|prof|st|vs|etc|e\.g|i\.e|no|p\.s|p\.p\.s)|\b[a-z])\.$", re.I)
_SENTENCE_END = re.compile(r"[.!?]+[\"'”’)*_]*(?=\s|$)")
_HIGHLIGHT = re.compile(r"\*\*(?=\S)[^*\n]+(?<=\S)\*\*|(?<!\*)\*(?=\S)[^*\n]+(?<=\S)\*(?!\*)")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


def follows(kind: str, arguments: Mapping[str, Any], text: str) -> bool:
    """Whether `text` follows one instruction. KeyError for an unknown kind, TypeError or ValueError for arguments that
    do not fit it."""
    verifier = KINDS[kind]
    return bool(text.strip()) and verifier(text, **arguments)


def words(text: str) -> list[str]:
    """Runs of letters, digits and underscores; an apostrophe or hyphen ends a word."""
    return re.findall(r"\w+", text)


def sentences(text: str) -> list[str]:
    """Parts that end with . ! or ? or with a blank line, and hold a word. Abbreviations, initials, decimals, list
    numbers, and three dots before a small letter end none."""
    found = []
    for paragraph in re.split(r"\n[ \t]*\n", text):
        start = 0
        for end in _SENTENCE_END.finditer(paragraph):
            part = paragraph[start : end.end()]
            if _goes_on(part, paragraph[end.end() :]):
                continue
            found.append(part)
            start = end.end()
        found.append(paragraph[start:])
    return [part.strip() for part in found if words(part)]


def _goes_on(part: str, rest: str) -> bool:
    """Whether the stop at the end of `part` ends no sentence."""
    if not rest.strip():
        return False
    dots = part.endswith("..") and rest.lstrip()[0].islower()
    return dots or _ABBREVIATION.search(part) is not None or re.fullmatch(r"\s*\d+\.", part) is not None


def holds(count: int, relation: str, wanted: int) -> bool:
    """`count` stands in `relation` to `wanted`."""
    if relation == "at least":
        return count >= wanted
    if relation == "less than":
        return count < wanted
    raise ValueError(f"the relation must be 'at least' or 'less than', not {relation!r}")


# --- keywords --------------------------------------------------------------------------------------------------------


def _existence(text: str, keywords: Sequence[str]) -> bool:
    """Every keyword occurs, in any case, also inside a longer word."""
    return all(keyword.casefold() in text.casefold() for keyword in keywords)


def _forbidden(text: str, forbidden_words: Sequence[str]) -> bool:
    """No forbidden word occurs as a whole word, in any case."""
    return not any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.I) for word in forbidden_words)


def _frequency(text: str, keyword: str, frequency: int, relation: str) -> bool:
    """Occurrences without overlap, in any case, also inside longer words."""
    return holds(text.casefold().count(keyword.casefold()), relation, frequency)


def _letter_frequency(text: str, letter: str, let_frequency: int, let_relation: str) -> bool:
    if len(letter) != 1:
        raise ValueError(f"one letter is counted, not {letter!r}")
    return holds(text.casefold().count(letter.casefold()), let_relation, let_frequency)


# --- length ----------------------------------------------------------------------------------------------------------


def _number_words(text: str, num_words: int, relation: str) -> bool:
    return holds(len(words(text)), relation, num_words)


def _number_sentences(text: str, num_sentences: int, relation: str) -> bool:
    return holds(len(sentences(text)), relation, num_sentences)


def _number_paragraphs(text: str, num_paragraphs: int) -> bool:
    """Exactly so many paragraphs between dividers of three asterisks, none of them empty."""
    parts = [part.strip() for part in re.split(r"(?<!\*)\*\*\*(?!\*)", text)]
    while parts and not parts[0]:
        parts.pop(0)
    while parts and not parts[-1]:
        parts.pop()
    return len(parts) == num_paragraphs and all(parts)


def _nth_paragraph(text: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    """Exactly so many paragraphs between blank lines, and the n-th (from 1) starts with the word, in any case."""
    if not 1 <= nth_paragraph <= num_paragraphs:
        raise ValueError(f"there is no paragraph {nth_paragraph} of {num_paragraphs}")
    parts = [part for part in re.split(r"\n[ \t]*\n", text) if part.strip()]
    if len(parts) != num_paragraphs:
        return False
    start = re.match(r"[^\w]*([\w'’-]+)", parts[nth_paragraph - 1])
    return start is not None and start[1].strip("'’-_").casefold() == first_word.casefold()


# --- content and format ----------------------------------------------------------------------------------------------


def _placeholders(text: str, num_placeholders: int) -> bool:
    """At least so many pairs of square brackets with something between them on one line."""
    return len(re.findall(r"\[[^\[\]\n]*\w[^\[\]\n]*\]", text)) >= num_placeholders


def _postscript(text: str, postscript_marker: str) -> bool:
    """A line starts with the marker (in any case; full stops and blanks may be missing) and says something."""
    letters = re.findall(r"\w", postscript_marker)
    if not letters:
        raise ValueError("a postscript marker needs letters")
    marker = r"\.?[ \t]?".join(map(re.escape, letters))
    return re.search(rf"^\W*{marker}(?:\.|:|\b(?!\.\w)).*?\w", text, re.I | re.M) is not None


def _bullets(text: str, num_bullets: int) -> bool:
    """Exactly so many lines that start with "* " or "- "."""
    return len(re.findall(r"^[ \t]*[*-][ \t]+\S", text, re.M)) == num_bullets


def _constrained(text: str, options: Sequence[str] = OPTIONS) -> bool:
    """Exactly one of the options occurs, word for word."""
    return sum(option in text for option in options) == 1


def _highlights(text: str, num_highlights: int) -> bool:
    """At least so many passages between single or double asterisks on one line."""
    return len(_HIGHLIGHT.findall(text)) >= num_highlights


def _sections(text: str, section_spliter: str, num_sections: int) -> bool:
    """At least so many lines open a section: the word in any case and a number, each number once."""
    found = re.findall(rf"^\W*{re.escape(section_spliter)}[ \t]*(\d+)\b", text, re.I | re.M)
    return len(set(found)) >= num_sections


def _json(text: str) -> bool:
    """The whole text is one JSON object or array; a code fence around it is allowed."""
    fenced = re.fullmatch(r"\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*", text, re.S | re.I)
    try:
        value = json.loads(fenced[1] if fenced else text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict | list)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _title(text: str) -> bool:
    """Something stands between double angle brackets on one line."""
    return re.search(r"<<[^<>\n]*\w[^<>\n]*>>", text) is not None


# --- combinations, case, start and end -------------------------------------------------------------------------------


def _two_responses(text: str) -> bool:
    """Exactly two different, non-empty parts around a divider of six asterisks."""
    parts = [" ".join(part.split()).casefold() for part in re.split(r"(?<!\*)\*{6}(?!\*)", text)]
    return len(parts) == 2 and all(parts) and parts[0] != parts[1]


def _repeat_prompt(text: str, prompt_to_repeat: str) -> bool:
    """Starts with the request, blanks and case aside, and goes on after it."""
    said, wanted = (" ".join(part.split()).casefold() for part in (text, prompt_to_repeat))
    return said.startswith(wanted) and bool(words(said[len(wanted) :]))


def _capital(text: str) -> bool:
    """No small letter, and at least one capital."""
    return text.isupper()


def _lowercase(text: str) -> bool:
    """No capital letter, and at least one small one."""
    return text.islower()


def _capital_words(text: str, capital_frequency: int, capital_relation: str) -> bool:
    """Words without a small letter, single letters included; an 's does not matter."""
    capitals = sum(re.sub(r"['’]s$", "", word).isupper() for word in _WORD.findall(text))
    return holds(capitals, capital_relation, capital_frequency)


def _end(text: str, end_phrase: str) -> bool:
    """The last words, in any case; a closing quotation mark may follow."""
    return text.strip().rstrip("\"'”’").casefold().endswith(end_phrase.strip().rstrip("\"'”’").casefold())


def _quotation(text: str) -> bool:
    """Double quotation marks, straight or curly, around everything."""
    inner = text.strip()
    return len(inner) > 2 and (inner[0], inner[-1]) in {('"', '"'), ("“", "”")}


def _no_comma(text: str) -> bool:
    return "," not in text


KINDS: Mapping[str, Verifier] = {
    "keywords:existence": _existence,
    "keywords:forbidden_words": _forbidden,
    "keywords:frequency": _frequency,
    "keywords:letter_frequency": _letter_frequency,
    "length_constraints:number_words": _number_words,
    "length_constraints:number_sentences": _number_sentences,
    "length_constraints:number_paragraphs": _number_paragraphs,
    "length_constraints:nth_paragraph_first_word": _nth_paragraph,
    "detectable_content:number_placeholders": _placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:constrained_response": _constrained,
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": _json,
    "detectable_format:title": _title,
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": _repeat_prompt,
    "change_case:capital": _capital,
    "change_case:lowercase": _lowercase,
    "change_case:capital_word_frequency": _capital_words,
    "startend:end_checker": _end,
    "startend:quotation": _quotation,
    "punctuation:no_comma": _no_comma,
}
"""Every kind and its verifier: (text, **arguments) -> bool."""
