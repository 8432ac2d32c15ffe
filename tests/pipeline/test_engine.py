"""Generation and choice scoring: batching, order and neighbours change nothing; stops are real stop strings."""

from __future__ import annotations

import pytest
import torch

from pipeline import prompts
from pipeline.engines.base import ChoiceRequest, IdPair, Request
from pipeline.engines.decode import choose, find_stop, uniform
from pipeline.engines.transformers_engine import TransformersEngine
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
    assert all(max(len(asked[i].prompt_ids) + 12 for i in b) * len(b) <= 80 or len(b) == 1 for b in plan)


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
    draws = [uniform(s, i) for s in range(100) for i in range(100)]
    assert min(draws) >= 0.0 and max(draws) < 1.0
    assert abs(sum(draws) / len(draws) - 0.5) < 0.01
    assert len(set(draws)) == len(draws)
    assert uniform(7, 3) == uniform(7, 3)


def test_top_p_never_takes_a_token_outside_the_nucleus_and_follows_the_distribution() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    picks = [choose(logits, [1.0], [0.8], [uniform(1, i)])[0][0] for i in range(4000)]
    assert set(picks) == {0, 1}
    assert abs(picks.count(0) / 4000 - 0.625) < 0.03


def test_the_earliest_stop_wins() -> None:
    assert find_stop("ab\nQ: c\n\n", ("\n\n", "\nQ:")) == (2, "\nQ:")
    assert find_stop("abc", ("x",)) is None
