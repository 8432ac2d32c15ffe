"""What happens between two training steps: metrics out, checkpoints by wall clock, a stop that loses nothing."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from pipeline.steps.base import Reporter

COMPLETE = "COMPLETE"
"""Written into a checkpoint after everything else: one without it was cut off and is never used."""


class StepCallback(TrainerCallback):  # type: ignore[misc]
    """Reports loss and progress; asks for a checkpoint every so many minutes or steps, and when the run must stop.

    Args:
        minutes: wall-clock time between two checkpoints.
        every: additionally, optimizer steps between two checkpoints; None = by time alone.
    """

    def __init__(self, reporter: Reporter, minutes: float, every: int | None) -> None:
        self.reporter = reporter
        self.interval_s = minutes * 60
        self.every = every
        self.saved_at = time.monotonic()
        self.stopped = False

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> Any:
        self.reporter.progress(state.global_step, state.max_steps, "steps")
        self.stopped = self.reporter.stop_requested()
        due = time.monotonic() - self.saved_at >= self.interval_s
        due = due or bool(self.every and state.global_step % self.every == 0 and state.global_step < state.max_steps)
        if due or self.stopped:
            control.should_save = True
        if self.stopped:
            control.should_training_stop = True
        return control

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE).touch()
        self.saved_at = time.monotonic()
        return control

    def on_log(self, _args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> Any:
        for name in ("loss", "rewards/margins", "rewards/accuracies", "logps/chosen", "grad_norm", "learning_rate"):
            if logs and name in logs:
                self.reporter.metric(name, float(logs[name]), float(state.global_step))
        return control


def newest_complete(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; torn ones are removed."""
    whole = []
    for path in folder.glob("checkpoint-*"):
        if (path / COMPLETE).exists():
            whole.append(path)
        else:
            shutil.rmtree(path, ignore_errors=True)
    return max(whole, key=lambda p: int(p.name.rsplit("-", 1)[1]), default=None)
