"""What the simulated market offers: GPU types, data centres, templates, storage prices. Constants; prices are USD.

The prices that the project's documents quote are theirs; the others are plausible and mean nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

MONTH_HOURS = Decimal(730)
"""Hours by which a price per GB-month is divided; the vendor's own divisor is not known."""
DISK_RUNNING = Decimal("0.10")  # container and volume disk, per GB-month
VOLUME_DISK_STOPPED = Decimal("0.20")
NETWORK_FIRST_TB = Decimal("0.07")
NETWORK_BEYOND = Decimal("0.05")
HIGH_PERFORMANCE = Decimal("0.14")  # ours: no public source
FIRST_TB_GB = 1000


@dataclass(frozen=True)
class GpuType:
    """One GPU type. `memory` in GB; prices per GPU and hour, None where that cloud lacks it; `cuda` what hosts run."""

    id: str
    name: str
    memory: int
    secure: Decimal | None
    community: Decimal | None
    pool: str
    cuda_cores: int
    max_count: int = 8
    cuda: tuple[str, ...] = ("12.8",)
    data_centers: tuple[str, ...] = ("US-KS-2", "EU-RO-1")


@dataclass(frozen=True)
class DataCenter:
    """One data centre. `country` is what `countryCodes` filters by."""

    id: str
    name: str
    region: str
    country: str
    volume_types: tuple[str, ...] = ("STANDARD",)
    compliance: tuple[str, ...] = ()
    global_network: bool = False


@dataclass(frozen=True)
class Template:
    """What a create by template takes from it. `disk` in GB."""

    id: str
    image: str
    disk: int


def _usd(text: str) -> Decimal:
    return Decimal(text)


GPUS: tuple[GpuType, ...] = (
    GpuType("NVIDIA A100-SXM4-80GB", "A100 SXM", 80, _usd("1.74"), _usd("1.39"), "AMPERE_80", 6912),
    GpuType("NVIDIA A100 80GB PCIe", "A100 PCIe", 80, _usd("1.64"), _usd("1.19"), "AMPERE_80", 6912),
    GpuType("NVIDIA GeForce RTX 4090", "RTX 4090", 24, _usd("0.44"), _usd("0.31"), "ADA_24", 16384),
    GpuType("NVIDIA A40", "A40", 48, _usd("0.40"), _usd("0.35"), "AMPERE_48", 10752),
    GpuType("NVIDIA RTX A6000", "RTX A6000", 48, _usd("0.49"), _usd("0.33"), "AMPERE_48", 10752),
    GpuType(
        "NVIDIA H100 80GB HBM3", "H100 SXM", 80, _usd("2.69"), None, "ADA_80_PRO", 16896, cuda=("12.8", "13.0"),
        data_centers=("US-KS-2",),
    ),
    GpuType(
        "NVIDIA RTX PRO 4500 Blackwell", "RTX PRO 4500", 32, _usd("0.72"), None, "BLACKWELL_32", 10496, cuda=("13.0",),
        data_centers=("EU-RO-1",),
    ),
)  # fmt: skip

DATA_CENTERS: tuple[DataCenter, ...] = (
    DataCenter(
        "US-KS-2", "US Kansas 2", "NORTH_AMERICA", "US", ("STANDARD", "HIGH_PERFORMANCE"), ("SOC_2_TYPE_2",), True
    ),
    DataCenter("EU-RO-1", "EU Romania 1", "EUROPE", "RO", ("STANDARD",), ("GDPR",), True),
)

TEMPLATES: tuple[Template, ...] = (
    Template("runpod-ubuntu", "runpod/base:1.0.2-ubuntu2204", 20),
    Template("runpod-torch", "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404", 50),
)

CPU_PRICE = Decimal("0.06")
"""USD per hour of a CPU pod, whatever its size; ours."""


def gpu_type(gpu_id: str) -> GpuType | None:
    """The GPU type with this id."""
    return next((gpu for gpu in GPUS if gpu.id == gpu_id), None)


def data_center(center_id: str) -> DataCenter | None:
    """The data centre with this id."""
    return next((center for center in DATA_CENTERS if center.id == center_id), None)


def template(template_id: str) -> Template | None:
    """The template with this id."""
    return next((one for one in TEMPLATES if one.id == template_id), None)


def availability(free: int) -> str:
    """How the catalogue words a number of free GPUs; the thresholds are ours."""
    return "NONE" if free <= 0 else "LOW" if free <= 2 else "MEDIUM" if free <= 7 else "HIGH"
