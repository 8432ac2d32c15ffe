"""Plurals of nouns and past tenses of verbs: one inflected word each, from lexicons of regular and irregular forms."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.text import judge_value, remark, share
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

_NOUNS = """
cat cats; dog dogs; book books; car cars; tree trees; house houses; table tables; chair chairs; apple apples;
bird birds; window windows; door doors; shirt shirts; pen pens; river rivers; road roads; teacher teachers;
doctor doctors; star stars; song songs; cup cups; plate plates; spoon spoons; horse horses; cow cows; flower flowers;
garden gardens; letter letters; number numbers; picture pictures; phone phones; clock clocks; hat hats; key keys;
boat boats; train trains; shop shops; box boxes; fox foxes; bus buses; glass glasses; dress dresses; brush brushes;
dish dishes; watch watches; church churches; beach beaches; bench benches; branch branches; peach peaches;
sandwich sandwiches; class classes; kiss kisses; tax taxes; baby babies; city cities; lady ladies; country countries;
party parties; story stories; family families; berry berries; cherry cherries; puppy puppies; pony ponies; fly flies;
butterfly butterflies; daisy daisies; penny pennies|pence; body bodies; boy boys; toy toys; day days; monkey monkeys;
donkey donkeys; valley valleys; leaf leaves; knife knives; wife wives; life lives; wolf wolves; shelf shelves;
loaf loaves; half halves; thief thieves; calf calves; scarf scarves|scarfs; roof roofs|rooves; chief chiefs;
potato potatoes; tomato tomatoes; hero heroes; echo echoes; piano pianos; photo photos; radio radios; zoo zoos;
child children; man men; woman women; foot feet; tooth teeth; goose geese; mouse mice; ox oxen; person people|persons;
sheep sheep; deer deer; fish fish|fishes; king kings; queen queens; lion lions; tiger tigers; rabbit rabbits;
farmer farmers; nurse nurses; pilot pilots; island islands; mountain mountains; lake lakes; bridge bridges;
village villages; orange oranges; lemon lemons; carrot carrots; onion onions; egg eggs; bottle bottles;
basket baskets; pencil pencils; finger fingers; hand hands; arm arms; eye eyes; ear ears; nose noses; rose roses;
horn horns; drum drums; guitar guitars; violin violins; kitchen kitchens; wall walls; lamp lamps; bed beds;
shoe shoes; sock socks; coat coats; ring rings; coin coins; stone stones; cloud clouds; planet planets
"""
_VERBS = """
walk walked; talk talked; play played; jump jumped; work worked; look looked; help helped; call called; ask asked;
wait waited; want wanted; need needed; start started; open opened; close closed; clean cleaned; cook cooked;
wash washed; watch watched; listen listened; paint painted; laugh laughed; smile smiled; dance danced; live lived;
love loved; like liked; hope hoped; use used; bake baked; move moved; arrive arrived; study studied; carry carried;
cry cried; try tried; marry married; hurry hurried; stop stopped; plan planned; drop dropped; rob robbed; beg begged;
hug hugged; go went; come came; see saw; eat ate; drink drank; run ran; swim swam; sing sang; ring rang; begin began;
give gave; take took; make made; know knew; grow grew; throw threw; fly flew; draw drew; write wrote; drive drove;
ride rode; rise rose; speak spoke; break broke; steal stole; choose chose; freeze froze; wake woke|waked; wear wore;
tear tore; forget forgot; get got; sit sat; stand stood; understand understood; find found; hold held; tell told;
sell sold; buy bought; bring brought; think thought; teach taught; catch caught; fight fought; sleep slept; keep kept;
feel felt; leave left; meet met; lose lost; send sent; spend spent; build built; lend lent; hear heard; say said;
pay paid; win won; dig dug; hide hid; bite bit; fall fell; feed fed; lead led; do did; have had; shake shook;
blow blew; cut cut; put put; hit hit; shut shut; hurt hurt; finish finished; travel traveled|travelled; visit visited;
rain rained; snow snowed; climb climbed; push pushed; pull pulled; learn learned|learnt; dream dreamed|dreamt;
burn burned|burnt; jog jogged; enjoy enjoyed; stay stayed; follow followed; answer answered; remember remembered;
show showed; turn turned; change changed; share shared; save saved; count counted; fix fixed; kiss kissed;
touch touched; kick kicked; bark barked; shout shouted; whisper whispered; bend bent; sink sank; shine shone|shined;
hang hung|hanged
"""


def _load(table: str) -> dict[str, tuple[str, ...]]:
    return {word: tuple(forms.split("|")) for word, forms in (row.split() for row in table.split(";"))}


class _Inflection(WordedFamily):
    """A word in, its inflected form out."""

    max_new_tokens = 16

    @classmethod
    def forms(cls) -> dict[str, tuple[str, ...]]:
        raise NotImplementedError

    @classmethod
    def mistakes(cls, word: str) -> list[str]:
        """Forms a careless writer would give."""
        raise NotImplementedError

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        return {"word": rng.choice(_words(type(self), namespace))}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        word = facts["word"].casefold()
        forms = self.forms().get(word)
        return None if forms is None else (forms[0], {"word": word, "accepted": list(forms)})

    def harmless_suffix(self, text: str) -> str | None:
        return remark(text)

    def corrupt(self, item: Item, rng: random.Random) -> str:
        accepted = item.truth["accepted"]
        return rng.choice([form for form in self.mistakes(item.truth["word"]) if form not in accepted])


@lru_cache(maxsize=16)
def _words(family: type[_Inflection], namespace: Namespace) -> tuple[str, ...]:
    return share(namespace, family.forms())


class Plurals(_Inflection):
    """ "What is the plural of child?" """

    name = "plurals"
    slots: ClassVar[Mapping[str, str]] = {"word": r"[\"'“‘]?(?P<word>[a-z]+)[\"'”’]?"}
    train_wordings = (
        "What is the plural of {word}?",
        "Give the plural of the word {word}.",
        "Write the plural form of {word}.",
        "Answer this: what is the plural of {word}?",
        "Make this word plural: {word}",
        "Complete: the plural of {word} is",
        "Tell me the plural of {word}.",
        "Turn the noun {word} into its plural.",
        "How do you write {word} in the plural?",
        "Say the plural of {word}.",
    )
    eval_wordings = (
        "What is the plural form of {word}?",
        "State the plural of {word}.",
        "Change {word} to the plural.",
        "Please write the plural of {word}.",
        "Complete this sentence: The plural form of {word} is",
        "Write the word for more than one {word}.",
        "Pluralize this noun: {word}",
        "Answer with one word: what is the plural of {word}?",
        "Convert this singular noun to plural: {word}",
        "Which word is the plural of {word}?",
    )
    more_wordings = ("Plural of {word}", "What's the plural of {word}?", "What is the plural of the word {word}?")

    @classmethod
    def forms(cls) -> dict[str, tuple[str, ...]]:
        return _PLURALS

    @classmethod
    def mistakes(cls, word: str) -> list[str]:
        return [f"{word}s", f"{word}es", word, f"{word}ies", f"{word}'s"]

    def judge(self, item: Item, text: str) -> Score:
        counted = re.sub(r"^one\s+\w+\s*[,;:]?\s*(?=two\b)|^(?:two|many|several|some)\s+", "", text.strip(), flags=re.I)
        return judge_value(re.sub(r"^two\s+", "", counted, flags=re.I), item.truth["accepted"])

    labelled = (
        Labelled(
            "What is the plural of child?",
            right=("children", "Children.", "The plural of child is children.", "Children is the plural of child."),
            wrong=("childs", "child", "The plural of child is childs.", "kids", "a young person"),
            odd=(
                '"children"',
                "CHILDREN",
                "one child, two children",
                "child -> children",
                "It is 'children'.",
                "many children",
            ),
            trap=(
                "",
                "childs or children",
                "childrens",
                "children. What is the plural of man?",
                "not children",
                "children childs",
                "children, boxes",
                "The plural of children is child.",
                "child, children, child",
            ),
        ),
        Labelled("State the plural of box.", right=("boxes",), wrong=("boxs", "boxen"), odd=("The word is boxes.",)),
    )


class PastTense(_Inflection):
    """ "What is the past tense of go?": the simple past, with or without a pronoun."""

    name = "past_tense"
    slots: ClassVar[Mapping[str, str]] = {"word": r"[\"'“‘]?(?:to\s+)?(?P<word>[a-z]+)[\"'”’]?"}
    train_wordings = (
        "What is the past tense of {word}?",
        "Give the past tense of the verb {word}.",
        "Write the simple past of {word}.",
        "Answer this: what is the past tense of {word}?",
        "Put this verb into the past tense: {word}",
        "Complete: the past tense of {word} is",
        "Tell me the past tense of {word}.",
        "Change the verb {word} to the past tense.",
        "How do you say {word} in the past tense?",
        "Say the past form of {word}.",
    )
    eval_wordings = (
        "What is the simple past form of {word}?",
        "State the past tense of {word}.",
        "Please write the past tense of {word}.",
        "Write {word} in the past tense.",
        "Complete this sentence: The past tense form of {word} is",
        "Turn this verb into past tense: {word}",
        "Which word is the past tense of {word}?",
        "Answer with one word: what is the past tense of {word}?",
        "Convert to the simple past: {word}",
        "Name the past tense form of the verb {word}.",
    )
    more_wordings = (
        "Past tense of {word}",
        "What's the past tense of {word}?",
        "What is the past tense of the verb {word}?",
    )

    @classmethod
    def forms(cls) -> dict[str, tuple[str, ...]]:
        return _PAST

    @classmethod
    def mistakes(cls, word: str) -> list[str]:
        return [f"{word}ed", f"{word}d", f"{word}ing", f"{word}s", f"will {word}"]

    def judge(self, item: Item, text: str) -> Score:
        text = re.sub(r"^(?:yesterday,?\s+)?(?:i|you|he|she|it|we|they)\s+(?=\w)", "", text.strip(), flags=re.I)
        return judge_value(text, item.truth["accepted"])

    labelled = (
        Labelled(
            "What is the past tense of go?",
            right=("went", "Went.", "The past tense of go is went.", "Went is the past tense of go."),
            wrong=("goed", "go", "gone", "going", "The past tense of go is goed."),
            odd=('"went"', "I went", "go -> went", "WENT", "It's went.", "What is the past tense of go? went"),
            trap=(
                "",
                "goed or went",
                "went went went",
                "went. What is the past tense of see?",
                "It is not went.",
                "wents",
                "went, gone",
                "go, went",
                "The past tense of went is go.",
            ),
        ),
        Labelled(
            "State the past tense of travel.",
            right=("traveled", "travelled"),
            wrong=("travels",),
            odd=("They travelled.",),
        ),
    )


_PLURALS = _load(_NOUNS)
_PAST = _load(_VERBS)
