"""Greetings, thanks and farewells: a short courtesy comes back, and nothing else is brought up.

What may be said is a closed social vocabulary. An essay, a fact or an invented dialogue uses other words and fails by
them, however short it is.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.implied_names import people
from pipeline.stages.families.text import sentences, word_list, words
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

SOCIAL = frozenset(
    word_list(
        """
hello hi hey there good morning afternoon evening night day greetings welcome nice lovely great pleased glad happy
delighted pleasure to meet you your yours i i'm i am me my it it's is that's that this was be been are you're how can
could may might shall do help assist assistant assistance today doing so very much too also as well fine thank thanks
for all any anything anytime time problem no not don't mention at of course sure kind kindly words see soon later
tomorrow again have a an the nice wonderful goodbye bye farewell take care until next enjoy rest week weekend evening
journey trip safe safely home let know if need more else what would like here always ready hear from with and or in
on by back hope everything something going goes up best wishes luck friend dear just ask come feel free should more
questions question we will i'll i'd we'll talk speak chat about mine likewise same say good-bye worries absolutely yes
whenever appreciate useful was were had happy helped ok okay lunch meeting both regards have fun anyone
having liked answer travels leaving wish sleep found useful
"""
    )
)
_FORMULAS = {
    "greeting": re.compile(
        r"\b(?:hello|hi|hey|greetings|(?<!are )(?<!['’]re )welcome|good (?:morning|afternoon|evening|day)|"
        r"(?:nice|pleased|glad|happy|lovely|great|good|delighted|pleasure) to (?:meet|see) you|how are you|"
        r"how (?:can|may) i help)\b",
        re.I,
    ),
    "thanks": re.compile(
        r"\b(?:welcome|no problem|no worries|(?:my|a) pleasure|don['’]t mention it|any ?time|not at all|of course|"
        r"(?:glad|happy|pleased|delighted) (?:to|i could|that i could|i was able|it|that it)|thank you,? too|"
        r"(?:glad|happy) (?:you|that you)|that['’]s (?:very |so )?kind|that is (?:very |so )?kind|"
        r"(?:great|good|nice|lovely|wonderful) to (?:hear|know)|that(?:['’]s| is) (?:great|wonderful|good|"
        r"nice|lovely))\b",
        re.I,
    ),
    "farewell": re.compile(
        r"\b(?:good-?bye|bye|farewell|see you|take care|good night|until (?:next time|tomorrow|later|then)|"
        r"have (?:a|an|fun)|enjoy|safe (?:journey|trip|travels)|(?:talk|speak) (?:to you )?(?:soon|later))\b",
        re.I,
    ),
}
_REPLIES = {
    "greeting": ("Hello {name}, nice to meet you.", "Hi {name}, how can I help you?", "Hello {name}!"),
    "thanks": ("You are welcome.", "You are welcome, I am glad I could help.", "My pleasure."),
    "farewell": ("Goodbye, have a nice day.", "Bye, take care.", "See you soon, take care."),
}
_ELSEWHERE = (
    "The capital of Peru is Lima.", "Greetings are important in every culture.", "1. Hello 2. Goodbye 3. Thanks",
    "I am {name} too.", "{name} is a name for a girl or a boy.", "Write a letter to {name}.",
)  # fmt: skip
_HALF_DAY = re.compile(r"(?<!\ba )\bgood\s+(morning|afternoon|evening|night)\b", re.I)
_SELF_ANSWER = re.compile(r"^(?:i['’]m|i am|fine|yes|no|thanks?|very well|well|and you|my name)\b", re.I)


class Greeting(WordedFamily):
    """ "Good morning, I am Anna.": a reply of the same kind, to the right person and at the right time of day."""

    name = "greeting"
    shared_answers = True
    max_new_tokens = 48
    topic_fields = ("name",)
    slots: ClassVar[Mapping[str, str]] = {
        "hello": r"(?P<hello>hello there|hello|hi there|hi|hey|good morning|good afternoon|good evening)",
        "thanks": r"(?P<thanks>thank you very much|thank you so much|thank you|thanks a lot|many thanks|thanks)",
        "bye": r"(?P<bye>goodbye|bye for now|bye|see you tomorrow|see you soon|good night)",
        "name": r"(?P<name>[A-Z][a-z]+)",
    }
    train_wordings = (
        "{hello}! My name is {name}.",
        "{hello}, I am {name}.",
        "{hello}, {name} here.",
        "{hello}! It is me, {name}.",
        "{thanks} for your help with the letter to {name}.",
        "{thanks}! {name} and I are very happy with your answer.",
        "{thanks} for answering {name} so quickly.",
        "{thanks}, that was very useful to me and {name}.",
        "{bye}! {name} and I have to go now.",
        "{bye}, I am going home to {name}.",
        "{bye}, {name} is waiting for me.",
    )
    eval_wordings = (
        "{hello} from {name}!",
        "{hello}, this is {name}.",
        "{hello}! {name} is my name.",
        "{hello}, I am called {name}.",
        "{hello}, you are talking to {name}.",
        "{thanks} for all your help, and {name} thanks you too.",
        "{thanks}! You have really helped {name} and me.",
        "{thanks}, {name} liked your answer very much.",
        "{bye}! I am meeting {name} for lunch.",
        "{bye}, I must pick up {name} now.",
        "{bye}! {name} and I are leaving.",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        hello = rng.choice(("hello", "hi", "hey", "hi there", "good morning", "good afternoon", "good evening"))
        thanks = rng.choice(("thank you", "thank you very much", "thanks", "thanks a lot", "many thanks"))
        bye = rng.choice(("goodbye", "bye", "bye for now", "see you tomorrow", "good night"))
        return {"hello": hello, "thanks": thanks, "bye": bye, "name": rng.choice(people(namespace))}

    def build(self, namespace: Namespace, rng: random.Random, template: str) -> Item:
        wording = dict(zip(self.templates(namespace), self.wordings(namespace), strict=True))[template]
        facts = {name: said for name, said in self.draw(namespace, rng).items() if f"{{{name}}}" in wording}
        solved = self.solve(facts)
        if solved is None:
            raise ValueError(f"family {self.name} drew facts that it cannot solve: {facts}")
        answer, truth = solved
        instruction = wording.format(**facts)
        return Item(
            self.name, template, instruction[:1].upper() + instruction[1:], self.vary(answer, truth, rng), truth
        )

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        kinds = {"hello": "greeting", "thanks": "thanks", "bye": "farewell"}
        slot = next((slot for slot in kinds if slot in facts), None)
        if slot is None:
            return None
        name = facts["name"].capitalize()
        truth = {"kind": kinds[slot], "said": re.sub(r"\s+", " ", facts[slot].casefold()), "name": name}
        return _REPLIES[kinds[slot]][0].format(name=name), truth

    def vary(self, answer: str, truth: Mapping[str, Any], rng: random.Random) -> str:  # noqa: ARG002
        return rng.choice(_REPLIES[truth["kind"]]).format(name=truth["name"])

    def judge(self, item: Item, text: str) -> Score:
        kind, name = item.truth["kind"], item.truth["name"]
        fault = social_fault(text, {*words(name), *(words(f"{name}'s"))})
        if fault:
            return Score(False, fault)
        if re.search(rf"\b(?:i am|i['’]m|my name is|this is|it is|it['’]s)\s+{name}\b", text, re.I):
            return Score(False, f"takes {name}'s part")
        day = _HALF_DAY.search(item.instruction)
        wrong = next((m[1] for m in _HALF_DAY.finditer(text) if day and m[1].casefold() != day[1].casefold()), None)
        if wrong:
            return Score(False, f"another time of day: {wrong}")
        if not _FORMULAS[kind].search(text):
            return Score(False, f"does not answer the {kind}")
        return Score(True, f"answers the {kind}")

    def harmless_suffix(self, text: str) -> str | None:
        stop = "" if text.rstrip("\"'”’ \n").endswith((".", "!", "?")) else "."
        return f"{stop} It is always lovely to hear from you. Let me know if you need anything else, at any time."

    def corrupt(self, item: Item, rng: random.Random) -> str:
        name = item.truth["name"]
        if rng.random() < 0.5:
            kind = rng.choice([kind for kind in _REPLIES if kind != item.truth["kind"]])
            foreign = [reply for reply in _REPLIES[kind] if not _FORMULAS[item.truth["kind"]].search(reply)]
            return rng.choice(foreign).format(name=name)
        return rng.choice(_ELSEWHERE).format(name=name)

    def critique(self, item: Item, response: str, right: bool) -> str:  # noqa: ARG002
        kind = item.truth["kind"]
        if right:
            return f"The response returns the {kind} and adds nothing that nobody asked for."
        return f"The message is a {kind} and wants a short courtesy back, for example: {item.answer}"

    labelled = (
        Labelled(
            "Good morning, I am Anna.",
            right=(
                "Good morning, Anna!",
                "Hello Anna, nice to meet you.",
                "Hi Anna! How can I help you today?",
                "Hello!",
                "Nice to meet you, Anna.",
            ),
            wrong=(
                "Goodbye.",
                "Anna",
                "The capital of France is Paris.",
                "Good night, Anna! Sleep well.",
                "You are welcome.",
            ),
            odd=(
                "HELLO ANNA",
                "hi",
                "Good morning, I am Anna. Hello Anna!",
                "Welcome, Anna! I am your assistant.",
                "Good morning! How are you today?",
                "Hello Anna! It is a pleasure to meet you. How may I help you today?",
            ),
            trap=(
                "",
                "Good morning, I am Anna.",
                "Good evening, Anna!",
                "Hello, I am Anna.",
                "Hello Ben!",
                "Hello! Paris is the capital of France.",
                "Hello! How are you? I am fine, thank you. And you?",
                "Hello hello hello hello",
                "Hello Anna! Hello Anna! Hello Anna!",
                "Hello is a common greeting in English.",
                "Greetings are used when people meet each other.",
                "1. Hello 2. Hi 3. Hey",
            ),
        ),
        Labelled(
            "Thanks, Ben liked your answer very much.",
            right=("You are welcome.", "You're welcome!", "My pleasure.", "I am glad to hear that."),
            wrong=("Goodbye!", "Hello!", "What is the answer?"),
            odd=("No problem, any time!", "I am happy I could help Ben.", "Great to hear that Ben liked it."),
            trap=("Thanks, Carla liked it too.", "You are welcome. The answer is 12."),
        ),
        Labelled(
            "Bye for now! Anna and I are leaving.",
            right=("Goodbye!", "See you soon.", "Have a nice day!"),
            wrong=("Hello!", "Anna is leaving."),
            odd=("Take care, both of you.", "Safe travels!"),
            trap=("Why do people leave?",),
        ),
    )


def social_fault(text: str, allowed: Collection[str]) -> str | None:
    """What makes `text` more than a courtesy: a word that is neither social nor `allowed`, a repetition, or a question
    that the text answers itself. None when there is nothing."""
    said = [word.replace("’", "'") for word in words(text)]
    foreign = next((word for word in said if word not in SOCIAL and word not in allowed), None)
    if foreign:
        return f"brings up something else: {foreign}"
    if any(said[i] == said[i + 1] == said[i + 2] for i in range(len(said) - 2)):
        return "repeats itself"
    parts = [words(part) for part in sentences(text)]
    if any(part in parts[:index] for index, part in enumerate(parts)):
        return "repeats itself"
    asked = False
    for sentence in sentences(text):
        if asked and _SELF_ANSWER.match(sentence):
            return "talks to itself"
        asked = asked or sentence.rstrip("\"'”’ ").endswith("?")
    return None
