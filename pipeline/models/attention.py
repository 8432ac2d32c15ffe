"""Attention with capped logits (Gemma 2, arXiv 2408.00118): cap · tanh(q·k / cap), which torch has no fused kernel for.

The library's `sdpa` leaves the cap out without a word; whoever attends in its place comes here where a model has one.
"""

from __future__ import annotations

from typing import Any

import torch


def logit_cap(config: Any) -> float | None:
    """The cap of a model's attention logits by its configuration; None for the models that have none."""
    cap = getattr(config.get_text_config(), "attn_logit_softcapping", None)
    return None if cap is None else float(cap)


def capped(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scaling: float, cap: float,
    dropout: float = 0.0,
) -> torch.Tensor:  # fmt: skip
    """As the model's own plain attention. query: [rows, heads, queries, width]; key and value: [rows, key heads, keys,
    width]. mask: true where a query may look, to be broadcast to [rows, heads, queries, keys]; None for plain causal
    attention. Returns [rows, heads, queries, width]."""
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    logits = query @ key.transpose(2, 3) * scaling
    logits = torch.tanh(logits / cap) * cap
    if mask is None:
        queries, keys = logits.shape[-2:]
        mask = torch.ones(queries, keys, dtype=torch.bool, device=logits.device).tril(keys - queries)
    logits = logits.masked_fill(~mask, torch.finfo(logits.dtype).min)
    weights = torch.softmax(logits, -1, dtype=torch.float32).to(query.dtype)
    return torch.nn.functional.dropout(weights, dropout) @ value
