"""Choosing the next token: greedy or top-p, with draws that depend on (item seed, token index) and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

CANDIDATES = 64
"""Sampling looks at the most likely tokens only: sorting a 262 k vocabulary for every row costs more than the model."""

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def uniform(seed: int, index: int) -> float:
    """The `index`-th draw in [0, 1) of a counter-based stream (splitmix64, Steele et al. 2014)."""
    z = (seed + (index + 1) * _GOLDEN) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((z ^ (z >> 31)) >> 11) / (1 << 53)


def choose(
    logits: Any,
    temperatures: Sequence[float],
    top_ps: Sequence[float],
    draws: Sequence[float],
    logprobs: bool = True,
) -> tuple[list[int], list[float]]:
    """Next token of each row and its log-probability (nats, at temperature 1; 0.0 where not asked for).

    Args:
        logits: [batch, vocabulary], fp32.
        temperatures: one a row; 0 = greedy.
        top_ps: one a row, nucleus mass (Holtzman et al., arXiv 1904.09751).
        draws: one uniform number a row.
    """
    norm = torch.logsumexp(logits, dim=-1) if logprobs else None
    if not any(temperatures):
        best, ids = logits.max(dim=-1)
        return ids.tolist(), [0.0] * len(ids) if norm is None else (best - norm).tolist()
    values, ids = torch.topk(logits, min(CANDIDATES, logits.shape[-1]), dim=-1)
    picks = _nucleus(values, torch.tensor(temperatures), torch.tensor(top_ps), torch.tensor(draws))
    rows = torch.arange(len(draws))
    logp = [0.0] * len(rows) if norm is None else (values[rows, picks] - norm).tolist()
    return ids[rows, picks].tolist(), logp


def _nucleus(values: Any, temperatures: Any, top_ps: Any, draws: Any) -> Any:
    """Index into each row's sorted candidates; row 0 of the candidates where the temperature is 0."""
    scaled = values / temperatures.clamp(min=1e-6)[:, None]
    probabilities = torch.softmax(scaled, dim=-1)
    cumulative = probabilities.cumsum(dim=-1)
    kept = probabilities * ((cumulative - probabilities) < top_ps[:, None])
    target = draws[:, None] * kept.sum(dim=-1, keepdim=True)
    picks = (kept.cumsum(dim=-1) <= target).sum(dim=-1).clamp(max=values.shape[-1] - 1)
    return torch.where(temperatures > 0, picks, torch.zeros_like(picks))


def find_stop(text: str, stops: Sequence[str]) -> tuple[int, str] | None:
    """Earliest stop string in `text`: its position and itself."""
    found = [(text.index(stop), stop) for stop in stops if stop in text]
    return min(found) if found else None
