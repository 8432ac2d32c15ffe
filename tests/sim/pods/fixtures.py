"""Fixtures for tests that need pods: `from tests.sim.pods.fixtures import pod_factory  # noqa: F401`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.sim.pods import choose
from tests.sim.pods.factory import Factory


def working(kind: type[Factory], parent: Path, **settings: float) -> Factory:
    """A factory of the tier; where the tier does not work, the test is skipped with the reason."""
    why_not = kind.why_not()
    if why_not is not None:
        pytest.skip(f"tier {kind.name} does not work here: {why_not}")
    return kind(parent, **settings)  # type: ignore[arg-type]


@pytest.fixture
async def pod_factory(tmp_path: Path) -> AsyncIterator[Factory]:
    """The best tier that works here; a lesser one warns. All its pods end with the test."""
    factory = choose("auto", tmp_path / "sim")
    yield factory
    await factory.close()
