"""The one-sentence stories of the extraction tasks, read into their parts, so that revisions can be checked."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from pipeline.stages.base import Namespace
from pipeline.stages.families.extract import Extract
from pipeline.stages.families.lexicon import CLASSES
from pipeline.stages.families.text import number_word

_NUMBERS = "|".join(number_word(n) for n in range(2, 13))
_COLOURS = "|".join(name for name in CLASSES["colours"].members if " " not in name)
_STORY = re.compile(
    rf"(?P<name>[A-Z][a-z]+) (?P<past>[a-z]+) (?P<number>\d{{1,2}}|{_NUMBERS}) (?P<colour>{_COLOURS}) "
    r"(?P<thing>[a-z]+) "
    r"(?P<place>[a-z]+(?: [A-Za-z]+){0,3})\.?"
)


@dataclass(frozen=True, slots=True)
class Story:
    """ "Anna bought 7 red pens at the market." in parts."""

    name: str
    past: str
    number: str
    colour: str
    thing: str
    place: str

    @property
    def text(self) -> str:
        return f"{self.name} {self.past} {self.number} {self.colour} {self.thing} {self.place}."


def draw_story(namespace: Namespace, rng: random.Random) -> Story:
    """A story from that namespace's pools."""
    story = read_story(Extract().draw(namespace, rng)["story"])
    if story is None:
        raise ValueError("the extraction tasks drew a story of another form")
    return story


def read_story(text: str) -> Story | None:
    """The parts of a story, or None when `text` is none."""
    match = _STORY.fullmatch(" ".join(text.split()))
    return Story(**match.groupdict()) if match else None


def order_of(mixed: list[str]) -> list[str] | None:
    """Name, verb, number, colour and thing of the words of a story without its place, in that order; None when the
    words do not tell which is which."""
    names = [word for word in mixed if re.fullmatch(r"[A-Z][a-z]+", word)]
    numbers = [word for word in mixed if re.fullmatch(rf"\d{{1,2}}|{_NUMBERS}", word)]
    colours = [word for word in mixed if re.fullmatch(_COLOURS, word)]
    things = [word for word in mixed if word.endswith("s") and word not in names]
    verbs = [word for word in mixed if word not in {*names, *numbers, *colours, *things}]
    if not len(names) == len(verbs) == len(numbers) == len(colours) == len(things) == 1:
        return None
    return [*names, *verbs, *numbers, *colours, *things]
