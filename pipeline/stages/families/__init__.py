"""The task families by name. A new family is one file here and one line below."""

from __future__ import annotations

from pipeline.stages.base import Family
from pipeline.stages.families.arithmetic import Arithmetic
from pipeline.stages.families.capitals import Capitals
from pipeline.stages.families.complete_sentence import CompleteSentence
from pipeline.stages.families.copying import Copy, Uppercase
from pipeline.stages.families.extract import Extract
from pipeline.stages.families.inflection import PastTense, Plurals
from pipeline.stages.families.list_n import ListN
from pipeline.stages.families.opposites import Opposites
from pipeline.stages.families.sentence_about import SentenceAbout
from pipeline.stages.families.yes_no import YesNo

FAMILIES: tuple[Family, ...] = (
    Arithmetic(),
    Capitals(),
    Opposites(),
    Plurals(),
    PastTense(),
    ListN(),
    Copy(),
    Uppercase(),
    YesNo(),
    SentenceAbout(),
    CompleteSentence(),
    Extract(),
)


def by_name(name: str) -> Family:
    """The family called `name`; KeyError that lists the known names."""
    for family in FAMILIES:
        if family.name == name:
            return family
    raise KeyError(f"no task family is called {name!r}; known: {', '.join(f.name for f in FAMILIES)}")
