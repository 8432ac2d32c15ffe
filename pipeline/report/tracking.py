"""Hands a run's numbers to other programs' viewers: TensorBoard, trackio, Weights & Biases. Readers of the run's own
files, off unless asked for, without a network; none of these packages is needed by anything else."""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.errors import UsageError
from pipeline.events import unix
from pipeline.protocol import Event
from pipeline.report.inspect_log import write_logs
from pipeline.report.reading import RunFiles

_TRAINED = ("sft", "dpo")


@dataclass(frozen=True, slots=True)
class Scalar:
    """One point of a curve. `x` is the training step, else the number of items measured; `at` unix seconds, None where
    the file does not say."""

    group: str  # "stage-1/sft"
    name: str
    x: int
    value: float
    at: float | None = None

    @property
    def tag(self) -> str:
        return f"{self.group}/{self.name}"


def export(run_dir: Path, target: str) -> list[str]:
    """Write what `target` reads; returns what was written, one path or name a line.

    Raises UsageError when the target is unknown, its package is not installed, or the run has nothing to hand over.
    """
    if target not in TARGETS:
        raise UsageError(f"there is no export to {target!r}; choose one of {', '.join(TARGETS)}")
    return TARGETS[target](RunFiles(run_dir))


def scalars(files: RunFiles) -> Iterator[Scalar]:
    """Every number over time that a run noted: training metrics, rates, and what each finished step cost."""
    events = files.events()
    trained = set()
    for stage in files.stages():
        for kind in _TRAINED:
            step = f"stage-{stage}/{kind}"
            for row in files.rows(f"{step}/metrics.jsonl"):
                trained.add(step)
                yield from _row(step, row)
    for event in events:
        if event.kind == "metric" and event.get("step") not in trained:
            yield from _point(str(event.get("step")), str(event.get("name")), event.get("x"), event.get("value"), event)
        elif event.kind == "step_finished":
            for name in ("seconds", "tokens", "usd"):
                yield from _point(str(event.get("step")), f"cost/{name}", 0, event.get(name), event)


def _row(step: str, row: Mapping[str, Any]) -> Iterator[Scalar]:
    for name, value in row.items():
        if name != "step":
            yield from _point(step, name, row.get("step"), value)


def _point(group: str, name: str, x: Any, value: Any, event: Event | None = None) -> Iterator[Scalar]:
    """The point, unless one of its numbers is not known or not finite."""
    numbers = all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in (x, value))
    if numbers:
        yield Scalar(group, name, int(x), float(value), unix(event.t) if event else None)


def _tensorboard(files: RunFiles) -> list[str]:
    """Event files under `tensorboard/`, one folder a step, as `tensorboard --logdir` reads them."""
    writers = _package("tensorboard.summary.writer.event_file_writer", "tensorboard")
    events = _package("tensorboard.compat.proto.event_pb2", "tensorboard")
    summaries = _package("tensorboard.compat.proto.summary_pb2", "tensorboard")
    folder = files.root / "tensorboard"
    for group, points in _grouped(files).items():
        for old in (folder / group).glob("events.out.tfevents.*"):
            old.unlink()  # an export made again replaces the one before
        writer = writers.EventFileWriter(str(folder / group))
        for point in points:
            value = summaries.Summary.Value(tag=point.name, simple_value=point.value)
            summary = summaries.Summary(value=[value])
            writer.add_event(events.Event(wall_time=point.at or 0.0, step=point.x, summary=summary))
        writer.close()
    return [str(folder)]


def _trackio(files: RunFiles) -> list[str]:
    """A trackio project in the run directory, one run a step."""
    os.environ.setdefault("TRACKIO_DIR", str(files.root / "trackio"))  # read on import
    trackio = _package("trackio", "trackio")
    return _tracked(files, trackio, {})


def _wandb(files: RunFiles) -> list[str]:
    """Offline runs under `wandb/`, one a step; a person sends them with `wandb sync`."""
    wandb = _package("wandb", "wandb")
    return _tracked(files, wandb, {"mode": "offline", "dir": str(files.root), "reinit": True})


def _tracked(files: RunFiles, module: ModuleType, more: Mapping[str, Any]) -> list[str]:
    run = files.json("run.json") or {}
    name, written = str(run.get("run_id") or files.root.name), []
    for group, points in _grouped(files).items():
        module.init(project=name, name=group.replace("/", "-"), config=run.get("recipe") or {}, **more)
        for x in sorted({point.x for point in points}):
            module.log({point.name: point.value for point in points if point.x == x}, step=x)
        module.finish()
        written.append(f"{name}: {group}")
    return written


def _inspect(files: RunFiles) -> list[str]:
    written = write_logs(files)
    if not written:
        raise UsageError(f"{files.root} holds no evaluation yet; run it at least to the end of stage-0/evaluate")
    return [str(path) for path in written]


def _grouped(files: RunFiles) -> dict[str, list[Scalar]]:
    groups: dict[str, list[Scalar]] = {}
    for point in scalars(files):
        groups.setdefault(point.group, []).append(point)
    if not groups:
        raise UsageError(f"{files.root} holds no metrics yet; run it at least to the end of stage-0/evaluate")
    return groups


def _package(module: str, package: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UsageError(f"the package {package} is not installed; get it with: pip install {package}") from None


TARGETS: Mapping[str, Callable[[RunFiles], list[str]]] = {
    "tensorboard": _tensorboard,
    "trackio": _trackio,
    "wandb": _wandb,
    "inspect": _inspect,
}
