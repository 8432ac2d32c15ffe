"""Real SSH pods for tests, in three tiers, from nearest to a rented pod to least demanding: see `choose`."""

from __future__ import annotations

import warnings
from pathlib import Path

from tests.sim.pods.base import PodStartError
from tests.sim.pods.factory import Factory
from tests.sim.pods.namespaces import Namespaces
from tests.sim.pods.sandboxed import Embedded, Rootless

__all__ = ["TIERS", "Embedded", "LesserTier", "Namespaces", "Rootless", "choose"]

TIERS: tuple[type[Namespaces] | type[Rootless] | type[Embedded], ...] = (Namespaces, Rootless, Embedded)


class LesserTier(UserWarning):
    """Pods here are further from rented ones than they could be elsewhere."""


def choose(tier: str = "auto", parent: Path | None = None, **settings: float) -> Factory:
    """The factory of the named tier, or with "auto" the best that works here; its folder is made under `parent`.

    `settings` are those of `Factory`. Warns (LesserTier) with the reasons when a better tier does not work here.
    Raises PodStartError when the named tier does not, ValueError when there is none of that name.
    """
    if tier != "auto":
        return _named(tier)(parent, **settings)  # type: ignore[arg-type]
    reasons: list[str] = []
    for kind in TIERS:
        why_not = kind.why_not()
        if why_not is None:
            if reasons:
                warnings.warn(f"Pods run in tier {kind.name}: {'; '.join(reasons)}.", LesserTier, stacklevel=2)
            return kind(parent, **settings)  # type: ignore[arg-type]
        reasons.append(f"not in tier {kind.name}, as {why_not}")
    raise PodStartError("No pods here: " + "; ".join(reasons) + ".")


def _named(tier: str) -> type[Namespaces] | type[Rootless] | type[Embedded]:
    for kind in TIERS:
        if kind.name == tier:
            if why_not := kind.why_not():
                raise PodStartError(f"Tier {tier} does not work here: {why_not}.")
            return kind
    raise ValueError(f"No tier {tier!r}; there are {', '.join(kind.name for kind in TIERS)}.")
