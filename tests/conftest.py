"""No test reaches outside loopback: whatever a library would fetch from a model hub, it must do without."""

from __future__ import annotations

import os
import sys

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
