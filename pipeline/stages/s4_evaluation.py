"""Stage 4: judge text. Data only."""

from __future__ import annotations

from pipeline.stages.base import Gate, Stage
from pipeline.stages.families.breaks_principle import BreaksPrinciple
from pipeline.stages.families.compared_lists import ListHolds, SameWord
from pipeline.stages.families.follows_rule import FollowsRule
from pipeline.stages.families.letter_case import InCapitals, WhichForm
from pipeline.stages.families.odd_words import FindMistake, OddOneOut
from pipeline.stages.families.points import Points
from pipeline.stages.families.right_answers import BetterAnswer, RightAnswer

STAGE = Stage(
    number=4,
    name="evaluation",
    families=(
        InCapitals(),
        ListHolds(),
        WhichForm(),
        SameWord(),
        RightAnswer(),
        BetterAnswer(),
        Points(),
        FollowsRule(),
        BreaksPrinciple(),
        FindMistake(),
        OddOneOut(),
    ),
    gate=Gate(threshold=0.80, keep={1: 0.95, 2: 0.90, 3: 0.85}),
    rehearsal=0.2,
)
