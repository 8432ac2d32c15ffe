"""News that asks for nothing: the right reply takes note of it in the right mood and does not lecture.

As in greetings, what may be said is a closed vocabulary together with the words of the news itself, so that advice,
facts and invented stories fail by their words and never by their length.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.greeting import social_fault
from pipeline.stages.families.text import share, word_list, words
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

_GOOD = """
passed my driving test; found my lost keys; won a prize; got a new job; finished my first book; learned to swim;
baked a perfect cake; made a new friend; got good news from my doctor; won the chess match; received a letter from an
old friend; got the best mark in my class; saw a beautiful sunset; repaired my old bicycle; moved into my own house;
ran my first long race; found a coin in the street; finished painting the house; met my favourite singer; got a big
raise; grew my first tomatoes; cooked dinner for ten guests; became an uncle; got a free ticket to the concert;
finished all my homework; had a wonderful walk in the forest; climbed to the top of the mountain; sold my first
painting; solved a very hard puzzle; scored the winning goal; had a lovely birthday; got engaged; paid off my last debt;
saw a rainbow over the lake; taught my dog a new trick; slept very well; got a puppy; passed the final exam; won a game
of cards against my brother; finished my project early
"""
_BAD = """
lost my wallet; broke my arm; missed the last train; failed my exam; dropped my new phone; lost my job; burned my
dinner; broke my favourite cup; caught a bad cold; forgot my umbrella in the rain; had a terrible headache; lost the
final match; spilled coffee on my new shirt; had an accident with my bike; fell down the stairs; lost my passport;
got stuck in the lift; had a fight with my best friend; tore my winter coat; got a parking fine; lost all my photos;
missed my flight; got stung by a wasp; hurt my knee; ruined my good shoes; broke my glasses; slept very badly; lost my
hat in the wind; had a toothache; got soaked in a storm; lost a page of my report; cut my finger; had to cancel my
holiday; locked myself out of the house; cracked my window; lost my luggage; sprained my ankle; failed my driving test;
got a flat tyre; lost my best pen
"""
_PLAIN = """
had toast for breakfast; took the bus to work; washed the dishes; read the newspaper; bought some milk; watered the
plants; walked to the station; put on a blue shirt; ate an apple; cleaned my desk; closed the window; fed the cat; wrote
a shopping list; watched the evening news; changed the bed sheets; took out the rubbish; made a cup of tea; went to the
post office; swept the floor; folded my shirts; had soup for lunch; charged my phone; parked behind the shop; opened a
new notebook; moved the chairs into the garden; brushed my teeth; bought a loaf of bread; sat in the park for a while;
set my alarm for seven; cut the grass
"""


def _events() -> dict[str, str]:
    """What happened -> mood: "good", "bad" or "plain"."""
    moods = {"good": _GOOD, "bad": _BAD, "plain": _PLAIN}
    return {" ".join(event.split()): mood for mood, table in moods.items() for event in table.split(";")}


_EVENTS = _events()
_VOCABULARY = frozenset(
    word_list(
        """
