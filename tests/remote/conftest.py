"""A real embedded pod in a temporary folder, always stopped at the end, whatever a test did to it."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from subprocess_connection import SubprocessConnection, end_everything

from remote.pods.local import LocalProvider


@pytest.fixture(autouse=True)
def _no_cloud_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RUNPOD_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / ".maxcai"


@pytest.fixture
async def provider(state_dir: Path) -> AsyncIterator[LocalProvider]:
    provider = LocalProvider(state_dir, time.time, dict(os.environ))
    yield provider
    await provider.stop("local")


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[SubprocessConnection]:
    """A pod of plain local processes under `tmp_path/pod`; what was started on it ends with the test."""
    (tmp_path / "pod").mkdir()
    yield SubprocessConnection(tmp_path / "pod")
    end_everything(tmp_path / "pod")
