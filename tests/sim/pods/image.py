"""What is in a pod's image: which programs a variant lacks, its start script, its sshd's settings, its environment.

The shell scripts themselves are in data/; this module fills in their blanks and knows no tier.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.sim.pods.base import PodRequest

DATA = Path(__file__).parent / "data"
BIN_DIRS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
PATH = ":".join(BIN_DIRS)
FINISHED = "Start script(s) finished, Pod is ready to use."
LOOPBACK = "127.0.0.1"
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_LACKING = {
    "minimal": re.compile(r"rsync.*|tmux|screen|curl|wget|zstd|jq"),
    "no-ssh": re.compile(r"sshd|ssh-keygen"),
    "no-python": re.compile(r"python.*|pydoc.*|pip.*"),
}


def checked_name(name: str) -> str:
    """`name` if it may name a folder, else ValueError."""
    if not _SAFE.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a pod or a volume here.")
    return name


def user_name() -> str:
    """Who we are by the password file, whatever the environment says; the number where it does not know us."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def why_no_login(name: str, passwd: str, shadow: str) -> str | None:
    """Why sshd (without PAM) would not let this user in, by the texts of the two files; None when it would."""
    shells = {line.split(":")[0]: line.rsplit(":", 1)[-1] for line in passwd.splitlines() if line.count(":") == 6}
    if name not in shells:
        return f"the user {name} is not in the password file"
    if shells[name].endswith(("/nologin", "/false")):
        return f"the user {name} has no login shell"
    if any(line.startswith(f"{name}:!") for line in shadow.splitlines()):
        return f"the account of {name} is locked"
    return None


def find_sshd() -> str | None:
    """Absolute path of the machine's sshd, None when it has none; it stands outside many a PATH."""
    return shutil.which("sshd", path=f"{os.environ.get('PATH', os.defpath)}:{PATH}")


def interpreter() -> Path:
    """The Python that is not in a virtual environment; pods run it as python3."""
    return Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()


def lacks(variant: str, program: str) -> bool:
    """Whether images of this variant come without the program."""
    pattern = _LACKING.get(variant)
    return pattern is not None and pattern.fullmatch(program) is not None


def programs() -> Iterator[Path]:
    """Programs of this machine in the standard folders; a name may come twice."""
    seen: set[Path] = set()
    for name in BIN_DIRS:
        folder = Path(name).resolve()
        if folder.is_dir() and folder not in seen:
            seen.add(folder)
            yield from folder.iterdir()


def hidden(variant: str) -> list[str]:
    """Files and folders of this machine that are not in an image of the variant."""
    paths = [str(path) for path in programs() if lacks(variant, path.name)]
    return paths + (sorted(_prefixes()) if variant == "no-python" else [])


def kept(variant: str, home: str) -> list[str]:
    """Folders that a pod shows although it hides what they lie in: where our Python lives."""
    emptied = (f"{home}/", "/tmp/", "/var/tmp/")
    return [] if variant == "no-python" else sorted(path for path in _prefixes() if path.startswith(emptied))


def _prefixes() -> set[str]:
    prefixes = {str(Path(prefix).resolve()) for prefix in (sys.prefix, sys.base_prefix)}
    return prefixes - {"/", "/usr", "/usr/local"}


def environment(request: PodRequest, port: int, home: str) -> dict[str, str]:
    """The pod's environment: the image's, what the provider injects, then what was asked for."""
    injected = {
        "RUNPOD_POD_ID": request.pod_id,
        "RUNPOD_POD_HOSTNAME": request.pod_id,
        "RUNPOD_GPU_COUNT": str(request.gpu_count),
        "RUNPOD_CPU_COUNT": str(os.cpu_count() or 1),
        **({"RUNPOD_VOLUME_ID": request.volume_key} if request.volume_key else {}),
    }
    address = {"RUNPOD_PUBLIC_IP": LOOPBACK, "RUNPOD_TCP_PORT_22": str(port)}
    image = {"PATH": PATH, "HOME": home, "HOSTNAME": request.pod_id, "LANG": "C.UTF-8", "CUDA_VERSION": "12.8.1"}
    return {**image, **injected, **request.env, **address}


def write_nvidia_smi(path: Path, control: str, gpu_count: int) -> None:
    """The stand-in for nvidia-smi; `control` is its control file as the pod sees it."""
    text = (DATA / "nvidia-smi.sh").read_text()
    path.write_text(text.replace("@CONTROL@", shlex.quote(control)).replace("@COUNT@", str(gpu_count)))
    path.chmod(0o755)


def sshd_config(root: str, port: int, extra: Mapping[str, str]) -> str:
    """Settings of an sshd on loopback that lets in only the keys of authorized_keys; `root` "" is a real root."""
    settings = {
        "Port": str(port),
        "ListenAddress": LOOPBACK,
        "UsePAM": "no",
        "UseDNS": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
        "PrintMotd": "no",
        "PidFile": "none",
        "Subsystem": "sftp internal-sftp",
        **extra,
    }
    keys = [f"HostKey {root}/etc/ssh/ssh_host_{kind}_key\n" for kind in ("ecdsa", "ed25519")]
    return "".join([*(f"{name} {value}\n" for name, value in settings.items()), *keys])
