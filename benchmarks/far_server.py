"""An OpenSSH server on loopback behind a slow link, for measurements: a real sshd and the chaos proxy, each a process.

Both are started by `far_server` and end with it. Also what other clients need to reach it: the `ssh` command line.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from remote import identity
from remote.pods.model import Endpoint, Pod, PodStatus
from remote.pods.provider import Capability

REPO = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class FarServer:
    """`port` is the proxy's, `near` the server's own. `folder` holds its keys; `home` is the pod's volume."""

    port: int
    near: int
    control: int
    folder: Path
    home: Path
    key: Path
    log: tuple[str, ...]

    @property
    def pod(self) -> Pod:
        """The server as a pod of ours."""
        endpoint = Endpoint("127.0.0.1", self.port, getpass.getuser())
        return Pod(
            "far", "far", "far", PodStatus.RUNNING, str(self.home), "python3", endpoint=endpoint, started_at=time.time()
        )

    @property
    def ssh(self) -> list[str]:
        """The OpenSSH client's command line, without the destination."""
        options = ["StrictHostKeyChecking=no", f"UserKnownHostsFile={self.folder / 'known'}", "BatchMode=yes"]
        words = [word for option in options for word in ("-o", option)]
        return ["ssh", "-F", "/dev/null", "-q", "-i", str(self.key), "-p", str(self.port), *words]

    @property
    def destination(self) -> str:
        return f"{getpass.getuser()}@127.0.0.1"

    def tell(self, **call: object) -> dict[str, object]:
        """One call to the proxy's control port."""
        with socket.create_connection(("127.0.0.1", self.control)) as link:
            link.sendall(json.dumps(call).encode() + b"\n")
            answer: dict[str, object] = json.loads(link.makefile().readline())
        return answer

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset({Capability.LOGS})

    async def logs(self, _pod_id: str) -> list[str]:
        """The container log, as `remote.link.hostkeys` reads it: a pod's provider that has nothing else."""
        return list(self.log)


@contextlib.contextmanager
def far_server(folder: Path, state_dir: Path, delay_ms: float, rate: float | None = None) -> Iterator[FarServer]:
    """Start both; `delay_ms` one way, `rate` in bytes/s. Raises RuntimeError where there is no sshd."""
    sshd = shutil.which("sshd") or "/usr/sbin/sshd"
    if not Path(sshd).exists():
        raise RuntimeError("there is no sshd here (Debian: openssh-server)")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd separates its privileges
    key = identity.ensure(state_dir)
    near = _free_port()
    config = _configure(folder, near, key.public)
    home = folder / "pod"
    home.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_running([sshd, "-D", "-e", "-f", str(config)], folder / "sshd.log"))
        _until_open(near)
        argv = [sys.executable, "-m", "tests.sim.chaos", "--target", f"127.0.0.1:{near}", "--delay-ms", str(delay_ms)]
        argv += ["--control", "0"] + (["--rate", str(rate)] if rate else [])
        proxy = stack.enter_context(_running(argv, folder / "proxy.log", subprocess.PIPE))
        assert proxy.stdout is not None
        ports = json.loads(proxy.stdout.readline())
        shown = subprocess.run(
            ["ssh-keygen", "-lf", folder / "host.pub"], capture_output=True, text=True, check=True
        ).stdout
        log = ("SSH host keys:", f"Key: {folder}/host.pub", shown.strip(), "ready")
        yield FarServer(ports["port"], near, ports["control"], folder, home, key.private, log)


def _configure(folder: Path, port: int, public: str) -> Path:
    (folder / "authorized_keys").write_text(public + "\n")
    for name in ("host", "host.pub"):
        (folder / name).unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "host"], check=True)
    config = folder / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nPermitRootLogin yes\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nMaxSessions 10\nSubsystem sftp internal-sftp\n"
    )
    return config


@contextlib.contextmanager
def _running(argv: list[str], log: Path, stdout: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as notes:
        process = subprocess.Popen(argv, stdout=stdout or notes, stderr=notes, stdin=subprocess.DEVNULL, cwd=REPO)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _until_open(port: int) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
