"""Generation and choice scoring: batching, order and neighbours change nothing; stops are real stop strings."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from pipeline import prompts
from pipeline.engines import continuous, kernels
from pipeline.engines.base import ChoiceRequest, IdPair, Request
from pipeline.engines.decode import argmax, choose, find_stop, normalisers, signed, top, uniform, uniforms
from pipeline.engines.kernels import product
from pipeline.engines.transformers_engine import WAVE, TransformersEngine
from tests.pipeline.model_tools import model, tokens


@pytest.fixture(scope="module")
def engine() -> TransformersEngine:
    return TransformersEngine(model(), tokens(), batch_tokens=2048)


def request(text: str, **changes: object) -> Request:
    settings: dict[str, object] = {"max_new_tokens": 12, **changes}
    return Request(tuple(tokens().prompt(text)), **settings)  # type: ignore[arg-type]


TEXTS = [prompts.bare(f"Repeat the word {word}.") for word in ("apple", "river", "stone bridge over water", "sun")]


def test_greedy_text_equals_the_librarys_own_generate(engine: TransformersEngine) -> None:
    ours = engine.generate([request(TEXTS[0])])[0]
    ids = torch.tensor([tokens().prompt(TEXTS[0])])
    with torch.inference_mode():
        theirs = engine.model.generate(ids, max_new_tokens=12, do_sample=False, pad_token_id=tokens().pad)
    generated = theirs[0, ids.shape[1] :].tolist()
    if tokens().eos in generated:
        generated = generated[: generated.index(tokens().eos)]
    assert ours.raw == tokens().decode(generated)


def test_neighbours_and_order_do_not_change_a_greedy_or_a_sampled_answer(engine: TransformersEngine) -> None:
    for heat in (0.0, 0.8):
        asked = [request(t, temperature=heat, top_p=0.9, seed=i) for i, t in enumerate(TEXTS)]
        together = [c.raw for c in engine.generate(asked)]
        alone = [engine.generate([a])[0].raw for a in asked]
        backwards = [c.raw for c in engine.generate(asked[::-1])][::-1]
        assert together == alone == backwards


def test_equal_prompts_share_their_prefill_and_still_draw_by_their_own_seed(engine: TransformersEngine) -> None:
    asked = [request(TEXTS[2], temperature=1.0, seed=s, max_new_tokens=20) for s in range(6)]
    together = [c.raw for c in engine.generate(asked)]
    assert together == [engine.generate([a])[0].raw for a in asked]
    assert len(set(together)) > 1


def test_a_stop_string_cuts_before_itself_and_is_named(engine: TransformersEngine) -> None:
    free = engine.generate([request(TEXTS[0])])[0].raw
    stop = free[3:5]
    done = engine.generate([request(TEXTS[0], stops=(stop,))])[0]
    assert (done.finish, done.stop) == ("stop", stop)
    assert done.text == free[: free.index(stop)]


def test_the_limit_is_told_apart_from_an_end(engine: TransformersEngine) -> None:
    done = engine.generate([request(TEXTS[0], max_new_tokens=1)])[0]
    assert (done.finish, done.tokens) == ("length", 1)


def test_every_request_is_planned_exactly_once_and_the_plan_is_stable(engine: TransformersEngine) -> None:
    asked = [request("word " * (i % 7 + 1)) for i in range(50)]
    small = TransformersEngine(engine.model, tokens(), batch_tokens=80)
    plan = small.plan(asked)
    assert sorted(i for batch in plan for i in batch) == list(range(50))
    assert plan == small.plan(asked)
    widths = [(max(len(asked[i].prompt_ids) + 12 for i in b), [asked[i] for i in b]) for b in plan]
    assert all(width * len(rows) <= 80 * WAVE or len(rows) == 1 for width, rows in widths)
    assert all(width * small.rows(rows) <= 80 or small.rows(rows) == 1 for width, rows in widths)


def counted(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens of every pass from here on."""
    seen: list[int] = []
    forward = engine.forward

    def count(cache: Any, ids: torch.Tensor, *rest: Any) -> torch.Tensor:
        seen.append(len(ids))
        return forward(cache, ids, *rest)

    monkeypatch.setattr(engine, "forward", count)
    return seen


