"""What importing costs: the command line must not pay for SSH, the panel's library or torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("asyncssh", "torch", "textual", "rich", "app", "pipeline", "paramiko", "runpod", "httpx")
LIGHT = (
    "remote", "remote.errors", "remote.journal", "remote.secrets", "remote.identity", "remote.verbs", "remote.__main__",
    "remote.money.costs", "remote.link.hostkeys", "remote.link.ssh", "remote.pods.registry", "remote.pods.local",
    "remote.renting.lifecycle", "remote.guard.rounds",
)  # fmt: skip


@pytest.mark.parametrize("modules", [LIGHT, ("remote",)], ids=["all", "remote"])
def test_importing_loads_nothing_heavy(modules: tuple[str, ...]) -> None:
    code = f"import sys, {', '.join(modules)}\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_asking_for_a_provider_loads_no_ssh() -> None:
    code = (
        "import sys, time, pathlib\nfrom remote.pods.registry import provider\n"
        "provider('local', pathlib.Path('/nowhere'), time.time)\nprint('asyncssh' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
