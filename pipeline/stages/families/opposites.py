"""Opposites of common words, from a lexicon of pairs with every accepted answer listed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.text import judge_value, remark, share
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

# left side : right side; the first word of a side may be asked, all its words are accepted for the other side
_TABLE = """
hot warm boiling: cold cool chilly freezing icy; big large huge: small little tiny; tall high: short small low;
fast quick rapid: slow; happy glad joyful cheerful: sad unhappy miserable; day daytime: night nighttime;
up upward upwards: down downward downwards; left: right; open opened: closed shut close; full filled: empty;
light bright: dark heavy dim; hard firm tough: soft easy; wet damp moist: dry; clean tidy: dirty filthy unclean;
rich wealthy: poor broke; strong powerful: weak feeble; young new: old elderly aged; early: late;
first: last final second; good: bad evil poor; black: white; in inside: out outside; on: off; over above: under below;
before: after; push: pull; buy purchase: sell; give: take receive; win: lose; begin start: end finish stop;
love: hate hatred; true: false untrue; right correct: wrong incorrect left; loud noisy: quiet silent soft;
near close nearby: far distant; thick fat: thin skinny; wide broad: narrow thin; deep: shallow; long: short brief;
sweet: sour bitter; smooth: rough bumpy; sharp pointed: dull blunt; safe secure: dangerous unsafe risky;
cheap inexpensive: expensive costly dear; easy simple: difficult hard; polite courteous: rude impolite;
brave courageous: cowardly afraid scared fearful timid; same identical: different; always: never;
everything all: nothing none; everybody everyone: nobody none; friend: enemy foe; laugh: cry weep;
remember recall: forget; sit: stand; ask question: answer reply; float: sink; arrive come: leave depart;
accept: reject refuse decline; increase grow: decrease shrink reduce; victory win triumph: defeat loss;
success: failure; birth: death; life: death; north: south; east: west; summer: winter; heaven: hell;
peace: war conflict; question: answer; profit gain: loss; entrance entry: exit; top: bottom; front: back rear;
inside indoors: outside outdoors exterior; male: female; man: woman; boy: girl; king: queen; husband: wife;
brother: sister; father dad: mother mum mom; asleep sleeping: awake; alive living: dead; guilty: innocent;
public: private; ancient old: modern new; generous giving: stingy selfish mean greedy;
lazy idle: hardworking active industrious busy diligent; major: minor; maximum: minimum; positive: negative;
visible: invisible hidden; possible: impossible; honest truthful: dishonest lying; legal lawful: illegal unlawful;
patient: impatient; lucky fortunate: unlucky unfortunate; kind nice: unkind cruel mean;
ugly: beautiful pretty handsome; wild: tame domestic; tight: loose; straight: crooked curved bent;
raw uncooked: cooked; fresh: stale rotten old; present: absent; smile: frown; appear: disappear vanish; lock: unlock;
build construct create: destroy demolish; borrow: lend; teach: learn; attack: defend; add: subtract remove;
multiply: divide; forward forwards: backward backwards back; vertical: horizontal; temporary: permanent;
plural: singular; optimist: pessimist; hero: villain coward; whisper: shout yell scream; import: export;
freeze: melt thaw boil; noon midday: midnight; dawn sunrise: dusk sunset; often frequently: rarely seldom never;
many: few; more: less fewer; best: worst; better: worse; here: there; yes: no; wise clever: foolish stupid unwise;
sick ill: healthy well
"""


def _load() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Word -> (key of its pair, accepted opposites). A word in several pairs keeps every accepted answer."""
    out: dict[str, tuple[str, tuple[str, ...]]] = {}
    for row in _TABLE.split(";"):
        left, right = (side.split() for side in row.split(":"))
        key = f"{left[0]}/{right[0]}"
        for asked, answers in ((left[0], right), (right[0], left)):
            old_key, old = out.get(asked, (key, ()))
            out[asked] = (old_key, tuple(dict.fromkeys((*old, *answers))))
    return out


_OPPOSITES = _load()


class Opposites(WordedFamily):
    """ "What is the opposite of hot?": any listed opposite, alone or stated in a sentence."""

    name = "opposites"
    max_new_tokens = 16
    slots: ClassVar[Mapping[str, str]] = {"word": r"[\"'“‘]?(?P<word>[a-z]+)[\"'”’]?"}
    train_wordings = (
        "What is the opposite of {word}?",
        "Give the opposite of the word {word}.",
        "Name a word that means the opposite of {word}.",
        "Answer this: what is the opposite of {word}?",
        "Write the antonym of {word}.",
        "Complete: the opposite of {word} is",
        "Tell me an antonym for {word}.",
        "Which word is the opposite of {word}?",
        "Say the opposite of {word}.",
        "Find the opposite: {word}",
    )
    eval_wordings = (
        "What word is opposite in meaning to {word}?",
        "Give an antonym for {word}.",
        "State the opposite of {word}.",
        "Write a word with the opposite meaning of {word}.",
        "Name the antonym of {word}.",
        "Please give the opposite of {word}.",
        "Complete this sentence: The antonym of {word} is",
        "Write one word that is the opposite of {word}.",
        "Answer with one word: what is the opposite of {word}?",
        "Which word means the reverse of {word}?",
    )
    more_wordings = (
        "Opposite of {word}",
        "Antonym of {word}",
        "What's the opposite of {word}?",
        "What is the antonym of {word}?",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        return {"word": rng.choice(_words(namespace))}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        word = facts["word"].casefold()
        if word not in _OPPOSITES:
            return None
        accepted = _OPPOSITES[word][1]
        return accepted[0], {"word": word, "accepted": list(accepted)}

    def judge(self, item: Item, text: str) -> Score:
        return judge_value(text, item.truth["accepted"])

    def harmless_suffix(self, text: str) -> str | None:
        return remark(text)

    def corrupt(self, item: Item, rng: random.Random) -> str:
        accepted: set[str] = {*item.truth["accepted"], item.truth["word"]}
        return rng.choice([str(item.truth["word"]), *sorted(word for word in _OPPOSITES if word not in accepted)])

    labelled = (
        Labelled(
            "What is the opposite of hot?",
            right=("cold", "Cold.", "The opposite of hot is cold.", "cool", "Cold is the opposite of hot."),
            wrong=("hot", "warm", "The opposite of hot is warm.", "sun", "not hot"),
            odd=('"cold"', "COLD", "What is the opposite of hot? Cold.", "hot -> cold", "cold, chilly", "It is cold."),
            trap=(
                "",
                "cold or warm",
                "The opposite of cold is hot.",
                "cold. What is the opposite of big?",
                "cold, table",
                "coldness",
                "cold cold cold",
                "The opposite of hot is not cold.",
                "hot, cold",
                "The opposite of hot is cold. The opposite of hot is warm.",
            ),
        ),
        Labelled(
            "Give an antonym for empty.", right=("full", "filled"), wrong=("vacant",), trap=("full\nempty\nfull",)
        ),
    )


@lru_cache(maxsize=8)
def _words(namespace: Namespace) -> tuple[str, ...]:
    keep = set(share(namespace, (key for key, _ in _OPPOSITES.values())))
    return tuple(word for word, (key, _) in _OPPOSITES.items() if key in keep)
