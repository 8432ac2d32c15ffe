"""Things of ten kinds that no other kind shares, for judgements on what belongs to a kind."""

from __future__ import annotations

from functools import lru_cache

from pipeline.stages.base import Namespace
from pipeline.stages.families.lexicon import CLASSES
from pipeline.stages.families.text import portion, word_list

KINDS = (
    "animals", "fruits", "tools", "vehicles", "musical instruments", "pieces of furniture", "pieces of clothing",
    "jobs", "sports", "flowers",
)  # fmt: skip
_BEST_KNOWN = 40
_DOUBTFUL = frozenset(
    word_list(
        """
level vice vise file bass date plane drill saw ruler bat iris rose bulb cook model guard coach judge carriage cart
chest bar stand fishing hunting riding sailing rowing skating cycling driver iron lamp mirror rug clock bench table
train duck turkey fly crane mole seal buffalo tie bow boot pump tank jaguar horse robin hawk archery scale
viola organ horn recorder keyboard pickup bra underwear ax brush polo jumper plunger subway aster
"""
    )
)
"""Words with a second meaning that would make a judgement doubtful."""


def singular(kind: str) -> str:
    """ "fruit" for "fruits"."""
    return CLASSES[kind].singular


@lru_cache(maxsize=1)
def kind_of() -> dict[str, str]:
    """Word -> its kind, of all well known single words that belong to one kind only."""
    every = [name for row in CLASSES.values() for name in row.members]
    return {
        name: kind
        for kind in KINDS
        for name in CLASSES[kind].members[:_BEST_KNOWN]
        if every.count(name) == 1 and name.isalpha() and name not in _DOUBTFUL and _single(name)
    }


@lru_cache(maxsize=32)
def things(namespace: Namespace) -> dict[str, tuple[str, ...]]:
    """Kind -> the words of it that belong to `namespace`."""
    return {
        kind: tuple(name for name, home in kind_of().items() if home == kind and portion(name) is namespace)
        for kind in KINDS
    }


def _single(name: str) -> bool:
    return name.endswith(("ss", "us", "is")) or not name.endswith("s")
