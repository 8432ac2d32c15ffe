"""Keys and values of many rows in slots of one width, and attention over packed tokens.

A pass takes the tokens of all its rows one after the other, [1, tokens], so that nothing is padded but the attention
itself. Each row's keys lie in its slot at their own positions; a prefix that two rows share is computed once, then
copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from pipeline.engines.kernels import emulates_bf16
from pipeline.models.attention import capped
from pipeline.models.errors import ModelError

NAME = "maxcai_packed"
"""How transformers knows this attention; without a `packed` argument it is its own `sdpa`."""


class Slots:
    """A cache as a model's layers use it: `update` stores what a pass computed and returns all that is stored.

    keys and values: one tensor a layer, [slots, key heads, width, head size], made when the first pass tells the sizes.
    """

    is_compileable = False

    def __init__(self, slots: int, width: int) -> None:
        self.slots, self.width = slots, width
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []
        self._slot = self._position = torch.empty(0, dtype=torch.long)

    def point(self, slot: torch.Tensor, position: torch.Tensor) -> None:
        """Where the next pass's tokens belong, both [tokens]."""
        self._slot, self._position = slot, position

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """keys, values: [1, key heads, tokens, head size]."""
        for stored, new in ((self.keys, keys), (self.values, values)):
            if layer == len(stored):
                stored.append(new.new_zeros(self.slots, new.shape[1], self.width, new.shape[3]))
            stored[layer][self._slot, :, self._position] = new[0].transpose(0, 1)
        return self.keys[layer], self.values[layer]

    def get_seq_length(self, _layer: int = 0) -> int:
        """Positions are always told; nothing is derived from this."""
        return 0

    def rearrange(self, copies: Sequence[tuple[int, int]], length: int) -> None:
        """Copy the first `length` positions of slots: pairs (from, to), all read before any is written."""
        if not copies or length == 0:
            return
        source = torch.tensor([a for a, _ in copies])
        target = torch.tensor([b for _, b in copies])
        for stored in (*self.keys, *self.values):
            taken = stored[source.to(stored.device), :, :length]
            stored[target.to(stored.device), :, :length] = taken


