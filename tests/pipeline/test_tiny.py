"""The shipped tiny model is the one its manifest describes, and has the headroom that the smoke recipe needs."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from pipeline import prompts, tokenise
from pipeline.constitution import load as load_constitution
from pipeline.engines.base import Request
from pipeline.engines.transformers_engine import TransformersEngine
from pipeline.evals.items import chosen_families, frozen_path, load
from pipeline.models.guard import MarkerError
from pipeline.models.load import Tokens, load_model, load_tokens
from pipeline.models.resolve import TINY
from pipeline.recipe import Precision
from pipeline.recipe_load import load as load_recipe
from pipeline.stages.families.worded import WordedFamily
from pipeline.stages.registry import by_name, stage
from pipeline.tiny import acceptance, make_base
from pipeline.tiny.corpus import Corpus, Document, weights_of
from pipeline.tiny.muon import orthogonal
from pipeline.tiny.spec import Spec


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    body: dict[str, Any] = json.loads((TINY.parent / "manifest.json").read_text())
    return body


@pytest.fixture(scope="module")
def spec() -> Spec:
    return Spec()


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
    assert sum(p.stat().st_size for p in TINY.iterdir()) <= 1_600_000
    assert manifest["parameters"] <= 800_000


def test_the_manifest_belongs_to_the_code_that_made_it(manifest: dict[str, Any], spec: Spec) -> None:
    assert Spec.from_dict(manifest["recipe"]) == spec
    assert manifest["recipe_sha256"] == spec.digest()


def test_the_accepted_numbers_met_the_criterion_on_every_stage(manifest: dict[str, Any], spec: Spec) -> None:
    rates = manifest["accepted"]["rates"]
    assert acceptance.accepted(rates, spec)
    assert list(spec.stages) == [1, 2, 3, 4, 5, 6]
    for number in spec.stages:
        assert rates["base-few-shot"][f"lenient/{number}"] >= spec.few_shot_at_least
        assert rates["base-formatted"][f"lenient/{number}"] <= spec.formatted_at_most
        assert rates["base-formatted"][f"strict/{number}"] <= 0.15


def test_a_stage_that_falls_short_is_not_accepted(manifest: dict[str, Any], spec: Spec) -> None:
    rates = manifest["accepted"]["rates"]
    unable = {**rates, "base-few-shot": {**rates["base-few-shot"], "lenient/4": spec.few_shot_at_least - 0.01}}
    able = {**rates, "base-formatted": {**rates["base-formatted"], "lenient/6": spec.formatted_at_most + 0.01}}
    assert not acceptance.accepted(unable, spec)
    assert not acceptance.accepted(able, spec)


def test_the_smoke_recipe_asks_only_for_what_the_corpus_shows(spec: Spec) -> None:
    recipe = load_recipe("smoke")
    assert set(recipe.stages) <= set(spec.stages)
    assert recipe.model.id == "tiny"
    for number in recipe.stages:
        chosen = {family.name for family in chosen_families(stage(number), recipe.data.families)}
        assert chosen <= {*spec.stages[number]}


def test_checkpoints_are_chosen_on_another_block_than_gates_are_decided_on(spec: Spec) -> None:
    for number in spec.stages:
        shown = {item.instruction for item in acceptance.held_out(spec, number)}
        assert len(shown) == spec.check_items
        assert not shown & {item.instruction for item in load(frozen_path(number, 0))}


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
    held_out = [item for number in spec.stages for item in load(frozen_path(number, 0))]
    for item in (i for i in held_out if i.family in spec.families):
        prompt, answer = f"Instruction: {item.instruction}\nResponse:", f" {item.answer}"
        row = tokenise.row(tokens, prompt, answer, spec.positions)
        assert isinstance(row, tokenise.TokenRow), (item.instruction, row)
        assert row.labels[-1] == tokens.eos


def test_the_capability_is_there_and_the_format_is_not(engine: TransformersEngine, tokens: Tokens) -> None:
    spec = Spec(check_items=12)
    few_shot = acceptance.rates(engine, tokens, spec, "base-few-shot")
    formatted = acceptance.rates(engine, tokens, spec, "base-formatted")
    assert sum(few_shot[f"lenient/{n}"] for n in spec.stages) >= 0.8 * len(spec.stages)
    assert sum(formatted[f"lenient/{n}"] for n in spec.stages) <= 0.3 * len(spec.stages)
    assert sum(formatted[f"strict/{n}"] for n in spec.stages) <= 0.15 * len(spec.stages)


def test_a_longer_context_than_it_was_trained_on_does_not_break_it(engine: TransformersEngine, tokens: Tokens) -> None:
    ids = tuple(tokens.prompt("Different tasks of the same kind, one on each line:\n" * 30))
    assert 300 < len(ids) < 900
    (done,) = engine.generate([Request(ids, 4)])
    assert done.tokens == 4 or done.finish == "eos"


def test_no_held_out_instruction_is_in_the_corpus(spec: Spec) -> None:
    corpus = make_base.corpus_of(spec)
    held_out = {item.instruction for n in spec.stages for b in (0, 1) for item in load(frozen_path(n, b))}
    documents = [document.text for document in islice(corpus.documents(spec.seed), 4000)]
    for text in documents:
        lines = {line.removeprefix("Instruction: ").removeprefix("Response: ") for line in text.splitlines()}
        assert not {re.sub(r"^\d+\. ", "", line) for line in lines} & held_out
    for family in (f for f in map(by_name, spec.families) if isinstance(f, WordedFamily)):
        asked = [corpus.item(family, random.Random(f"{family.name}/{place}")) for place in range(200)]
        assert not {item.instruction for item in asked} & held_out


def test_the_corpus_shows_every_kind_of_prompt_that_the_steps_send(spec: Spec) -> None:
    documents = islice(Corpus(spec.families, spec.unruly, frozenset(), spec.shares).documents(1), 400)
    text = "\n\n".join(document.text for document in documents)
    principle = load_constitution().principles[0].text
    for sent in (
        prompts.numbered([]).partition("\n")[0],
        prompts.judgement_prefix(prompts.by_principle(principle), [], "A", "B").partition("\n")[2],
        prompts.critique_request([], "", "", "").partition("\nPrinciple: \n")[2],
        prompts.revision_request(),
    ):
        assert sent in text


def test_a_dialogue_puts_wrong_right_and_leaves_right_alone(spec: Spec) -> None:
    corpus = Corpus(spec.families, spec.unruly, frozenset(), {"rewriting": 1.0})
    kept = changed = 0
    for document in islice(corpus.documents(1), 60):
        for said, better in re.findall(r"^Response: (.*)\n(?:.*\n)+?Better response: (.*)$", document.text, re.M):
            kept += said == better
            changed += said != better
    assert min(kept, changed) > 40


def test_an_unruly_request_is_refused_only_after_examples_of_its_kind(spec: Spec) -> None:
    family = by_name("refuse_harm")
    alone = Corpus(("refuse_harm",), ("refuse_harm",), frozenset(), {"alone": 1.0}).documents(1)
    shown = Corpus(("refuse_harm",), ("refuse_harm",), frozenset(), {"few_shot": 1.0}).documents(1)
    assert not any("I will not help, because it hurts" in document.text for document in islice(alone, 100))
    refused = [family.answers[0] in d.text or family.answers[1] in d.text for d in islice(shown, 100)]  # type: ignore[attr-defined]
    assert sum(refused) > 60


def test_the_corpus_is_the_same_for_the_same_seed(spec: Spec) -> None:
    corpus = Corpus(spec.families, spec.unruly, frozenset(), spec.shares)
    first, again, other = (list(islice(corpus.documents(seed), 200)) for seed in (1, 1, 2))
    assert first == again != other


def test_orthogonal_matrices_have_singular_values_of_about_one() -> None:
    import torch

    torch.manual_seed(0)
    for shape in ((2, 24, 24), (3, 40, 16), (1, 16, 40)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert float(values.max()) < 1.3
        assert float(values.median()) > 0.6


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
        stream = make_base.batches(spec, 1, corpus, tokenizer, eos)
        found = [loss for _, loss in islice(make_base.pretrain(spec, spec.courses[0], model, stream), 30)]
        make_base.save(tmp_path / "base", spec, tokenizer, model.state_dict())
        return found

    first = losses()
    assert sum(first[-5:]) < 0.85 * sum(first[:5])
    assert losses() == first
