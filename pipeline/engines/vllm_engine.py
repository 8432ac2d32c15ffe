"""The same interface on vLLM, where it is installed: its own continuous batches, cached prefixes, adapters served as
they are.

vLLM forms its batches by itself, and its numbers move with them: equal seeds, not equal bytes. Scores are stored when
they are made and never made again. It cannot be asked whether a text is over, so that is settled afterwards, token by
token, and the ends are those of the other engine.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.engines.base import (
    ChoiceRequest,
    Completion,
    FinishReason,
    IdPair,
    Request,
    Tell,
    TokenLogprobs,
    untold,
)
from pipeline.engines.decode import find_stop
from pipeline.engines.stopping import first_over
from pipeline.models.errors import ModelError
from pipeline.models.load import Tokens
from pipeline.recipe import Precision

_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Adapter ranks vLLM makes room for."""
_SEEDS = 1 << 63


class VllmEngine:
    """See `pipeline.engines.base.Engine`. `adapter` is served unless it is switched off."""

    def __init__(self, llm: Any, tokens: Tokens, batch_tokens: int, adapter: Path | None = None) -> None:
        self.llm, self.tokens, self.batch_tokens = llm, tokens, batch_tokens
        self._adapter = adapter

    @classmethod
    def load(
        cls,
        path: Path,
        tokens: Tokens,
        precision: Precision,
        batch_tokens: int,
        adapter: Path | None = None,
        gpus: int = 1,
    ) -> VllmEngine:
        """Load weights into vLLM, split over `gpus`.

        Raises:
            ModelError: vLLM is not installed, or does not hold weights in this precision.
        """
        try:
            from vllm import LLM
        except ImportError as error:
            raise ModelError(
                "vLLM is not installed", "pip install 'maximalcai[gpu]', or hardware.engine=transformers"
            ) from error
        if precision is Precision.INT8:
            raise ModelError(
                "vLLM holds no int8 weights of bitsandbytes", "use bf16 or nf4, or hardware.engine=transformers"
            )
        extra: dict[str, Any] = {"quantization": "bitsandbytes"} if precision is Precision.NF4 else {}
        if adapter is not None:
            extra |= {"enable_lora": True, "max_lora_rank": room_for(adapter)}
        llm = LLM(
            model=str(path),
            dtype="float32" if precision is Precision.FP32 else "bfloat16",
            tensor_parallel_size=gpus,
            enable_prefix_caching=True,
            **extra,
        )
        return cls(llm, tokens, batch_tokens, adapter)

    @contextlib.contextmanager
    def without_adapter(self) -> Iterator[None]:
        """Within this the bare base answers."""
        kept, self._adapter = self._adapter, None
        try:
            yield
        finally:
            self._adapter = kept

    def plan(self, requests: Sequence[Request]) -> list[list[int]]:
        """Neighbours in dictionary order: what they share is cached once."""
        order = sorted(range(len(requests)), key=lambda i: (requests[i].prompt_ids, i))
        return _cut(order, [len(r.prompt_ids) + r.max_new_tokens for r in requests], self.batch_tokens)

    def plan_choices(self, items: Sequence[ChoiceRequest]) -> list[list[int]]:
        return _cut(list(range(len(items))), [len(item.tail_ids) for item in items], self.batch_tokens)

    def rows(self, requests: Sequence[Request]) -> int:
        """All: vLLM says which of them live, by its memory."""
        return len(requests)

    def generate(self, requests: Sequence[Request], tell: Tell = untold) -> list[Completion]:
        tell(0, 0)
        settings = [
            {
                "temperature": r.temperature,
                "top_p": r.top_p if r.temperature else 1.0,
                "seed": r.seed % _SEEDS,
                "max_tokens": r.max_new_tokens,
                "stop": list(r.stops) or None,
                "include_stop_str_in_output": True,
                "stop_token_ids": sorted({self.tokens.eos, *self.tokens.ends}),
                "skip_special_tokens": False,
                "logprobs": 0 if r.logprobs else None,
            }
            for r in requests
        ]
        outputs = self._ask([r.prompt_ids for r in requests], settings)
        return [self._completion(r, out.outputs[0]) for r, out in zip(requests, outputs, strict=True)]

    def score_choices(
        self, prefix_ids: Sequence[int], items: Sequence[ChoiceRequest], labels: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        wanted = sorted({i for variants in labels for i in variants})
        setting = {"temperature": 0.0, "max_tokens": 1, "logprob_token_ids": wanted, "detokenize": False}
        outputs = self._ask([(*prefix_ids, *item.tail_ids) for item in items], [setting] * len(items))
        found = [out.outputs[0].logprobs[0] for out in outputs]
        return [[max(at[i].logprob for i in variants) for variants in labels] for at in found]

    def logprobs(self, pairs: Sequence[IdPair]) -> list[TokenLogprobs]:
        setting = {"temperature": 0.0, "max_tokens": 1, "prompt_logprobs": 1, "detokenize": False}
        outputs = self._ask([(*p.prompt_ids, *p.response_ids) for p in pairs], [setting] * len(pairs))
        return [_forced(pair, out.prompt_logprobs) for pair, out in zip(pairs, outputs, strict=True)]

    def _ask(self, prompts: Sequence[Sequence[int]], settings: Sequence[dict[str, Any]]) -> list[Any]:
        from vllm import SamplingParams
        from vllm.lora.request import LoRARequest

        served = LoRARequest("adapter", 1, str(self._adapter)) if self._adapter else None
        asked = [{"prompt_token_ids": list(ids)} for ids in prompts]
        params = [SamplingParams(**setting) for setting in settings]
        return list(self.llm.generate(asked, params, lora_request=served, use_tqdm=False))

    def _completion(self, request: Request, out: Any) -> Completion:
        ids = list(out.token_ids)
        finish: FinishReason = "length"
        if ids and self.tokens.is_end(ids[-1]):
            finish = "eos"
        elif out.finish_reason == "stop":
            finish = "stop"
        if request.over is not None:
            cut = first_over(request.over, self.tokens, ids, 0, len(ids) - (finish != "length"))
            ids, finish = (ids[:cut], "stop") if cut is not None else (ids, finish)
        raw = self.tokens.decode(ids[:-1] if finish == "eos" else ids)
        hit = find_stop(raw, request.stops) if finish == "stop" else None
        mean = None
        if request.logprobs:
            mean = sum(at[i].logprob for at, i in zip(out.logprobs, ids, strict=False)) / max(1, len(ids))
        return Completion(raw[: hit[0]] if hit else raw, raw, finish, hit[1] if hit else None, len(ids), mean)


def room_for(adapter: Path) -> int:
    """The least rank vLLM offers that holds an adapter.

    Raises:
        ModelError: it offers none.
    """
    rank = int(json.loads((adapter / "adapter_config.json").read_text())["r"])
    found = next((offered for offered in _RANKS if offered >= rank), None)
    if found is None:
        raise ModelError(
            f"vLLM serves no adapter of rank {rank}", f"train at most rank {_RANKS[-1]}, or merge it first"
        )
    return found


def _forced(pair: IdPair, found: Sequence[Any]) -> TokenLogprobs:
    """From what vLLM says of every position of a prompt: the tokens there by id, each with rank and log-probability."""
    begin = len(pair.prompt_ids)
    at = [found[begin + k] for k in range(len(pair.response_ids))]
    values = tuple(float(here[i].logprob) for here, i in zip(at, pair.response_ids, strict=True))
    return TokenLogprobs(values, tuple(max(here, key=lambda i: here[i].logprob) for here in at))


def _cut(order: Sequence[int], sizes: Sequence[int], budget: int) -> list[list[int]]:
    """Batches of an order, each of at most `budget` tokens (always at least one row)."""
    batches: list[list[int]] = []
    held = 0
    for i in order:
        if not batches or held + sizes[i] > budget:
            batches.append([])
            held = 0
        batches[-1].append(i)
        held += sizes[i]
    return batches
