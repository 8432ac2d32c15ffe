"""Choosing the next token: greedy or top-p, with draws that depend on (item seed, token index) and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

CANDIDATES = 64
"""Sampling looks at the most likely tokens only: sorting a 262 k vocabulary for every row costs more than the model."""

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
_GROUPS = (512, 256, 128, 64)
_LARGE = 1 << 14
"""Vocabularies from this size on are looked through in groups: one pass for the groups' maxima, then few of them."""
_ROWS_AT_ONCE = 1 << 18
"""Logits widened to fp32 at a time on a CPU: 1 MiB stays in the cache."""


def uniform(seed: int, index: int) -> float:
    """The `index`-th draw in [0, 1) of a counter-based stream (splitmix64, Steele et al. 2014)."""
    return float(uniforms(signed([seed]), torch.tensor([index]))[0])


def signed(seeds: Sequence[int]) -> torch.Tensor:
    """Seeds as the 64-bit integers that torch counts in, modulo 2^64."""
    return torch.tensor([_signed(seed) for seed in seeds], dtype=torch.long)


def uniforms(seeds: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """One draw for each (seed, index), both [rows]; fp64, [rows]. Products wrap modulo 2^64, as splitmix64 wants."""
    z = seeds + (indices + 1) * _signed(_GOLDEN)
    z = (z ^ _shifted(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shifted(z, 27)) * _signed(0x94D049BB133111EB)
    return _shifted(z ^ _shifted(z, 31), 11).double() / (1 << 53)


def _signed(value: int) -> int:
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


def _shifted(z: torch.Tensor, bits: int) -> torch.Tensor:
    """Shift right without the sign."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def choose(
    logits: Any,
    temperatures: Sequence[float] | torch.Tensor,
    top_ps: Sequence[float] | torch.Tensor,
    draws: Sequence[float] | torch.Tensor,
    logprobs: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Next token of each row, and its log-probability (nats, at temperature 1; 0.0 where not asked for); [batch] both.

    Args:
        logits: [batch, vocabulary], in the model's own precision.
        temperatures: one a row; 0 = greedy: the lowest id of those that are likeliest.
        top_ps: one a row, nucleus mass (Holtzman et al., arXiv 1904.09751).
        draws: one uniform number a row.
    """
    heat, mass, drawn = (torch.as_tensor(x, device=logits.device).float() for x in (temperatures, top_ps, draws))
    ids = argmax(logits)
    if bool((heat > 0).any()):
        values, candidates = top(logits, min(CANDIDATES, logits.shape[-1]))
        picks = _nucleus(values.float(), heat, mass, drawn)
        ids = torch.where(heat > 0, candidates.gather(1, picks[:, None])[:, 0], ids)
    if not logprobs:
        return ids, torch.zeros(len(ids), device=logits.device)
    return ids, logits.gather(1, ids[:, None])[:, 0].float() - normalisers(logits)


def argmax(logits: torch.Tensor) -> torch.Tensor:
    """Likeliest id of each row, the lowest among equals; [batch]."""
    grouped = _grouped(logits)
    if grouped is None:
        return logits.argmax(dim=-1)
    rows = torch.arange(len(logits), device=logits.device)
    group = grouped.amax(dim=-1).argmax(dim=-1)
    return group * grouped.shape[-1] + grouped[rows, group].argmax(dim=-1)


def top(logits: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The `count` largest logits of each row and their ids, largest first, lower ids first among equals."""
    grouped = _grouped(logits)
    if grouped is None or grouped.shape[1] < count:
        values, ids = torch.topk(logits, count, dim=-1)
    else:  # a group without one of the `count` largest maxima holds none of the `count` largest logits
        group = grouped.amax(dim=-1).topk(count, dim=-1).indices.sort(dim=-1).values
        size = grouped.shape[-1]
        values, places = grouped.gather(1, group[..., None].expand(-1, -1, size)).flatten(1).topk(count, dim=-1)
        ids = group.gather(1, places // size) * size + places % size
    ids, order = ids.sort(dim=-1)
    values, order = values.gather(1, order).sort(dim=-1, descending=True, stable=True)
    return values, ids.gather(1, order)


def _grouped(logits: torch.Tensor) -> torch.Tensor | None:
    """[batch, groups, size] of a large vocabulary; None where it is small or does not divide."""
    vocabulary = logits.shape[-1]
    size = next((g for g in _GROUPS if vocabulary % g == 0), None)
    if vocabulary < _LARGE or size is None or not logits.is_contiguous():
        return None
    return logits.view(len(logits), vocabulary // size, size)


def normalisers(logits: torch.Tensor) -> torch.Tensor:
    """log of the sum of exp over the vocabulary in fp32, [batch]."""
    step = max(1, _ROWS_AT_ONCE // logits.shape[-1]) if logits.device.type == "cpu" else max(1, len(logits))
    return torch.cat([torch.logsumexp(part.float(), dim=-1) for part in torch.split(logits, step)])


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
