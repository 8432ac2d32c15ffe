"""Batched decoding and choice scoring on plain transformers models, on the CPU or one GPU.

Left-padded batches planned by length; equal prompts are computed once; finished rows leave the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import DynamicCache

from pipeline.engines.base import ChoiceRequest, Completion, FinishReason, IdPair, Request, TokenLogprobs
from pipeline.engines.decode import choose, find_stop, uniform
from pipeline.models.load import Tokens

_LOGITS = 1 << 28
"""Most logits of one teacher-forced batch: 1 GiB in fp32."""

_TAIL_TOKENS = 12
"""Stop strings are looked for in the text of this many last tokens."""


class TransformersEngine:
    """See `pipeline.engines.base.Engine`. `batch_tokens` bounds prompt plus new tokens of one batch."""

    def __init__(self, model: Any, tokens: Tokens, batch_tokens: int) -> None:
        self.model = model
        self.tokens = tokens
        self.batch_tokens = batch_tokens

    def plan(self, requests: Sequence[Request]) -> list[list[int]]:
        """Longest first by prompt length; equal prompts stay neighbours."""
        order = sorted(range(len(requests)), key=lambda i: (-len(requests[i].prompt_ids), requests[i].prompt_ids, i))
        return _fill(order, [len(r.prompt_ids) + r.max_new_tokens for r in requests], self.batch_tokens)

    def plan_choices(self, items: Sequence[ChoiceRequest]) -> list[list[int]]:
        order = sorted(range(len(items)), key=lambda i: (-len(items[i].tail_ids), i))
        return _fill(order, [len(item.tail_ids) for item in items], self.batch_tokens // 4)

    @torch.inference_mode()
    def generate(self, requests: Sequence[Request], ended: Callable[[int], None] = lambda _: None) -> list[Completion]:
        state = _Decoding(self, requests)
        while state.live:
            ended(len(requests) - len(state.live))
            state.step()
        return state.completions()

    @torch.inference_mode()
    def score_choices(
        self, prefix_ids: Sequence[int], items: Sequence[ChoiceRequest], labels: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        prefix = torch.tensor([list(prefix_ids)], device=self.model.device)
        cache = DynamicCache()
        self.model(input_ids=prefix, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache.batch_repeat_interleave(len(items))
        tails, mask = self._left_padded([item.tail_ids for item in items])
        full = torch.cat([torch.ones(len(items), prefix.shape[1], dtype=mask.dtype, device=mask.device), mask], dim=1)
        positions = (full.cumsum(dim=1) - 1).clamp(min=0)[:, prefix.shape[1] :]
        out = self.model(
            input_ids=tails,
            attention_mask=full,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logp = torch.log_softmax(out.logits[:, -1].float(), dim=-1)
        return [[float(row[list(variants)].max()) for variants in labels] for row in logp]

    @torch.inference_mode()
    def logprobs(self, pairs: Sequence[IdPair]) -> list[TokenLogprobs]:
        sizes = [len(p.prompt_ids) + len(p.response_ids) for p in pairs]
        order = sorted(range(len(pairs)), key=lambda i: (-sizes[i], i))
        budget = min(self.batch_tokens, _LOGITS // self.model.config.vocab_size)
        found: dict[int, TokenLogprobs] = {}
        for batch in _fill(order, sizes, budget):
            found |= zip(batch, self._forced([pairs[i] for i in batch]), strict=True)
        return [found[i] for i in range(len(pairs))]

    def _forced(self, pairs: Sequence[IdPair]) -> list[TokenLogprobs]:
        """One batch; logits [rows, longest response + 1, vocabulary], since responses end every left-padded row."""
        ids, mask = self._left_padded([p.prompt_ids + p.response_ids for p in pairs])
        longest = max(len(p.response_ids) for p in pairs)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        out = self.model(
            input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False, logits_to_keep=longest + 1
        )
        return [_read_off(row[:-1], p.response_ids) for row, p in zip(out.logits, pairs, strict=True)]

    def _left_padded(self, rows: Sequence[Sequence[int]]) -> tuple[Any, Any]:
        """Ids and attention mask, both [batch, longest]."""
        width = max(len(row) for row in rows)
        ids = [[self.tokens.pad] * (width - len(row)) + list(row) for row in rows]
        mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
        device = self.model.device
        return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _read_off(logits: Any, response: Sequence[int]) -> TokenLogprobs:
    """From the logits that predict the last positions of a row, [positions, vocabulary]."""
    if not response:
        return TokenLogprobs((), ())
    predicted = logits[-len(response) :].float()
    wanted = torch.tensor([list(response)], device=logits.device).T
    values = predicted.gather(1, wanted)[:, 0] - predicted.logsumexp(dim=-1)
    return TokenLogprobs(tuple(values.tolist()), tuple(predicted.argmax(dim=-1).tolist()))


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


class _Decoding:
    """One batch on its way: the rows still alive, their cache, and what every row has written so far."""

    def __init__(self, engine: TransformersEngine, requests: Sequence[Request]) -> None:
        self.engine = engine
        self.requests = requests
        self.written: list[list[int]] = [[] for _ in requests]
        self.logprobs: list[float] = [0.0 for _ in requests]
        self.finish: list[FinishReason | None] = [None for _ in requests]
        self.live = list(range(len(requests)))
        self.cache = DynamicCache()
        self._prefill()

    def _prefill(self) -> None:
        unique = list(dict.fromkeys(r.prompt_ids for r in self.requests))
        ids, mask = self.engine._left_padded(unique)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        out = self.engine.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        source = torch.tensor([unique.index(r.prompt_ids) for r in self.requests], device=ids.device)
        if len(unique) < len(self.requests):
            self.cache.batch_select_indices(source)
        self.mask = mask[source]
        self._advance(out.logits[:, -1].float()[source])

    def step(self) -> None:
        """Feed each live row its last token."""
        last = torch.tensor([[self.written[i][-1]] for i in self.live], device=self.mask.device)
        self.mask = torch.cat([self.mask, torch.ones_like(last)], dim=1)
        out = self.engine.model(
            input_ids=last,
            attention_mask=self.mask,
            position_ids=self.mask.sum(dim=1, keepdim=True) - 1,
            past_key_values=self.cache,
            use_cache=True,
        )
        self._advance(out.logits[:, -1].float())

    def _advance(self, logits: Any) -> None:
        rows = [self.requests[i] for i in self.live]
        draws = [uniform(r.seed, len(self.written[i])) for i, r in zip(self.live, rows, strict=True)]
        wanted = any(r.logprobs for r in rows)
        ids, logps = choose(logits, [r.temperature for r in rows], [r.top_p for r in rows], draws, wanted)
        for i, token, logp in zip(self.live, ids, logps, strict=True):
            self.written[i].append(token)
            self.logprobs[i] += logp
            self.finish[i] = self._finished(i)
        keep = [k for k, i in enumerate(self.live) if self.finish[i] is None]
        if keep and len(keep) < len(self.live):
            index = torch.tensor(keep, device=self.mask.device)
            self.cache.batch_select_indices(index)
            self.mask = self.mask[index]
        self.live = [self.live[k] for k in keep]

    def _finished(self, i: int) -> FinishReason | None:
        request, ids, tokens = self.requests[i], self.written[i], self.engine.tokens
        if tokens.is_end(ids[-1]):
            return "eos"
        if request.stops and find_stop(tokens.decode(ids[-_TAIL_TOKENS:]), request.stops):
            return "stop"
        if request.over and request.over(tokens.decode(ids)):
            return "stop"
        return "length" if len(ids) >= request.max_new_tokens else None

    def completions(self) -> list[Completion]:
        return [self._completion(i) for i in range(len(self.requests))]

    def _completion(self, i: int) -> Completion:
        ids, finish = self.written[i], self.finish[i]
        assert finish is not None
        raw = self.engine.tokens.decode(ids[:-1] if finish == "eos" else ids)
        hit = find_stop(raw, self.requests[i].stops) if finish == "stop" else None
        text = raw[: hit[0]] if hit else raw
        mean = self.logprobs[i] / len(ids) if self.requests[i].logprobs else None
        return Completion(text, raw, finish, hit[1] if hit else None, len(ids), mean)
