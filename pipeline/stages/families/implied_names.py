"""First names of the people in stories and greetings; a name belongs to one namespace everywhere."""

from __future__ import annotations

from functools import lru_cache

from pipeline.stages.base import Namespace
from pipeline.stages.families.text import share, word_list

NAMES = word_list(
    """
Anna Ben Carla David Emma Frank Grace Henry Irene Jack Kate Leo Maria Nina Oscar Paula Rita Sam Tina Victor Wendy Zoe
Adam Bella Colin Diana Eric Fiona George Hannah Ivan Julia Kevin Laura Martin Nora Oliver Peter Rachel Simon Teresa
Vera Walter Alice Bruno Clara Daniel Elena Felix Gloria Hugo Isabel James Karen Lucas Monica Nathan Olga Robert Sarah
Thomas Vincent Amy Brian Cindy Derek Ella Fred Gina Howard John Mary Tom Lisa Mike Susan Paul Linda Rosa Edgar Nancy
Philip Judith Arthur Agnes Roger Helen Ralph Betty Oscar Norman Sylvia Stuart Lucy Gerald Ruth Dennis Holly Trevor
Molly Conrad Ida Louis Edith Harold Stella Albert Flora Ernest Lydia Hector Mabel Cyril Ingrid Basil Greta
"""
)


@lru_cache(maxsize=8)
def people(namespace: Namespace) -> tuple[str, ...]:
    """The names of one namespace."""
    return share(namespace, dict.fromkeys(NAMES))
