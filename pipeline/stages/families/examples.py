"""Making one example of a class of things: another one than the one named, one by its first letter or its length."""

from __future__ import annotations

import random
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.knowledge import LEAD_IN, named_in, plural_forms
from pipeline.stages.families.lexicon import CLASSES
from pipeline.stages.families.text import folded, judge_value, number_word, remark, sentences, share, with_article
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

_UNFIT = {"things found in a kitchen", "kinds of weather", "continents", "days of the week"}  # vague or disputed
_CLASSES = tuple(plural for plural in CLASSES if plural not in _UNFIT)
_BY_SINGULAR = {CLASSES[plural].singular: plural for plural in _CLASSES}
_INITIALS = {"ict", "it", "pe", "suv", "rv", "atv", "mma", "bmx"}
_FAMILIAR = 12  # what is named in instructions and answers comes from the best known members
_SLOT = "(?:an?|one)\\s+(?P<kind>" + "|".join(sorted(_BY_SINGULAR, key=len, reverse=True)) + ")"
_EXCEPT = (
    r"(?:(?:(?:that|which)\s+(?:is|are)\s+)?(?:other|rather|different)\s+(?:than|from)|besides|except(?:\s+for)?|"
    r"apart\s+from|instead\s+of|unlike|but\s+not|(?:(?:that|which)\s+(?:is|are)\s+)?not|(?:that|which)\s+isn't)"
)
_SEPARATOR = re.compile(r"[,;/\n]|\b(?:and|or)\b", re.I)
_GOES_ON = (
    r"(?:\s*\(|,\s*(?:an?|the|which|because|since|for|as)\b|\s+[-–—]\s"
    r"|\s+(?:because|since|which|that|for|is|are|has|have|begins?|starts?|would|counts?|fits?)\b)"
)
_CLAUSE = re.compile(r"\s+(?:that|which|who|because|since)\b[^.\n]*", re.I)
_CHOICE = re.compile(r"^I(?:'d|'ll|\s+would|\s+will|\s+can)?\s+(?:name|choose|say|pick|suggest|write)\s+", re.I)
_QUALITY = re.compile(r"\b(?:ripe|fresh|juicy|tasty|big|small|large)\s+", re.I)
_NOT = re.compile(r"\b(?:not|never)\b|n['’]t\b|\?", re.I)


class Example(WordedFamily):
    """Base: one member of a class that meets a condition. Judged by membership; exactly one is wanted."""

    shared_answers = True
    max_new_tokens = 24
    topic_fields = ("class",)

    @abstractmethod
    def wanted(self, truth: Mapping[str, Any]) -> tuple[str, ...]:
        """The members that answer, the best known first."""

    @abstractmethod
    def condition(self, truth: Mapping[str, Any]) -> str:
        """The request in words: "a fruit other than apple"."""

    def forms(self, member: str) -> Sequence[str]:
        """How a right member may be written."""
        return plural_forms(member)

    def vary(self, answer: str, truth: Mapping[str, Any], rng: random.Random) -> str:
        return display(rng.choice(self.wanted(truth)[:_FAMILIAR]), truth["class"]) if answer else answer

    def judge(self, item: Item, text: str) -> Score:
        truth = item.truth
        members = CLASSES[truth["class"]].members
        text = self.without_condition(LEAD_IN.sub("", text.strip()), truth)
        text = _QUALITY.sub("", _CHOICE.sub("It is ", text)) or text
        right = {form: member for member in self.wanted(truth) for form in self.forms(member)}
        if not text:
            return Score(False, "empty")

        def rival(said: str) -> str | None:
            named = named_in(_CLAUSE.sub("", said), members)
            return next((name for name in named if not any(form in right for form in self.forms(name))), None)

        opening = _opening(text, right, truth["kind"])
        judged = judge_value(
            f"It is {opening}." if opening and not rival(text) and not _NOT.search(text) else text,
            tuple(right),
            subject=(truth["kind"], truth["class"]),
            rival=rival,
        )
        count = len({right[part] for part in _parts(text, right, truth["kind"]) if part in right})
        if judged.passed and count > 1:
            return Score(False, f"{count} named, wanted one")
        return judged if judged.passed else Score(False, f"{judged.reason} ({self.condition(truth)})")

    def without_condition(self, text: str, truth: Mapping[str, Any]) -> str:  # noqa: ARG002
        """`text` without a repetition of the condition that names a member."""
        return text

    def harmless_suffix(self, text: str) -> str | None:
        return remark(text)

    def critique(self, item: Item, response: str, right: bool) -> str:
        if right:
            return f"The response names {self.condition(item.truth)}, as it was asked to."
        return f"The response does not name {self.condition(item.truth)}, such as {item.answer}: {response.strip()}"


