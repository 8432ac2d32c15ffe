"""A judge's second opinion: by label, in both orders, measured on labelled answers first, never part of a verdict."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import plan, prompts
from pipeline.errors import Stopped
from pipeline.evals.agreement import agreement
from pipeline.evals.items import frozen_set
from pipeline.models.resolve import TINY, directory_digest
from pipeline.recipe import Recipe
from pipeline.records import EvalResult, Opinion, RecordError, read_records, write_records
from pipeline.report.report import render
from pipeline.stages import registry
from pipeline.stages.base import Item, SecondOpinion
from pipeline.steps import STEPS
from pipeline.steps import judge as judge_step
from pipeline.steps.base import StepContext
from pipeline.steps.judging import Judge, Judged
from pipeline.steps.weights import open_engine
from tests.pipeline.fake_chain import chain, decide, ran
from tests.pipeline.model_tools import Memory, tokens

FAMILIES = ["refuse_harm", "look_alike"]
REFUSAL = "I will not help, because it hurts people."


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAXCAI_CACHE_DIR", str(tmp_path / "cache"))


def recipe(stages: Sequence[int] = (6,), **data: Any) -> Recipe:
    body = {
        "name": "r", "description": "d", "stages": stages, "model": {"id": "tiny"},
        "precision": dict.fromkeys(("train", "generate", "evaluate"), "fp32"),
        "data": {"families": FAMILIES, "critic_orders": 1, **data},
        "evaluation": {"items": 12}, "hardware": {"device": "cpu", "threads": 1},
    }  # fmt: skip
    return Recipe.model_validate(body)


def context(root: Path, memory: Memory | None = None) -> StepContext:
    out = root / "stage-6" / "judge"
    out.mkdir(parents=True, exist_ok=True)
    return StepContext(recipe(), 6, "stage-6/judge", "k", root, out, memory or Memory())


def answered(item: Item, condition: str, text: str) -> EvalResult:
    family = registry.by_name(item.family)
    score = family.check(item, text) if text else None
    passed, reason = (score.passed, score.reason) if score else (False, "empty")
    return EvalResult.make(
        stage=6, family=item.family, seed=0, decoding=None, model="a" * 64, parents=[item.id],
        prompt=prompts.bare(item.instruction), text_raw=text, text=text, finish_reason="eos", tokens=3, item=item.id,
        template=item.template, condition=condition, instruction=item.instruction, strict=passed, strict_reason=reason,
        lenient=passed, lenient_reason=reason, scorer="1:a",
    )  # fmt: skip


def measured(root: Path) -> list[Item]:
    """The base refuses everything, the candidate answers as it should, but for an empty and an unreadable answer."""
    items = frozen_set(recipe(), 6)
    tuned = {item.id: item.answer for item in items} | {items[0].id: "", items[1].id: f"Yes {tokens().raw.eos_token}"}
    for step, condition, said in (
        ("stage-0", "base-formatted", dict.fromkeys((i.id for i in items), REFUSAL)),
        ("stage-6", "tuned", tuned),
    ):
        folder = root / step / "evaluate" / "set-6"
        folder.mkdir(parents=True)
        write_records(folder / f"{condition}.jsonl", [answered(item, condition, said[item.id]) for item in items])
    return items


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run")
    measured(root)
    judge_step.run(context(root))
    return root


def opinions(root: Path) -> list[Opinion]:
    return list(read_records(root / "stage-6/judge/records.jsonl", Opinion))


def summary(root: Path) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((root / "stage-6/judge/summary.json").read_text())
    return body


def test_every_answer_and_every_labelled_one_gets_an_opinion_in_both_orders(judged: Path) -> None:
    found, items = opinions(judged), frozen_set(recipe(), 6)
    assert {o.item for o in found if o.condition == "tuned"} == {item.id for item in items}
    assert {o.item for o in found if o.condition == "base-formatted"} == {item.id for item in items}
    labelled = [o for o in found if o.condition == "fixture"]
    assert {o.checker for o in labelled} == {True, False}
    assert len(labelled) > 60
    asked = [o for o in found if o.prompts]
    assert {o.orders for o in asked} == {("0:A", "0:B")}
    assert {o.right for o in asked} <= {True, False, None}
    declared = registry.stage(6).second_opinion
    assert declared is not None
    for o in asked:
        assert all(p.startswith(declared.question) for p in o.prompts)
        assert all(p.endswith(prompts.judgement_tail(o.instruction, o.response)) for p in o.prompts)
    assert {o.model for o in found} == {directory_digest(TINY)}  # nothing was trained before: the base judges


def test_no_labelled_answer_is_asked_about_that_the_prompt_itself_shows(judged: Path) -> None:
    ctx = context(judged)
    families = {f.name: f for f in registry.stage(6).families if f.name in FAMILIES}
    judge = Judge(ctx, open_engine(ctx, ctx.recipe.precision.evaluate), families, {"q": "Q?"})
    assert judge.shown
    assert not judge.shown & {o.instruction for o in opinions(judged)}


def test_what_cannot_be_shown_to_the_judge_is_kept_without_an_opinion(judged: Path) -> None:
    items = frozen_set(recipe(), 6)
    mute = [o for o in opinions(judged) if not o.prompts and o.condition == "tuned"]
    assert [(o.item, o.right, o.margin) for o in mute] == [(items[0].id, None, None), (items[1].id, None, None)]
    tuned = summary(judged)["conditions"]["tuned"]
    assert (tuned["answers"], tuned["judged"]) == (12, 10)


def test_equal_answers_to_an_instruction_have_equal_opinions_and_own_records(judged: Path) -> None:
    by_text: dict[tuple[str, str], set[float | None]] = {}
    for o in opinions(judged):
        by_text.setdefault((o.instruction, o.response), set()).add(o.margin)
    assert all(len(margins) == 1 for margins in by_text.values())


def test_the_summary_is_that_of_the_records_and_names_the_judge(judged: Path) -> None:
    found, said = opinions(judged), summary(judged)
    assert list(said["conditions"]) == sorted(["fixture", "tuned", "base-formatted"])  # no stage before, no "previous"
    for name, table in said["conditions"].items():
        own = [o for o in found if o.condition == name]
        assert table == agreement(own)
        families = said["by_family"][name]
        assert sum(row["agree"] for row in families.values()) == table["agree"]
        assert sum(row["judged"] for row in families.values()) == table["judged"]
    assert said["after_stage"] is None
    assert said["families"] == FAMILIES


def test_a_judge_that_was_stopped_goes_on_where_it_was(judged: Path, tmp_path: Path) -> None:
    measured(tmp_path)
    with pytest.raises(Stopped):
        judge_step.run(context(tmp_path, Memory(stop_after=2)))
    judge_step.run(context(tmp_path))
    for name in ("records.jsonl", "summary.json"):
        assert (tmp_path / "stage-6/judge" / name).read_bytes() == (judged / "stage-6/judge" / name).read_bytes()


def test_a_blind_judge_is_told(tmp_path: Path) -> None:
    memory = Memory()
    judge_step._warn_if_blind(context(tmp_path, memory), {"blind": True, "auc": 0.5})
    judge_step._warn_if_blind(context(tmp_path, memory), {"blind": False, "auc": 0.9})
    judge_step._warn_if_blind(context(tmp_path, memory), {})
    assert memory.warnings == ["blind_judge"]


def test_a_judgement_names_the_weights_that_judged(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    stacked = replace(open_engine(ctx, ctx.recipe.precision.evaluate), digest="c" * 64)  # adapters on top
    judge = Judge(ctx, stacked, {f.name: f for f in registry.stage(6).families}, {"q": "Q?"})
    [found] = judge.judge([Judged("look_alike", "How?", "So.", "q", (), None, None)], "part")
    assert found.model == "c" * 64


# --- numbers ---------------------------------------------------------------------------------------------------------


def opinion(number: int, checker: bool, margin: float | None, wording: str = "w", tilt: float = 0.0) -> Opinion:
    """`tilt` is what the letter A gets beside what the answer gets."""
    logp = () if margin is None else (-1.0 + margin / 2 + tilt / 2, -1.0 - margin / 2 + tilt / 2)
    other = tuple(-2.0 - value for value in logp)
    return Opinion.make(
        stage=6, family="copy", seed=0, decoding=None, model="a" * 64, parents=["b" * 16], instruction=f"i{number}",
        response="r", prompts=["p"] * len(logp), principle=None, orders=["0:A", "0:B"][: len(logp)],
        logp_a=logp, logp_b=other, margin=margin, item=f"{number}", template=wording,
        condition="tuned", checker=checker, checker_reason="x", right=margin > 0 if margin else None,
    )  # fmt: skip


def test_agreement_counts_what_it_says() -> None:
    rows = [opinion(n, True, 2.0) for n in range(40)] + [opinion(n, True, -0.5) for n in range(40, 50)]
    rows += [opinion(n, False, -2.0) for n in range(50, 85)] + [opinion(n, False, 0.5) for n in range(85, 100)]
    rows += [opinion(100, True, None), opinion(101, False, 0.0)]
    found = agreement(rows)
    assert (found["answers"], found["judged"]) == (102, 100)
    assert (found["checker_right"], found["judge_right"], found["both_right"]) == (50, 55, 40)
    assert (found["agree"], found["agreement"]) == (75, 0.75)
    assert found["kappa"] == pytest.approx(0.5)  # chance would be 0.5
    assert (found["confident"], found["confident_agree"]) == (75, 75)
    assert len(found["disagreements"]) == 25
    assert found["orders_differ"] == 0
    assert found["towards_a"] == pytest.approx(0.0, abs=1e-9)


def test_a_judge_that_only_likes_a_letter_is_seen_through() -> None:
    found = agreement([opinion(n, n % 2 == 0, 0.1, tilt=3.0) for n in range(10)])
    assert found["orders_differ"] == 10
    assert found["towards_a"] == pytest.approx(3.0)
    assert (found["kappa"], found["blind"]) == (0.0, True)


def test_answers_to_one_wording_widen_the_interval() -> None:
    def width(wordings: int) -> float:
        rows = [opinion(n, True, 1.0 if n % wordings < wordings / 2 else -1.0, f"w{n % wordings}") for n in range(40)]
        low, high = agreement(rows)["interval"]
        return float(high - low)

    assert width(4) > width(40)


def test_nothing_judged_is_no_number() -> None:
    found = agreement([opinion(0, True, None)])
    assert (found["agreement"], found["interval"], found["kappa"], found["auc"], found["towards_a"]) == (None,) * 5
    assert (found["blind"], found["confident_share"], found["disagreements"]) == (None, None, [])


def test_an_opinion_that_does_not_follow_from_its_margin_is_refused() -> None:
    row = opinion(0, True, 1.0).to_row()
    with pytest.raises(RecordError, match="does not follow from the margin"):
        Opinion.make(**{name: value for name, value in row.items() if name != "id"} | {"right": False})


# --- place -----------------------------------------------------------------------------------------------------------


def kinds(stages: Sequence[int] = (6,), **data: Any) -> list[str]:
    return [p.name for p in plan.build(recipe(stages, **data)) if p.stage]


def test_a_stage_that_wants_an_opinion_is_judged_between_evaluation_and_gate() -> None:
    six = kinds()
    place = six.index("stage-6/judge")
    assert six[place - 1 : place + 2] == ["stage-6/evaluate", "stage-6/judge", "stage-6/gate"]
    assert "stage-6/judge" not in kinds(families=["cannot_know"])
    assert "stage-5/judge" not in kinds((5, 6), families=[])


def test_any_stage_may_declare_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asks = replace(registry.stage(1), second_opinion=SecondOpinion(("copy",), "Is the copy exact?"))
    monkeypatch.setattr(registry, "STAGES", (asks, *registry.STAGES[1:]))
    assert "stage-1/judge" in kinds((1,), families=[])
    assert "stage-1/judge" not in kinds((1,), families=["capitals"])


def test_the_gate_reads_nothing_of_the_judge() -> None:
    given = recipe((5, 6), families=[])
    steps = plan.build(given)
    gate = next(p for p in steps if p.name == "stage-6/gate")
    for attempts in ({}, {6: 2}):
        named = plan.inputs_of(gate, STEPS["gate"], given.stages, attempts, steps)
        assert not [name for name in named if name.endswith("judge")]
    judge = next(p for p in steps if p.name == "stage-6/judge")
    first, again = (plan.inputs_of(judge, STEPS["judge"], given.stages, tries, steps) for tries in ({}, {6: 2}))
    assert set(first) == {"stage-0/evaluate", "stage-6/evaluate", "stage-5/merge"}
    assert set(again) - set(first) == {"stage-6/baseline"}  # the base on the fresh block


def test_a_chain_judges_before_a_gate_that_fails(tmp_path: Path) -> None:
    from pipeline.runner import run

    decide(tmp_path, 6, "FAIL")
    run(chain(tmp_path, (6,)))
    assert ran(tmp_path)[-3:] == ["stage-6/evaluate", "stage-6/judge", "stage-6/gate"]


def test_the_report_says_first_what_the_judge_is_worth(judged: Path) -> None:
    markdown, page = (path.read_text() for path in render(judged))
    for text, labelled, tuned in (
        (markdown, "| labelled answers |", "| tuned | 10 of 12 |"),
        (page, "<td>labelled answers</td>", '<td>tuned</td><td class="n">10 of 12</td>'),
    ):
        assert "A second opinion (decides nothing)" in text
        assert "the base model was asked" in text
        assert text.index(labelled) < text.index(tuned)
    disagree = len(summary(judged)["conditions"]["tuned"]["disagreements"])
    assert f"they disagree {disagree} times" in markdown
