"""What is looked at while a model trains: signs of trouble, told at once and kept for the manifest."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pipeline.errors import StepError
from pipeline.steps.base import Reporter
from pipeline.trainers.plan import PairRow

DISPLACED = 0.10
"""Share by which the chosen answers' log-probability, and their probability, may fall below the reference's
(likelihood displacement, arXiv 2410.08847)."""

WINDOW = 5
"""Steps that a running mean looks back on, and within which a perfect reward accuracy is suspicious."""

SPIKE, COLLAPSE, TOKEN_RATIO = 10.0, 0.1, (0.8, 1.25)


class Watch:
    """Fed with every log entry of a training run, in order; entries of before a resume come again first.

    Each kind of trouble is warned of once. `beta` turns logged rewards back into nats; None where there is no
    reference.
    """

    def __init__(
        self, reporter: Reporter, beta: float | None = None, on_displacement: Literal["warn", "stop"] = "warn"
    ) -> None:
        self.reporter, self.beta, self.on_displacement = reporter, beta, on_displacement
        self.told: list[str] = []
        self.facts: dict[str, float] = {}
        self._norms: list[float] = []
        self._entropies: list[float] = []
        self._accuracies: list[float] = []
        self._chosen: list[tuple[float, float]] = []  # (reference, policy) log-probability of the chosen answers

    def summary(self) -> dict[str, Any]:
        return {**self.facts, "told": list(self.told)}

    def lengths(self, pairs: Sequence[PairRow]) -> None:
        """Chosen and rejected answers of unlike length: the model may learn the length and nothing else."""
        rejected = sum(len(p.rejected_ids) for p in pairs)
        ratio = sum(len(p.chosen_ids) for p in pairs) / rejected if rejected else math.inf
        self.facts["token_ratio"] = ratio
        if not TOKEN_RATIO[0] <= ratio <= TOKEN_RATIO[1]:
            self._tell("length_bias", f"chosen answers have {ratio:.2f} times the tokens of rejected ones", "see pairs")

    def observe(self, entry: Mapping[str, Any]) -> None:
        """One step's log.

        Raises:
            StepError: the loss is no number or exactly zero, or chosen answers are displaced and the recipe says stop.
        """
        if "loss" not in entry:
            return
        self._loss(float(entry["loss"]))
        if "grad_norm" in entry:
            self._norm(float(entry["grad_norm"]))
        if "rewards/accuracies" in entry and self.beta is not None:
            self._reward(entry, self.beta)

    def _loss(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise StepError("the training loss is not a number; lower the learning rate")
        if loss == 0.0:
            raise StepError("the training loss is exactly 0: nothing bears a loss")

    def _norm(self, norm: float) -> None:
        usual = statistics.median(self._norms[-50:]) if len(self._norms) >= WINDOW else math.inf
        if math.isfinite(norm):
            self._norms.append(norm)
            self.facts["grad_norm_largest"] = max(self.facts.get("grad_norm_largest", 0.0), norm)
        if not math.isfinite(norm) or norm > SPIKE * usual > 0:
            self.facts["grad_norm_spikes"] = self.facts.get("grad_norm_spikes", 0) + 1
            self._tell("gradient_spike", f"a gradient norm of {norm:.3g}, usual is {usual:.3g}", "lower the rate")

    def _reward(self, entry: Mapping[str, Any], beta: float) -> None:
        self._accuracies.append(float(entry["rewards/accuracies"]))
        early = self._accuracies[1:WINDOW]  # the first step's is that of two equal models
        if len(early) == WINDOW - 1 and min(early) == 1.0:
            self._tell("trivial_pairs", f"every pair is told apart after {WINDOW} steps", "make the pairs harder")
        policy = float(entry["logps/chosen"])
        self._chosen.append((policy - float(entry["rewards/chosen"]) / beta, policy))
        self._displacement()
        if "entropy" in entry:
            self._entropy(float(entry["entropy"]))

    def _displacement(self) -> None:
        """Compared on the same rows with the reference, so that it is no matter which rows a batch happens to hold."""
        last = self._chosen[-WINDOW:]
        reference, policy = (statistics.fmean(column) for column in zip(*last, strict=True))
        drop = reference - policy
        self.facts["chosen_drop_nats"] = drop
        self.facts["chosen_drop"] = drop / abs(reference) if reference else 0.0
        if len(last) < WINDOW or self.facts["chosen_drop"] <= DISPLACED or drop <= -math.log1p(-DISPLACED):
            return
        said = f"chosen answers lost {drop:.2f} nats, {self.facts['chosen_drop']:.0%} of their log-probability"
        remedy = "lower the learning rate or raise the weight of the sft term"
        if self.on_displacement == "stop":
            raise StepError(f"{said}: likelihood displacement; {remedy}")
        self._tell("displacement", said, remedy)

    def _entropy(self, entropy: float) -> None:
        self._entropies.append(entropy)
        first, last = statistics.fmean(self._entropies[:WINDOW]), statistics.fmean(self._entropies[-WINDOW:])
        self.facts |= {"entropy_first": first, "entropy_last": last}
        if len(self._entropies) >= 2 * WINDOW and last < COLLAPSE * first:
            self._tell(
                "entropy_collapse", f"the entropy fell from {first:.3g} to {last:.3g} nats a token", "lower the rate"
            )

    def _tell(self, code: str, text: str, remedy: str) -> None:
        if code not in self.told:
            self.told.append(code)
            self.reporter.warn(code, text, remedy)


class StartCheck(Watch):
    """A `Watch` that also refuses a run whose policy and reference differ before the first update.

    `start` is the preference term of equal models. `tolerance` is in nats of a whole answer's log-probability: the
    reference was computed in batches of other widths, so the last bits differ (measured in fp32: up to 7e-5), and the
    logged margin multiplies that by beta.
    """

    def __init__(
        self, reporter: Reporter, beta: float, on_displacement: Literal["warn", "stop"], start: float, tolerance: float
    ) -> None:
        super().__init__(reporter, beta, on_displacement)
        self.start, self.tolerance, self.checked, self._beta = start, tolerance, False, beta

    def observe(self, entry: Mapping[str, Any]) -> None:
        if not self.checked and "loss" in entry:
            self._check(entry)
        super().observe(entry)

    def _check(self, entry: Mapping[str, Any]) -> None:
        margin, term = float(entry.get("rewards/margins", math.nan)), float(entry.get("preference", math.nan))
        allowed = max(1e-4, self._beta * self.tolerance)
        if not (abs(margin) <= allowed and abs(term - self.start) <= allowed):
            raise StepError(
                f"preference training starts from {term:.4f} with margin {margin:.4f} instead of {self.start:.4f} and 0"
                f" ({'ln 2' if self.start == math.log(2) else 'equal models'}): its reference is another model"
            )
        self.checked = True
