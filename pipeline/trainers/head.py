"""Log-probabilities of response tokens without their logits: the vocabulary passes by in blocks, once.

Whatever the loss, it reaches the model through one number a token, log p(label), whose gradient at the hidden state is
known as soon as the softmax is: W[label] - Σ p W. So it is worked out with the softmax, running (Milakov & Gimelshein,
arXiv 1805.02867), and kept in place of logits; the backward pass has nothing left to compute over the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

BLOCK_NUMBERS = {"cpu": 1 << 19, "cuda": 1 << 26}
"""Logits that exist at one time: what a core's cache holds, or what fills a GPU."""


@dataclass(frozen=True, slots=True)
class Head:
    """What turns a hidden state into logits: cap · tanh(scale · (W h + b) / cap). `weight`: [vocab, hidden], frozen."""

    weight: Any
    bias: Any = None
    scale: float = 1.0
    cap: float | None = None

    @classmethod
    def of(cls, model: Any) -> Head:
        """The head of a causal language model."""
        layer, config = model.get_output_embeddings(), model.config.get_text_config()
        scale = getattr(config, "logit_scale", None)
        scale = getattr(config, "output_multiplier", None) if scale is None else scale
        cap = getattr(config, "final_logit_softcapping", None)
        return cls(layer.weight, layer.bias, 1.0 if scale is None else float(scale), cap)

    def logits(self, hidden: Any, start: int, stop: int) -> tuple[Any, Any]:
        """fp32 logits [tokens, stop - start] of a block of the vocabulary, and the block's rows of the matrix."""
        rows = self.weight[start:stop].to(hidden.dtype)
        logits = (hidden @ rows.t()).float()
        if self.bias is not None:
            logits += self.bias[start:stop].float()
        if self.scale != 1.0:
            logits *= self.scale
        if self.cap is not None:
            logits.div_(self.cap).tanh_().mul_(self.cap)
        return logits, rows

    def slope(self, logits: Any) -> Any:
        """d logit / d (W h); the number 1.0 where it is that everywhere."""
        return self.scale if self.cap is None else self.scale * (1 - (logits / self.cap) ** 2)


def token_logps(head: Head, hidden: Any, labels: Any) -> tuple[Any, Any, Any]:
    """Of each token its log-probability (nats, differentiable in `hidden`), the entropy where it was predicted, and
    whether it was the likeliest: all fp32 or bool, [tokens].

    Args:
        hidden: [tokens, hidden], each the state that predicts the label of its row.
        labels: [tokens] ids.
    """
    if head.weight.requires_grad and torch.is_grad_enabled():
        raise ValueError("the output layer is trained; its gradient is not computed here")
    kind = hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
    logps, entropies, best = _TokenLogps.apply(hidden.to(dtype), labels, head, torch.is_grad_enabled())  # type: ignore[no-untyped-call]
    return logps, entropies, best


class _TokenLogps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Any, labels: Any, head: Head, wanted: bool) -> Any:
        with torch.autocast(hidden.device.type, enabled=False):
            logps, entropies, best, pull = _pass(head, hidden, labels, wanted)
        if wanted:
            ctx.save_for_backward(pull)
        ctx.mark_non_differentiable(entropies, best)
        return logps, entropies, best

    @staticmethod
    def backward(ctx: Any, grad: Any, *_: Any) -> Any:
        (pull,) = ctx.saved_tensors
        return (grad[:, None] * pull).to(pull.dtype), None, None, None


def _pass(head: Head, hidden: Any, labels: Any, wanted: bool) -> tuple[Any, Any, Any, Any]:
    """One pass over the vocabulary: log p, entropy, likeliest or not, and d log p / d hidden [tokens, hidden]."""
    count, vocabulary = len(labels), len(head.weight)
    block = max(1024, BLOCK_NUMBERS.get(hidden.device.type, 1 << 26) // max(1, count))
    top = torch.full((count, 1), -torch.inf, device=hidden.device)
    total, moment, taken = torch.zeros_like(top), torch.zeros_like(top), torch.zeros_like(top)
    pull = torch.zeros(hidden.shape, dtype=torch.float32, device=hidden.device) if wanted else None
    for start in range(0, vocabulary, block):
        logits, rows = head.logits(hidden, start, min(start + block, vocabulary))
        here = ((labels >= start) & (labels < start + block))[:, None]
        at = (labels - start).clamp(0, logits.shape[1] - 1)[:, None]
        taken = torch.where(here, logits.gather(1, at), taken)
        before, top = top, torch.maximum(top, logits.amax(1, keepdim=True))
        shrink = (before - top).exp()
        weights = (logits - top).exp_()
        total = total * shrink + weights.sum(1, keepdim=True)
        moment = moment * shrink + (weights * logits).sum(1, keepdim=True)
        if pull is not None:
            slope = head.slope(logits)
            weights = weights.mul_(slope) if isinstance(slope, torch.Tensor) or slope != 1.0 else weights
            pull = pull.mul_(shrink).add_(weights.to(hidden.dtype) @ rows)
    whole = top + total.log()
    if pull is not None:
        pull = (head.weight[labels].float() * head.slope(taken)).sub_(pull.div_(total)).to(hidden.dtype)
    return (taken - whole)[:, 0], (whole - moment / total)[:, 0], (taken >= top)[:, 0], pull
