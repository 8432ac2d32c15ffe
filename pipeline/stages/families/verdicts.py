"""Judgements as answers: reading Yes or No, A or B, or one word of a list out of a free answer.

What is right stays with each family; here is only which judgement a text states, and whether it states exactly one. An
explanation may follow a judgement and is not examined beyond this: it may not say the opposite.
"""

from __future__ import annotations

import random
import re
from abc import abstractmethod
from collections.abc import Collection, Mapping
from typing import ClassVar

from pipeline.stages.base import Item, Score
from pipeline.stages.families.text import bare, judge_value, remark, sentences, words
from pipeline.stages.families.worded import WordedFamily

_HEDGE = re.compile(
    r"\b(?:maybe|perhaps|possibly|probably|likely|unsure|uncertain|depends|might|could be|partly|sometimes|hard to say"
    r"|sort of|kind of|both yes|yes and no|not (?:\w+ )?sure"
    r"|(?:do not|don['’]t|cannot|can['’]t) (?:know|say|tell|decide))\b",
    re.I,
)
_LEAD = re.compile(
    r"^\s*(?:(?:the\s+|my\s+)?(?:(?:right|correct|better|best)\s+)?(?:answer|one|letter|reply|verdict|judge?ment|choice)(?:\s+is|\s+would\s+be|\s*:)"
    r"|(?:i\s+)?(?:would\s+)?(?:think|believe|say|choose|pick|prefer|take)|so|well)[\s,:]+",
    re.I,
)
_HEAD_END = re.compile(r"[.!;\n]|\b(?:because|since|while|whereas|as)\b", re.I)
_NEGATION = re.compile(r"\b(?:not|no|never|nowhere|nothing|none|without|neither|cannot)\b|n['’]t\b", re.I)
_AFTER_LABEL = (
    r"(?=\s*(?:$|[.,;:!)\n–—-])|\s+(?:it|this|that|they|the|he|she|there|because|since|as|not|i|or|and|yes|no)\b)"
)
_LABEL = re.compile(rf"\W*(?P<label>yes|no)\b{_AFTER_LABEL}", re.I)
_LAST_LABEL = re.compile(r"[,;.]?\s*\bso,?\s+(?:the answer is\s+)?(?P<label>yes|no)\b(?=\W*$|\s*[.!]\s)", re.I)
_BARE_LABEL = re.compile(r"\byes\b|\bno\b(?=\s*(?:$|[.,;:!)\n]))", re.I)
_CLAUSE = re.compile(r"[.,;:!\n]|\b(?:but|and|or|because|since|while|whereas|so)\b", re.I)
_NO_STATEMENT = re.compile(
    r"^\W*(?:is|are|was|were|does|do|did|has|have|can|would|which|what|whether|if|tell|say|answer|decide|check|judge|look|"
    r"please|find|state|compare)\b",
    re.I,
)
_PLAIN_STATEMENT = re.compile(
    r"^\W*(?:it|this|that|they|there|he|she)\s+(?:is|are|was|were|does|do|did|has)(?:\s+not|n['’]t)?\W*$", re.I
)


class Verdict(WordedFamily):
    """A family whose answer is a judgement. Right judgements of different items coincide."""

    shared_answers = True
    max_new_tokens: ClassVar[int] = 48

    @abstractmethod
    def ground(self, item: Item) -> str:
        """The reason of the right judgement, as a clause."""

    @abstractmethod
    def decide(self, item: Item, text: str) -> Score:
        """Judge an answer that states no task of this family, neither the one asked nor another."""

    def judge(self, item: Item, text: str) -> Score:
        said = sentences(text)
        if any(self.parse(piece) for piece in (*text.splitlines(), *(" ".join(said[i:]) for i in range(len(said))))):
            return Score(False, "states a task")
        return self.decide(item, text)

    def harmless_suffix(self, text: str) -> str | None:
        return remark(text)

    def critique(self, item: Item, response: str, right: bool) -> str:  # noqa: ARG002
        if right:
            return f"The response is right, because {self.ground(item)}."
        return f"The response should say {item.answer}, because {self.ground(item)}."


