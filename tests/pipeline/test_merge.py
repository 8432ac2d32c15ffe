"""Merging an adapter: PEFT's own bytes, the same bytes every time, nothing half-written, and a check that can fail."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save_file

from pipeline import prompts, tokenise
from pipeline.engines.base import IdPair, TokenLogprobs
from pipeline.engines.transformers_engine import TransformersEngine
from pipeline.errors import StepError
from pipeline.models import merge, parity
from pipeline.models.errors import ModelError
from pipeline.models.load import attach_adapter, attach_adapters, load_model, load_tokens, only_adapters
from pipeline.models.merge import merge_adapter
from pipeline.models.resolve import TINY, directory_digest
from pipeline.recipe import Evaluation, Lora, Model, Precision, Recipe, Sft
from pipeline.steps import merge as step
from pipeline.steps.base import StepContext
from pipeline.trainers.plan import Plan
from pipeline.trainers.trl_trainer import LINEAR_LAYERS, train_sft
from tests.pipeline.model_tools import LAYERS, Memory, tokens

WORDS = ("apple", "river", "stone", "cloud", "bread", "horse", "glass", "paper")


@pytest.fixture(scope="module")
def exact_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base with its weights stored in fp32, in three shards."""
    base = tmp_path_factory.mktemp("exact") / "base"
    model = load_model(TINY, Precision.FP32, "cpu")
    model.save_pretrained(base, max_shard_size="1MB")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(TINY / name, base / name)
    assert len(list(base.glob("*.safetensors"))) > 1
    return base


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAXCAI_CACHE_DIR", str(tmp_path / "cache"))
    torch.set_num_threads(1)


def adapter(out: Path, seed: int, **changes: Any) -> Path:
    """A LoRA adapter whose update is far from nothing, as PEFT writes it."""
    torch.manual_seed(seed)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": list(LINEAR_LAYERS), "task_type": "CAUSAL_LM", **changes}
    model = get_peft_model(load_model(TINY, Precision.FP32, "cpu"), LoraConfig(**settings))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    model.save_pretrained(out)
    return out


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def context(tmp_path: Path) -> StepContext:
    out = tmp_path / "run" / "stage-1" / "merge"
    out.mkdir(parents=True)
    recipe = Recipe(name="x", description="", model=Model(id="tiny"), evaluation=Evaluation(items=40))
    return StepContext(recipe, 1, "stage-1/merge", "0" * 64, tmp_path / "run", out, Memory())


def pairs() -> list[IdPair]:
    return [
        IdPair(
            tuple(tokens().prompt(prompts.bare(f"Repeat the word {w}."))),
            (*tokens().encode(prompts.completion(w)), tokens().eos),
        )
        for w in WORDS
    ]


def training_rows() -> list[tokenise.TokenRow]:
    return tokenise.rows(tokens(), [(prompts.bare(f"Repeat {w}."), prompts.completion(w)) for w in WORDS], 128)[0]


def answers(model: Any) -> list[TokenLogprobs]:
    return TransformersEngine(model, tokens(), batch_tokens=512).logprobs(pairs())


def largest_difference(one: list[TokenLogprobs], other: list[TokenLogprobs]) -> float:
    return max(abs(a - b) for x, y in zip(one, other, strict=True) for a, b in zip(x.values, y.values, strict=True))


def weights(folder: Path) -> dict[str, Any]:
    return {name: t for shard in sorted(folder.glob("*.safetensors")) for name, t in load_file(shard).items()}


@pytest.mark.parametrize("rslora", [False, True])
def test_the_merge_equals_pefts_own_bit_for_bit_in_fp32(exact_base: Path, tmp_path: Path, rslora: bool) -> None:
    lora = adapter(tmp_path / "a", 1, use_rslora=rslora)
    report = merge_adapter(exact_base, lora, tmp_path / "out")
    theirs = PeftModel.from_pretrained(load_model(exact_base, Precision.FP32, "cpu"), lora).merge_and_unload()
    ours = weights(tmp_path / "out")
    wanted = {n: t for n, t in theirs.state_dict().items() if n != "lm_head.weight"}
    assert ours.keys() == wanted.keys()
    assert all(torch.equal(ours[name], wanted[name]) for name in ours)
    assert report.tensors == 7 * LAYERS
    assert report.scale == (4.0 if rslora else 2.0)


