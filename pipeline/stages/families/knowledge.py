"""What the fact families of stage 1 know, asked through their own `solve`, for the families that make examples."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from pipeline.stages.families.capitals import Capitals
from pipeline.stages.families.lexicon import CLASSES
from pipeline.stages.families.opposites import Opposites

LEAD_IN = re.compile(
    r"^(?:(?:sure|okay|ok|certainly|of course)\b[,.!:]?\s+)?"
    r"(?:(?:here\s+is|here's|this\s+is)\b[^:?.\n]{0,60}:\s*)?(?:(?:question|q|sentence|statement|answer)\s*:\s*)?"
    r"(?:(?:[-•]|\(?1[.)])\s+)?",
    re.I,
)
"""Words and marks before what was made: "Sure! Here is one:", "1."."""


@lru_cache(maxsize=1)
def capitals() -> dict[str, tuple[str, ...]]:
    """Country -> names of its capital, the usual one first; the countries that stage 1 asks about."""
    found = {}
    for name in CLASSES["countries"].members:
        solved = Capitals().solve({"country": name})
        if solved is not None:
            found[str(solved[1]["country"])] = tuple(solved[1]["accepted"])
    return found


@lru_cache(maxsize=1)
def cities() -> tuple[str, ...]:
    """Well known cities and all capitals, capitalised, the longest names first."""
    known = {capital for names in capitals().values() for capital in names}
    known |= {" ".join(word.capitalize() for word in city.split()) for city in CLASSES["cities"].members}
    return tuple(sorted(known, key=lambda city: (-len(city), city)))


@lru_cache(maxsize=2048)
def opposites(word: str) -> tuple[str, ...]:
    """Accepted opposites of `word`, the usual one first; none when it is unknown."""
    solved = Opposites().solve({"word": word})
    return tuple(solved[1]["accepted"]) if solved else ()


def named_in(text: str, names: tuple[str, ...]) -> list[str]:
    """The `names` that occur in `text` as whole words, singular or plural, in their order; of two that overlap only the
    longer one."""
    pattern = _pattern(names)
    return [_singular(match.group(), names) for match in pattern.finditer(text.casefold())]


@lru_cache(maxsize=256)
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    forms = sorted({form for name in names for form in plural_forms(name)}, key=lambda form: (-len(form), form))
    return re.compile(rf"(?<![\w'-])(?:{'|'.join(map(re.escape, forms))})(?![\w-])")


@lru_cache(maxsize=8192)
def plural_forms(name: str) -> tuple[str, ...]:
    """`name` and its regular plurals, in lower case."""
    name = name.casefold()
    return (name, f"{name}s", f"{name}es", *((f"{name[:-1]}ies",) if name.endswith("y") else ()))


@lru_cache(maxsize=8192)
def _singular(form: str, names: tuple[str, ...]) -> str:
    if form in names:
        return form
    return next(name for name in names if form in plural_forms(name))


def unaccented(text: str) -> str:
    """`text` without accents ("Bogotá" -> "Bogota")."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
