"""Finishing a sentence whose continuation everybody knows; every accepted continuation is listed."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.text import bare, folded, share
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

_TABLE = """
The sun rises in the: east|morning|early morning|sky|eastern sky
The sun sets in the: west|evening|western sky|sky
Grass is usually: green
Snow is: white|cold|frozen water|made of ice
A triangle has three: sides|corners|angles|edges|vertices
A week has seven: days
A year has twelve: months
An hour has sixty: minutes
A minute has sixty: seconds
A spider has eight: legs|eyes
A dog has four: legs|paws|feet
A bird has two: wings|legs|eyes|feet
Bees make: honey|wax|hives
Cows give us: milk|meat|beef
Hens lay: eggs
Fish live in: water|the sea|the water|the ocean|oceans|seas|rivers|lakes|ponds|tanks|aquariums
Birds can: fly|sing|chirp|lay eggs
Ice is frozen: water
Water freezes into: ice
Bread is baked in an: oven
We see with our: eyes
We hear with our: ears
We smell with our: nose|noses
We walk on our: feet|legs|two feet|two legs
We brush our teeth with a: toothbrush|brush
We cut paper with: scissors|a pair of scissors|a knife
We write on paper with a: pen|pencil|ballpoint pen
The opposite of up is: down
Lemons taste: sour|bitter|acidic|tart
Sugar tastes: sweet
Fire is: hot|dangerous|burning|warm|bright
At night the sky is: dark|black|full of stars|filled with stars|starry
The first month of the year is: january
The last month of the year is: december
The day after Monday is: tuesday
The day before Sunday is: saturday
The day after Friday is: saturday
The capital of England is: london
The Earth goes around the: sun
The Moon goes around the: earth|planet earth|world
We sleep in a: bed|bedroom|tent|house|room
A baby cat is called a: kitten
A baby dog is called a: puppy|pup
A baby cow is called a: calf
A baby sheep is called a: lamb
A person who teaches is a: teacher|professor|tutor|instructor|educator
A person who bakes bread is a: baker
A person who flies planes is a: pilot
A person who puts out fires is a: firefighter|fireman|firewoman|fire fighter
Doctors work in a: hospital|clinic|doctor's office|surgery|medical office|hospital or clinic
Books are kept in a: library|bookcase|bookshelf|shelf|bag|box
A car has four: wheels|tires|tyres|doors
A bicycle has two: wheels|pedals|tires|tyres
A square has four: sides|corners|equal sides|edges|angles|right angles|vertices
The colour of blood is: red
The colour of a banana is: yellow
The colour of coal is: black
Milk is: white|healthy|a drink|good for you|nutritious
Rain falls from the: sky|clouds|cloud
In winter it is often: cold|snowy|snowing|very cold|dark|cloudy|freezing|windy
In summer it is often: hot|warm|sunny|very hot|dry|humid
When it rains we use an: umbrella
We keep food cold in the: fridge|refrigerator|freezer|kitchen|icebox
A clock tells the: time
A thermometer measures: temperature|the temperature|heat|fever|body temperature
We eat soup with a: spoon
A hammer is used to hit: nails|a nail|things|objects|the nail
A king wears a: crown|robe
The king's wife is the: queen
My father's brother is my: uncle
My mother's sister is my: aunt|auntie
My mother's mother is my: grandmother|grandma|granny|nana
Two plus two is: four|4
Ten minus one is: nine|9
Half of ten is: five|5
An octopus has eight: arms|legs|tentacles|limbs
A human hand has five: fingers|digits
Roses are red, violets are: blue
An apple a day keeps the doctor: away
Better late than: never
Practice makes: perfect
Actions speak louder than: words
Time is: money|precious|valuable|gold|running out|short
Honesty is the best: policy
Two heads are better than: one|1
A penny saved is a penny: earned
The early bird catches the: worm
Birds of a feather flock: together
Once upon a: time
Ladies and: gentlemen|gents
Trees have leaves and: branches|roots|bark|trunks|a trunk|flowers|fruit|fruits
Plants need water and: sunlight|light|sun|soil|air|sunshine|nutrients|food|fertilizer
A camel lives in the: desert|deserts|zoo|sahara|wild
Penguins live in: antarctica|the antarctic|cold places|the south pole|cold climates|the cold|colonies|zoos|sea|ocean
A whale lives in the: sea|ocean|water|oceans|seas|deep sea
The largest planet is: jupiter
The planet we live on is called: earth|the earth|planet earth
Cheese is made from: milk|cow's milk|cows' milk|curd|curds
Wine is made from: grapes|grape juice|fermented grapes
Paper is made from: wood|trees|wood pulp|pulp|plants
Windows are made of: glass|wood|wood and glass|transparent glass
Wool comes from: sheep|sheeps|a sheep|goats|animals|lambs
Ham comes from: pigs|a pig|pork|the pig|a pig's leg
Frogs jump and birds: fly|sing
Dogs bark and cats: meow|miaow|purr|mew
The lion is the king of the: jungle|beasts|animals|forest|savanna|savannah|animal kingdom
"""
_STEMS: dict[str, tuple[str, ...]] = {
    stem.strip(): tuple(ends.strip().split("|"))
    for stem, ends in (line.rsplit(":", 1) for line in _TABLE.strip().splitlines())
}
_BY_FOLDED = {stem.casefold(): stem for stem in _STEMS}
_LEAD_IN = re.compile(
    r"^(?:(?:an?|the|some|very|usually|often|always|their|its|his|her|our|so|also|really|pure|fresh)\s+)+", re.I
)
_OPEN_END = re.compile(r"[\s_.…-]+$")


class CompleteSentence(WordedFamily):
    """ "Complete this sentence: The sun rises in the": the missing end, or the whole sentence once."""

    name = "complete_sentence"
    max_new_tokens = 24
    slots: ClassVar[Mapping[str, str]] = {"stem": r"[\"'“‘]?(?P<stem>[A-Z][^\n\"“”:]*?)(?:\s*(?:_+|\.{3}|…))?[\"'”’]?"}
    train_wordings = (
        "Complete this sentence: {stem}",
        "Finish the sentence: {stem}",
        'How does this sentence end? "{stem}"',
        "Complete: {stem}",
        "Write the end of this sentence: {stem}",
        "Add the missing last word: {stem}",
        "Continue and finish: {stem}",
        "Fill in the end: {stem}",
        "Give the words that complete this sentence: {stem}",
        "End this sentence in the usual way: {stem}",
    )
    eval_wordings = (
        "Finish this sentence: {stem}",
        "Complete the following sentence: {stem}",
        'Which word completes "{stem}"?',
        "Say how this sentence ends: {stem}",
        "Write the missing ending: {stem}",
        "Please complete: {stem}",
        "Supply the end of the sentence: {stem}",
        'What comes next in the sentence "{stem}"?',
        "Fill in the missing word: {stem}",
        "Complete with one or two words: {stem}",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        return {"stem": rng.choice(_stems(namespace))}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        stem = _BY_FOLDED.get(_OPEN_END.sub("", facts["stem"]).casefold())
        if stem is None:
            return None
        answer = _STEMS[stem][0]
        proper = answer.capitalize() if answer in _PROPER else answer
        return proper, {"stem": stem, "accepted": list(_STEMS[stem])}

    def judge(self, item: Item, text: str) -> Score:
        stem, accepted = item.truth["stem"].casefold(), item.truth["accepted"]
        said = re.sub(r"\s+", " ", bare(text)).casefold().replace("’", "'")
        rest = said.removeprefix(stem).lstrip(" _.…:,\"'")
        if not rest:
            return Score(False, "no ending" if said else "empty")
        if stem in rest:
            return Score(False, "repeats the beginning")
        if "?" in rest:
            return Score(False, "asks a question")
        rest = _LEAD_IN.sub("", rest) or rest
        ends = sorted((folded(end) for end in accepted), key=len, reverse=True)
        end = next((end for end in ends if re.match(rf"{re.escape(end)}(?![\w'-])", rest)), None)
        if end is None:
            return Score(False, f"wrong: {rest[:40]}, wanted {accepted[0]}")
        return _judge_tail(rest[len(end) :], ends, accepted[0])

    def harmless_suffix(self, text: str) -> str | None:
        return " as everybody in the whole world knows very well" if not text.rstrip().endswith((".", '"')) else None

    def corrupt(self, item: Item, rng: random.Random) -> str:
        accepted = set(item.truth["accepted"])
        return rng.choice(
            [ends[0] for stem, ends in _STEMS.items() if not accepted & set(ends) and stem != item.truth["stem"]]
        )

    labelled = (
        Labelled(
            "Complete this sentence: The sun rises in the",
            right=("east", "east.", "The sun rises in the east.", "the east", "morning"),
            wrong=("west", "The sun rises in the west.", "north", "moon", "I am fine."),
            odd=(
                '"east"',
                "EAST",
                "east every day.",
                "...east.",
                "The sun rises in the morning and sets in the evening.",
            ),
            trap=(
                "",
                "The sun rises in the",
                "The sun rises in the sun rises in the",
                "east or west",
                "eastern",
                "east, west, north",
                "east\nThe sun rises in the east",
                "east east east",
                "not east",
                "east?",
            ),
        ),
        Labelled(
            "Please complete: Bees make",
            right=("honey", "Bees make honey."),
            wrong=("milk", "bread"),
            odd=("honey from the nectar of flowers.",),
            trap=("honey or milk", "bee honey bee"),
        ),
    )


_PROPER = {"january", "december", "tuesday", "saturday", "london", "jupiter", "antarctica"}


def _judge_tail(tail: str, ends: list[str], wanted: str) -> Score:
    """What may follow the right ending: nothing or more of the sentence, no other value, not itself again."""
    hedge = re.match(r"\s*(?:or|/)\s*(\S+)", tail) or re.match(r"\s*,\s*(\S+)(?=\s*(?:,|$))", tail)
    if hedge and folded(hedge[1]) not in ends:
        return Score(False, f"also answers {hedge[1]}, wanted {wanted}")
    if any(re.match(rf"\W*{re.escape(end)}(?![\w'-])", tail) for end in ends):
        return Score(False, "repeats itself")
    return Score(True, "accepted continuation")


@lru_cache(maxsize=8)
def _stems(namespace: Namespace) -> tuple[str, ...]:
    return share(namespace, _STEMS)
