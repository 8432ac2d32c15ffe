"""A padded batch laid out as one row without padding, for which attention runs span by span.

No token sees another row: each span is given its own keys and nothing else, so there is no mask to get wrong. Of two
answers to one prompt the prompt goes through the model once (arXiv 2410.20305). Everything but attention works on
tokens one by one and does not notice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from pipeline.models.attention import capped
from pipeline.trainers.head import Head, token_logps

NAME = "rows"
PLAIN_LAYERS = frozenset({"full_attention", "sliding_attention"})
"""Other kinds carry a state from token to token, or cut attention elsewhere: their rows stay padded."""


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens [start, stop) of the flat row that go on after the first `shared` tokens from `origin` on; after nothing
    where `shared` is 0."""

    start: int
    stop: int
    origin: int = 0
    shared: int = 0

    def mask(self, window: int | None, device: Any) -> Any:
        """Who sees whom, [tokens, shared + tokens]; None where that is plain causal attention."""
        tokens, keys = self.stop - self.start, self.shared + self.stop - self.start
        if not self.shared and (window is None or keys <= window):
            return None
        seen = torch.ones(tokens, keys, dtype=torch.bool, device=device).tril(self.shared)
        return seen if window is None or keys <= window else seen.triu(self.shared - window + 1)


@dataclass(frozen=True, slots=True)
class Spans:
    """The spans of one flat row, in order and without gaps; the masks made for them so far, and the layers that
    looked at them."""

    parts: tuple[Span, ...]
    masks: dict[tuple[Span, int | None], Any] = field(default_factory=dict)
    layers: set[int] = field(default_factory=set)

    @property
    def seen(self) -> int:
        return len(self.layers)

    def mask(self, span: Span, window: int | None, device: Any) -> Any:
        key = (span, window)
        if key not in self.masks:
            self.masks[key] = span.mask(window, device)
        return self.masks[key]


def attend(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, dropout: float = 0.0,
    scaling: float | None = None, sliding_window: int | None = None, spans: Spans | None = None,
    softcap: float | None = None, **_: Any,
) -> tuple[Any, None]:  # fmt: skip
    """Attention under transformers' interface: [1, heads, tokens, width] in, [1, tokens, heads, width] out. Without
    `spans` it is the plain causal one that the library would have run."""
    scaling = query.shape[3] ** -0.5 if scaling is None else scaling

    def one(asked: Any, keys: Any, values: Any, mask: Any) -> Any:
        if softcap is None:
            return sdpa_attention_forward(module, asked, keys, values, mask, dropout, scaling)[0]
        return capped(asked, keys, values, mask, scaling, softcap, dropout).transpose(1, 2)

    if spans is None:
        return one(query, key, value, attention_mask), None
    spans.layers.add(id(module))
    parts = []
    for span in spans.parts:
        own, before = slice(span.start, span.stop), slice(span.origin, span.origin + span.shared)
        keys, values = (
            torch.cat([t[:, :, before], t[:, :, own]], 2) if span.shared else t[:, :, own] for t in (key, value)
        )
        mask = spans.mask(span, sliding_window, query.device)
        mask = mask if mask is None else mask[None, None]
        parts.append(one(query[:, :, own], keys, values, mask))
    return torch.cat(parts, 1), None


def _no_mask(*_: Any, attention_mask: Any = None, **__: Any) -> None:
    """Spans say who sees whom."""


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, _no_mask)


@dataclass(frozen=True, slots=True)
class Flat:
    """`ids` and `positions` are [1, tokens]; `where` [rows, seq] is each token's place in them (padding: 0)."""

    ids: Any
    positions: Any
    where: Any
    spans: Spans


def flatten(ids: Any, attended: Any, trained: Any, pairs: bool) -> Flat:
    """Lay a batch out without its padding.

    Args:
        ids: [rows, seq], padded on the right.
        attended, trained: [rows, seq]: which are no padding, and which bear loss.
        pairs: the second half of the rows are other answers to the prompts of the first half.
    """
    lengths = attended.sum(1).tolist()
    half = len(lengths) // 2
    shared = _shared(ids, trained, half) if pairs else []
    where, spans, pieces, positions, end = torch.zeros_like(ids), [], [], [], 0
    starts: list[int] = []
    for row, length in enumerate(lengths):
        skip = shared[row - half] if pairs and row >= half else 0
        origin = starts[row - half] if skip else 0
        spans.append(Span(end, end + length - skip, origin, skip))
        pieces.append(ids[row, skip:length])
        positions.append(torch.arange(skip, length, device=ids.device))
        where[row, :skip] = torch.arange(origin, origin + skip, device=ids.device)
        where[row, skip:length] = torch.arange(end, end + length - skip, device=ids.device)
        starts.append(end)
        end += length - skip
    return Flat(torch.cat(pieces)[None], torch.cat(positions)[None], where, Spans(tuple(spans)))


def _shared(ids: Any, trained: Any, half: int) -> list[int]:
    """How many first tokens the two rows of each pair have in common, none of which bears loss."""
    same = (ids[:half] == ids[half:]) & ~trained[:half].bool() & ~trained[half:].bool()
    return [int(n) for n in same.int().cumprod(1).sum(1)]


def use_rows(model: Any) -> bool:
    """Let a causal language model attend by spans if its layers can, and prove that each does; tells whether.

    Call on the model itself, before an adapter is put around it.
    """
    config = model.config.get_text_config()
    if not set(getattr(config, "layer_types", None) or ()) <= PLAIN_LAYERS or not model._can_set_attn_implementation():
        return False
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    two = torch.zeros(2, 2, dtype=torch.long, device=model.device)
    flat = flatten(two, torch.ones_like(two), two, pairs=False)
    with torch.no_grad():
        model.base_model(input_ids=flat.ids, position_ids=flat.positions, use_cache=False, spans=flat.spans)
    if flat.spans.seen == config.num_hidden_layers:
        return True
    model.set_attn_implementation(before)  # a layer was not told of the spans, and would look across rows
    return False


def by_rows(model: Any) -> bool:
    return bool(model.config._attn_implementation == NAME)


def response_logps(model: Any, ids: Any, attended: Any, trained: Any, pairs: bool) -> tuple[Any, Any, Any]:
    """Log p (differentiable), entropy, and likeliest or not of every token that bears loss, [rows, seq - 1] each, zero
    elsewhere; position t tells of token t + 1. `model` is the causal language model itself, adapters inside.

    Arguments as of `flatten`.
    """
    mask = trained[:, 1:].bool()
    if by_rows(model):
        flat = flatten(ids, attended, trained, pairs)
        found = model.base_model(input_ids=flat.ids, position_ids=flat.positions, use_cache=False, spans=flat.spans)
        places = flat.where[:, :-1][mask]
    else:
        found = model.base_model(input_ids=ids, attention_mask=attended, use_cache=False)
        places = torch.arange(ids.numel(), device=ids.device).view(ids.shape)[:, :-1][mask]
    hidden = found.last_hidden_state.flatten(0, 1)[places]
    told = token_logps(Head.of(model), hidden, ids[:, 1:][mask])
    logps, entropies, best = (
        torch.zeros(mask.shape, dtype=t.dtype, device=t.device).masked_scatter(mask, t) for t in told
    )
    return logps, entropies, best