class YesNoVerdict(Verdict):
    """Yes or No, alone, with an explanation, or as a full statement; the truth holds it as `yes`."""

    @abstractmethod
    def claims(self, item: Item) -> tuple[str, str]:
        """Expressions found in a clause that says yes, and in one that says no; a negation turns either round."""

    def decide(self, item: Item, text: str) -> Score:
        wanted = bool(item.truth["yes"])
        said, reason = read_yes_no(text, *self.claims(item))
        if said is None:
            return Score(False, f"{reason}, wanted {yes_or_no(wanted)}")
        return Score(said is wanted, reason if said is wanted else f"wrong: {reason}, wanted {yes_or_no(wanted)}")

    def corrupt(self, item: Item, rng: random.Random) -> str:  # noqa: ARG002
        return yes_or_no(not item.truth["yes"])


class ChoiceVerdict(Verdict):
    """A or B, as a letter or by naming the option; the truth holds the letter as `value`, the options as `a`, `b`."""

    exact_case: ClassVar[bool] = False
    """Options differ by case, so that an option named in another case is not named."""
    praise: ClassVar[str]
    """What a statement says of the wanted option; the same denied chooses the other one."""
    blame: ClassVar[str]

    def decide(self, item: Item, text: str) -> Score:
        wanted = str(item.truth["value"])
        options = {"A": str(item.truth["a"]), "B": str(item.truth["b"])}
        said, reason = read_choice(text, options, self.praises(item), self.exact_case)
        if said is None:
            return Score(False, f"{reason}, wanted {wanted}")
        return Score(said == wanted, reason if said == wanted else f"wrong: {said}, wanted {wanted}")

    def praises(self, item: Item) -> tuple[str, str]:  # noqa: ARG002
        """Expressions for the quality asked for and for its lack."""
        return self.praise, self.blame

    def corrupt(self, item: Item, rng: random.Random) -> str:  # noqa: ARG002
        return other_letter(str(item.truth["value"]))


class PickVerdict(Verdict):
    """One word out of a list; the truth holds the list as `list` and the word as `value`."""

    def decide(self, item: Item, text: str) -> Score:
        return judge_pick(text, str(item.truth["value"]), str(item.truth["list"]).split(", "))

    def corrupt(self, item: Item, rng: random.Random) -> str:
        return rng.choice([w for w in str(item.truth["list"]).split(", ") if w != item.truth["value"]])


def yes_or_no(yes: bool) -> str:
    """The label as it stands in an answer."""
    return "Yes" if yes else "No"


def other_letter(letter: str) -> str:
    """B for A, A for B."""
    return "B" if letter == "A" else "A"


def read_yes_no(text: str, says_yes: str, says_no: str) -> tuple[bool | None, str]:
    """(what the text says, or None; how it says it, or why it says nothing).

    A label at the beginning counts unless a later clause denies it; without a label, all clauses that claim anything
    must claim the same.
    """
    plain = re.sub(r"[\"“”*`]", "", text).strip()
    if not re.search(r"\w", plain):
        return None, "empty"
    if "?" in plain:
        return None, "asks a question"
    if _HEDGE.search(plain):
        return None, "hedges"
    body = _LEAD.sub("", plain)
    found = _LABEL.match(body)
    if found is None and (last := _LAST_LABEL.search(body)):
        body = f"{last['label']}, {body[: last.start()]}. {body[last.end() :]}"
        found = _LABEL.match(body)
    label = None if found is None else found["label"].casefold() == "yes"
    rest = body if found is None else body[found.end() :]
    if _BARE_LABEL.search(rest):
        return None, "no single label"
    if found and re.match(r"\W*(?:or|and|but)\b", rest, re.I):
        return None, "hedges"
    claimed = _claimed(rest, says_yes, says_no)
    if label is not None:
        return (
            (None, "contradicts itself") if label not in claimed and claimed else (label, yes_or_no(label).casefold())
        )
    if len(claimed) == 1:
        return claimed.pop(), "stated in a sentence"
    return None, "contradicts itself" if claimed else "no label"