def test_rows_that_wait_take_the_place_of_those_that_end_and_write_the_same(engine: TransformersEngine) -> None:
    limits = (3, 20, 1, 12, 7, 16, 2)
    asked = [
        request(TEXTS[i % 4], max_new_tokens=n, temperature=0.9 * (i % 2), seed=i, stops=("re",))
        for i, n in enumerate(limits)
    ]
    narrow = TransformersEngine(engine.model, tokens(), batch_tokens=130)
    assert narrow.rows(asked) < len(asked)
    assert narrow.generate(asked) == [
        dataclasses.replace(c, mean_logprob=pytest.approx(c.mean_logprob, abs=1e-4))
        for a in asked
        for c in engine.generate([a])
    ]


def test_a_pass_reads_no_more_than_so_many_tokens_of_newcomers_and_tells_how_far_it_is(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [request(TEXTS[i % 4] + f" {i}", max_new_tokens=4 + i, seed=i) for i in range(8)]
    at_once = engine.generate(asked)
    most = 2 * max(len(a.prompt_ids) for a in asked)
    monkeypatch.setattr(continuous, "READ_CPU", most * engine.weights)
    seen, told = counted(engine, monkeypatch), list[tuple[int, int]]()
    assert [c.raw for c in engine.generate(asked, lambda ended, read: told.append((ended, read)))] == [
        c.raw for c in at_once
    ]
    assert max(seen) <= most + len(asked)  # and one token of every row at work
    assert told[0] == (0, 0)
    assert told == sorted(told)
    assert 0 < told[1][1] < len(asked) == told[-1][1]
    monkeypatch.setattr(continuous, "READ_CPU", 1)
    assert [c.raw for c in engine.generate(asked)] == [c.raw for c in at_once]  # one prompt may have more


def test_a_shared_beginning_is_read_once_and_best_of_many_reads_its_prompt_once(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = "Instruction: copy the words of the river and the stone.\n\n" * 3
    texts = [shared + tail for tail in ("one", "two", "three")]
    asked = [request(t, max_new_tokens=1, temperature=1.0, seed=s) for t in texts for s in range(4)]
    prompts_read = [len(a.prompt_ids) for a in asked]
    seen = counted(engine, monkeypatch)
    answers = engine.generate(asked)
    assert sum(seen) < min(prompts_read) + 3 * len("three") + 12
    monkeypatch.undo()
    assert [c.raw for c in answers] == [engine.generate([a])[0].raw for a in asked]


def test_a_text_that_is_over_ends_at_the_very_token_that_made_it_so(engine: TransformersEngine) -> None:
    free = engine.generate([request(TEXTS[2], max_new_tokens=30)])[0]
    assert free.tokens > 12
    lengths = range(1, free.tokens)
    asked = [request(TEXTS[2], max_new_tokens=30, over=lambda text, n=n: len(text) >= n) for n in lengths]
    for length, cut in zip(lengths, engine.generate(asked), strict=True):
        assert (cut.finish, cut.stop) == ("stop", None)
        assert cut.raw == free.raw[: len(cut.raw)]
        assert len(cut.raw) >= length > len(tokens().decode(tokens().encode(free.raw)[: cut.tokens - 1]))


def test_a_sliding_window_hides_the_same_keys_as_the_librarys_own_attention() -> None:
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=len(tokens().raw), hidden_size=64, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=1, head_dim=16, sliding_window=8,
        layer_types=["sliding_attention", "sliding_attention", "full_attention"],
        eos_token_id=tokens().eos, bos_token_id=None, pad_token_id=tokens().pad,
    )  # fmt: skip
    windowed = Gemma3ForCausalLM(config).eval()
    ids = torch.tensor([tokens().prompt(TEXTS[2])])
    with torch.inference_mode():
        theirs = windowed.generate(ids, max_new_tokens=20, do_sample=False, eos_token_id=None)[0, ids.shape[1] :]
    engine = TransformersEngine(windowed, tokens(), batch_tokens=2048)
    asked = [request(text, max_new_tokens=20) for text in TEXTS]
    ours = engine.generate(asked)[2]
    assert ours.raw == tokens().decode(theirs.tolist()[: ours.tokens])
    assert ours.tokens > 8


@pytest.mark.parametrize(
    ("machine", "native", "emulated"),
    [("x86_64", (), True), ("AMD64", (), True), ("x86_64", ("avx512_bf16",), False),
     ("x86_64", ("amx_tile",), False), ("arm64", (), False)],
)  # fmt: skip
def test_a_processor_without_units_for_bf16_is_known_by_its_flags(
    machine: str, native: tuple[str, ...], emulated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels.platform, "machine", lambda: machine)
    for flag in ("avx512_bf16", "amx_tile"):
        monkeypatch.setattr(torch.cpu, f"_is_{flag}_supported", lambda flag=flag: flag in native)
    assert kernels.emulates_bf16(torch.device("cpu")) is emulated
    assert not kernels.emulates_bf16(torch.device("meta"))


def test_bf16_products_summed_in_fp32_are_those_of_the_library_to_one_rounding() -> None:
    torch.manual_seed(0)
    for rows, inside, outside in ((5, 64, 70), (33, 640, 2051)):
        x, weight = torch.randn(rows, inside).bfloat16(), torch.randn(outside, inside).bfloat16()
        exact = x.double() @ weight.double().t()
        ours, theirs = product(x, weight), torch.nn.functional.linear(x, weight)
        assert ours.dtype is torch.bfloat16
        assert (ours.double() - exact).abs().max() <= (theirs.double() - exact).abs().max() * 1.01
        assert (ours != theirs).float().mean() < 0.01


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [False, True])
def test_packed_layers_give_what_the_layers_give(
    kind: torch.dtype, bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "emulates_bf16", lambda _device: True)
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(256, 640, bias), torch.nn.Linear(640, 300, bias), torch.nn.Linear(300, 64)
    )
    net = net.to(kind)
    asked = [torch.randn(2, rows, 256).to(kind) for rows in (1, 2, 7, 16, 40, 300)]
    exact = [net.double()(x.double()) for x in asked]
    net.to(kind)
    with torch.inference_mode():
        plain = [net(x) for x in asked]
        assert kernels.speed_up_products(net) == 2  # the last is too narrow
        packed = [net(x) for x in asked]
    for ours, theirs, true in zip(packed, plain, exact, strict=True):
        assert (ours.dtype, ours.shape) == (kind, theirs.shape)
        assert (ours.double() - true).abs().max() <= 1.5 * (theirs.double() - true).abs().max() + 1e-6
    assert net(asked[0]).requires_grad  # where gradients are wanted, the layers are what they were


