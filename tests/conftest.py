"""No test reaches outside loopback: whatever a library would fetch from a model hub, it must do without."""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import HealthCheck, settings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ.pop("RUNPOD_API_KEY", None)
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"  # nobody's real one

if sys.dont_write_bytecode:  # else each of a thousand child processes compiles all that it imports
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A busy machine is no finding: examples count, not the seconds in which they were drawn.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

LONGEST = (
    "test_whole_house.py", "test_rented_lifecycle.py", "test_kills.py", "test_chain.py", "test_full_loop.py",
    "test_in_tmux.py", "test_seventh_stage.py", "test_runner.py", "test_setup.py", "test_training.py",
    "test_sim_watchdog.py", "test_training_math.py", "test_setup_pod.py", "test_views.py", "test_tiny.py",
)  # fmt: skip
"""Files of twelve seconds and more, the longest first: begun last, one of them would leave the other workers idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Workers take whole files in this order (`make test`); everything else stays as it was collected."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONGEST)))