def _claimed(text: str, says_yes: str, says_no: str) -> set[bool]:
    """What the clauses of a text claim: True, False, both or nothing."""
    found = set()
    clauses = [clause for clause in _CLAUSE.split(text) if clause.strip()]
    for place, clause in enumerate(clauses):
        if _NO_STATEMENT.match(clause):
            continue
        denied = _NEGATION.search(clause) is not None
        plain = _PLAIN_STATEMENT.match(clause) or (place == 0 and re.match(r"\W*not\b", clause, re.I))
        if re.search(says_yes, clause, re.I):
            found.add(not denied)
        elif re.search(says_no, clause, re.I):
            found.add(denied)
        elif plain:
            found.add(not denied)
    return found


def read_choice(
    text: str, options: Mapping[str, str], praises: tuple[str, str], exact_case: bool = False
) -> tuple[str | None, str]:
    """(letter that the text chooses, or None; how, or why none). options: letter -> its text; praises: expressions for
    the quality asked for and for its lack."""
    plain = re.sub(r"[\"“”*`]", "", text).strip()
    if "?" in plain:
        return None, "asks a question"
    if _HEDGE.search(plain):
        return None, "hedges"
    body = re.sub(
        r"^\W*(?:option|answer|reply|letter|text|word|it\s+is|it['’]s|it\s+should\s+be)\s+(?=\(?[AB]\b)",
        "",
        _LEAD.sub("", plain),
        flags=re.I,
    )
    body = _raised(body)
    found = re.match(
        r"[(\[]?(?P<letter>[AB])(?:[)\]]|\b)(?=\s*(?:$|[.,;:!)\n–—-])|\s+(?:is|was|because|since|as|has|or|and)\b)",
        body,
    )
    if found is None:
        return _named_option(body, options, praises, exact_case)
    letter, rest = found["letter"], body[found.end() :]
    said = re.match(r"\s+(?:is|was|has)\s+(?P<rest>[^.,;\n]*)", rest)
    denied = said is not None and _denies(said["rest"], praises)
    fault = _choice_fault(letter, rest, options, praises, exact_case, denied)
    if fault:
        return None, fault
    return (other_letter(letter) if denied else letter), "letter"


def _raised(body: str) -> str:
    """A small letter that stands alone or before a mark, as a capital; "a" before a word is an article."""
    found = re.match(r"\W*(?P<letter>[ab])(?=\s*(?:[.):,\n]|$))(?P<rest>.*)", body, re.S)
    if found is None:
        return body
    return found["letter"].upper() + re.sub(r"\bb\b|(?<=[,/\n])\s*a\b(?=\W*$)", lambda m: m[0].upper(), found["rest"])


def _choice_fault(
    letter: str, rest: str, options: Mapping[str, str], praises: tuple[str, str], exact_case: bool, denied: bool
) -> str:
    """What makes a text that begins with `letter` no single choice; empty when nothing does. `denied`: it says that
    this letter is not the one, and may go on with praise of the other."""
    other = other_letter(letter)
    good = rf"(?:better|best|right|correct|true|{praises[0]})"
    verb = r"(?!\s+(?:is|was|has)\b)"
    if re.search(rf"^\W*(?:(?:or|and|nor)\s+)?{other}\b{verb}|\b(?:or|and|nor)\s+{other}\b{verb}", rest):
        return "chooses both"
    head = re.split(r"\b(?:because|since|while|whereas|as)\b", rest, maxsplit=1, flags=re.I)[0]
    if re.search(rf"(?<!not )(?<!than )(?<!over )\b{other}\W+{re.escape(options[other])}(?!\w){verb}", head):
        return "chooses both"
    if not denied and re.search(rf"\b{other}\s+(?:is|was|has)\s+(?:also\s+|too\s+|the\s+|in\s+)*{good}", rest):
        return "chooses both"
    if re.search(rf"(?:^|[.,;\n]|\b(?:and|or))\W*{letter}\b\W*(?:$|[.,\n])", rest) or re.match(rf"\W*{letter}\b", rest):
        return "repeats itself"
    named = re.sub(r"^[\s:)\].,–—-]+", "", rest)
    if _opens_with(named, options[other], exact_case) and not _opens_with(named, options[letter], exact_case):
        after = named[len(options[other]) :]
        if re.match(r"\s*(?:$|[.,;:!)\n])", after) or (re.search(good, after, re.I) and not _denies(after, praises)):
            return f"says {letter} and names {other}"
    return ""


