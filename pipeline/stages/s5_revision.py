"""Stage 5: improve a text, with and without feedback, and leave a correct one alone. Data only."""

from __future__ import annotations

from pipeline.stages.base import Gate, Stage
from pipeline.stages.families.fix_facts import FixCapital, FixPlural
from pipeline.stages.families.fix_grammar import FixGrammar, MendOrKeep
from pipeline.stages.families.fix_spelling import FixSpelling
from pipeline.stages.families.make_list import MakeList
from pipeline.stages.families.order_words import OrderWords
from pipeline.stages.families.politeness import MakePolite, RemoveDetail
from pipeline.stages.families.reshape import ApplyForm, DropRepeat
from pipeline.stages.families.shorten import FollowFeedback, Shorten

STAGE = Stage(
    number=5,
    name="revision",
    families=(
        FixCapital(),
        FixPlural(),
        DropRepeat(),
        ApplyForm(),
        OrderWords(),
        FixSpelling(),
        FixGrammar(),
        MendOrKeep(),
        Shorten(),
        FollowFeedback(),
        MakeList(),
        MakePolite(),
        RemoveDetail(),
    ),
    gate=Gate(threshold=0.80, keep={1: 0.95, 2: 0.90, 3: 0.85, 4: 0.80}),
    rehearsal=0.2,
    revision_rounds=1,
)
