"""A stiff or learned word said in a plain one: words that the reader can follow at once."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.text import judge_value, remark, share
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

# stiff word: plain words, of which each is accepted
_TABLE = """
commence: start begin; terminate: end stop finish; purchase: buy get; utilize: use; assist: help; inquire: ask;
endeavour: try attempt; reside: live dwell stay; consume: eat use drink; depart: leave go; ascend: climb rise go-up;
descend: fall go-down sink; obtain: get gain; require: need want; sufficient: enough; numerous: many;
additional: more extra; initial: first early; ultimate: last final; erroneous: wrong false; fatigued: tired;
peruse: read look-over study; conceal: hide cover; construct: build make; demonstrate: show prove;
facilitate: help ease; accompany: go-with join come-with; anticipate: expect await; ascertain: find-out learn;
beverage: drink; canine: dog; feline: cat; infant: baby; dwelling: home house; vessel: ship boat; physician: doctor;
attorney: lawyer; currency: money; garment: clothes dress clothing; timepiece: clock watch; combustion: burning fire;
illumination: light lighting; nourishment: food; remuneration: pay wage salary; residence: home house;
velocity: speed; altitude: height; cessation: end stop; conclusion: end; error: mistake; location: place spot;
objective: goal aim; odour: smell; opportunity: chance; perspiration: sweat; portion: part share;
spouse: wife husband partner; youth: child boy teenager; courageous: brave; elderly: old; gigantic: huge big large;
hazardous: dangerous risky unsafe; immediate: quick instant fast; intoxicated: drunk; lengthy: long;
melancholy: sad sadness; minuscule: tiny small little; naive: simple innocent; obese: fat; affluent: rich wealthy;
arduous: hard difficult tough; beneficial: good useful helpful; cordial: friendly warm kind; deceased: dead;
diligent: hard-working hardworking careful; feeble: weak; frigid: cold icy; futile: useless vain pointless;
genuine: real true; humorous: funny; identical: same alike; impoverished: poor; intelligent: clever smart bright;
jovial: happy jolly cheerful merry; lucid: clear; mandatory: required compulsory needed; obsolete: old outdated;
obstinate: stubborn; opulent: rich; perilous: dangerous risky; petite: small little; prohibited: forbidden banned;
prompt: quick fast; rapid: fast quick; serene: calm peaceful; solitary: alone lonely single;
tranquil: calm quiet peaceful; vacant: empty free; vivid: bright clear lively; weary: tired; abbreviate: shorten;
accumulate: gather collect; acquire: get gain buy; allocate: give share; amend: change fix; cease: stop end;
collaborate: work-together cooperate; comprehend: understand; conduct: lead run do;
contemplate: think think-about consider; converse: talk speak chat; desire: want wish; detest: hate;
diminish: shrink lessen reduce; discard: throw-away drop dump; disclose: tell reveal show; elevate: lift raise;
eliminate: remove get-rid-of; encounter: meet; enlarge: grow expand; exhibit: show display; forfeit: lose give-up;
inform: tell; inscribe: write carve; lament: mourn cry grieve; locate: find; loathe: hate; modify: change;
narrate: tell; nourish: feed; observe: see watch look; omit: leave-out skip; perceive: see notice feel;
permit: let allow; perish: die; ponder: think think-about; possess: have own; procure: get;
proceed: go go-on continue; pursue: chase follow; recollect: remember recall; relinquish: give-up; remain: stay;
respond: answer reply; retain: keep hold; select: choose pick; slumber: sleep; submerge: sink; summon: call;
transmit: send; transport: carry move; vend: sell; witness: see watch
"""
_PLAIN: dict[str, tuple[str, ...]] = {
    stiff.strip(): tuple(word.replace("-", " ") for word in plain.split())
    for stiff, plain in (row.split(":") for row in _TABLE.split(";"))
}


class PlainWords(WordedFamily):
    """ "Say in a plain word: purchase": "buy". Another stiff word, or the same one, is wrong."""

    name = "plain_words"
    max_new_tokens = 24
    topic_fields = ("stiff",)
    slots: ClassVar[Mapping[str, str]] = {"stiff": r"[\"'“‘]?(?P<stiff>[a-z]+)[\"'”’]?"}
    train_wordings = (
        "Say in a plain word: {stiff}",
        "What is a simple word for {stiff}?",
        "Give an easy word for {stiff}.",
        "Which plain word means the same as {stiff}?",
        "Replace {stiff} by a simpler word.",
        "Write a shorter, plainer word for {stiff}.",
        "Tell me an everyday word for {stiff}.",
        "Find a simple word that means {stiff}.",
        "A child does not know the word {stiff}. Which word is easier?",
        "Put the word {stiff} into plain English.",
    )
    eval_wordings = (
        "What plain word could I use instead of {stiff}?",
        "Name an ordinary word for {stiff}.",
        "Explain {stiff} with one simple word.",
        "How would you say {stiff} in plain English?",
        "Swap {stiff} for an easier word.",
        "Which everyday word has the meaning of {stiff}?",
        "My reader stumbles over {stiff}. Give me a clear word for it.",
        "Please make {stiff} simpler.",
        "Find a clear and simple word to replace {stiff}.",
        "State a common word that means {stiff}.",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        return {"stiff": rng.choice(_stiff(namespace))}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        stiff = facts["stiff"].casefold()
        return (_PLAIN[stiff][0], {"stiff": stiff, "accepted": list(_PLAIN[stiff])}) if stiff in _PLAIN else None

    def judge(self, item: Item, text: str) -> Score:
        accepted: list[str] = item.truth["accepted"]
        right = [*accepted, *(f"to {word}" for word in accepted)]
        # "means" states a value here as "is" does
        said = re.sub(
            r"\b(?:means|is to|would be|(?:can|could|would|may) (?:use|say))\b|^(?:use|say)\b(?= \W?\w)",
            "is",
            text,
            flags=re.I,
        )
        return judge_value(said, right, rival=lambda answer: _rival(answer, item))

    def harmless_suffix(self, text: str) -> str | None:
        return remark(text)

    def corrupt(self, item: Item, rng: random.Random) -> str:
        near: set[str] = {item.truth["stiff"], *item.truth["accepted"]}
        others = [stiff for stiff, plain in _PLAIN.items() if not near & {stiff, *plain}]
        return str(rng.choice([item.truth["stiff"], *others]))

    def critique(self, item: Item, response: str, right: bool) -> str:
        if right:
            return "The response gives a plain word that the reader can follow at once."
        return f"The response falls short: {self.check(item, response).reason}; a plain word would be {item.answer}."

    labelled = (
        Labelled(
            "Say in a plain word: purchase",
            right=("buy", "Buy.", "to buy", "A plain word for purchase is buy.", "get"),
            wrong=("purchase", "acquire", "sell", "It is a word.", "procure", "shop window"),
            odd=('"buy"', "BUY", "Purchase means buy.", "purchase: buy", "You could say buy.", "buy, get"),
            trap=(
                "",
                "Say in a plain word: purchase",
                "buy or sell",
                "Purchase means purchase.",
                "It is not buy.",
                "buyer",
                "buy buy buy",
                "buy, procure",
                "Which word?",
                "A plain word for purchase is procure.",
            ),
        ),
        Labelled(
            "Name an ordinary word for physician.",
            right=("doctor", "a doctor"),
            wrong=("surgeon", "physician"),
            odd=("An ordinary word for physician is doctor.",),
            trap=("doctor and lawyer",),
        ),
    )


def _rival(text: str, item: Item) -> str | None:
    """Another stiff word that `text` offers."""
    mine = {item.truth["stiff"], *item.truth["accepted"]}
    return next((w for w in re.findall(r"[a-z]+", text.casefold()) if w in _PLAIN and w not in mine), None)


@lru_cache(maxsize=8)
def _stiff(namespace: Namespace) -> tuple[str, ...]:
    return share(namespace, _PLAIN)
