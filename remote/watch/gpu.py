"""What nvidia-smi says, once a second, over a channel of its own: parsing without I/O, and a stream that heals itself.

A driver may hang or lose its card. Then the samples grow stale and the stream is begun again; no job is ever touched.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress

from msgspec import Struct

from remote.link.connection import Connection, RemoteProcess

FIELDS = (
    "timestamp", "index", "uuid", "name", "utilization.gpu", "utilization.memory", "memory.used", "memory.total",
    "temperature.gpu", "power.draw", "power.limit", "clocks.sm", "pstate",
)  # fmt: skip
COMMAND = ("nvidia-smi", f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits", "-l", "1")
SILENCE_S = 10.0
MAX_GPUS = 64  # more than any machine has; what claims to be beyond is not believed
_PAUSES_S = (1.0, 2.0, 5.0, 10.0, 30.0)
_LINE_LIMIT = 4096
_CLOSE_S = 5.0
_NO_COMMAND = 127


class GpuSample(Struct, frozen=True):
    """One graphics card at one moment; `at` is the laptop's unix time of arrival. What the driver hides is None.

    `util` and `memory_util` in percent, memory in MiB, `temperature` in °C, `power` and `power_limit` in W, `clock` in
    MHz. `pstate` is "P0" (fastest) to "P15".
    """

    at: float
    index: int
    uuid: str | None
    name: str | None
    util: float | None
    memory_util: float | None
    memory_used: float | None
    memory_total: float | None
    temperature: float | None
    power: float | None
    power_limit: float | None
    clock: float | None
    pstate: str | None


class GpuTrouble(Struct, frozen=True):
    """Why there are no samples at present, in one sentence; `at` is the laptop's unix time."""

    at: float
    why: str


class GpuProcess(Struct, frozen=True):
    """A process that holds memory (MiB, None when not told) of the card `uuid`."""

    pid: int
    uuid: str | None
    memory: float | None
    name: str


def parse_line(line: str, at: float) -> GpuSample | None:
    """The sample in one line of `COMMAND`; None for anything else. Never raises."""
    cells = [cell.strip() for cell in line.split(",")]
    if len(cells) > len(FIELDS):  # a comma in the card's name
        extra = len(cells) - len(FIELDS)
        cells[3 : 4 + extra] = [", ".join(cells[3 : 4 + extra])]
    if len(cells) != len(FIELDS) or not cells[1].isascii() or not cells[1].isdigit() or int(cells[1]) >= MAX_GPUS:
        return None
    util, memory_util, used, total, temperature, power, limit, clock = map(_number, cells[4:12])
    return GpuSample(
        at=at,
        index=int(cells[1]),
        uuid=_text(cells[2]),
        name=_text(cells[3]),
        util=_within(util, 100.0),
        memory_util=_within(memory_util, 100.0),
        memory_used=used,
        memory_total=total,
        temperature=temperature,
        power=power,
        power_limit=limit,
        clock=clock,
        pstate=_text(cells[12]),
    )


def parse_processes(text: str) -> tuple[GpuProcess, ...]:
    """The answer to --query-compute-apps=pid,gpu_uuid,used_memory,process_name without header and units."""
    found = []
    for line in text.splitlines()[:256]:
        cells = [cell.strip() for cell in line.split(",", 3)]
        if len(cells) == 4 and cells[0].isascii() and cells[0].isdigit() and len(cells[0]) < 10:
            found.append(GpuProcess(int(cells[0]), _text(cells[1]), _number(cells[2]), _text(cells[3]) or "unknown"))
    return tuple(found)


def _number(cell: str) -> float | None:
    """A number of at least 0; "[N/A]", "[Not Supported]", "ERR!" and their like are None."""
    try:
        value = float(cell.split(" ")[0])
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _within(value: float | None, most: float) -> float | None:
    return value if value is not None and value <= most else None


def _text(cell: str) -> str | None:
    clean = "".join(char for char in cell if char.isprintable())[:128]
    return None if not clean or clean.startswith("[") or clean == "ERR!" else clean


class Lines:
    """Cuts a stream of bytes into lines; a line without end is dropped, not kept for ever."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes."""
        *whole, rest = (self._rest + data).split(b"\n")
        self._rest = rest if len(rest) <= _LINE_LIMIT else b""
        texts = (line.decode("utf-8", "replace").strip() for line in whole if len(line) <= _LINE_LIMIT)
        return [text for text in texts if text]


async def samples(
    conn: Connection,
    clock: Callable[[], float],
    silence_s: float = SILENCE_S,
    pauses_s: tuple[float, ...] = _PAUSES_S,
) -> AsyncGenerator[GpuSample | GpuTrouble]:
    """Samples as they come, one for each card and second, and a GpuTrouble whenever they end; never ends by itself.

    After `silence_s` seconds without a line nvidia-smi is killed and started again, after a pause that grows while
    nothing comes. `clock` gives unix seconds. Raises SshError when the link breaks.
    """
    failures = 0
    while True:
        trouble = ""
        async with aclosing(_once(conn, clock, silence_s)) as items:
            async for item in items:
                if isinstance(item, GpuSample):
                    failures = 0
                    yield item
                else:
                    trouble = item.why
        yield GpuTrouble(clock(), trouble or "nvidia-smi ended without a word")
        await asyncio.sleep(pauses_s[min(failures, len(pauses_s) - 1)])
        failures += 1


async def _once(
    conn: Connection, clock: Callable[[], float], silence_s: float
) -> AsyncGenerator[GpuSample | GpuTrouble]:
    """One nvidia-smi until it ends, hangs or talks of something else."""
    words, lines = "", Lines()
    async with conn.open(COMMAND) as process:
        try:
            while data := await asyncio.wait_for(process.read(), silence_s):
                for line in lines.feed(data):
                    sample = parse_line(line, clock())
                    words = words if sample else line
                    if sample:
                        yield sample
        except TimeoutError:
            yield GpuTrouble(clock(), f"nvidia-smi has said nothing for {silence_s:.0f} s")
            return
        yield GpuTrouble(clock(), await _why(process, words))


async def _why(process: RemoteProcess, words: str) -> str:
    """What nvidia-smi ended with: "No devices were found", "Failed to initialize NVML: …", or its exit code."""
    code: int | None = None
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_S):
            code = await process.wait()
            words = words or (await process.stderr()).decode("utf-8", "replace").strip()
    if code == _NO_COMMAND:
        return "this pod has no nvidia-smi"
    first = "".join(char for char in words.split("\n")[0] if char.isprintable())[:200]
    return f"nvidia-smi ended: {first or f'code {code}'}"