great wonderful congratulations congrats well done nice glad happy fantastic lovely excellent good news job amazing
awesome hooray bravo sounds sound brilliant delighted pleased cool proud super perfect exciting impressive joy joyful
enjoy enjoyed enjoyable deserve deserved earned achievement success enjoying celebrate keep it up sorry oh no ah wow
pity sad terrible annoying unfortunate awful shame unlucky bad luck hope feel feeling feels better soon get recover
recovers unfortunately too poor dear painful frustrating difficult hard rough tough disappointing upsetting upset
unpleasant stressful next time that must be have been was is it's that's i i'm you you're your a an the to hear of for
so very really quite such what how see saw thank thanks telling tell letting me know sharing okay ok alright all right
understand understood noted got interesting yes of course this like and but in on at with from my am are did do does
went go goes feel who when where why sorry things thing day days moment one will can only out turns fun pleasant
relaxing delicious tasty calm quiet peaceful useful happens sometimes been say said there if want talk about it more
anything hear here always wish best luck hopefully up heart hearing sounds gets works fine healthy quickly
must've experience sympathy loss someone return returns lose work find found turn another hurt looked everywhere
safe rest warm dry lost able we weren't have
has had
"""
    )
)
_GLAD = re.compile(
    r"\b(?:great|wonderful|congratulations|congrats|well done|good (?:for you|news|job)|nice|glad|happy|fantastic|"
    r"lovely|excellent|amazing|awesome|hooray|bravo|sounds (?:good|fun|pleasant|relaxing|delicious|tasty)|"
    r"brilliant|delighted|"
    r"pleased|cool|proud|super|perfect|exciting|impressive|wow)\b",
    re.I,
)
_SAD = re.compile(
    r"\b(?:sorry|oh no|oh dear|pity|sad|terrible|annoying|unfortunate|unfortunately|awful|shame|unlucky|bad luck|"
    r"too bad|poor you|painful|frustrating|difficult|hard|rough|tough|disappointing|upsetting|unpleasant|"
    r"stressful|sympathy|"
    r"(?:feel|get|gets) better|recover|better luck|not (?:so |very )?(?:good|nice|great|pleasant|fun))\b",
    re.I,
)
_CALM = re.compile(
    r"\b(?:i see|thank you|thanks|okay|ok|i understand|understood|good to know|noted|got it|interesting|alright|"
    r"all right|i hear you)\b",
    re.I,
)
_NOT_GLAD = re.compile(
    r"\b(?:not|never|isn['’]t|wasn['’]t)\s+(?:\w+\s+)?(?:glad|happy|great|nice|good|sorry|sad)\b", re.I
)
_REPLIES = {
    "good": ("That is great news.", "I am glad to hear that.", "Congratulations, well done."),
    "bad": ("I am sorry to hear that.", "Oh no, that is a pity.", "I am sorry, that must be hard."),
    "plain": ("I see, thank you for telling me.", "That sounds nice.", "Okay, good to know."),
}
_ELSEWHERE = (
    "You should be more careful in future.", "The capital of Peru is Lima.", "1. Stay calm. 2. Make a plan.",
    "I {event} too.", "Why? Because it was Monday.", "Write a story about it.",
)  # fmt: skip


class Acknowledge(WordedFamily):
    """ "Today I lost my wallet.": a word of sympathy, of joy, or that the news has arrived."""

    name = "acknowledge"
    shared_answers = True
    max_new_tokens = 48
    topic_fields = ("event",)
    slots: ClassVar[Mapping[str, str]] = {"event": r"(?P<event>[a-z][a-z ]*?)"}
    train_wordings = (
        "I {event}.",
        "Today I {event}.",
        "By the way, I {event}.",
        "You know, I {event} yesterday.",
        "Just so you know, I {event}.",
        "This morning I {event}.",
        "Well, I {event} again last week.",
        "Guess what, I {event}.",
        "I {event} on Tuesday.",
        "As it happens, I {event} last month.",
        "I have to say that I {event}.",
    )
    eval_wordings = (
        "Yesterday I {event}.",
        "I {event} this afternoon.",
        "It was a long day, and I {event}.",
        "Last weekend I {event}.",
        "I {event} a few days ago.",
        "I must tell you that I {event}.",
        "So there it is: I {event}.",
        "I only wanted to say that I {event}.",
        "Believe it or not, I {event}.",
        "Earlier today I {event}.",
        "On Sunday I {event}.",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        return {"event": rng.choice(_pool(namespace))}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        event = re.sub(r"\s+", " ", facts["event"].casefold())
        mood = _EVENTS.get(event)
        return None if mood is None else (_REPLIES[mood][0], {"event": event, "mood": mood})

    def vary(self, answer: str, truth: Mapping[str, Any], rng: random.Random) -> str:  # noqa: ARG002
        return rng.choice(_REPLIES[truth["mood"]])

    def judge(self, item: Item, text: str) -> Score:
        event, mood = item.truth["event"], item.truth["mood"]
        fault = social_fault(text, _VOCABULARY | _forms(event, text))
        if fault:
            return Score(False, fault)
        if re.search(rf"\bi\s+(?:also\s+)?{event.split()[0]}\b", text, re.I):
            return Score(False, "takes the speaker's part")
        if mood != "bad" and _NOT_GLAD.search(text):
            return Score(False, "denies its own sympathy")
        glad, sad, calm = (bool(pattern.search(text)) for pattern in (_GLAD, _SAD, _CALM))
        if mood == "bad" and glad and not sad:
            return Score(False, "is glad about bad news")
        if mood != "bad" and sad:
            return Score(False, f"is sorry about {mood} news")
        if not (calm or (sad if mood == "bad" else glad)):
            return Score(False, "takes no note of the news")
        return Score(True, f"takes note of {mood} news")

    def harmless_suffix(self, text: str) -> str | None:
        stop = "" if text.rstrip("\"'”’ \n").endswith((".", "!", "?")) else "."
        return f"{stop} If you want to talk more about it, I am always here for you, and I wish you all the best."

    def corrupt(self, item: Item, rng: random.Random) -> str:
        if rng.random() < 0.5:
            return rng.choice(_REPLIES["good" if item.truth["mood"] == "bad" else "bad"])
        return rng.choice(_ELSEWHERE).format(event=item.truth["event"])

    def critique(self, item: Item, response: str, right: bool) -> str:  # noqa: ARG002
        if right:
            return "The response takes note of the news in the right mood and adds nothing that nobody asked for."
        return (
            f"The message is {item.truth['mood']} news and asks for nothing, so a short reply is right: {item.answer}"
        )

    labelled = (
        Labelled(
            "Yesterday I lost my wallet.",
            right=(
                "I am sorry to hear that.",
                "Oh no!",
                "That is a pity.",
                "I'm sorry about your wallet.",
                "Oh no, how annoying!",
            ),
            wrong=(
                "Congratulations!",
                "That is great news.",
                "You should call your bank at once.",
                "A wallet is used to carry money.",
                "wallet",
            ),
            odd=(
                "sorry",
                "That's not good, I am sorry.",
                "I see. That must be hard.",
                "I'm so sorry to hear that you lost your wallet.",
                "Oh no! Where was it?",
                "Thank you for telling me.",
                "Sorry to hear that! What was in it?",
            ),
            trap=(
                "",
                "Yesterday I lost my wallet.",
                "I lost my wallet too.",
                "I am sorry to hear that. Here are five tips: 1. Call the police.",
                "I am sorry. Losing a wallet is one of the most common problems in cities.",
                "I am sorry sorry sorry.",
                "Great! I am happy for you.",
                "I am sorry. What is the capital of France? Paris.",
                "The wallet was black and had 20 euros in it.",
                "Why did I lose my wallet?",
            ),
        ),
        Labelled(
            "Guess what, I won a prize.",
            right=("Congratulations!", "Well done.", "That is wonderful news!"),
            wrong=("I am sorry to hear that.", "Prizes are given at many events."),
            odd=("Wow!", "I am so happy for you, you deserve it."),
            trap=("I am not happy about that.", "I won a prize, great!", "Great! You should spend it on a car."),
        ),
        Labelled(
            "Earlier today I washed the dishes.",
            right=("I see.", "That sounds good.", "Okay, thanks for letting me know."),
            wrong=("I am sorry to hear that.", "Washing dishes is important for hygiene."),
            odd=("Good job!", "Great, thank you for washing the dishes!"),
            trap=("What a pity.",),
        ),
    )


def _forms(event: str, text: str) -> set[str]:
    """Words of `event`, and those of `text` that begin like one of them ("washing" where "washed" was said)."""
    own = set(words(event))
    return own | {word for word in words(text) if any(len(w) > 3 and word[:4] == w[:4] for w in own)}


@lru_cache(maxsize=8)
def _pool(namespace: Namespace) -> tuple[str, ...]:
    return share(namespace, _EVENTS)
