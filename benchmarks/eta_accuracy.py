"""How good were the forecasts of time left? Replays finished runs: `python benchmarks/eta_accuracy.py RUN_DIR…`.

For each step that told its progress: the error of the newest `eta_s` at 5, 10, 25 and 50 % of the step's working time,
which begins with its first progress (loading is told apart). Error = told / true - 1; a step without a figure by then
counts as a miss. Needs nothing but the run's events.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.events import unix
from pipeline.protocol import Event, RunPaths, read_events

POINTS = (0.05, 0.10, 0.25, 0.50)
WITHIN = 0.25
SHORTEST_S = 5.0
"""Working time below which a step says nothing: its few seconds are known only to the nearest progress event."""


@dataclass
class Replay:
    """One attempt at a step that ended well. `told` are (unix seconds, seconds left or None)."""

    step: str
    started: float
    ended: float = 0.0
    told: list[tuple[float, float | None]] = field(default_factory=list)

    @property
    def loading(self) -> float:
        return self.told[0][0] - self.started

    @property
    def working(self) -> float:
        return self.ended - self.told[0][0]

    def error(self, share: float) -> float | None:
        """Of the figure that stood at this share of the working time; None where none stood."""
        now = self.told[0][0] + share * self.working
        known = [left - (now - t) for t, left in self.told if t <= now and left is not None]
        return known[-1] / (self.ended - now) - 1 if known else None


def replays(events: Iterable[Event]) -> Iterator[Replay]:
    """The attempts that ended well and told some progress."""
    running: dict[str, Replay] = {}
    for event in events:
        step = event.get("step")
        if event.kind == "step_started":
            running[step] = Replay(step, unix(event.t))
        elif event.kind == "progress" and step in running:
            running[step].told.append((unix(event.t), event.get("eta_s")))
        elif event.kind == "step_finished" and step in running:
            done = running.pop(step)
            done.ended = unix(event.t)
            if event["state"] == "done" and done.told:
                yield done


def shown(error: float | None) -> str:
    return f"{'none':>8}" if error is None else f"{error:>+8.0%}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN_DIR")
    parser.add_argument("--shortest", type=float, default=SHORTEST_S, metavar="S", help="leave out shorter steps")
    args = parser.parse_args(arguments)
    good = dict.fromkeys(POINTS, 0)
    count = 0
    print(f"{'step':<44}{'load s':>8}{'work s':>8}" + "".join(f"{p:>8.0%}" for p in POINTS))
    for run in args.runs:
        for replay in replays(read_events(RunPaths(run).events)):
            if replay.working < args.shortest:
                continue
            errors = {p: replay.error(p) for p in POINTS}
            count += 1
            for p, error in errors.items():
                good[p] += error is not None and abs(error) <= WITHIN
            line = "".join(shown(e) for e in errors.values())
            print(f"{run.name[-20:]} {replay.step:<23}{replay.loading:>8.1f}{replay.working:>8.1f}{line}")
    if not count:
        print("no step worked long enough to say", file=sys.stderr)
        return 1
    shares = "".join(f"{good[p] / count:>8.0%}" for p in POINTS)
    print(f"{f'within {WITHIN:.0%} ({count} steps)':<60}{shares}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
