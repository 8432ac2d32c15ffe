"""Workspaces for the tests of the front door; no pod outlives its test."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from app_samples import end_pod, make_workspace


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test sees the defaults, whatever the environment says."""
    for name in tuple(os.environ):
        if name.startswith("MAXCAI_") or name == "RUNPOD_API_KEY":
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def no_pod_is_left(tmp_path: Path) -> Iterator[None]:
    """Whatever a test did, and however it ended: the embedded pods below its folder are stopped after it."""
    yield
    for pod in tmp_path.glob("**/pods/local"):
        asyncio.run(end_pod(pod))


@pytest.fixture
def workspace_dir(tmp_path: Path) -> Path:
    """A workspace of this test alone."""
    return make_workspace(tmp_path)
