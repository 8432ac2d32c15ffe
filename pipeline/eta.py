"""How long a step still takes: its progress measured in work instead of rows, and a rate that follows the work.

Rows mislead: long prompts come first, phases differ, and a batch of a hundred answers ends all at once. Work is counted
in prompt tokens: a token that is written costs as much as some of them, and every pass over the weights as many more.
Nothing here can change a result. Standard library only.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PASS = 100.0
"""Prompt tokens that one more pass over the weights is worth on a GPU: 100-220 for 32B on A100 and H200, by their
limits."""
PASS_CPU = 20.0
"""The same on a CPU for reading the weights, measured with a model of 270 million parameters on two cores."""
CALLS_CPU = 1e7
"""On a CPU, what calling one layer costs beside that, in weights that a prompt token goes through meanwhile: nothing
where a layer has millions, most of a pass for the tiny model (measured)."""
WRITTEN = 0.2
"""Of their limit the rows of a batch write on average before they are stopped: expected before any has ended."""
LONGEST = 0.8
"""Of its limit the longest row of a batch writes: expected of a batch that has not begun."""
EXPECTED_ROWS = 16
"""What is expected of a row's length counts as much as so many rows that ended. By simulating 14 steps of a recorded
run with their true lengths, and forecasts that err by 15 %: within a quarter of the truth for 86, 84, 59 and 57 % of
them after 5, 10, 25 and 50 % of the step, where expecting the same all along gave 86, 83, 36 and 29."""
GUESSED, MEASURED = 0.03, 0.15
"""Share of its work after which a step's own rate counts as much as the forecast: one from the machine's limits, and
one from a step of its kind that was measured here. Before that it counts by its square: the first passes of a step are
no measure of it. By replaying two recorded runs of 103 steps: within a quarter of the truth for 70, 69 and 66 of them
after 5, 10 and 25 % (without the square 63, 60 and 61 at the shares used before, 65, 68 and 67 at 0.015 and 0.4)."""
RECENT = 0.2
"""Weight of the recent rate beside that of the whole attempt."""
MEMORY = 0.3
"""Of the time so far, the time over which the recent rate is taken."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What a written token costs in prompt tokens (it needs logits, which matter where the vocabulary is large), and a
    pass over the weights."""

    write: float = 1.0
    step: float = PASS

    @staticmethod
    def of(layers: int, hidden: int, ffn: int, vocab: int, step: float = PASS) -> Costs:
        """By a model's shape; `step` is what a pass costs."""
        return Costs(1 + vocab / max(1, layers * (4 * hidden + 3 * ffn)), step)

    @staticmethod
    def on_cpu(layers: int, hidden: int, ffn: int, vocab: int) -> Costs:
        return Costs.of(layers, hidden, ffn, vocab, PASS_CPU + CALLS_CPU / max(1, hidden * (4 * hidden + 3 * ffn)))


@dataclass(frozen=True, slots=True)
class BatchWork:
    """One planned batch: tokens of its different prompts, its rows, the limits of its rows (mean and highest), and how
    many rows are alive at once (0: all); the others wait until one of those ends."""

    prompt: float
    rows: int
    limit: float
    highest: float
    slots: int = 0

    @staticmethod
    def of(prompts: Sequence[tuple[int, ...]], limits: Sequence[int], slots: int = 0) -> BatchWork:
        return BatchWork(sum(map(len, set(prompts))), len(limits), sum(limits) / len(limits), max(limits), slots)

    def cost(self, costs: Costs) -> float:
        passes = 1 + LONGEST * self.highest + self._refills(self.rows)
        return self.prompt + self.rows * WRITTEN * self.limit * costs.write + passes * costs.step

    def _refills(self, left: int) -> float:
        """Passes until the last of so many rows is in."""
        return max(0, left - self.slots) * WRITTEN * self.limit / self.slots if self.slots else 0.0

    def progress(self, costs: Costs) -> Callable[[int, int], float]:
        """A function of the rows ended and the prompts read so far, called before every pass, that says the share of
        this batch.

        A pass reads the prompts of the rows that join it and writes one token of every row alive. What is left follows
        from the chance that a row alive ends with its next token, learnt from those that ended.
        """
        each, usual = self.prompt / self.rows, max(1.0, WRITTEN * self.limit)
        done, written, seen, alone = 0.0, 0, 0, 0  # alone: passes since nobody waits
        before: int | None = None

        def share(ended: int, read: int) -> float:
            nonlocal done, written, seen, alone, before
            if before is not None:
                done += (read - seen) * each + (read - before) * costs.write + costs.step
                written += read - before
                alone = 0 if read < self.rows else alone + 1
                seen = read
            before = ended
            left = self.rows - ended
            if not done or not left:
                return 1.0 if done else 0.0
            ends = min(1.0, (ended + EXPECTED_ROWS) / (written + EXPECTED_ROWS * usual))
            length = (1 - math.pow(1 - ends, self.highest)) / ends
            slots = min(left, self.slots or self.rows)
            last = min(max(0, self.highest - alone), _longest_of(slots, ends))
            passes = (left - slots) * length / slots + last
            return done / (done + (self.rows - seen) * each + left * length * costs.write + passes * costs.step)

        return share


