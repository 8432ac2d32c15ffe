"""Batched decoding and choice scoring on plain transformers models, on the CPU or one GPU.

Rows are packed without padding and leave their slots as they end (`continuous`); shared prefixes are computed once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from pipeline.engines.base import ChoiceRequest, Completion, IdPair, Request, Tell, TokenLogprobs, untold
from pipeline.engines.continuous import SHARED, Decoding, common, packed
from pipeline.engines.kernels import speed_up_products
from pipeline.engines.slots import Block, Slots, blocks_of, read, use_packed_attention
from pipeline.models.load import Tokens

WAVE = 3
"""A planned batch holds so many times what fits the token budget at once: while rows end, others take their place."""

_LOGITS = 1 << 28
"""Most logits of one teacher-forced batch: 1 GiB in fp32."""


class TransformersEngine:
    """See `pipeline.engines.base.Engine`. `batch_tokens` bounds prompt plus new tokens of the rows alive at once."""

    def __init__(self, model: Any, tokens: Tokens, batch_tokens: int) -> None:
        self.model = model
        self.tokens = tokens
        self.batch_tokens = batch_tokens
        self.vocabulary = int(model.get_input_embeddings().weight.shape[0])
        self.weights = sum(weight.numel() for weight in model.parameters())
        use_packed_attention(model)
        speed_up_products(model)

    @contextlib.contextmanager
    def without_adapter(self) -> Iterator[None]:
        """Within this the bare base answers."""
        with self.model.disable_adapter():
            yield

    def plan(self, requests: Sequence[Request]) -> list[list[int]]:
        """Prompts of one beginning stay together; groups with the longest rows come first."""
        sizes = [len(r.prompt_ids) + r.max_new_tokens for r in requests]
        groups = _by_beginning([r.prompt_ids for r in requests])
        groups.sort(key=lambda group: (-max(sizes[i] for i in group), min(group)))
        return _fill([i for group in groups for i in group], sizes, self.batch_tokens * WAVE)

    def rows(self, requests: Sequence[Request]) -> int:
        """How many of these are alive at once."""
        widest = max(len(r.prompt_ids) + r.max_new_tokens for r in requests)
        return max(1, min(len(requests), self.batch_tokens // widest))

    def plan_choices(self, items: Sequence[ChoiceRequest]) -> list[list[int]]:
        order = sorted(range(len(items)), key=lambda i: (-len(items[i].tail_ids), i))
        return _fill(order, [len(item.tail_ids) for item in items], self.batch_tokens // 4)

    @torch.inference_mode()
    def generate(self, requests: Sequence[Request], tell: Tell = untold) -> list[Completion]:
        if not requests:
            return []
        return Decoding(self, requests, self.rows(requests)).run(tell)

    @torch.inference_mode()
    def score_choices(
        self, prefix_ids: Sequence[int], items: Sequence[ChoiceRequest], labels: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        cache = Slots(len(items), len(prefix_ids) + max(len(item.tail_ids) for item in items))
        self._read(cache, [list(prefix_ids)], 0, [])
        cache.rearrange([(0, k) for k in range(1, len(items))], len(prefix_ids))
        ends = torch.tensor([len(item.tail_ids) for item in items]).cumsum(0) - 1
        logits = self._read(cache, [item.tail_ids for item in items], len(prefix_ids), ends.tolist())
        logp = torch.log_softmax(logits.float(), dim=-1)
        return [[float(row[list(variants)].max()) for variants in labels] for row in logp]

    @torch.inference_mode()
    def logprobs(self, pairs: Sequence[IdPair]) -> list[TokenLogprobs]:
        sizes = [len(p.prompt_ids) + len(p.response_ids) for p in pairs]
        order = sorted(range(len(pairs)), key=lambda i: (-sizes[i], i))
        budget = min(self.batch_tokens, max(1, _LOGITS // self.vocabulary))
        found: dict[int, TokenLogprobs] = {}
        for batch in _fill(order, sizes, budget):
            found |= zip(batch, self._forced([pairs[i] for i in batch]), strict=True)
        return [found[i] for i in range(len(pairs))]

    def forward(
        self,
        cache: Slots,
        ids: torch.Tensor,
        slot: torch.Tensor,
        position: torch.Tensor,
        blocks: Sequence[Block],
        wanted: torch.Tensor,
    ) -> torch.Tensor:
        """`slots.read` with this engine's model."""
        return read(self.model, cache, ids, slot, position, blocks, wanted)

    def _read(self, cache: Slots, rows: Sequence[Sequence[int]], begin: int, wanted: Sequence[int]) -> torch.Tensor:
        """Read rows into slots 0 …, all from one position on."""
        device = self.model.device
        slots, begins = list(range(len(rows))), [begin] * len(rows)
        ids, slot, position, _ = packed(rows, slots, begins, device)
        blocks = blocks_of(0, slots, begins, [begin + len(row) for row in rows], device)
        keep = torch.tensor(list(wanted), dtype=torch.long, device=device)
        return self.forward(cache, ids, slot, position, blocks, keep)

    def _forced(self, pairs: Sequence[IdPair]) -> list[TokenLogprobs]:
        """One batch; only the logits that predict a response token are made."""
        rows = [p.prompt_ids + p.response_ids for p in pairs]
        wanted: list[int] = []
        at = 0
        for row, pair in zip(rows, pairs, strict=True):
            at += len(row)
            wanted += range(at - len(pair.response_ids) - 1, at - 1)
        logits = self._read(Slots(len(rows), max(map(len, rows))), rows, 0, wanted)
        parts = torch.split(logits, [len(p.response_ids) for p in pairs])
        return [_read_off(part, p.response_ids) for part, p in zip(parts, pairs, strict=True)]


def _read_off(logits: torch.Tensor, response: Sequence[int]) -> TokenLogprobs:
    """From the logits that predict a row's response, [response, vocabulary]."""
    if not response:
        return TokenLogprobs((), ())
    predicted = logits.float()
    wanted = torch.tensor([list(response)], device=logits.device).T
    values = predicted.gather(1, wanted)[:, 0] - predicted.logsumexp(dim=-1)
    return TokenLogprobs(tuple(values.tolist()), tuple(predicted.argmax(dim=-1).tolist()))


def _by_beginning(prompts: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Indices in groups of prompts that share a beginning worth copying with their neighbour in dictionary order."""
    groups: list[list[int]] = []
    for i in sorted(range(len(prompts)), key=lambda i: (prompts[i], i)):
        if groups and common(prompts[i], prompts[groups[-1][-1]]) >= SHARED:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def _fill(order: Sequence[int], sizes: Sequence[int], budget: int) -> list[list[int]]:
    """Cut an order into batches whose widest row times rows stays within the budget (always at least one row)."""
    batches: list[list[int]] = []
    width = 0
    for i in order:
        width = max(width, sizes[i])
        if not batches or width * (len(batches[-1]) + 1) > budget:
            batches.append([])
            width = sizes[i]
        batches[-1].append(i)
    return batches
