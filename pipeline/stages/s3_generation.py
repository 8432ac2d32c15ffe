"""Stage 3: make examples of a requested type. Data only."""

from __future__ import annotations

from pipeline.stages.base import Gate, Stage
from pipeline.stages.families.asking import InstructionFor, MakeQuestion
from pipeline.stages.families.composing import QuestionAbout, SentenceOfLength, SentenceWith
from pipeline.stages.families.examples import ExampleOf, ExampleOfLength, ExampleWithLetter
from pipeline.stages.families.number_making import NumberBetween, SumFor
from pipeline.stages.families.opposite_pair import OppositePair
from pipeline.stages.families.statements import Statement
from pipeline.stages.families.wrong_answer import WrongAnswer

STAGE = Stage(
    number=3,
    name="generation",
    families=(
        ExampleOf(),
        WrongAnswer(),
        MakeQuestion(),
        OppositePair(),
        ExampleWithLetter(),
        ExampleOfLength(),
        InstructionFor(),
        QuestionAbout(),
        SentenceWith(),
        SentenceOfLength(),
        SumFor(),
        NumberBetween(),
        Statement(),
    ),
    gate=Gate(threshold=0.85, keep={1: 0.95, 2: 0.90}),
    rehearsal=0.2,
)
