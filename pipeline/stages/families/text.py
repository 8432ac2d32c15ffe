"""Reading answers and splitting pools: small text tools shared by the task families.

What a right answer *is* stays with each family; here is only how an answer states one value, and which half of a pool a
word belongs to.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache

from pipeline.stages.base import Namespace, Score

_TRAIN_SHARE, _CALIBRATION_SHARE = 50, 15  # per cent; the rest is EVAL
_QUOTES = "\"'`“”‘’«»*_"
_TAIL = ".!,;:"
_NUMBER_WORDS = tuple(
    """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen twenty
""".strip().split()
)
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_MARKER = re.compile(
    r"(?:\b(?:is|are|was|were|equals|makes|gives|becomes|be|it's|that's)\b|=|:|->|→|=>|\s[-–—]\s)\s*", re.I
)
_NEGATION = re.compile(r"\b(?:not|never|cannot|neither|nor|wrong|incorrect)\b|n['’]t\b", re.I)
_HEDGE = re.compile(r"^\W*(?:or|and|/|maybe|perhaps|but)\b|^\s*/", re.I)
_GOES_ON = re.compile(
    r"^[\"'”’)*_`]*(?:$|[.,;:!)\n]"
    r"|\s+(?:in|for|because|which|as|since|when|of|to|by|if|with|here|too|so)\b|\s*\(|\s[-–—]\s)"
)


@lru_cache(maxsize=65536)
def portion(key: str) -> Namespace:
    """The one namespace in which a pool entry may appear: half TRAIN, 15 % CALIBRATION, 35 % EVAL.

    A pure function of the entry's own text (sha256), so that entries added later move none of the others, and the same
    word falls on the same side in every family.
    """
    place = int.from_bytes(hashlib.sha256(f"pool-39\x1f{key.casefold()}".encode()).digest()[:8], "big") % 100
    if place < _TRAIN_SHARE:
        return Namespace.TRAIN
    return Namespace.CALIBRATION if place < _TRAIN_SHARE + _CALIBRATION_SHARE else Namespace.EVAL


def share(namespace: Namespace, keys: Iterable[str]) -> tuple[str, ...]:
    """Those `keys` that belong to `namespace`, in their order."""
    return tuple(key for key in keys if portion(key) is namespace)


def bare(text: str) -> str:
    """`text` without outer blanks, quotation and emphasis marks and closing punctuation; case kept."""
    previous = None
    while previous != text:
        previous = text
        text = text.strip().strip(_QUOTES).rstrip(_TAIL)
    return text


def folded(text: str) -> str:
    """`bare`, lower case, blanks collapsed, straight quotes, without a leading article."""
    text = re.sub(r"\s+", " ", bare(text)).casefold().replace("’", "'")
    return re.sub(r"^(?:an?|the)\s+(?=\S)", "", text)


def word_list(text: str) -> tuple[str, ...]:
    """The blank-separated words of a table written as text."""
    return tuple(text.split())


def words(text: str) -> list[str]:
    """Words and numbers of `text` in lower case; an apostrophe or hyphen inside a word stays."""
    return re.findall(r"\d+|[^\W\d_]+(?:['’-][^\W\d_]+)*", text.casefold())


def with_article(noun: str) -> str:
    """`noun` with "a" or "an" by its first letter (the pools hold no word where the letter misleads)."""
    return f"{'an' if noun[:1].casefold() in 'aeiou' else 'a'} {noun}"


_UNITS = "|".join(_NUMBER_WORDS[1:10])
_COMPOUND = re.compile(rf"\b({'|'.join(_TENS)})[- ]({_UNITS})\b", re.I)
_SIMPLE = re.compile(rf"\b({'|'.join([*_NUMBER_WORDS, *_TENS])})\b", re.I)
_DIGITS = {word: str(value) for word, value in [*((w, n) for n, w in enumerate(_NUMBER_WORDS)), *_TENS.items()]}
_WORD = re.compile(r"\w+", re.ASCII)
_WORDS = re.compile(r"\w+")


def number_words_to_digits(text: str) -> str:
    """Number words up to ninety-nine written as digits ("twenty-one" -> "21")."""
    if "ty" in text.casefold():  # as every ten ends
        text = _COMPOUND.sub(_compound, text)
    if text.isascii():  # word by word costs a quarter of what trying thirty words at every letter does
        return _WORD.sub(_digits, text)
    return _SIMPLE.sub(_digits, text)


def _digits(match: re.Match[str]) -> str:
    return _DIGITS.get(match[0].casefold(), match[0])


def _compound(match: re.Match[str]) -> str:
    ten, unit = match[1].casefold(), match[2].casefold()
    if ten not in _TENS or unit not in _DIGITS:  # "sıx": a letter that is taken for another one only where case is not
        return match[0]
    return str(_TENS[ten] + int(_DIGITS[unit]))


def number_word(value: int) -> str:
    """The English word of a number from 0 to 20."""
    return _NUMBER_WORDS[value]


def sentences(text: str) -> list[str]:
    """Sentences of `text`, split at . ! ? (with closing quotes) before a blank, and at line ends.

    A full stop after a single capital or a known abbreviation ends no sentence.
    """
    text = re.sub(r"\b(Mr|Mrs|Ms|Dr|St|Prof|etc|e\.g|i\.e|U\.S|a\.m|p\.m|[A-Z])\.(?=\s)", "\\1\u2024", text)
    pieces = re.split(r"(?<=[.!?])[\"'”’)]*\s+|(?<=[.!?][\"”’])\s+|\s*\n+\s*", text.strip())
    return [piece.replace("\u2024", ".") for piece in pieces if piece.strip()]


def remark(text: str) -> str:
    """A closing remark that says nothing about the task, as long as `text` itself at least."""
    stop = "" if text.rstrip("\"'”’* \n").endswith((".", "!")) else "."
    said = " I hope this short answer helps you with your work today."
    return stop + said * (len(text) // len(said) + 1)


def without_echo(instruction: str, text: str) -> str:
    """`text` without a repetition of the instruction's words at its beginning, whatever stands between them."""
    text = text.strip()
    asked = [match[0].casefold() for match in _WORDS.finditer(instruction)]
    end = 0
    said = _WORDS.finditer(text)
    for word in asked:
        found = next(said, None)
        if found is None or found[0].casefold() != word:
            return text
        end = found.end()
    return text[end:].lstrip(" \n\t:?!.,;\"'”’") if asked else text


