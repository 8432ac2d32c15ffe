"""Models of other kinds: attention with capped logits (Gemma 2) is computed as it should be, states are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, MambaConfig, MambaForCausalLM

from pipeline.engines.base import ChoiceRequest, IdPair, Request
from pipeline.engines.transformers_engine import TransformersEngine
from pipeline.models.errors import ModelError
from pipeline.models.load import load_model
from pipeline.recipe import Precision
from pipeline.trainers.flat import response_logps, use_rows
from tests.pipeline.model_tools import tokens

VOCABULARY = len(tokens().raw)
PROMPTS = [[(7 * k + 3 * n + 5) % VOCABULARY for k in range(n)] for n in (9, 30, 17, 2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, large enough for the cap to matter; a window shorter than the prompts."""
    config = Gemma2Config(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, sliding_window=12, attn_logit_softcapping=2.0, query_pre_attn_scalar=1,
        initializer_range=0.4, eos_token_id=tokens().eos, pad_token_id=tokens().pad, bos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(0)
    out = tmp_path_factory.mktemp("gemma2")
    Gemma2ForCausalLM(config).save_pretrained(out)
    return out


def loaded(folder: Path) -> Any:
    torch.set_num_threads(1)
    return load_model(folder, Precision.FP32, "cpu")


def plain_logps(folder: Path, ids: list[int], attention: str = "eager") -> torch.Tensor:
    """By transformers' own attention, [tokens, vocabulary]."""
    model = Gemma2ForCausalLM.from_pretrained(folder, attn_implementation=attention).eval()
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0].log_softmax(-1)  # type: ignore[no-any-return]


def test_a_model_with_capped_attention_is_loaded_with_attention_that_caps(folder: Path) -> None:
    assert loaded(folder).config._attn_implementation == "eager"
    ids = PROMPTS[1]
    assert (plain_logps(folder, ids) - plain_logps(folder, ids, "sdpa")).abs().max() > 0.1  # the cap does matter


def test_greedy_texts_are_those_of_the_librarys_own_generate(folder: Path) -> None:
    model = loaded(folder)
    wanted = []
    with torch.inference_mode():
        for ids in PROMPTS:
            out = model.generate(torch.tensor([ids]), max_new_tokens=20, do_sample=False, pad_token_id=tokens().pad)
            wanted.append(out[0, len(ids) :].tolist())
    engine = TransformersEngine(model, tokens(), batch_tokens=120)  # not all fit at once
    requests = [Request(tuple(ids), max_new_tokens=20) for ids in PROMPTS]
    assert engine.rows(requests) < len(requests)
    ends = [ids.index(tokens().eos) if tokens().eos in ids else len(ids) for ids in wanted]
    texts = [tokens().decode(ids[:end]) for ids, end in zip(wanted, ends, strict=True)]
    assert [c.raw for c in engine.generate(requests)] == texts


def test_choices_and_answers_are_scored_as_by_the_plain_model(folder: Path) -> None:
    engine = TransformersEngine(loaded(folder), tokens(), batch_tokens=512)
    prefix, tails = PROMPTS[1], [PROMPTS[0], PROMPTS[3]]
    scores = engine.score_choices(prefix, [ChoiceRequest(tuple(t)) for t in tails], [[5], [6]])
    for tail, found in zip(tails, scores, strict=True):
        logps = plain_logps(folder, [*prefix, *tail])[-1]
        assert found == pytest.approx([float(logps[5]), float(logps[6])], abs=1e-4)
    (said,) = engine.logprobs([IdPair(tuple(PROMPTS[2]), tuple(PROMPTS[0]))])
    logps = plain_logps(folder, [*PROMPTS[2], *PROMPTS[0]])
    begin = len(PROMPTS[2]) - 1
    assert said.values == pytest.approx([float(logps[begin + k, t]) for k, t in enumerate(PROMPTS[0])], abs=1e-4)


def test_what_is_trained_by_rows_is_the_capped_model_and_so_is_its_gradient(folder: Path) -> None:
    ids = torch.zeros(2, 30, dtype=torch.long)
    attended, trained = torch.zeros_like(ids), torch.zeros_like(ids)
    for row, chosen in enumerate((PROMPTS[1], PROMPTS[2])):
        ids[row, : len(chosen)] = torch.tensor(chosen)
        attended[row, : len(chosen)] = 1
        trained[row, len(chosen) - 8 : len(chosen)] = 1
    gradients = []
    for rows in (True, False):
        model = loaded(folder)
        model.lm_head.weight.requires_grad_(False)
        assert not rows or use_rows(model)
        logps = response_logps(model, ids, attended, trained, pairs=False)[0]
        for row, chosen in enumerate((PROMPTS[1], PROMPTS[2])):
            plain = plain_logps(folder, chosen)[:-1].gather(1, torch.tensor(chosen)[1:, None])[-8:, 0]
            assert torch.allclose(logps[row, len(chosen) - 9 : len(chosen) - 1], plain, atol=1e-4)
        logps.sum().backward()
        gradients.append(model.model.layers[0].self_attn.q_proj.weight.grad)
    assert torch.allclose(*gradients, atol=1e-4)


def test_a_model_whose_layers_cannot_be_packed_is_refused_in_one_sentence() -> None:
    config = MambaConfig(vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2, state_size=4)
    with pytest.raises(ModelError, match=r"MambaForCausalLM cannot generate.* 2 of its 2 layers .*hardware\.engine"):
        TransformersEngine(MambaForCausalLM(config).eval(), tokens(), batch_tokens=64)
