"""No test reaches outside loopback, and none sees a key of this machine.

Whatever a library would fetch from a model hub, it must do without; a connection to anywhere else is an error.
"""

from __future__ import annotations

import ipaddress
import os
import re
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
for name in tuple(os.environ):
    if re.search(r"^RUNPOD_|(API|ACCESS|SECRET|PRIVATE)_?KEY|TOKEN$|SECRET|PASSWORD|CREDENTIALS", name):
        del os.environ[name]
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"  # nobody's real one

if sys.dont_write_bytecode:  # else each of a thousand child processes compiles all that it imports
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

signal.signal(signal.SIGINT, signal.default_int_handler)  # where ctrl+c is ignored, as below nohup, children ignore it

# A busy machine is no finding: examples count, not the seconds in which they were drawn.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def _near(family: int, address: Any) -> bool:
    """Whether an address is this machine's own."""
    if family not in (socket.AF_INET, socket.AF_INET6):
        return True
    try:
        found = ipaddress.ip_address(address[0])
    except (ValueError, TypeError, IndexError):
        return address[:1] in (("localhost",), ("",))
    return found.is_loopback or found.is_unspecified


def _guarded(connect: Callable[[socket.socket, Any], Any]) -> Callable[[socket.socket, Any], Any]:
    def near(self: socket.socket, address: Any) -> Any:
        if not _near(self.family, address):
            raise AssertionError(f"a test reaches outside of this machine: {address}")
        return connect(self, address)

    return near


if os.environ.get("MAXCAI_LIVE") != "1":  # else somebody asked for a look at a real account
    socket.socket.connect = _guarded(socket.socket.connect)  # type: ignore[method-assign]
    socket.socket.connect_ex = _guarded(socket.socket.connect_ex)  # type: ignore[method-assign]


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
