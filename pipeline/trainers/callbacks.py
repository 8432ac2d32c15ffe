"""What happens between two training steps: metrics out, checkpoints by wall clock, a stop that loses nothing."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback

from pipeline.steps.base import Reporter
from pipeline.trainers.watch import Watch

COMPLETE = "COMPLETE"
"""Written into a checkpoint after everything else: one without it was cut off and is never used."""

METRICS = ("loss", "preference", "sft", "rewards/margins", "rewards/accuracies", "logps/chosen", "entropy", "grad_norm")

FIRST_SAVE_S = 30.0
"""Assumed for a checkpoint until one was measured."""


class StepCallback(TrainerCallback):  # type: ignore[misc]
    """Reports loss and progress; asks for a checkpoint every so many minutes or steps, in time before the deadline,
    and when the run must stop.

    Args:
        minutes: wall-clock time between two checkpoints.
        every: additionally, optimizer steps between two checkpoints; None = by time alone.
        deadline: unix seconds at which the run will be stopped; None = never.
    """

    def __init__(
        self, reporter: Reporter, watch: Watch, minutes: float, every: int | None, deadline: float | None = None
    ) -> None:
        self.reporter, self.watch = reporter, watch
        self.interval_s = minutes * 60
        self.every, self.deadline = every, deadline
        self.saved_at = self.stepped_at = time.monotonic()
        self.step_s, self.save_s = 0.0, FIRST_SAVE_S
        self.stopped = self.saved_for_deadline = False
        self.before = 0.0
        """Share of the work that is done before the first step."""

    def prepared(self, done: int, total: int, before: float) -> None:
        """Tell of pairs read by the reference, which comes before the first step and is the share `before` of all."""
        self.before = before
        self.reporter.progress(done, total, "pairs read by the reference", before * done / total)

    def on_train_begin(self, _args: Any, state: Any, control: Any, **_: Any) -> Any:
        for entry in state.log_history:  # of before a resume
            self.watch.observe(entry)
        self.stepped_at = time.monotonic()
        return control

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> Any:
        now = time.monotonic()
        self.step_s, self.stepped_at = now - self.stepped_at, now
        share = self.before + (1 - self.before) * state.global_step / max(1, state.max_steps)
        self.reporter.progress(state.global_step, state.max_steps, "steps", share)
        due = now - self.saved_at >= self.interval_s
        due = due or bool(self.every and state.global_step % self.every == 0 and state.global_step < state.max_steps)
        said = [self.reporter.stop_requested(), due or self._last_chance()]
        self.stopped, due = broadcast_object_list(said)  # several devices do what the first one says
        if due or self.stopped:
            control.should_save = True
        if self.stopped:
            control.should_training_stop = True
        return control

    def _last_chance(self) -> bool:
        """Whether a checkpoint begun after the next step might not be finished before the deadline: true once."""
        if self.deadline is None or self.saved_for_deadline:
            return False
        self.saved_for_deadline = time.time() + self.step_s + 2 * self.save_s >= self.deadline
        return self.saved_for_deadline

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE).touch()
        self.saved_at = time.monotonic()
        self.save_s = self.saved_at - self.stepped_at
        self.stepped_at = self.saved_at
        return control

    def on_log(self, _args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> Any:
        for name in (*METRICS, "learning_rate"):
            if logs and name in logs:
                self.reporter.metric(name, float(logs[name]), float(state.global_step))
        self.watch.observe(logs or {})
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
