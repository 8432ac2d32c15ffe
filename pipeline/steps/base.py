"""What a step is: a name, what it reads, and a function that fills one directory. The runner does everything else.

A step never writes outside `ctx.out`, never decides whether it runs, never touches `events.jsonl`. It may be killed at
any moment: whatever it wrote through `ctx.journal` is kept and skipped on resume, everything else is redone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pipeline.errors import Stopped, UsageError
from pipeline.recipe import Recipe, earlier_stages
from pipeline.times import Times


class Reporter(Protocol):
    """How a step talks: the worker sends these up a pipe, the runner writes the events."""

    def progress(self, done: int, total: int, unit: str, share: float | None = None) -> None: ...  # share: of the work
    def foresee(self, work: float) -> None: ...  # all of the step's, in prompt tokens; told before the first share
    def metric(self, name: str, value: float, x: float) -> None: ...
    def warn(self, code: str, text: str, remedy: str) -> None: ...
    def tokens(self, count: int, read: int = 0) -> None: ...  # generated, scored or trained; prompts read; non-pad
    def stop_requested(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Shard:
    """The `index`-th (from 1) of `of` shares."""

    index: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """ "2/4". Raises UsageError."""
        index, _, of = text.partition("/")
        if not (index.isdecimal() and of.isdecimal() and 1 <= int(index) <= int(of)):
            raise UsageError(f"--shard {text!r} is no share. Say which of how many: 2/4.")
        return cls(int(index), int(of))

    def has(self, batch: int) -> bool:
        """Whether the planned batch of this number, from 0, belongs to this share."""
        return batch % self.of == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"


@dataclass(frozen=True)
class StepContext:
    """Everything a step may know. Paths are absolute; `out` exists."""

    recipe: Recipe
    stage: int
    step: str  # "stage-1/sft"
    key: str  # hex sha256 of everything that can change the result; seeds derive from it
    run_dir: Path
    out: Path
    reporter: Reporter
    attempts: Mapping[int, int] = field(default_factory=dict)  # stage -> number of its attempt, 1 where not named
    deadline: float | None = None  # unix seconds at which the run will be stopped; None for never
    shard: Shard | None = None  # the share of the batches that is made here; None for all of them
    times: Times = field(default_factory=Times)  # what the step's seconds are spent on

    @property
    def earlier(self) -> tuple[int, ...]:
        """The stages of the chain before this one."""
        return earlier_stages(self.recipe.stages, self.stage)

    @property
    def previous(self) -> int | None:
        """The stage whose model this one starts from; None where that is the base."""
        return self.earlier[-1] if self.earlier else None

    def block(self, stage: int) -> int:
        """The frozen block on which a stage's gate is decided: every new attempt takes the next one."""
        return self.attempts.get(stage, 1) - 1

    def input(self, step: str) -> Path:
        """Directory of a finished earlier step, e.g. `ctx.input("stage-1/filter")`."""
        return self.run_dir / step

    def seed(self, *parts: object) -> int:
        """A 63-bit seed that depends on the recipe's seed, this step's name and `parts` alone: order of work, resume
        and other items cannot change a draw."""
        text = "\x1f".join(str(p) for p in (self.recipe.seed, self.step, *parts))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    def checkpoint(self) -> None:
        """Raise `Stopped` when the run was asked to stop; call between batches, after committing."""
        if self.reporter.stop_requested():
            raise Stopped


@dataclass(frozen=True, slots=True)
class Step:
    """One kind of step. `inputs(stage, earlier)` names the steps whose outputs it reads; `reads` the recipe
    fields and `modules` the code that can change its result: together they make the step's key."""

    name: str
    run: Callable[[StepContext], Mapping[str, Any] | None]  # returned mapping goes into the manifest as "summary"
    inputs: Callable[[int, tuple[int, ...]], tuple[str, ...]]  # (stage, the chain's stages before it)
    reads: tuple[str, ...]
    modules: tuple[str, ...]
    holds_model: bool
    on_block: bool = False  # measures or decides on the held-out block of the present attempt
    reads_if: Callable[[Recipe], tuple[str, ...]] = lambda _: ()  # further fields, where another makes them matter
    modules_if: Callable[[Recipe], tuple[str, ...]] = lambda _: ()  # further code, likewise
    skipped: Callable[[Recipe, int, Path, int], str] = lambda _recipe, _stage, _run_dir, _attempt: ""
    """Why it is not paid for, told from what the run has measured before it; "" where it is. Part of its key."""
    version: int = 1
    time_limit_s: float = 3600.0
    heartbeat_limit_s: float = 600.0
    shards: bool = False  # all it does with the model is `common.generate`, and it takes what is there of the rows
    extra: Mapping[str, Any] = field(default_factory=dict)
