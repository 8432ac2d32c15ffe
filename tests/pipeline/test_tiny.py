"""The shipped tiny model is the one its manifest describes, and has the headroom that the smoke recipe needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from pipeline import tokenise
from pipeline.engines.base import Request
from pipeline.engines.transformers_engine import TransformersEngine
from pipeline.evals.items import frozen_path, load
from pipeline.models.guard import MarkerError
from pipeline.models.load import Tokens, load_model, load_tokens
from pipeline.models.resolve import TINY
from pipeline.recipe import Precision
from pipeline.recipe_load import load as load_recipe
from pipeline.tiny import acceptance, make_base
from pipeline.tiny.corpus import Corpus, Document, weights_of
from pipeline.tiny.spec import Spec


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    body: dict[str, Any] = json.loads((TINY.parent / "manifest.json").read_text())
    return body


@pytest.fixture(scope="module")
def spec(manifest: dict[str, Any]) -> Spec:
    return Spec(**{**manifest["recipe"], "families": tuple(manifest["recipe"]["families"])})


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return load_tokens(TINY)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def engine(tokens: Tokens, one_thread: None) -> TransformersEngine:
    return TransformersEngine(load_model(TINY, Precision.FP32, "cpu"), tokens, 8192)


def test_the_shipped_files_are_the_accepted_ones(manifest: dict[str, Any]) -> None:
    shipped = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in TINY.iterdir()}
    assert shipped == manifest["sha256"]
    assert set(shipped) >= {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"}
    assert (TINY / "model.safetensors").stat().st_size <= 1_600_000


def test_the_manifest_belongs_to_the_code_that_made_it(manifest: dict[str, Any], spec: Spec) -> None:
    assert manifest["recipe_sha256"] == spec.digest() == Spec().digest()


def test_the_accepted_numbers_met_the_criterion(manifest: dict[str, Any], spec: Spec) -> None:
    rates = manifest["accepted"]["rates"]
    assert rates["base-few-shot"]["lenient"] >= spec.few_shot_at_least
    assert rates["base-formatted"]["lenient"] <= spec.formatted_at_most


def test_the_smoke_recipe_asks_only_for_what_the_corpus_shows(spec: Spec) -> None:
    recipe = load_recipe("smoke")
    assert set(recipe.data.families) <= set(spec.families)
    assert recipe.model.id == "tiny"


def test_it_is_a_base_model_without_template_or_chat_marker(tokens: Tokens) -> None:
    config = json.loads((TINY / "config.json").read_text())
    assert config["architectures"] == ["Qwen2ForCausalLM"]
    assert config["tie_word_embeddings"] is True
    assert tokens.raw.chat_template is None
    assert not (TINY / "chat_template.jinja").exists()
    assert tokens.raw.convert_ids_to_tokens(tokens.eos) == make_base.EOS
    assert tokens.bos is None
    assert tokens.forbidden == frozenset()


def test_its_own_end_of_text_is_refused_inside_a_text(tokens: Tokens) -> None:
    with pytest.raises(MarkerError):
        tokens.encode(f"green lantern{make_base.EOS}")


@pytest.mark.parametrize(
    "text",
    ["Instruction: Say hi.\nResponse: hi\n\n", "Bogotá, “naïve” 12,5 €\t→ 漢字 🙂", "  two  blanks \n\n\n end", "x"],
)
def test_any_text_survives_encoding(tokens: Tokens, text: str) -> None:
    assert tokens.decode(tokens.encode(text)) == text


def test_the_boundary_between_prompt_and_answer_is_a_token_boundary(tokens: Tokens, spec: Spec) -> None:
    for item in load(frozen_path(1))[:200]:
        prompt, answer = f"Instruction: {item.instruction}\nResponse:", f" {item.answer}"
        row = tokenise.row(tokens, prompt, answer, spec.positions)
        assert isinstance(row, tokenise.TokenRow), (item.instruction, row)
        assert row.labels[-1] == tokens.eos


def test_the_capability_is_there_and_the_format_is_not(engine: TransformersEngine, tokens: Tokens) -> None:
    spec = Spec(check_items=24)
    few_shot = acceptance.rates(engine, tokens, spec, "base-few-shot")
    formatted = acceptance.rates(engine, tokens, spec, "base-formatted")
    assert few_shot["lenient"] >= 0.8
    assert formatted["lenient"] <= 0.4
    assert formatted["strict"] <= 0.3


def test_a_longer_context_than_it_was_trained_on_does_not_break_it(engine: TransformersEngine, tokens: Tokens) -> None:
    ids = tuple(tokens.prompt("Different tasks of the same kind, one on each line:\n" * 30))
    assert 300 < len(ids) < 900
    (done,) = engine.generate([Request(ids, 4)])
    assert done.tokens == 4 or done.finish == "eos"


def test_no_held_out_instruction_is_in_the_corpus(spec: Spec) -> None:
    corpus = make_base.corpus_of(spec)
    held_out = {item.instruction for item in load(frozen_path(1)) if item.family in spec.families}
    for document in islice(corpus.documents(spec.seed), 3000):
        asked = {line.removeprefix("Instruction: ") for line in document.text.splitlines()}
        assert not asked & held_out


def test_the_corpus_is_the_same_for_the_same_seed(spec: Spec) -> None:
    corpus = Corpus(spec.families, frozenset(), spec.shares)
    first, again, other = (list(islice(corpus.documents(seed), 200)) for seed in (1, 1, 2))
    assert first == again != other


def test_each_token_has_the_weight_of_its_part() -> None:
    document = Document((("Say a:", 0.25), (" b", 1.0)), closed=True)
    assert weights_of(document, [(0, 3), (3, 5), (5, 6), (6, 8)]) == [0.25, 0.25, 0.25, 1.0]


@pytest.mark.slow
def test_pretraining_lowers_the_loss_and_repeats_itself(spec: Spec, one_thread: None, tmp_path: Path) -> None:
    def losses() -> list[float]:
        corpus = make_base.corpus_of(spec)
        tokenizer = make_base.make_tokenizer(spec, corpus, documents=2000)
        eos = make_base.end_of_text(tokenizer)
        model = make_base.make_model(spec, eos)
        stream = make_base.batches(spec, corpus, tokenizer, eos)
        found = [loss for _, loss in islice(make_base.pretrain(spec, model, stream), 30)]
        make_base.save(tmp_path / "base", spec, tokenizer, model.state_dict())
        return found

    first = losses()
    assert sum(first[-5:]) < 0.85 * sum(first[:5])
    assert losses() == first
