"""The stages by number. A new stage is one file and one line here."""

from __future__ import annotations

from pipeline.stages import s1_explicit
from pipeline.stages.base import Stage

STAGES: tuple[Stage, ...] = (s1_explicit.STAGE,)


def stage(number: int) -> Stage:
    """The declaration of stage `number` (1 to 6); KeyError that lists the existing ones."""
    for declared in STAGES:
        if declared.number == number:
            return declared
    raise KeyError(f"there is no stage {number}; existing: {', '.join(str(s.number) for s in STAGES)}")
