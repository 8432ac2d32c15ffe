"""Stage 1: follow explicit, unambiguous instructions. Data only."""

from __future__ import annotations

from pipeline.stages.base import Gate, Stage
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

STAGE = Stage(
    number=1,
    name="explicit",
    families=(
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
    ),
    gate=Gate(threshold=0.95),
)
