"""The embedded pod's shell sees no secret of this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from app.controller import Controller
from app.settings import Settings
from app.workspace import find
from remote.link.shell import shell


async def test_the_shell_of_the_embedded_pod_sees_no_secret(
    workspace_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_TOKEN", "not for the pod")
    controller = Controller(find(workspace_dir), Settings())
    try:
        pod = await controller.supervisor.start_pod(None)
        found = shell(await controller.supervisor.link.connection(pod.id), controller.workspace.state_dir)
        said = subprocess.run(found.argv, cwd=found.cwd, env=found.env, input="env; exit 3\n",
                              capture_output=True, text=True, timeout=30, check=False)  # fmt: skip
        assert said.returncode == 3
        assert "SOME_API_TOKEN" not in said.stdout
    finally:
        await controller.close()
