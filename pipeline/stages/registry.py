"""The stages by number, and every task family by name. A new stage is one file and one line here."""

from __future__ import annotations

from pipeline.stages import s1_explicit, s2_implicit, s3_generation, s4_evaluation, s5_revision, s6_constitution
from pipeline.stages.base import Family, Stage

STAGES: tuple[Stage, ...] = (
    s1_explicit.STAGE,
    s2_implicit.STAGE,
    s3_generation.STAGE,
    s4_evaluation.STAGE,
    s5_revision.STAGE,
    s6_constitution.STAGE,
)


def stage(number: int) -> Stage:
    """The declaration of stage `number`; KeyError that lists the existing ones."""
    for declared in STAGES:
        if declared.number == number:
            return declared
    raise KeyError(f"there is no stage {number}; existing: {', '.join(str(s.number) for s in STAGES)}")


def all_families() -> tuple[Family, ...]:
    """The families of every stage, each once, in the order of the stages."""
    return tuple({family.name: family for declared in STAGES for family in declared.families}.values())


def by_name(name: str) -> Family:
    """The family called `name`; KeyError that lists the known names."""
    for family in all_families():
        if family.name == name:
            return family
    raise KeyError(f"no task family is called {name!r}; known: {', '.join(f.name for f in all_families())}")