def test_stored_16_bit_weights_are_rounded_once_from_fp32(tmp_path: Path) -> None:
    lora = adapter(tmp_path / "a", 1)
    merge_adapter(TINY, lora, tmp_path / "out")
    theirs = attach_adapter(load_model(TINY, Precision.FP32, "cpu"), lora).merge_and_unload().state_dict()
    for name, tensor in weights(tmp_path / "out").items():
        assert tensor.dtype == torch.bfloat16
        assert torch.equal(tensor, theirs[name].to(torch.bfloat16))


def test_the_same_merge_gives_the_same_bytes_and_the_loaders_digest(tmp_path: Path) -> None:
    lora = adapter(tmp_path / "a", 1)
    first = merge_adapter(TINY, lora, tmp_path / "one")
    again = merge_adapter(TINY, lora, tmp_path / "one")
    other = merge_adapter(TINY, lora, tmp_path / "two")
    assert first == again == other
    shutil.rmtree(tmp_path / "cache")  # the digest is computed from the files now, not remembered
    assert directory_digest(tmp_path / "one") == first.digest != directory_digest(TINY)


def test_a_merged_model_has_the_bases_tokenizer_and_end_of_text(tmp_path: Path) -> None:
    report = merge_adapter(TINY, adapter(tmp_path / "a", 1), tmp_path / "out")
    assert load_tokens(tmp_path / "out").eos == tokens().eos
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (TINY / name).read_bytes()
        assert name in report.files


def test_words_are_read_once_wherever_the_same_files_lie_and_again_where_they_differ(tmp_path: Path) -> None:
    merge_adapter(TINY, adapter(tmp_path / "a", 1), tmp_path / "out")
    known = load_tokens(TINY)
    assert load_tokens(tmp_path / "out") is known
    config = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    (tmp_path / "out" / "tokenizer_config.json").write_text(json.dumps({**config, "model_max_length": 77}))
    other = load_tokens(tmp_path / "out")
    assert other.raw.model_max_length == 77 != known.raw.model_max_length
    assert load_tokens(TINY) is known


def test_a_merge_that_is_cut_off_leaves_nothing_that_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lora = adapter(tmp_path / "a", 1)
    left = tmp_path / ".out.123.tmp"
    left.mkdir()

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(merge, "_check_end_of_text", cut)
        with pytest.raises(KeyboardInterrupt):
            merge_adapter(TINY, lora, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not left.exists()
    merge_adapter(TINY, lora, tmp_path / "out")
    assert not list(tmp_path.glob(".out.*"))


def test_a_lost_end_of_text_id_fails_the_merge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = shutil.copyfile

    def careless(source: Path, target: Path) -> None:
        copy(source, target)
        if target.name == "config.json":
            target.write_text(json.dumps({**json.loads(target.read_text()), "eos_token_id": 7}))

    monkeypatch.setattr(merge.shutil, "copyfile", careless)
    with pytest.raises(ModelError, match="ends a text with id 7"):
        merge_adapter(TINY, adapter(tmp_path / "a", 1), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_adapter_that_does_not_fit_is_refused_by_name(tmp_path: Path) -> None:
    lora = adapter(tmp_path / "a", 1)
    file = lora / "adapter_model.safetensors"
    whole = load_file(file)
    key = "base_model.model.model.layers.1.mlp.up_proj.lora_{}.weight"
    save_file({k: v for k, v in whole.items() if k != key.format("A")}, file)
    with pytest.raises(ModelError, match=r"one half only of model\.layers\.1\.mlp\.up_proj"):
        merge_adapter(TINY, lora, tmp_path / "out")
    save_file({k: v for k, v in whole.items() if k not in (key.format("A"), key.format("B"))}, file)
    with pytest.raises(ModelError, match=r"lacks factors for model\.layers\.1\.mlp\.up_proj\.weight"):
        merge_adapter(TINY, lora, tmp_path / "out")
    extra = {k.replace("layers.1.", "layers.9."): v.clone() for k, v in whole.items() if "layers.1." in k}
    save_file(whole | extra, file)
    with pytest.raises(ModelError, match=r"has no weight model\.layers\.9\.mlp"):
        merge_adapter(TINY, lora, tmp_path / "out")
    save_file(whole | {"base_model.model.lm_head.weight": torch.zeros(2)}, file)
    with pytest.raises(ModelError, match=r"unknown tensor .*lm_head"):
        merge_adapter(TINY, lora, tmp_path / "out")


def test_tied_embeddings_and_other_kinds_of_adapters_are_refused(exact_base: Path, tmp_path: Path) -> None:
    lora = adapter(tmp_path / "a", 1, target_modules=["q_proj", "lm_head"])
    with pytest.raises(ModelError, match="tied"):
        merge_adapter(TINY, lora, tmp_path / "out")
    for change in ({"use_dora": True}, {"rank_pattern": {"q_proj": 2}}, {"peft_type": "LOHA"}, {"bias": "all"}):
        plain = adapter(tmp_path / "b", 1)
        edit(plain, **change)
        with pytest.raises(ModelError, match="no plain LoRA"):
            merge_adapter(TINY, plain, tmp_path / "out")
    edit(adapter(tmp_path / "b", 1), r=8)
    with pytest.raises(ModelError, match="rank 4/4"):
        merge_adapter(TINY, tmp_path / "b", tmp_path / "out")


def test_nothing_is_merged_into_quantised_weights(tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(TINY, base)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "quantization_config": {"load_in_4bit": True}}))
    with pytest.raises(ModelError, match="quantised"):
        merge_adapter(base, adapter(tmp_path / "a", 1), tmp_path / "out")