def judge_value(
    text: str,
    accepted: Sequence[str],
    *,
    subject: Collection[str] = (),
    rival: Callable[[str], str | None] = lambda _: None,
) -> Score:
    """Does `text` state one of the `accepted` values, and nothing against it?

    Right are the bare value ("Paris", "the 12."), several accepted values, and a sentence that asserts it after "is",
    "=", ":" and the like, or begins with it ("Paris is the capital."). Wrong are hedges ("12 or 13"), lists with a
    foreign part, negations, questions, repetitions, and any text for which `rival` names a contradicting value.

    accepted: right values, the preferred one first. subject: words of the question that may stand beside the value
    ("Paris, France"). rival: returns a contradicting value found in the text, or None.
    """
    if not bare(text):
        return Score(False, "empty")
    right = {folded(value) for value in accepted}
    if folded(text) in right:
        return Score(True, "exact")
    if "?" in text:
        return Score(False, "asks a question")
    if _NEGATION.search(text):
        return Score(False, f"negated, wanted {accepted[0]}")
    other = rival(text)
    if other is not None:
        return Score(False, f"names {other}, wanted {accepted[0]}")
    first, *later = sentences(text)
    if _asserts(first, right):
        if any(_takes_back(first, sentence, right) for sentence in later):
            return Score(False, f"contradicts itself, wanted {accepted[0]}")
        return Score(True, "stated in a sentence")
    return _judge_parts(text, right, {folded(s) for s in subject}, accepted[0])


def _asserts(sentence: str, right: set[str]) -> bool:
    """Is a right value asserted after a marker, or the opening of a sentence that goes on with a marker?"""
    for marker in _MARKER.finditer(sentence):
        if any(_begins(sentence[marker.end() :], value) for value in right):
            return True
        if folded(sentence[: marker.start()]) in right and marker.group().strip().casefold() in _OPENING:
            return True
    return False


def _takes_back(first: str, sentence: str, right: set[str]) -> bool:
    """Does a later sentence begin like the first one, up to its marker, and then assert something else?"""
    for marker in _MARKER.finditer(first):
        opening = first[: marker.end()].casefold()
        if sentence.casefold().startswith(opening):
            return not _asserts(sentence, right)
    return False


_OPENING = {"is", "are", "was", "were"}


def _begins(rest: str, value: str) -> bool:
    rest = re.sub(
        r"^(?:(?:an?|the|exactly|just|simply|equal to|called)\s+)*", "", rest.lstrip(_QUOTES + " "), flags=re.I
    )
    rest = rest.lstrip(_QUOTES + " ").replace("’", "'")
    if not rest.casefold().startswith(value):
        return False
    after = rest[len(value) :]
    return bool(_GOES_ON.match(after)) and not _HEDGE.match(after)


def _judge_parts(text: str, right: set[str], subject: set[str], wanted: str) -> Score:
    """Judge an answer that is a mere enumeration: every part must be right (or the subject, after a right one)."""
    head, *tail = sentences(text)
    parts = [folded(part) for part in re.split(r"[,;/\n]|\s+(?:or|and)\s+", head) if bare(part)]
    if parts and parts[0] in right:
        if len(set(parts)) < len(parts) or any(folded(piece) in right for piece in tail):
            return Score(False, "repeats itself")
        foreign = [part for part in parts if part not in right and part not in subject]
        if foreign:
            return Score(False, f"also answers {foreign[0]}, wanted {wanted}")
        return Score(True, "exact")
    shown = " ".join(head.split()[:6])
    return Score(False, f"wrong: {shown}, wanted {wanted}")