def _named_option(
    body: str, options: Mapping[str, str], praises: tuple[str, str], exact_case: bool
) -> tuple[str | None, str]:
    """The option whose own text the answer is, or of which a statement says that it is the wanted one."""
    body = re.sub(r"^\W*the\s+(?:word|text|answer|reply)\s+", "", body, flags=re.I)
    for letter, option in options.items():
        other = options[other_letter(letter)]
        refused = rf"\W*(?:\b(?:and|but)\s+)?\b(?:not|rather\s+than|instead\s+of)\s+{re.escape(other)}"
        text = re.sub(rf"{refused}(?!\w)", "", body, flags=0 if exact_case else re.I)
        if not _opens_with(text, option, exact_case) or _holds(text, other, exact_case):
            continue
        rest = text[len(option) :].strip(" .,!:'’")
        if not rest or re.match(r"(?:I hope|because|since|as)\b", rest):
            return letter, "option named"
        said = re.match(r"(?:is|was|has)\s+(?P<rest>[^.,;\n]*)", rest)
        if said and _denies(said["rest"], praises):
            return other_letter(letter), "option denied"
        if said and re.search(praises[0], said["rest"], re.I):
            return letter, "option named"
    for letter, option in options.items():
        rivalled = _holds(body, options[other_letter(letter)], exact_case)
        if _holds(body, option, exact_case) and not rivalled and judge_value(body, (option,)).passed:
            return letter, "option stated"
    return None, "no letter"


def _denies(clause: str, praises: tuple[str, str]) -> bool:
    """Does a clause on an option say that it is not the wanted one?"""
    blamed = re.search(praises[1], clause, re.I) is not None and re.search(praises[0], clause, re.I) is None
    return blamed != (_NEGATION.search(clause) is not None)


def _opens_with(text: str, option: str, exact_case: bool) -> bool:
    if not exact_case:
        text, option = text.casefold(), option.casefold()
    return text.startswith(option) and not re.match(r"\w", text[len(option) : len(option) + 1])


def _holds(text: str, option: str, exact_case: bool) -> bool:
    return re.search(rf"(?<!\w){re.escape(option)}(?!\w)", text, 0 if exact_case else re.I) is not None


def judge_pick(text: str, wanted: str, listed: Collection[str]) -> Score:
    """Is `wanted` the one word of the list that a text picks? Other listed words may only explain, after "because"."""
    plain = re.sub(r"[\"“”*`]", "", text).strip()
    if not words(plain):
        return Score(False, "empty")
    if "?" in plain or _HEDGE.search(plain):
        return Score(False, f"asks or hedges, wanted {wanted}")
    head, *tail = _HEAD_END.split(plain, maxsplit=1)
    opening, _, after = head.partition(":")
    if after and any(word in listed for word in words(opening)):
        head, tail = opening, [after, *tail]
    named = [word for word in words(head) if word in listed]
    if not named:
        return Score(False, f"names none of them: {bare(plain)[:40]}, wanted {wanted}")
    if named != [wanted]:
        single = len(set(named)) == 1
        return Score(False, f"wrong: {named[0]}, wanted {wanted}" if single and named[0] != wanted else "names several")
    if _retracts(plain, " ".join(tail), wanted, listed):
        return Score(False, f"takes {wanted} back")
    return Score(True, "exact" if bare(plain).casefold() == wanted else "stated in a sentence")


def _retracts(plain: str, later: str, wanted: str, listed: Collection[str]) -> bool:
    """Does the text deny the word it names, or name another one as well after its first sentence?"""
    word = re.escape(wanted)
    denied = (
        rf"\b(?:not|n['’]t)\s+(?:be\s+)?(?:(?:the|an?)\s+)?(?:word\s+)?{word}\b|\b{word}\s+(?:belongs(?!\s+to)|fits)\b"
    )
    if re.search(denied, plain, re.I):
        return True
    others = [other for other in words(later) if other in listed and other != wanted]
    alone = not re.search(r"\b(?:are|is|has|have|all|both|belong|fit|spelled|written)\b", later, re.I)
    rival = (
        rf"\b(?:{'|'.join(map(re.escape, others))})\b[^.,;]*\b(?:not\s+belong|odd|wrong|misspell)" if others else "(?!)"
    )
    return bool(others) and (alone or re.search(rival, later, re.I) is not None)