def test_weights_that_were_changed_are_packed_anew_by_the_next_engine() -> None:
    layer, x = torch.nn.Linear(256, 256), torch.randn(9, 256)
    with torch.inference_mode():
        kernels.speed_up_products(layer)
        before = layer(x)
        layer.weight.mul_(2)
        layer.bias.mul_(2)
        kernels.speed_up_products(layer)
        assert torch.allclose(layer(x), 2 * before, atol=1e-4)


def test_without_room_for_copies_wide_layers_are_left_alone_and_bf16_ones_widened_in_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernels, "emulates_bf16", lambda _device: True)
    monkeypatch.setattr(kernels, "memory_bytes", lambda: 1000)
    assert kernels.speed_up_products(torch.nn.Linear(256, 256)) == 0
    layer = torch.nn.Linear(256, 256).bfloat16()
    x = torch.randn(9, 256).bfloat16()
    with torch.inference_mode():
        plain = layer(x)
        assert kernels.speed_up_products(layer) == 1
        assert (layer(x).float() - plain.float()).abs().max() < 0.02


def test_no_request_is_no_batch(engine: TransformersEngine) -> None:
    assert engine.plan([]) == []
    assert engine.plan_choices([]) == []


def test_shared_prefix_scores_equal_naive_ones(engine: TransformersEngine) -> None:
    prefix = tokens().prompt("Say yes or no.\n\nInstruction: one\nJudgement: A\n\n")
    tails = [tokens().encode(f"Instruction: {w}\nJudgement:") for w in ("two", "three hundred and five", "x")]
    labels = [tokens().encode(" A")[:1], tokens().encode(" B")[:1]]
    shared = engine.score_choices(prefix, [ChoiceRequest(tuple(t)) for t in tails], labels)
    for tail, scores in zip(tails, shared, strict=True):
        with torch.inference_mode():
            logits = engine.model(torch.tensor([prefix + tail])).logits[0, -1].float()
        naive = torch.log_softmax(logits, -1)
        assert scores == pytest.approx([float(naive[ids[0]]) for ids in labels], abs=1e-4)


