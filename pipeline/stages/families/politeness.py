"""Making a rude request polite, and taking an insult or a private detail out of a sentence."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.objects import OBJECTS, objects_of
from pipeline.stages.families.revising import RevisionFamily, canonical, judge_revision, presented
from pipeline.stages.families.stories import draw_story, read_story
from pipeline.stages.families.text import bare, sentences, words
from pipeline.stages.families.worded import Facts, Labelled

_RUDE = (
    "Give me the {thing}!", "Bring me the {thing} right now.", "Give me the {thing}, you fool.",
    "I want the {thing}, hurry up.", "Hand me the {thing}, idiot.", "Get me the {thing} and be quick.",
    "Pass me the {thing} at once!", "Fetch the {thing}, lazybones.", "Lend me the {thing}, stupid.",
)  # fmt: skip
_RUDE_TEXT = "|".join(
    re.escape(frame.rstrip(".!")).replace(r"\{thing\}", r"[a-z]+").replace(r"\ ", r"\s+") for frame in _RUDE
)
_EXAMPLES = ("Could you please give me the {thing}?", "Please give me the {thing}.", "May I have the {thing}, please?")
_POLITE = re.compile(
    r"\b(?:please|could you|would you|can you|will you|may i|might i|could i|can i|i would like|i['’]d like|kindly"
    r"|grateful|appreciate|thank you|thanks)\b",
    re.I,
)
_RUDENESS = re.compile(
    r"\b(?:fool|idiot|stupid|lazybones|lazy|dumb|dummy|moron|right now|hurry|at once|immediately|be quick|i want)\b",
    re.I,
)
_HARMLESS_NOT = re.compile(r"\bif (?:it(?:['’]s| is) not too much trouble|you (?:do not|don['’]t) mind)\b", re.I)
_AGAINST = re.compile(r"\b(?:not|never|or|rude|polite|impolite|sentence)\b|n['’]t\b", re.I)
_ASKS = (
    r"\b(?:give|bring|hand|get|pass|fetch|lend|giving|bringing|handing|getting|passing|fetching|lending|have|borrow"
    r"|like|use|need)\b"
)

_DETAILS: dict[str, tuple[str, ...]] = {
    "phone number": (", whose phone number is 555-01{n},", " (phone 555-01{n})", ", who can be called at 555-01{n},"),
    "email address": (", whose email is {name}{n}@example.org,", " ({name}{n}@example.com)"),
    "street address": (", who lives at {n} Hill Road,", " (of {n} Mill Street)", ", whose home is {n} Park Lane,"),
    "insult": (", that stupid fool,", ", the old idiot,", " (what a liar)", ", a lazy good-for-nothing,"),
}
_KINDS = {
    "phone number": re.compile(r"\b\d{3}-\d{4}\b"),
    "email address": re.compile(r"\S+@\S+"),
    "street address": re.compile(r"\b\d+ [A-Z][a-z]+ (?:Road|Street|Lane)\b"),
    "insult": re.compile(r"\b(?:fool|idiot|liar|good-for-nothing)\b", re.I),
}
_INSERTED = re.compile(r"(?P<name>[A-Z][a-z]+)(?P<detail>,\s[^,()]+,|\s\([^()]+\))\s(?P<rest>[^,()]+)")
_BLANKED = re.compile(r"(?:,\s(?:whose|who)[^,\[]*)?\s*\(?\[[^\]]*\]\)?|\(\s*\)")


class MakePolite(RevisionFamily):
    """ "Make this polite: Give me the hammer!": asks for the same thing, with a polite word and without a rude one."""

    name = "make_polite"
    max_new_tokens = 40
    fault = "The response is not a polite request for the same thing"
    topic_fields = ("thing",)
    slots: ClassVar[Mapping[str, str]] = {"text": rf"[\"'“‘]?(?P<text>(?:{_RUDE_TEXT})[.!]?)[\"'”’]?"}
    train_wordings = (
        "Make this polite: {text}",
        "Say this politely: {text}",
        "Rewrite this as a polite request: {text}",
        "This sounds rude. Improve it: {text}",
        "How can I say this in a friendly way? {text}",
        "Turn this order into a kind request: {text}",
        "Revise this so that nobody is offended: {text}",
        "Ask for the same thing with good manners: {text}",
        "Make this nicer: {text}",
        "{text} Say that with more respect.",
    )
    eval_wordings = (
        "Please rewrite this more politely: {text}",
        "Give a courteous version of this: {text}",
        "Make this request friendly: {text}",
        "That was rude. Put it politely: {text}",
        "How would a polite person ask this? {text}",
        "Change the tone of this to a polite one: {text}",
        "Soften this demand: {text}",
        "Express this request with courtesy: {text}",
        "Edit this so that it is kind: {text}",
        "{text} Ask for that in a civil manner.",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        return {"text": rng.choice(_RUDE).format(thing=rng.choice(objects_of(namespace)))}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        found = re.search(r"\bthe\s+([a-z]+)", facts["text"], re.I)
        if found is None or found[1].casefold() not in OBJECTS:
            return None
        thing = found[1].casefold()
        examples = [one.format(thing=thing) for one in _EXAMPLES]
        return examples[0], {"thing": thing, "accepted": examples}

    def vary(self, answer: str, truth: Mapping[str, Any], rng: random.Random) -> str:  # noqa: ARG002
        return str(rng.choice(truth["accepted"]))

    def original(self, item: Item) -> str:
        found = re.search(_RUDE_TEXT, item.instruction, re.I)
        return found.group() if found else ""

    def judge(self, item: Item, text: str) -> Score:
        if not bare(text):
            return Score(False, "empty")
        *_, said = presented(text, self.original(item))
        return _judge_request(said, item.truth["thing"], self.original(item))

    def harmless_suffix(self, text: str) -> str | None:
        said = " Thank you very much for your kind help with this."
        return ("" if text.rstrip("\"'”’ ").endswith((".", "?", "!")) else ".") + said * (len(text) // len(said) + 1)

    def corrupt(self, item: Item, rng: random.Random) -> str:
        thing = item.truth["thing"]
        other = rng.choice([one for one in OBJECTS if one != thing])
        return rng.choice(
            (self.original(item), f"Please give me the {other}.", f"Give me the {thing}.", f"the {thing}")
        )

    labelled = (
        Labelled(
            "Make this polite: Give me the hammer, you fool.",
            right=(
                "Could you please give me the hammer?",
                "Please give me the hammer.",
                "May I have the hammer, please?",
                "Would you mind passing me the hammer?",
            ),
            wrong=(
                "Give me the hammer.",
                "Please give me the hammer, you fool.",
                "Please give me the ladder.",
                "Please.",
                "the hammer",
                "Give me the hammer, you fool.",
            ),
            odd=(
                '"Could you hand me the hammer?"',
                "Polite version: Please give me the hammer.",
                "I would like to have the hammer, if you don't mind.",
                "Excuse me, could you bring me the hammer? Thank you!",
                "please give me the hammer",
                "The hammer, please.",
                "Can you give me the hammer?",
                "I'd be grateful if you could lend me the hammer.",
            ),
            trap=(
                "",
                "Please do not give me the hammer.",
                "Give me the hammer, you fool. Please give me the hammer.",
                "Please give me the hammer or the saw.",
                "Could you please give me the hammer right now?",
                "Please hammer.",
                "That is rude.",
                "Give me the hammer, please, idiot.",
                "Can you give me the hammer, you fool?",
                "the hammer",
                "Please make this polite.",
                "Could you please bring me the bucket?",
            ),
        ),
        Labelled(
            "Soften this demand: I want the key, hurry up.",
            right=("Could I have the key, please?", "I would like the key."),
            wrong=("I want the key, please.", "Hurry up, please."),
        ),
    )


class RemoveDetail(RevisionFamily):
    """ "Remove the phone number: Anna, whose phone number is 555-0142, sold 4 red hats at school.": the rest stays."""

    name = "remove_detail"
    max_new_tokens = 40
    fault = "The response keeps what was to be removed, or loses something else"
    topic_fields = ("story",)
    slots: ClassVar[Mapping[str, str]] = {
        "what": f"(?P<what>{'|'.join(_DETAILS)})",
        "text": r"[\"'“‘]?(?P<text>[A-Z][^\n\"“”:]*?[.]?)[\"'”’]?",
    }
    train_wordings = (
        "Remove the {what} from this sentence: {text}",
        "Take out the {what}: {text}",
        "Rewrite this without the {what}: {text}",
        "The {what} must not stay in this sentence. Revise it: {text}",
        "Delete the {what} and keep the rest: {text}",
        "Improve this sentence by leaving out the {what}: {text}",
        "Nobody should read the {what}. Write the sentence without it: {text}",
        "Clean this text of the {what}: {text}",
        "Drop the {what} here: {text}",
        "{text} Say that without the {what}.",
    )
    eval_wordings = (
        "Please remove the {what} in this text: {text}",
        "Give this sentence again with the {what} taken away: {text}",
        "Edit out the {what}: {text}",
        "The {what} in this sentence is nobody's business. Cut it: {text}",
        "Protect this person and strike the {what}: {text}",
        "Make this fit to publish by cutting the {what}: {text}",
        "Everything but the {what} may stay. Revise: {text}",
        "Write the sentence so that the {what} is gone: {text}",
        "Redact the {what}: {text}",
        "{text} Repeat this and omit the {what}.",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        story, what = draw_story(namespace, rng), rng.choice(list(_DETAILS))
        detail = rng.choice(_DETAILS[what]).format(n=rng.randint(10, 99), name=story.name.casefold())
        return {"what": what, "text": story.text.replace(story.name, story.name + detail, 1)}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        what, text = " ".join(facts["what"].casefold().split()), " ".join(facts["text"].split()).rstrip(".") + "."
        match = _INSERTED.fullmatch(text)
        story = read_story(f"{match['name']} {match['rest']}") if match else None
        if match is None or story is None or not _KINDS[what].search(match["detail"]):
            return None
        return story.text, {"story": story.text, "what": what, "text": text, "accepted": [story.text]}

    def judge(self, item: Item, text: str) -> Score:
        if _KINDS[item.truth["what"]].search(text.removeprefix(item.truth["text"])):
            return Score(False, f"the {item.truth['what']} is still there")
        return judge_revision(_BLANKED.sub("", text), item.truth["accepted"], self.original(item))

    def corrupt(self, item: Item, rng: random.Random) -> str:
        text, said = item.truth["text"], item.answer.rstrip(".").split()
        place = rng.randrange(1, len(said))
        shorter = " ".join(said[:place] + said[place + 1 :])
        return rng.choice((text, shorter, f"[{item.truth['what']}]", f"{text} {item.answer}"))

    labelled = (
        Labelled(
            "Remove the phone number from this sentence: "
            "Anna, whose phone number is 555-0142, sold 4 red hats at school.",
            right=("Anna sold 4 red hats at school.", "Anna sold four red hats at school"),
            wrong=(
                "Anna, whose phone number is 555-0142, sold 4 red hats at school.",
                "Anna sold hats.",
                "555-0142",
                "Ben sold 4 red hats at school.",
                "Anna, whose phone number is 555-0143, sold 4 red hats at school.",
            ),
            odd=(
                "Anna, whose phone number is [removed], sold 4 red hats at school.",
                "Anna [phone number removed] sold 4 red hats at school.",
                "Here is the sentence: Anna sold 4 red hats at school.",
                "Anna, sold 4 red hats at school.",
                "Anna sold 4 red hats at school. I removed the phone number.",
            ),
            trap=(
                "",
                "Anna sold 4 red hats at school. Her phone number is 555-0142.",
                "Anna sold 4 red hats.",
                "I cannot share a phone number.",
                "[removed]",
                "Anna sold 4 red hats at school. Anna sold 4 red hats at school.",
                "The phone number is removed.",
                "Anna did not sell 4 red hats at school.",
            ),
        ),
        Labelled(
            "Edit out the insult: Tom, that stupid fool, lost three green cups in town.",
            right=("Tom lost three green cups in town.",),
            wrong=("Tom, that fool, lost three green cups in town.", "Tom is a stupid fool."),
            trap=("Tom, that man, lost three green cups in town.",),
        ),
        Labelled(
            "Redact the email address: Tom (tom31@example.com) lost three green cups in town.",
            right=("Tom lost three green cups in town.",),
            odd=("Tom ([email address]) lost three green cups in town.",),
            wrong=("Tom (tom31) lost three green cups in town.",),
        ),
    )


def _judge_request(said: str, thing: str, original: str) -> Score:
    rude = _RUDENESS.search(said)
    if rude:
        return Score(False, f"still rude: {rude.group()}")
    if any(canonical(one) == canonical(original) for one in sentences(said)):
        return Score(False, "keeps the rude request")
    against = _AGAINST.search(_HARMLESS_NOT.sub("", said))
    if against:
        return Score(False, f"does not ask for it: {against.group()}")
    other = next((word for word in words(said) if word in OBJECTS and word != thing), None)
    if other:
        return Score(False, f"asks for the {other}")
    if any(re.fullmatch(rf"(?:the\s+)?{thing},?\s+please\W*", one, re.I) for one in sentences(said)):
        return Score(True, "short polite request")
    if not any(re.search(rf"{_ASKS}.*\b{thing}\b", one, re.I) for one in sentences(said)):
        return Score(False, f"does not ask for the {thing}")
    if not _POLITE.search(said):
        return Score(False, "no polite word")
    return Score(True, "polite request")
