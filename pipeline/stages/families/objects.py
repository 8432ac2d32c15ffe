"""Objects of everyday life that one can ask for, carry and list."""

from __future__ import annotations

from functools import lru_cache

from pipeline.stages.base import Namespace
from pipeline.stages.families.text import share, word_list

OBJECTS = word_list(
    """
hammer screwdriver saw drill axe shovel rake ladder spade ruler brush broom knife fork spoon plate bowl cup pan pot
kettle mug whisk ladle tray jar apron towel sponge bottle teapot jug lamp pillow blanket basket bucket pencil pen
notebook book letter map ticket stamp envelope folder coat hat scarf glove jacket umbrella bag box key rope candle
lantern mirror camera guitar drum violin ball kite tent clock ring coin button ribbon needle magazine newspaper
hammock wrench mop comb razor vase stapler flask compass whistle
"""
)


@lru_cache(maxsize=8)
def objects_of(namespace: Namespace) -> tuple[str, ...]:
    """The objects of one namespace."""
    return share(namespace, OBJECTS)
