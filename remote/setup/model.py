"""What a set-up is asked for and what it finds, as plain data. No I/O here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct

from remote.errors import ConfigError
from remote.pods.model import Pod

GIB = 1 << 30
_PASSWORD = re.compile(r"://[^/\s]*@")


class Torch(StrEnum):
    """Where torch comes from. AUTO: the image's where it is the version that the tree requires, else installed.

    IMAGE: the image's whatever its version, INSTALL: never the image's.
    """

    AUTO = "auto"
    IMAGE = "image"
    INSTALL = "install"


class Wish(Struct, frozen=True):
    """What the pod shall be ready for.

    `tree_id` is a pushed tree, whose pyproject.toml and constraints.txt say what is installed, with `extras`. `recipe`
    (a name or a path in the tree) says which model is fetched, under `settings` ("field=value"); None fetches none.
    `torch_args` are given to pip when it installs torch ("--index-url", …), `pip_args` whenever it installs. Neither
    may hold a secret: a command line is seen by every process of the pod. Raises ConfigError when one does.
    """

    tree_id: str
    extras: tuple[str, ...] = ("pipeline",)
    recipe: str | None = None
    settings: tuple[str, ...] = ()
    torch: Torch = Torch.AUTO
    torch_args: tuple[str, ...] = ()
    pip_args: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for word in (*self.torch_args, *self.pip_args):
            if _PASSWORD.search(word):
                raise ConfigError(
                    "A package index with a password would be visible in the pod's process list.",
                    "Give it as the secret variable PIP_INDEX_URL instead.",
                )

    def as_dict(self) -> dict[str, Any]:
        """As it goes to the pod."""
        return {
            "tree": self.tree_id,
            "extras": sorted(self.extras),
            "recipe": self.recipe,
            "set": list(self.settings),
            "torch": str(self.torch),
            "torch_args": list(self.torch_args),
            "pip_args": list(self.pip_args),
        }


class Needs(Struct, frozen=True):
    """What the preflight measures against; sizes in bytes. None is not asked for.

    `volume_bytes` is the volume's size as rented: a network volume itself tells the space of its whole cluster.
    `torch_s` is how many seconds the image's torch may take to be imported and to find the GPU.
    """

    gpu_count: int | None = None
    free_bytes: int = 10 * GIB
    free_system_bytes: int = GIB
    volume_bytes: int | None = None
    probe_bytes: int = 64 << 20
    torch_s: float = 180.0

    @classmethod
    def of(cls, pod: Pod, free_bytes: int = 10 * GIB) -> Needs:
        """What this pod must show: the GPUs and the volume that it was rented with."""
        size = None if pod.volume_gb is None else pod.volume_gb * 1_000_000_000
        return cls(gpu_count=pod.gpu_count, free_bytes=free_bytes, volume_bytes=size)

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__struct_fields__}


def facts_of(pod: Pod) -> dict[str, Any]:
    """What the session manifest says of the pod that the pod itself does not know."""
    return {
        "id": pod.id,
        "provider": pod.provider,
        "session": None if pod.session is None else pod.session.key,
        "image": pod.image,
        "gpu": pod.gpu,
        "gpu_count": pod.gpu_count,
        "data_center": pod.data_center,
    }


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Check(Struct, frozen=True):
    """One fact of the preflight; `remedy` is empty where nothing is to be done."""

    name: str
    level: Level
    text: str
    remedy: str = ""


class Step(Struct, frozen=True):
    """A part of the set-up: "environment", "model" or "session". `done` ones are skipped; `text` says why or what."""

    name: str
    done: bool
    text: str


class Plan(Struct, frozen=True):
    """What a set-up would do. `run_id` is the detached job that does the long part; equal plans have equal ids."""

    run_id: str
    lock_hash: str
    steps: tuple[Step, ...]

    @property
    def done(self) -> bool:
        return all(step.done for step in self.steps)


class Progress(Struct, frozen=True):
    """A word of the work under way; `done` of `total` in bytes where a download is measured, else None."""

    step: str
    text: str
    done: int | None = None
    total: int | None = None


class Session(Struct, frozen=True):
    """The session manifest of the pod. Unknown is None; `variables` say where models lie."""

    interpreter: str
    python: str
    torch: str | None
    cuda: str | None
    gpus: tuple[str, ...]
    driver: str | None
    environment: str
    tree: str
    incarnation: str
    body: Mapping[str, Any]

    def launch_environment(self) -> dict[str, str]:
        """Variables for every run of this session: where models lie, and the manifest itself in MAXCAI_SESSION."""
        brief = {name: value for name, value in self.body.items() if name != "checks"}
        variables = {str(name): str(value) for name, value in dict(self.body.get("variables") or {}).items()}
        return {**variables, "MAXCAI_SESSION": json.dumps(brief, separators=(",", ":"), sort_keys=True)}


class Report(Struct, frozen=True):
    """A finished set-up. `skipped` is true when everything was there; `checks` is empty then."""

    plan: Plan
    session: Session
    checks: tuple[Check, ...]
    skipped: bool
    seconds: float
