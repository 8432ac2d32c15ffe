"""A shell on a pod: `ssh` believes the verified host key and no other; the embedded pod's shell sees no secret."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from app.controller import Controller
from app.settings import Settings
from app.workspace import find
from remote import identity
from remote.shell import shell, ssh_command


@pytest.mark.skipif(shutil.which("ssh") is None, reason="this machine has no ssh program")
async def test_ssh_reaches_the_verified_pod_and_refuses_one_with_another_key(
    workspace_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_TOKEN", "not for the pod")
    controller = Controller(find(workspace_dir), Settings())
    try:
        pod = await controller.supervisor.start_pod(None)
        connection = await controller.supervisor.link.connection(pod.id)
        state_dir = controller.workspace.state_dir
        with shell(connection, state_dir) as found:
            said = subprocess.run(found.argv, cwd=found.cwd, env=found.env, input="env; exit 3\n",
                                  capture_output=True, text=True, timeout=30, check=False)  # fmt: skip
        assert said.returncode == 3
        assert "SOME_API_TOKEN" not in said.stdout
        program, folder = shutil.which("ssh"), workspace_dir / "known"
        assert program is not None
        folder.mkdir()
        argv = ssh_command(program, connection, identity.ensure(state_dir).private, folder)

        async def asked() -> subprocess.CompletedProcess[str]:
            import asyncio

            return await asyncio.to_thread(
                subprocess.run, [*argv, "-T", "echo", "reached"], capture_output=True, text=True, timeout=30
            )

        assert (await asked()).stdout == "reached\n"
        line = (folder / "known_hosts").read_text()
        place, kind, _key = line.split(" ", 2)
        other = identity.ensure(workspace_dir / "other").public.split()[1]
        (folder / "known_hosts").write_text(f"{place} {kind} {other}\n")
        refused = await asked()
        assert refused.returncode == 255
        assert "reached" not in refused.stdout
        assert "HOST IDENTIFICATION HAS CHANGED" in refused.stderr or "verification failed" in refused.stderr
    finally:
        await controller.close()