def _longest_of(rows: int, ends: float) -> float:
    """Expected length of the longest of so many rows, each of which ends with this chance at every token: their
    harmonic number over it."""
    return (math.log(rows) + 0.5772 + 0.5 / rows) / ends


def planned_cost(lengths: Sequence[int], limits: Sequence[int], batch_tokens: int, costs: Costs) -> float:
    """The cost of different prompts of so many tokens, before anybody cut them into batches."""
    if not lengths:
        return 0.0
    batches = max(1.0, (sum(lengths) + sum(limits)) / batch_tokens)
    whole = BatchWork(sum(lengths), len(lengths), sum(limits) / len(limits), max(limits)).cost(costs)
    return whole + (batches - 1) * (1 + LONGEST * max(limits)) * costs.step


class Eta:
    """Seconds left of one attempt at a step, from the share of its work that is done. Loading is not work: the clock
    begins with the first share. `expected` are the busy seconds foreseen for the whole step, `measured` whether such a
    step was measured here, `rest` the seconds of all steps to come; None where unknown. `by_work` gives the busy
    seconds that so much work of such a step takes, as measured; None where it never was."""

    def __init__(
        self,
        expected: float | None = None,
        rest: float | None = None,
        measured: bool = False,
        by_work: Callable[[float], float | None] = lambda _: None,
    ) -> None:
        self._expected, self._rest, self._by_work = expected, rest, by_work
        self._trust = MEASURED if measured else GUESSED
        self.work: float | None = None
        self._first: tuple[float, float] | None = None
        self._last = (0.0, 0.0)
        self._recent_s = self._recent = 0.0
        self._seen: deque[tuple[float, float]] = deque()

    @property
    def began(self) -> float | None:
        """When the first share was told; None before."""
        return None if self._first is None else self._first[0]

    def foresee(self, work: float) -> None:
        """The step knows what it has to do: better than what its recipe let expect. Its first word counts."""
        if self.work is None and 0 < work < math.inf:
            self.work, found = work, self._by_work(work)
            if found is not None:
                self._expected, self._trust = found, MEASURED

    def update(self, now: float, share: float) -> float | None:
        """Seconds left of the step; None until there is something to divide."""
        share = min(1.0, max(0.0, share))
        if self._first is None:
            self._first = self._last = (now, share)
        self._seen.append((now, share))
        elapsed, gained = now - self._first[0], share - self._first[1]
        span = now - self._last[0]
        kept = math.exp(-span / (MEMORY * elapsed)) if elapsed > 0 else 0.0
        self._recent_s = kept * self._recent_s + span
        self._recent = kept * self._recent + max(0.0, share - self._last[1])
        self._last = (now, share)
        own = self._own(elapsed, gained, 1 - share)
        if self._expected is None:
            return None if own is None else round(own, 1)
        foreseen = max(self._expected * (1 - share), 0.0)
        weight = 0.0 if own is None else gained**2 / (gained**2 + self._trust**2)
        return round(weight * (own or 0.0) + (1 - weight) * foreseen, 1)

    def of_run(self, step: float | None) -> float | None:
        """Seconds left of the run, by what is left of this step."""
        return None if step is None or self._rest is None else round(step + self._rest, 1)

    def slow(self, now: float, expected: float, window: float, share: float) -> float | None:
        """By the work of the last `window` seconds: its rate as a share of the expected one (whole work in `expected`
        seconds), where that lies below `share`; None where it does not, or less than a window was seen."""
        while len(self._seen) > 1 and self._seen[1][0] <= now - window:
            self._seen.popleft()
        if not self._seen or self._seen[0][0] > now - window or self._last[1] >= 1:
            return None
        reached = (self._last[1] - self._seen[0][1]) * expected / (now - self._seen[0][0])
        return reached if reached < share else None

    def _own(self, elapsed: float, gained: float, left: float) -> float | None:
        if elapsed <= 0 or gained <= 0:
            return None
        overall = gained / elapsed
        recent = self._recent / self._recent_s if self._recent_s > 0 else overall
        return left / ((1 - RECENT) * overall + RECENT * recent)