def test_teacher_forced_log_probabilities_equal_naive_ones_in_any_company(engine: TransformersEngine) -> None:
    asked = [
        IdPair(tuple(tokens().prompt(text)), (*tokens().encode(f" {word}"), tokens().eos))
        for text, word in zip(TEXTS, ("apple", "a river of stone", "x", "sun"), strict=True)
    ]
    together = engine.logprobs(asked)
    alone = TransformersEngine(engine.model, tokens(), batch_tokens=1).logprobs(asked[::-1])[::-1]
    for one, other in zip(alone, together, strict=True):
        assert one.values == pytest.approx(other.values, abs=1e-4)
    for pair, found in zip(asked, together, strict=True):
        with torch.inference_mode():
            logits = engine.model(torch.tensor([[*pair.prompt_ids, *pair.response_ids]])).logits[0].float()
        logp = torch.log_softmax(logits, -1)[len(pair.prompt_ids) - 1 : -1]
        assert found.values == pytest.approx([float(logp[k, i]) for k, i in enumerate(pair.response_ids)], abs=1e-4)
        assert list(found.best) == logp.argmax(-1).tolist()
    assert engine.logprobs([IdPair(asked[0].prompt_ids, ())])[0].values == ()


def test_draws_are_uniform_and_depend_on_seed_and_index_alone() -> None:
    seeds = signed([s for s in (*range(99), (1 << 64) - 3) for _ in range(100)])
    draws = uniforms(seeds, torch.arange(100).repeat(100)).tolist()
    assert min(draws) >= 0.0 and max(draws) < 1.0
    assert abs(sum(draws) / len(draws) - 0.5) < 0.01
    assert len(set(draws)) == len(draws)
    assert uniform(7, 3) == draws[703]
    assert [uniform(0, 0), uniform(0, 1)] == [(z >> 11) / 2**53 for z in (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4)]


def test_top_p_never_takes_a_token_outside_the_nucleus_and_follows_the_distribution() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).repeat(4000, 1)
    draws = uniforms(torch.ones(4000, dtype=torch.long), torch.arange(4000))
    picks = choose(logits, torch.ones(4000), torch.full((4000,), 0.8), draws)[0].tolist()
    assert set(picks) == {0, 1}
    assert abs(picks.count(0) / 4000 - 0.625) < 0.03


def test_a_large_vocabulary_is_looked_through_in_groups_with_the_same_result() -> None:
    torch.manual_seed(0)
    logits = (torch.randn(6, 1 << 15) * 4).bfloat16()  # bf16: many are equal
    assert argmax(logits).tolist() == [row.float().argmax().item() for row in logits]
    values, ids = top(logits, 64)
    for row, best, places in zip(logits, values, ids, strict=True):
        assert best.tolist() == sorted(row.tolist(), reverse=True)[:64]
        assert row[places].tolist() == best.tolist()
        pairs = list(zip((-best.float()).tolist(), places.tolist(), strict=True))
        assert pairs == sorted(pairs)
    assert torch.allclose(normalisers(logits), torch.logsumexp(logits.float(), -1), atol=1e-5)


def test_the_earliest_stop_wins() -> None:
    assert find_stop("ab\nQ: c\n\n", ("\n\n", "\nQ:")) == (2, "\nQ:")
    assert find_stop("abc", ("x",)) is None
