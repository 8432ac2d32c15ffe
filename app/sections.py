"""The sections of maxcai.toml: what is rented, how it is made ready, when it is stopped, what may be spent.

Each key is also an environment variable: [runpod] image is MAXCAI_RUNPOD_IMAGE. Lists are separated by commas there.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

MOST = 1e12
"""No amount is larger: infinity is a typing error."""

Name = Annotated[str, Meta(min_length=1)]
Words = tuple[str, ...]
Amount = Annotated[float, Meta(ge=0, le=MOST)] | None
Usd = Decimal | None
Size = Annotated[int, Meta(ge=0)] | None
SWITCHES = frozenset({"Amount", "Usd", "Size"})
"""Types of which 0 means nothing: TOML has no word for that."""


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of settings: unknown keys are errors, nothing changes once it is read."""


def told(kind: type[Section], name: str, value: Any) -> Any:
    """A value as a person writes it, as the field's type has it: a list in one string, 0 for nothing."""
    annotated = kind.__annotations__.get(name)
    if annotated == "Words" and isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    if annotated in SWITCHES and value in (0, "0") and not isinstance(value, bool):
        return None
    return value


class RunPod(Section, frozen=True):
    """[runpod]: what is rented there. Sizes in GB."""

    transport: Literal["v2", "sdk"] = "v2"  # REST v2, or RunPod's own library
    image: Name = "runpod/pytorch:1.0.7-cu1281-torch291-ubuntu2204"
    gpus: Words = ("NVIDIA A100-SXM4-80GB",)  # RunPod's ids, in the order in which they are tried; () = a CPU pod
    gpu_count: Annotated[int, Meta(ge=1)] = 1
    cloud: Literal["SECURE", "COMMUNITY"] = "SECURE"
    disk_gb: Annotated[int, Meta(ge=1)] = 50  # container disk: wiped at every stop
    volume_id: str | None = None  # a network volume: outlives the pod
    volume_gb: Size = None  # a disk on the pod's host: survives a stop
    ephemeral: bool = False  # neither: a stop destroys everything
    mount: Annotated[str, Meta(pattern="^/")] = "/workspace"
    data_centers: Words = ()
    min_cuda: Annotated[str, Meta(pattern=r"^\d+\.\d+$")] | None = "12.8"
    bid: Usd = None  # USD/hour for one GPU: a spot pod


class Setup(Section, frozen=True):
    """[setup]: how a rented pod is made ready for the pipeline."""

    extras: Words = ("pipeline", "quant")  # of the pushed tree's pyproject.toml
    torch: Literal["auto", "image", "install"] = "auto"
    torch_args: Words = ()  # for pip when it installs torch: --index-url, …
    pip_args: Words = ()
    model: bool = True  # fetch the recipe's model before the run
    free_gb: Annotated[int, Meta(ge=0)] = 10  # what must be free on the volume


class Guard(Section, frozen=True):
    """[guard]: when a rented pod is stopped, by the pod itself and by this machine. 0 switches a rule off."""

    required: bool = False  # no run without an armed watchdog on the pod
    max_hours: Amount = 24.0
    idle_minutes: Amount = 30.0
    after_exit: Literal["stop", "keep"] = "stop"  # once the run is over and the time to pull has passed
    pull_grace_minutes: Annotated[float, Meta(ge=0, le=MOST)] = 20.0
    lease_minutes: Amount = None  # stop when this machine has not been heard of for so long
    publish_minutes: Annotated[float, Meta(ge=0, le=MOST)] = 10.0  # for a checkpoint before a stop
    countdown_minutes: Annotated[float, Meta(ge=0, le=MOST)] = 10.0  # before a stop for idleness or budget; 0: at once
    min_free_gb: Amount = 5.0  # reported, stops nothing
    tick_seconds: Annotated[float, Meta(gt=0, le=300)] = 10.0  # between two looks of the pod's watchdog
    accept_loss: bool = False  # arm it although a stop would destroy the data


class Budget(Section, frozen=True):
    """[budget]: USD that may be spent on one run, in one day, in all. 0 sets no limit."""

    run: Usd = None
    day: Usd = None
    total: Usd = None


class Reviews(Section, frozen=True):
    """[reviews]: what must have been reviewed."""

    required: bool = False  # no run but of `demo` and `smoke` without an approved review


SECTIONS: dict[str, type[Section]] = {
    "runpod": RunPod, "setup": Setup, "guard": Guard, "budget": Budget, "reviews": Reviews,
}  # fmt: skip
"""The tables of maxcai.toml besides [keys]."""
