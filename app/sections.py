"""The sections of maxcai.toml: what is rented, how it is made ready, when it is stopped, what may be spent.

Each key is also an environment variable: [runpod] image is MAXCAI_RUNPOD_IMAGE. Lists are separated by commas there.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _listed(value: Any) -> Any:
    """A list from an environment variable, or one word for a list of one."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


def _off(value: Any) -> Any:
    """0 switches a rule off: TOML has no word for nothing."""
    return None if value in (0, "0") and not isinstance(value, bool) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Amount = Annotated[Annotated[float, Field(gt=0, allow_inf_nan=False)] | None, BeforeValidator(_off)]
Usd = Annotated[Annotated[Decimal, Field(gt=0, allow_inf_nan=False)] | None, BeforeValidator(_off)]
Size = Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(_off)]


class Section(BaseModel):
    """A table of settings: unknown keys are errors, nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RunPod(Section):
    """[runpod]: what is rented there. Sizes in GB."""

    transport: Literal["v2", "sdk"] = "v2"  # REST v2, or RunPod's own library
    image: str = Field(default="runpod/pytorch:1.0.7-cu1281-torch291-ubuntu2204", min_length=1)
    gpus: Words = ("NVIDIA A100-SXM4-80GB",)  # RunPod's ids, in the order in which they are tried; () = a CPU pod
    gpu_count: int = Field(default=1, ge=1)
    cloud: Literal["SECURE", "COMMUNITY"] = "SECURE"
    disk_gb: int = Field(default=50, ge=1)  # container disk: wiped at every stop
    volume_id: str | None = None  # a network volume: outlives the pod
    volume_gb: Size = None  # a disk on the pod's host: survives a stop
    ephemeral: bool = False  # neither: a stop destroys everything
    mount: str = Field(default="/workspace", pattern="^/")
    data_centers: Words = ()
    min_cuda: str | None = Field(default="12.8", pattern=r"^\d+\.\d+$")
    bid: Usd = None  # USD/hour for one GPU: a spot pod


class Setup(Section):
    """[setup]: how a rented pod is made ready for the pipeline."""

    extras: Words = ("pipeline", "quant")  # of the pushed tree's pyproject.toml
    torch: Literal["auto", "image", "install"] = "auto"
    torch_args: Words = ()  # for pip when it installs torch: --index-url, …
    pip_args: Words = ()
    model: bool = True  # fetch the recipe's model before the run
    free_gb: int = Field(default=10, ge=0)  # what must be free on the volume


class Guard(Section):
    """[guard]: when a rented pod is stopped, by the pod itself and by this machine. 0 switches a rule off."""

    required: bool = False  # no run without an armed watchdog on the pod
    max_hours: Amount = 24.0
    idle_minutes: Amount = 30.0
    after_exit: Literal["stop", "keep"] = "stop"  # once the run is over and the time to pull has passed
    pull_grace_minutes: float = Field(default=20.0, ge=0, allow_inf_nan=False)
    lease_minutes: Amount = None  # stop when this machine has not been heard of for so long
    publish_minutes: float = Field(default=10.0, ge=0, allow_inf_nan=False)  # for a checkpoint before a stop
    min_free_gb: Amount = 5.0  # reported, stops nothing
    tick_seconds: float = Field(default=10.0, gt=0, le=300)  # between two looks of the pod's watchdog
    accept_loss: bool = False  # arm it although a stop would destroy the data


class Budget(Section):
    """[budget]: USD that may be spent on one run, in one day, in all. 0 sets no limit."""

    run: Usd = None
    day: Usd = None
    total: Usd = None


class Reviews(Section):
    """[reviews]: what must have been reviewed."""

    required: bool = False  # no run but of `demo` and `smoke` without an approved review


SECTIONS: dict[str, type[Section]] = {
    "runpod": RunPod, "setup": Setup, "guard": Guard, "budget": Budget, "reviews": Reviews,
}  # fmt: skip
"""The tables of maxcai.toml besides [keys]."""