@dataclass
class Block:
    """Rows of one pass that attend together, padded to the longest among them.

    tokens: [rows, queries], indices into the pass's tokens; a place that is only padding repeats the row's last.
    positions: [rows, queries]. slots: a slice or indices. length: keys from each slot. layers: which looked at it.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    slots: slice | torch.Tensor
    length: int
    layers: set[int] = field(default_factory=set)
    _masks: dict[tuple[int | None, int], torch.Tensor] = field(default_factory=dict)

    def mask(self, window: int | None, groups: int) -> torch.Tensor:
        """Which keys a query may see, [rows, 1, groups * queries, keys]; the same for every layer of a kind."""
        if window is not None and self.length <= window:
            window = None
        if (window, groups) not in self._masks:
            key = torch.arange(self.length, device=self.positions.device)
            seen = key <= self.positions[..., None]
            if window is not None:
                seen &= self.positions[..., None] - key < window
            self._masks[window, groups] = seen[:, None].repeat(1, 1, groups, 1)
        return self._masks[window, groups]


def blocks_of(
    first: int, slots: Sequence[int], begins: Sequence[int], ends: Sequence[int], device: torch.device
) -> list[Block]:
    """Blocks for rows whose tokens stand one after the other from `first` on: row i brings positions begins[i] up to
    ends[i]. Rows of like size share a block."""
    starts, at = [], first
    for begin, end in zip(begins, ends, strict=True):
        starts.append(at)
        at += end - begin
    sizes: dict[int, list[int]] = {}
    for i, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        sizes.setdefault((end - begin).bit_length(), []).append(i)
    made = []
    for rows in sizes.values():
        widest = max(ends[i] - begins[i] for i in rows)
        places = torch.tensor([[min(k, ends[i] - begins[i] - 1) for k in range(widest)] for i in rows], device=device)
        start = torch.tensor([[starts[i]] for i in rows], device=device)
        begin_at = torch.tensor([[begins[i]] for i in rows], device=device)
        where = torch.tensor([slots[i] for i in rows], device=device)
        made.append(Block(start + places, begin_at + places, where, max(ends[i] for i in rows)))
    return made


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    packed: Sequence[Block] | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attention of one layer. query: [1, heads, tokens, head size]; key and value: all slots. Returns [1, tokens,
    heads, head size].

    Heads that share keys are taken as further queries: nothing is repeated in memory.
    """
    heads, size = query.shape[1], query.shape[3]
    scaling = size**-0.5 if scaling is None else scaling
    if packed is None and softcap is not None:
        return capped(query, key, value, attention_mask, scaling, softcap).transpose(1, 2), None
    if packed is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)  # type: ignore[no-any-return]
    groups = heads // key.shape[1]
    out = query.new_empty(query.shape[2], heads, size)
    wide = emulates_bf16(query.device)
    for block in packed:
        block.layers.add(id(module))
        rows, queries = block.tokens.shape
        asked = query[0][:, block.tokens].transpose(0, 1).reshape(rows, key.shape[1], groups * queries, size)
        keys, values = key[block.slots, :, : block.length], value[block.slots, :, : block.length]
        if wide and queries > 1:
            asked, keys, values = asked.float(), keys.float(), values.float()
        mask = block.mask(sliding_window, groups)
        if softcap is None:
            found = torch.nn.functional.scaled_dot_product_attention(asked, keys, values, attn_mask=mask, scale=scaling)
        else:
            found = capped(asked, keys, values, mask, scaling, softcap)
        out[block.tokens] = found.view(rows, heads, queries, size).transpose(1, 2).to(out.dtype)
    return out[None], None


def use_packed_attention(model: Any) -> None:
    """Switch a loaded model, adapters or not, to this attention, and prove that every layer attends by it.

    Raises:
        ModelError: a layer does not, and would look across rows: it keeps a state, or attends in a way of its own.
    """
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    layers = base.config.get_text_config().num_hidden_layers
    seen, why = 0, ""
    try:
        base.set_attn_implementation(NAME)
        seen = _layers_that_attend(model)
    except (AttributeError, TypeError, ValueError) as error:
        why = f" ({type(error).__name__}: {error})"
    if seen != layers:
        raise ModelError(
            f"{type(base).__name__} cannot generate or score here: {layers - seen} of its {layers} layers do not take "
            f"rows packed into one pass{why}",
            "take a base model with plain attention in every layer (Llama, Qwen, Mistral, Gemma), or vLLM on a GPU "
            "(hardware.engine: vllm)",
        )


@torch.inference_mode()
def _layers_that_attend(model: Any) -> int:
    """How many layers looked at the one block of a pass over one token."""
    zero = torch.zeros(1, dtype=torch.long, device=model.device)
    cache, block = Slots(1, 1), Block(zero[None], zero[None], slice(0, 1), 1)
    read(model, cache, zero, zero, zero, [block], zero)
    return len(block.layers)


def read(
    model: Any,
    cache: Slots,
    ids: torch.Tensor,
    slot: torch.Tensor,
    position: torch.Tensor,
    blocks: Sequence[Block],
    wanted: torch.Tensor,
) -> torch.Tensor:
    """One pass over packed tokens; ids, slot and position: [tokens]. Returns the logits after the `wanted` ones,
    [wanted, vocabulary], in the model's own precision."""
    cache.point(slot, position)
    out = model(
        input_ids=ids[None],
        attention_mask=ids.new_ones(1, 1, 1, 1),  # taken for a finished mask; `packed` says what may be seen
        position_ids=position[None],
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=wanted,
        packed=blocks,
    )
    return out.logits[0]  # type: ignore[no-any-return]
