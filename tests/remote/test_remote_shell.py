"""A person's shell on a pod: a real terminal by the system's ssh, held to the key that we have verified."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from subprocess_connection import until

from benchmarks.far_server import FarServer, far_server
from remote.agent.host import shells
from remote.errors import ConfigError
from remote.link import ssh
from remote.link.shell import shell

pytestmark = pytest.mark.skipif(
    shutil.which("sshd") is None and not Path("/usr/sbin/sshd").exists(), reason="there is no sshd here"
)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a workspace, 100%")  # as people name their folders


@pytest.fixture(scope="module")
def far(work: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarServer]:
    with far_server(tmp_path_factory.mktemp("far"), work / "state", 0.0) as server:
        yield server


@pytest.fixture
async def argv(far: FarServer, work: Path) -> list[str]:
    return await command(far, work / "state")


async def command(far: FarServer, state_dir: Path) -> list[str]:
    async with ssh.connect(far.pod, far, state_dir) as connection:  # type: ignore[arg-type]
        return list(shell(connection, state_dir).argv)


def terminal(argv: list[str]) -> tuple[subprocess.Popen[bytes], int]:
    """The command on a terminal of its own, and the other end of that."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    return process, ours


def rest(fd: int) -> str:
    said = b""
    try:
        while data := os.read(fd, 4096):
            said += data
    except OSError:  # the other end is closed
        pass
    os.close(fd)
    return said.decode()


async def test_a_shell_has_a_terminal_in_the_volume_counts_as_somebody_and_its_exit_code_is_told(
    argv: list[str], far: FarServer
) -> None:
    before = set(shells() or [])
    process, fd = terminal(argv)
    await until(lambda: set(shells() or []) - before)
    with_it = set(shells() or [])
    os.write(fd, b"tty; pwd -P; exit 7\n")
    said = rest(fd)
    assert process.wait(10) == 7
    assert "/dev/pts/" in said or "/dev/tty" in said
    assert str(far.home.resolve()) in said
    await until(lambda: with_it - set(shells() or []))  # others may come and go on the same machine


async def test_nothing_of_the_persons_own_configuration_takes_part(argv: list[str]) -> None:
    told = subprocess.run([argv[0], "-G", *argv[1:]], capture_output=True, text=True, check=True).stdout.splitlines()
    for line in ("forwardagent no", "stricthostkeychecking true", "identitiesonly yes", "forwardx11 no"):
        assert line in told
    assert len([line for line in told if line.startswith("identityfile")]) == 1


async def test_another_machine_at_the_address_gets_no_word_from_us(
    argv: list[str], far: FarServer, work: Path, tmp_path: Path
) -> None:
    alias = next(word.partition("=")[2] for word in argv if word.startswith("HostKeyAlias="))
    known = work / "state/ssh/known" / alias
    right = known.read_text()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    known.write_text(f"{right.split()[0]} {(tmp_path / 'other.pub').read_text()}")
    refused = subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=20, check=False)
    assert refused.returncode == 255
    assert b"HOST IDENTIFICATION HAS CHANGED" in refused.stderr or b"verification failed" in refused.stderr
    known.write_text(right)


async def test_without_ssh_it_says_what_to_install(
    far: FarServer, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="no `ssh` program") as caught:
        await command(far, work / "state")
    assert "OpenSSH" in caught.value.hint
