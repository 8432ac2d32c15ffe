"""The vLLM engine against a stand-in that offers the small part of vLLM it uses, computed by the tiny model itself: the
answers and scores must be those of the transformers engine."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from pipeline import prompts
from pipeline.engines.base import ChoiceRequest, IdPair, Request
from pipeline.engines.transformers_engine import TransformersEngine
from pipeline.engines.vllm_engine import VllmEngine, room_for
from pipeline.models.errors import ModelError
from pipeline.recipe import Precision
from tests.pipeline.model_tools import model, tokens


class StandIn:
    """`vllm.LLM`: greedy, one row at a time, by whole passes of a model."""

    def __init__(self, model: str = "", **settings: Any) -> None:
        self.settings, self.served, self.net = {"model": model, **settings}, list[Any](), None

    def generate(
        self, asked: list[Any], params: list[Any], lora_request: Any = None, use_tqdm: bool = True
    ) -> list[Any]:
        assert not use_tqdm
        self.served.append(lora_request)
        return [self._one(a["prompt_token_ids"], p) for a, p in zip(asked, params, strict=True)]

    def _logp(self, ids: list[int]) -> torch.Tensor:
        assert self.net is not None
        with torch.inference_mode():
            return torch.log_softmax(self.net(torch.tensor([ids])).logits[0].float(), -1)

    def _one(self, ids: list[int], p: Any) -> Any:
        whole = self._logp(ids)
        told = None
        if getattr(p, "prompt_logprobs", None):
            rows = [{int(row.argmax()): row.max(), i: row[i]} for row, i in zip(whole, ids[1:], strict=False)]
            told = [None, *({k: SimpleNamespace(logprob=float(v)) for k, v in row.items()} for row in rows)]
        new, found, reason = list[int](), list[Any](), "length"
        while len(new) < p.max_tokens and reason == "length":
            logp = self._logp([*ids, *new])[-1]
            new.append(int(logp.argmax()))
            wanted = {new[-1], *(getattr(p, "logprob_token_ids", None) or ())}
            found.append({i: SimpleNamespace(logprob=float(logp[i])) for i in wanted})
            ended = new[-1] in (getattr(p, "stop_token_ids", None) or ())
            if ended or any(stop in tokens().decode(new) for stop in getattr(p, "stop", None) or ()):
                reason = "stop"
        out = SimpleNamespace(token_ids=new, logprobs=found, finish_reason=reason)
        return SimpleNamespace(outputs=[out], prompt_logprobs=told)


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    fake, lora, request = ModuleType("vllm"), ModuleType("vllm.lora"), ModuleType("vllm.lora.request")
    fake.LLM, fake.SamplingParams = StandIn, SimpleNamespace  # type: ignore[attr-defined]
    request.LoRARequest = lambda name, number, path: (name, number, path)  # type: ignore[attr-defined]
    for module in (fake, lora, request):
        monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.fixture
def both(vllm: None) -> tuple[VllmEngine, TransformersEngine]:
    net = model()
    llm = StandIn()
    llm.net = net
    return VllmEngine(llm, tokens(), 4096), TransformersEngine(net, tokens(), 4096)


TEXTS = [prompts.bare(f"Repeat the word {word}.") for word in ("apple", "stone bridge over water")]


def test_answers_end_where_those_of_the_other_engine_end(both: tuple[VllmEngine, TransformersEngine]) -> None:
    ours, theirs = both
    asked = [
        Request(tuple(tokens().prompt(text)), 12, **more)
        for text in TEXTS
        for more in ({}, {"stops": ("e",)}, {"over": lambda text: len(text) > 3}, {"logprobs": False})
    ]
    for one, other in zip(ours.generate(asked), theirs.generate(asked), strict=True):
        assert (one.text, one.raw, one.finish, one.stop, one.tokens) == (
            other.text, other.raw, other.finish, other.stop, other.tokens,
        )  # fmt: skip
        assert one.mean_logprob == (None if other.mean_logprob is None else pytest.approx(other.mean_logprob, abs=1e-4))


def test_choices_and_teacher_forced_scores_are_those_of_the_other_engine(
    both: tuple[VllmEngine, TransformersEngine],
) -> None:
    ours, theirs = both
    prefix = tokens().prompt("Say yes or no.\n\n")
    items = [ChoiceRequest(tuple(tokens().encode(f"{word}\nJudgement:"))) for word in ("two", "three hundred")]
    labels = [tokens().encode(" A")[:1], tokens().encode(" B")[:1]]
    for one, other in zip(*(e.score_choices(prefix, items, labels) for e in both), strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    pairs = [IdPair(tuple(tokens().prompt(text)), tuple(tokens().encode(" apple"))) for text in TEXTS]
    for mine, other_one in zip(ours.logprobs(pairs), theirs.logprobs(pairs), strict=True):
        assert mine.values == pytest.approx(other_one.values, abs=1e-4)
        assert mine.best == other_one.best


def test_an_adapter_is_served_as_it_is_and_can_be_switched_off(vllm: None, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 24}))
    engine = VllmEngine.load(tmp_path, tokens(), Precision.BF16, 512, tmp_path, gpus=2)
    llm = engine.llm
    assert (llm.settings["max_lora_rank"], llm.settings["tensor_parallel_size"]) == (32, 2)
    assert llm.settings["enable_prefix_caching"]
    llm.net = model()
    for context in (nullcontext(), engine.without_adapter()):
        with context:
            engine.score_choices([5], [ChoiceRequest((6,))], [[7]])
    assert llm.served == [("adapter", 1, str(tmp_path)), None]


def test_what_vllm_cannot_do_is_said_in_plain_words(
    vllm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 4096}))
    with pytest.raises(ModelError, match="rank 4096"):
        room_for(tmp_path)
    with pytest.raises(ModelError, match="int8"):
        VllmEngine.load(tmp_path, tokens(), Precision.INT8, 512)
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ModelError, match="not installed"):
        VllmEngine.load(tmp_path, tokens(), Precision.BF16, 512)


def test_every_request_is_planned_once_within_the_budget(both: tuple[VllmEngine, TransformersEngine]) -> None:
    engine, _ = both
    asked = [Request(tuple(range(i % 5 + 1)), 100) for i in range(90)]
    plan = engine.plan(asked)
    assert sorted(i for batch in plan for i in batch) == list(range(90)) and len(plan) > 1
    assert all(sum(len(asked[i].prompt_ids) + 100 for i in batch) <= 4096 for batch in plan)