def test_a_full_disk_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lora = adapter(tmp_path / "a", 1)
    monkeypatch.setattr(merge.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 99, 1))
    with pytest.raises(ModelError, match="GB left"):
        merge_adapter(TINY, lora, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a"]


def test_stacked_adapters_equal_merging_them_one_after_the_other(exact_base: Path, tmp_path: Path) -> None:
    chain = [("stage-1", adapter(tmp_path / "a", 1)), ("stage-2", adapter(tmp_path / "b", 2, r=8))]
    merge_adapter(exact_base, chain[0][1], tmp_path / "m1")
    merge_adapter(tmp_path / "m1", chain[1][1], tmp_path / "m2")
    stacked = attach_adapters(load_model(exact_base, Precision.FP32, "cpu"), chain)
    one, two = (load_model(tmp_path / m, Precision.FP32, "cpu") for m in ("m1", "m2"))
    ids = torch.tensor([pairs()[0].prompt_ids])
    with torch.inference_mode():
        assert torch.allclose(stacked(ids).logits, two(ids).logits, atol=1e-5 * float(two(ids).logits.abs().max()))
        with only_adapters(stacked, ["stage-1"]):
            assert torch.allclose(stacked(ids).logits, one(ids).logits, atol=1e-4)
    assert largest_difference(answers(stacked), answers(two)) < 1e-4
    assert not any(p.requires_grad for p in stacked.parameters())


def test_peft_loads_every_tensor_of_a_trained_adapter(tmp_path: Path) -> None:
    plan = Plan(tmp_path, "tiny", 5, Precision.FP32, 30.0, Memory())
    train_sft(
        load_model(TINY, Precision.FP32, "cpu"), tokens(), training_rows(), Sft(batch=8, epochs=1), Lora(r=4), plan
    )
    lora = tmp_path / "adapter"
    model = load_model(TINY, Precision.FP32, "cpu")
    attached = PeftModel.from_pretrained(model, lora)
    missing = attached.load_adapter(lora, adapter_name="again")
    assert not [key for key in missing.missing_keys if ".again." in key]
    assert not missing.unexpected_keys
    held, stored = get_peft_model_state_dict(attached), load_file(lora / "adapter_model.safetensors")
    assert held.keys() == stored.keys()
    assert all(torch.equal(held[name], stored[name]) for name in stored)
    assert merge_adapter(TINY, lora, tmp_path / "out").tensors == len(stored) / 2


def test_adapters_switched_off_are_the_base_and_come_back(exact_base: Path, tmp_path: Path) -> None:
    stacked = attach_adapters(
        load_model(exact_base, Precision.FP32, "cpu"),
        [("stage-1", adapter(tmp_path / "a", 1)), ("stage-2", adapter(tmp_path / "b", 2))],
    )
    before = answers(stacked)
    bare = answers(load_model(exact_base, Precision.FP32, "cpu"))
    with only_adapters(stacked, []):
        assert largest_difference(answers(stacked), bare) < 1e-5
    assert largest_difference(answers(stacked), before) < 1e-5
    assert largest_difference(before, bare) > 0.1
    with pytest.raises(ModelError, match="stage-3"), only_adapters(stacked, ["stage-3"]):
        pass


def test_the_merge_step_notes_its_check_and_keeps_weights_out_of_its_directory(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    (tmp_path / "run" / "stage-1" / "sft").mkdir(parents=True)
    assert "nothing was trained" in str(step.run(ctx))
    note = json.loads((ctx.out / "merge.json").read_text())
    assert (note["trained"], note["digest"]) == (False, directory_digest(TINY))

    adapter(tmp_path / "run" / "stage-1" / "sft" / "adapter", 1, lora_alpha=1)
    step.run(ctx)
    note = json.loads((ctx.out / "merge.json").read_text())
    merged = tmp_path / "run" / "scratch" / "merged-stage-1"
    assert note["digest"] == directory_digest(merged) != directory_digest(TINY)
    assert note["parity"]["mean"] < note["parity"]["tolerance"] < note["parity"]["rounding"] < note["parity"]["effect"]
    assert [p.name for p in ctx.out.iterdir()] == ["merge.json"]
    assert ctx.reporter.warnings == []  # type: ignore[attr-defined]

    edit(tmp_path / "run" / "stage-1" / "sft" / "adapter", lora_alpha=0.001)  # below the last digit of 16-bit weights
    step.run(ctx)
    assert ctx.reporter.warnings == ["merge_rounding"]  # type: ignore[attr-defined]


def test_a_merge_that_fails_its_check_leaves_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = context(tmp_path)
    lora = adapter(tmp_path / "run" / "stage-1" / "dpo" / "adapter", 1)
    whole = merge._read_adapter(lora)
    monkeypatch.setattr(merge, "_read_adapter", lambda _: dataclasses.replace(whole, scale=whole.scale * 1.01))
    with pytest.raises(StepError, match="not its base plus adapter"):
        step.run(ctx)
    assert list((tmp_path / "run" / "scratch").iterdir()) == []
    assert list(ctx.out.iterdir()) == []


def test_adapters_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="different names"):
        attach_adapters(None, [("x", tmp_path), ("x", tmp_path)])


def test_parity_holds_for_the_merge_and_fails_for_a_wrong_scale(exact_base: Path, tmp_path: Path) -> None:
    lora = adapter(tmp_path / "a", 1)
    merge_adapter(exact_base, lora, tmp_path / "out")
    reference = answers(attach_adapter(load_model(exact_base, Precision.FP32, "cpu"), lora))
    merged = answers(load_model(tmp_path / "out", Precision.FP32, "cpu"))
    found = parity.check(reference, merged, parity.tolerance(Precision.FP32))
    assert found.agreement == 1.0
    assert found.tokens == sum(len(p.response_ids) for p in pairs())
    edit(lora, lora_alpha=16)
    merge_adapter(exact_base, lora, tmp_path / "out")
    wrong = answers(load_model(tmp_path / "out", Precision.FP32, "cpu"))
    with pytest.raises(StepError, match="not its base plus adapter"):
        parity.check(reference, wrong, parity.tolerance(Precision.BF16))


def test_parity_of_numbers_that_are_none_is_no_success() -> None:
    nan = [TokenLogprobs((float("nan"),), (1,))]
    with pytest.raises(StepError, match="not its base"):
        parity.check(nan, nan, 1.0)
    with pytest.raises(StepError, match="no held prompt"):
        parity.check([], [], 1.0)


def test_rounding_to_16_bits_is_told_apart_from_a_wrong_merge(tmp_path: Path) -> None:
    lora = adapter(tmp_path / "a", 1)
    report = merge_adapter(TINY, lora, tmp_path / "out")
    attached = attach_adapter(load_model(TINY, Precision.FP32, "cpu"), lora)
    apart, expected = answers(attached), answers(parity.as_stored(attached, report.stored))
    merged = answers(load_model(tmp_path / "out", Precision.FP32, "cpu"))
    assert parity.check(expected, merged, parity.tolerance(Precision.FP32)).agreement == 1.0
    with pytest.raises(StepError, match="not its base plus adapter"):
        parity.check(apart, merged, parity.tolerance(Precision.FP32))


def test_a_large_models_check_runs_in_16_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parity.run_precision(TINY) is Precision.FP32
    monkeypatch.setattr(parity, "SMALL_BYTES", 1000)
    assert parity.run_precision(TINY) is Precision.BF16
    assert parity.tolerance(Precision.BF16) == 0.02
