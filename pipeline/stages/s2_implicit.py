"""Stage 2: questions, unfinished statements and contexts are instructions too. Data only."""

from __future__ import annotations

from pipeline.stages.base import Gate, Stage
from pipeline.stages.families.acknowledge import Acknowledge
from pipeline.stages.families.direct_question import CountQuestion, NextInOrder
from pipeline.stages.families.errors import ErrorCause
from pipeline.stages.families.forgotten import ForgottenCapital, ForgottenNumber
from pipeline.stages.families.greeting import Greeting
from pipeline.stages.families.implied import NeededThings, WantedOpposite
from pipeline.stages.families.reasoning import Comparison, StorySum
from pipeline.stages.families.unfinished_forms import OneAndMany, Yesterday

STAGE = Stage(
    number=2,
    name="implicit",
    families=(
        ForgottenCapital(),
        WantedOpposite(),
        OneAndMany(),
        Yesterday(),
        ForgottenNumber(),
        CountQuestion(),
        NextInOrder(),
        StorySum(),
        Comparison(),
        NeededThings(),
        Greeting(),
        Acknowledge(),
        ErrorCause(),
    ),
    gate=Gate(threshold=0.90, keep={1: 0.95}),
    rehearsal=0.2,
)