class ExampleOf(Example):
    """ "Give an example of a fruit other than apple." """

    name = "example_of"
    slots: ClassVar[Mapping[str, str]] = {
        "thing": _SLOT,
        "word": r"[\"'“‘]?(?:an?\s+)?(?P<word>[a-z][a-z -]*?)[\"'”’]?",
    }
    train_wordings = (
        "Give an example of {thing} other than {word}.",
        "Name {thing} other than {word}.",
        "Write the name of {thing} that is not {word}.",
        "Tell me {thing}, but not {word}.",
        "Think of {thing} other than {word} and write it.",
        "Give me {thing} that is different from {word}.",
        "The word {word} is taken. Name {thing}.",
        "Besides {word}, name {thing}.",
        "Make an example of {thing}, not {word}.",
        "Write one example of {thing} except {word}.",
    )
    eval_wordings = (
        "Create an example of {thing} other than {word}.",
        "Please name {thing} besides {word}.",
        "State {thing} other than {word}.",
        "Write {thing} that is different from {word}.",
        "Apart from {word}, what is an example of {thing}?",
        "Come up with {thing} other than {word}.",
        "Generate the name of {thing}, but not {word}.",
        "Without using {word}, name {thing}.",
        "Provide an example of {thing} except {word}.",
        "Mention {thing} that is not {word}.",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        plural = rng.choice(_classes(namespace))
        return {"kind": CLASSES[plural].singular, "word": rng.choice(CLASSES[plural].members[:_FAMILIAR])}

    def fill(self, facts: Facts) -> Facts:
        return {"thing": with_article(facts["kind"]), "word": display(facts["word"], _BY_SINGULAR[facts["kind"]])}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        plural, word = _class_of(facts["kind"]), squeezed(facts["word"])
        if plural is None or word not in CLASSES[plural].members:
            return None
        truth = {"class": plural, "kind": CLASSES[plural].singular, "word": word}
        return display(self.wanted(truth)[0], plural), truth

    def wanted(self, truth: Mapping[str, Any]) -> tuple[str, ...]:
        return _others(truth["class"], truth["word"])

    def condition(self, truth: Mapping[str, Any]) -> str:
        return f"{with_article(truth['kind'])} other than {display(truth['word'], truth['class'])}"

    def without_condition(self, text: str, truth: Mapping[str, Any]) -> str:
        word = "|".join(map(re.escape, plural_forms(truth["word"])))
        return re.sub(rf",?\s*\b{_EXCEPT}\s+(?:an?\s+|the\s+)?[\"'“‘]?(?:{word})\b[\"'”’]?", "", text, flags=re.I)

    def corrupt(self, item: Item, rng: random.Random) -> str:
        plural, word = item.truth["class"], item.truth["word"]
        two = ", ".join(display(name, plural) for name in rng.sample(self.wanted(item.truth)[:_FAMILIAR], 2))
        return rng.choice((display(word, plural), foreign(plural, rng), two))

    labelled = (
        Labelled(
            "Give an example of a fruit other than apple.",
            right=("banana", "Banana.", "A pear.", "A banana is a fruit.", "An example is a cherry."),
            wrong=("apple", "carrot", "fruit", "apples", "I like fruits.", "An apple is a fruit."),
            odd=(
                '"banana"',
                "PEAR",
                "An example of a fruit other than apple is the mango.",
                "Banana, a yellow fruit.",
                "A pear is a fruit that is not an apple.",
                "Bananas",
                "Sure! Here is one: kiwi",
                "One fruit is a pineapple.",
            ),
            trap=(
                "",
                "Give an example of a fruit other than apple.",
                "apple or banana",
                "banana, apple",
                "banana, pear, cherry, grape",
                "not banana",
                "other than apple",
                "a red apple",
                "a fruit",
                "banana?",
                "banana banana banana",
                "Examples are banana and pear.",
            ),
        ),
        Labelled("Mention a month that is not May.", right=("June", "July is a month."), wrong=("May", "Monday")),
    )


class ExampleWithLetter(Example):
    """ "Name an animal that begins with the letter d." """

    name = "example_with_letter"
    slots: ClassVar[Mapping[str, str]] = {
        "thing": _SLOT,
        "letter": r"(?:the\s+letter\s+)?[\"'“‘]?(?P<letter>[a-z])[\"'”’]?",
    }
    train_wordings = (
        "Name {thing} that begins with the letter {letter}.",
        "Give an example of {thing} whose name starts with {letter}.",
        "Write the name of {thing} beginning with {letter}.",
        "Think of {thing} that starts with the letter {letter} and write it.",
        "Tell me {thing} with {letter} as its first letter.",
        "I need {thing} whose first letter is {letter}. Write one.",
        "Make an example: {thing} that starts with {letter}.",
        "Which word is {thing} and begins with {letter}?",
        "With the letter {letter} at the beginning, name {thing}.",
        "Give me {thing} that has {letter} as the first letter of its name.",
    )
    eval_wordings = (
        "Create an example of {thing} that starts with the letter {letter}.",
        "Please name {thing} starting with {letter}.",
        "Write {thing} that begins with {letter}.",
        "Come up with {thing} whose name begins with {letter}.",
        "State the name of {thing} with the first letter {letter}.",
        "Find {thing} that starts with {letter}.",
        "Generate the name of {thing} beginning with the letter {letter}.",
        "Starting with the letter {letter}, what is the name of {thing}?",
        "Provide one example of {thing} whose first letter is {letter}.",
        "Mention {thing} that begins with the letter {letter}.",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        plural = rng.choice(_classes(namespace))
        letter = rng.choice(sorted({member[0] for member in CLASSES[plural].members[:40]}))
        return {"kind": CLASSES[plural].singular, "letter": letter}

    def fill(self, facts: Facts) -> Facts:
        return {"thing": with_article(facts["kind"]), "letter": facts["letter"].upper()}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        plural = _class_of(facts["kind"])
        if plural is None:
            return None
        truth = {"class": plural, "kind": CLASSES[plural].singular, "letter": facts["letter"].casefold()}
        found = self.wanted(truth)
        return (display(found[0], plural), truth) if found else None

    def wanted(self, truth: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(name for name in CLASSES[truth["class"]].members if name.startswith(truth["letter"]))

    def vary(self, answer: str, truth: Mapping[str, Any], rng: random.Random) -> str:  # noqa: ARG002
        return display(rng.choice(self.wanted(truth)[:3]), truth["class"])

    def condition(self, truth: Mapping[str, Any]) -> str:
        return f"{with_article(truth['kind'])} that begins with {truth['letter'].upper()}"

    def corrupt(self, item: Item, rng: random.Random) -> str:
        plural, letter = item.truth["class"], item.truth["letter"]
        others = [name for name in CLASSES[plural].members[:40] if not name.startswith(letter)]
        strange = [m for m in (foreign(plural, rng) for _ in range(20)) if m.casefold().startswith(letter)]
        return rng.choice((display(rng.choice(others), plural), *strange[:1]))

    labelled = (
        Labelled(
            "Name an animal that begins with the letter D.",
            right=("dog", "Dog.", "A deer", "A dolphin is an animal.", "An animal that begins with D is the donkey."),
            wrong=("cat", "desk", "D", "animal", "An elephant is an animal.", "daisy"),
            odd=('"dog"', "DUCK", "Dogs", "Dog, because it begins with D.", "The answer is: deer", "Sure, dog."),
            trap=(
                "",
                "dog, cat",
                "dog or deer",
                "not a dog",
                "D is for animal",
                "dog dog dog",
                "a bird",
                "doggish",
                "It begins with D.",
                "dog, deer, donkey, duck",
            ),
        ),
        Labelled("Find a colour that starts with B.", right=("blue", "black"), wrong=("red",), trap=("blue, red",)),
    )


class ExampleOfLength(Example):
    """ "Write a colour whose name has four letters." """

    name = "example_of_length"
    slots: ClassVar[Mapping[str, str]] = {
        "thing": _SLOT,
        "n": r"(?:exactly\s+)?(?P<n>\d{1,2}|" + "|".join(number_word(n) for n in range(2, 13)) + ")",
    }
    train_wordings = (
        "Write {thing} whose name has {n} letters.",
        "Name {thing} with {n} letters in its name.",
        "Give an example of {thing} that is written with {n} letters.",
        "Think of {thing} with exactly {n} letters and write it.",
        "Tell me {thing} that has {n} letters.",
        "I need {thing} with a name of {n} letters. Write one.",
        "Make an example: {thing} spelled with {n} letters.",
        "Which word of {n} letters is {thing}?",
        "In {n} letters, name {thing}.",
        "For a crossword with {n} boxes, give me {thing}.",
    )
    eval_wordings = (
        "Create an example of {thing} with {n} letters.",
        "Please name {thing} whose name is {n} letters long.",
        "State {thing} that is spelled with {n} letters.",
        "Come up with {thing} of {n} letters.",
        "Generate the name of {thing} that has {n} letters.",
        "Find {thing} that you write with {n} letters.",
        "Provide {thing} whose name counts {n} letters.",
        "Mention {thing} with a name that is {n} letters long.",
        "What is {thing} with {n} letters?",
        "A word of {n} letters is wanted: write {thing}.",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        plural = rng.choice(_classes(namespace))
        lengths = {len(m) for m in CLASSES[plural].members[:30] if m.isalpha() and 3 <= len(m) <= 12}
        return {"kind": CLASSES[plural].singular, "n": str(rng.choice(sorted(lengths)))}

    def fill(self, facts: Facts) -> Facts:
        return {"thing": with_article(facts["kind"]), "n": number_word(int(facts["n"]))}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        plural, asked = _class_of(facts["kind"]), facts["n"].casefold()
        if plural is None:
            return None
        number = int(asked) if asked.isdigit() else next(n for n in range(13) if number_word(n) == asked)
        truth = {"class": plural, "kind": CLASSES[plural].singular, "n": number}
        found = self.wanted(truth)
        return (display(found[0], plural), truth) if found else None

    def wanted(self, truth: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(m for m in CLASSES[truth["class"]].members if m.isalpha() and len(m) == truth["n"])

    def forms(self, member: str) -> Sequence[str]:
        return (member,)  # a plural has another length

    def vary(self, answer: str, truth: Mapping[str, Any], rng: random.Random) -> str:  # noqa: ARG002
        return display(rng.choice(self.wanted(truth)[:3]), truth["class"])

    def condition(self, truth: Mapping[str, Any]) -> str:
        return f"{with_article(truth['kind'])} with {truth['n']} letters"

    def corrupt(self, item: Item, rng: random.Random) -> str:
        plural = item.truth["class"]
        others = [m for m in CLASSES[plural].members[:40] if m.isalpha() and len(m) != item.truth["n"]]
        return display(rng.choice(others), plural)

    labelled = (
        Labelled(
            "Write a colour whose name has four letters.",
            right=("blue", "Pink.", "grey", "A colour with four letters is blue.", "Gold is a colour."),
            wrong=("red", "green", "four", "Red has three letters.", "bird", "colour"),
            odd=('"blue"', "PINK", "Blue, because it has four letters.", "blue (four letters)", "The colour is teal."),
            trap=(
                "",
                "blue or green",
                "blue, pink, grey",
                "blue, red",
                "not blue",
                "reds",
                "abcd",
                "b-l-u-e-s",
                "A colour with four letters is green.",
            ),
        ),
        Labelled(
            "Find a bird that you write with four letters.", right=("duck", "a swan"), wrong=("owl",), trap=("crows",)
        ),
    )


def display(name: str, plural: str) -> str:
    """A member as it is written: proper names and languages with capitals, initials in capitals."""
    if name in _INITIALS:
        return name.upper()
    if CLASSES[plural].proper or name in CLASSES["languages"].members[:40]:
        return " ".join(word if word == "of" else word.capitalize() for word in name.split())
    return name


def foreign(plural: str, rng: random.Random) -> str:
    """A well known thing that is not of the class."""
    mine = CLASSES[plural]
    strange = [CLASSES[other] for other in _CLASSES if CLASSES[other].realm != mine.realm]
    kind = rng.choice(strange)
    return display(rng.choice([m for m in kind.members[:_FAMILIAR] if m not in mine.members]), kind.plural)


def squeezed(text: str) -> str:
    """Lower case, one blank between words."""
    return re.sub(r"\s+", " ", text.strip().casefold())


def _opening(text: str, right: Mapping[str, str], kind: str) -> str | None:
    """The right form with which the text opens before it goes on to explain it ("Banana, a yellow fruit.")."""
    start = rf"(?:(?:an?|the)\s+)?(?:(?:word|{kind})\s+)?[\"'“‘]?"
    found = re.match(rf"{start}([^\W\d_][\w' -]*?)[\"'”’]?{_GOES_ON}", text.strip(), re.I)
    return found[1].casefold() if found and found[1].casefold() in right else None


def _parts(text: str, right: Mapping[str, str], kind: str) -> list[str]:
    """The parts of an enumeration, each without the words that introduce or follow it."""
    found = []
    for part in (piece for sentence in sentences(text) for piece in _SEPARATOR.split(sentence)):
        said = re.sub(r"^.*?(?:\b(?:is|are|be|include)\b|:)\s*", "", part, flags=re.I)
        found.append(_opening(part, right, kind) or folded(said))
    return found


def _class_of(kind: str) -> str | None:
    return _BY_SINGULAR.get(squeezed(kind))


@lru_cache(maxsize=4096)
def _others(plural: str, word: str) -> tuple[str, ...]:
    return tuple(
        name for name in CLASSES[plural].members if name not in plural_forms(word) and word not in plural_forms(name)
    )


@lru_cache(maxsize=8)
def _classes(namespace: Namespace) -> tuple[str, ...]:
    return share(namespace, _CLASSES)
