"""`plan` says before the start what a recipe takes: checked against public numbers, and against itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.__main__ import main
from pipeline.errors import UsageError
from pipeline.forecast import command, machines, shapes, table
from pipeline.forecast.memory import need
from pipeline.forecast.outlook import Outlook
from pipeline.forecast.rates import seconds
from pipeline.forecast.work import Work, works
from pipeline.ledger import Account, Rates
from pipeline.models.resolve import TINY
from pipeline.plan import build
from pipeline.protocol import EXIT_OK, EXIT_USAGE
from pipeline.recipe import Lora, Model, Precision, Recipe
from pipeline.supervise import Outcome

QWEN = shapes.KNOWN["qwen2.5-32b"]
A100, H200, RTX = (machines.machine(name) for name in ("A100 80GB", "H200", "RTX 4090"))


def recipe(**changes: Any) -> Recipe:
    body: dict[str, Any] = {
        "name": "big",
        "description": "one stage on a large model",
        "model": {"id": "Qwen/Qwen2.5-32B"},
        "precision": {"train": "nf4", "generate": "int8", "evaluate": "int8"},
        "data": {"instructions": 6000, "answers": 4, "pairs": 2000},
        "hardware": {"device": "cuda"},
        "runtime": {"generate_tokens": 65536},
    }
    return Recipe.model_validate({**body, **changes})


def planned(given: Recipe, machine: machines.Machine = A100, **more: Any) -> table.Table:
    return table.table(given, build(given), QWEN, machine, **more)


def work(given: Recipe) -> dict[str, Work]:
    return works(given, build(given), QWEN)


def test_a_known_model_has_its_public_size() -> None:
    assert QWEN.linear + QWEN.embeddings == pytest.approx(32.76e9, rel=0.001)
    assert QWEN.linear == pytest.approx(31.2e9, rel=0.001)
    sizes = {p: QWEN.weight_bytes(p) / 1e9 for p in (Precision.BF16, Precision.INT8, Precision.NF4)}
    assert sizes == {
        Precision.BF16: pytest.approx(65.5, rel=0.01),
        Precision.INT8: pytest.approx(34.3, rel=0.01),
        Precision.NF4: pytest.approx(19.2, rel=0.01),
    }
    assert QWEN.cache_bytes(Precision.INT8) == 256 * 1024
    assert QWEN.adapter(Lora(r=32)) * 4 == pytest.approx(2 * 537e6, rel=0.01)  # fp32; 537 MB as it is stored in bf16


def test_a_model_on_this_machine_is_measured_by_its_configuration(tmp_path: Path) -> None:
    tiny = shapes.shape_of(Model(id="tiny"))
    assert tiny is not None
    config = json.loads((TINY / "config.json").read_text())
    wanted = (config["num_hidden_layers"], config["hidden_size"], config["vocab_size"])
    assert (tiny.layers, tiny.hidden, tiny.vocab) == wanted
    (tmp_path / "config.json").write_text('{"hidden_size": 8}')
    assert shapes.shape_of(Model(id=str(tmp_path))) is None
    assert shapes.shape_of(Model(id="somebody/unheard-of")) is None


def test_the_limits_of_a_machine_are_those_of_its_data_sheet() -> None:
    one = Work(steps=1, written=1, precision=Precision.BF16)
    ceiling = 1 / seconds(one, QWEN, A100).busy * (1 / machines.REACHED["write"][Precision.BF16])
    assert ceiling == pytest.approx(31, rel=0.03)  # one bf16 stream, tokens a second
    trained = Work(trained=1e6, passes=3, updates=1, precision=Precision.NF4)
    ceiling = 1e6 / seconds(trained, QWEN, A100).busy / machines.REACHED["train"][Precision.NF4]
    assert ceiling == pytest.approx(1626, rel=0.03)  # with recomputed layers
    read = Work(read=1e6, batches=1, precision=Precision.BF16)
    ceiling = 1e6 / seconds(read, QWEN, A100).busy / machines.REACHED["read"][Precision.BF16]
    assert ceiling == pytest.approx(4900, rel=0.05)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("NVIDIA A100-SXM4-80GB, 81920 MiB", "A100 80GB"),
        ("NVIDIA H100 80GB HBM3, 81559 MiB", "H100"),
        ("NVIDIA H200, 143771 MiB", "H200"),
        ("NVIDIA L40S, 46068 MiB", "L40S"),
        ("NVIDIA GeForce RTX 4090, 24564 MiB", "RTX 4090"),
        ("NVIDIA A100-SXM4-40GB, 40960 MiB", None),
        ("Tesla T4, 15360 MiB", None),
    ],
)
def test_a_card_is_known_by_what_its_driver_says(said: str, name: str | None) -> None:
    found = machines.find(said)
    assert (None if found is None else found.name) == name


def test_an_unknown_gpu_is_refused_with_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match=r"no machine called 'T4'.*A100 80GB, H100, H200, L40S, RTX 4090, CPU"):
        machines.machine("T4")
    assert main(["plan", "--recipe", "smoke", "--gpu", ""]) == EXIT_USAGE
    assert "RTX 4090" in capsys.readouterr().err
    assert machines.machine("a100") == A100


def test_stage_one_at_full_size_keeps_its_target_on_an_a100() -> None:
    found = planned(recipe(), price=1.74)
    hours, usd = found.stages()[1][0] / 3600, found.stages()[1][1]
    assert 0.5 < hours < 3
    assert usd == pytest.approx(hours * 1.74)
    lines = {line.step: line for line in found.lines}
    assert 100 < (lines["stage-1/answer"].rate or 0) < 1000  # written tokens a second, in static batches
    assert 150 < (lines["stage-1/sft"].rate or 0) < 730  # trained ones
    faster = planned(recipe(precision={"train": "bf16", "generate": "bf16", "evaluate": "bf16"}), H200)
    assert faster.seconds < found.seconds


def test_one_hundred_examples_take_a_quarter_of_an_hour_after_loading() -> None:
    small = recipe(data={"instructions": 100, "pairs": 50, "calibration_items": 60}, evaluation={"items": 120})
    found = work(small)
    busy = sum(seconds(w, QWEN, A100).busy for name, w in found.items() if not name.endswith("merge"))
    assert busy < 15 * 60


def test_work_follows_the_recipe() -> None:
    once, twice = work(recipe()), work(recipe(data={"instructions": 12000, "answers": 4, "pairs": 2000}))
    for step in ("generate", "answer", "critique", "sft"):
        a, b = once[f"stage-1/{step}"], twice[f"stage-1/{step}"]
        assert 1.7 < (b.read + b.written + b.trained) / (a.read + a.written + a.trained) <= 2.0
    assert twice["stage-1/dpo"] == once["stage-1/dpo"]  # as many pairs
    epochs = work(recipe(train={"sft": {"epochs": 6}}))
    assert epochs["stage-1/sft"].trained == pytest.approx(3 * once["stage-1/sft"].trained)
    samples = work(recipe(data={"instructions": 6000, "answers": 8, "pairs": 2000}))
    assert samples["stage-1/answer"].written == pytest.approx(2 * once["stage-1/answer"].written)
    assert samples["stage-1/answer"].read == once["stage-1/answer"].read  # equal prompts are computed once
    items = work(recipe(evaluation={"items": 300}))
    assert items["stage-1/evaluate"].written < once["stage-1/evaluate"].written


def test_later_stages_measure_earlier_sets_and_revise_in_rounds() -> None:
    chain = work(recipe(stages=[1, 2, 3]))
    assert chain["stage-3/evaluate"].written > chain["stage-2/evaluate"].written > chain["stage-1/evaluate"].written
    assert chain["stage-2/sft"].trained > chain["stage-1/sft"].trained  # rows of earlier stages are rehearsed
    assert chain["stage-1/revise"] == Work()
    data = {"instructions": 6000, "revision_rounds": {2: 2, 3: 4}}
    revised = work(recipe(stages=[1, 2, 3], data=data))
    assert revised["stage-3/revise"].written > 1.5 * revised["stage-2/revise"].written > 0
    assert revised["stage-3/critique"].read > chain["stage-3/critique"].read  # revisions are judged too


def test_further_models_are_counted_each_by_its_own_size() -> None:
    guard = {"model": "meta-llama/Llama-Guard-3-8B"}
    named = {"reference": {"id": "Qwen/Qwen2.5-32B-Instruct"}, "alt_base": {"id": "tiny"}}
    given = recipe(data={"instructions": 6000, "pairs": 2000, "safety": guard}, evaluation=named)
    sizes = command.sizes_of(given)
    found = table.table(given, build(given), sizes[""], A100, further=sizes)
    lines = {line.step: line for line in found.lines}
    own = work(given)["stage-1/critique"]
    judged = work(given)["stage-1/safety"]
    assert 0 < judged.read < own.read  # asked once, not in every order
    assert judged.written > 0  # what is unsafe is named
    weights = {n.step: n.parts["weights"] for n in found.needs}
    assert weights["stage-1/safety"] == pytest.approx(8.6e9, rel=0.1)  # 8B in 8 bits, embeddings in 16
    assert weights["stage-0/reference"] == weights["stage-0/evaluate"]
    assert weights["stage-0/alt_base"] < 2e6
    assert lines["stage-0/reference"].written < lines["stage-0/evaluate"].written  # one condition of three
    assert lines["stage-0/reference"].seconds > 5 * lines["stage-0/alt_base"].seconds > 0
    more = recipe(data={"instructions": 12000, "pairs": 2000, "safety": guard}, evaluation=named)
    assert work(more)["stage-1/safety"].read == pytest.approx(2 * judged.read, rel=0.05)


def test_a_later_attempt_measures_further_models_on_its_block_alone() -> None:
    given = recipe(stages=[1, 2], evaluation={"reference": {"id": "tiny"}})
    found = works(given, build(given, {2: 2}), QWEN)
    assert 0 < found["stage-2/reference"].written < found["stage-0/reference"].written


def test_a_further_model_of_unknown_size_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strange = recipe(evaluation={"reference": {"id": "somebody/unheard-of"}})
    with pytest.raises(UsageError, match=r"the size of somebody/unheard-of \(evaluation.reference\) is unknown"):
        command.sizes_of(strange)
    found = outlook(tmp_path, HERE, strange)
    assert found.step("stage-0/reference") is None
    assert found.step("stage-0/evaluate") is not None
    assert found.later("stage-0/evaluate") is None  # one of them is unknown
    overlay = 'data.safety={"model": "meta-llama/Llama-Guard-3-8B"}'
    assert main(["plan", "--recipe", "qwen2.5-32b-a100", "--set", overlay]) == EXIT_OK
    assert "stage-1/safety" in capsys.readouterr().out


def test_a_second_opinion_costs_little_beside_its_stage() -> None:
    found = work(recipe(stages=[5, 6]))
    judged = found["stage-6/judge"]
    assert "stage-5/judge" not in found
    assert judged.written == 0 < judged.read
    whole = sum(seconds(one, QWEN, A100).total for name, one in found.items() if name.startswith("stage-6/"))
    assert 0 < seconds(judged, QWEN, A100).total < 0.05 * whole
    alone = work(recipe(stages=[6]))["stage-6/judge"]
    assert alone.read < judged.read  # no model of a stage before


def test_training_that_is_switched_off_costs_nothing() -> None:
    assert work(recipe(train={"dpo": {"enabled": False}}))["stage-1/dpo"] == Work()
    assert work(recipe(train={"sft": {"enabled": False}}))["stage-1/sft"] == Work()


def test_memory_is_the_sum_of_its_parts_against_the_card() -> None:
    fits, small = planned(recipe()).fullest, planned(recipe(), RTX)
    assert fits is not None
    assert fits.fits
    assert fits.total >= sum(fits.parts.values())
    assert fits.parts["weights"] == pytest.approx(34.5e9, rel=0.01)
    assert not [n for n in small.needs if n.fits and n.parts["weights"] > RTX.memory]
    assert "DOES NOT FIT" in table.text(small)
    assert table.as_dict(small)["fits"] is False


def test_what_makes_a_batch_larger_takes_more_memory() -> None:
    def held(given: Recipe, step: str) -> float:
        found = need(step, work(given)[step], QWEN, given, A100)
        assert found is not None
        return found.total

    assert held(recipe(runtime={"generate_tokens": 8192}), "stage-1/answer") < held(recipe(), "stage-1/answer")
    wide = recipe(train={"sft": {"batch": 64}})
    assert held(recipe(train={"sft": {"batch": 64, "micro_batch": 8}}), "stage-1/sft") < held(wide, "stage-1/sft")
    assert held(recipe(train={"sft": {"batch": 64}, "gradient_checkpointing": True}), "stage-1/sft") < held(
        wide, "stage-1/sft"
    )
    assert need("stage-1/gate", work(recipe())["stage-1/gate"], QWEN, recipe(), A100) is None


def test_the_budget_is_judged() -> None:
    assert planned(recipe(budget={"usd": 1.0}), price=1.74).budget() == {"usd": "over"}
    assert planned(recipe(budget={"usd": 500.0, "deadline_hours": 20})).budget() == {
        "usd": "unknown",
        "deadline": "under",
    }
    assert planned(recipe(budget={"usd": 500.0}), price=1.74).budget() == {"usd": "under"}
    dear = planned(recipe(budget={"usd": 1.0}), price=1.74, count=4)
    assert dear.usd == pytest.approx(4 * (planned(recipe(), price=1.74).usd or 0))
    assert "one GPU works" in table.text(dear)
    assert planned(recipe()).usd is None
    assert "?" in table.text(planned(recipe()))


def test_a_measured_step_replaces_the_bound_and_says_so(tmp_path: Path) -> None:
    rates = Rates(tmp_path, "NVIDIA H200", "Qwen/Qwen2.5-32B", "big")
    bound = {line.step: line for line in planned(recipe()).lines}
    expected = seconds(work(recipe())["stage-1/answer"], QWEN, A100).busy
    rates.record("stage-1/answer", Account(busy=100.0, loading=30.0, planned=expected, precision="int8"))
    found = {line.step: line for line in planned(recipe(stages=[1, 2]), measured=rates).lines}
    assert found["stage-1/answer"].seconds == pytest.approx(130.0)
    assert found["stage-1/answer"].source == "measured"
    assert found["stage-2/answer"].source == "measured"  # by its kind, scaled by its work
    assert found["stage-2/answer"].seconds > 130.0
    assert found["stage-1/critique"].source == "bound × reached"
    assert found["stage-1/critique"].seconds != pytest.approx(bound["stage-1/critique"].seconds)
    elsewhere = {line.step: line for line in planned(recipe(precision={"generate": "nf4"}), measured=rates).lines}
    assert elsewhere["stage-1/answer"].source == "bound × efficiency"  # nothing was measured at this precision


def test_what_is_done_costs_nothing_more() -> None:
    found = planned(recipe(), price=2.0, done=lambda step: step in ("stage-0/evaluate", "stage-1/answer"))
    states = {line.step: (line.state, line.seconds) for line in found.lines}
    assert states["stage-1/answer"] == ("done", 0.0)
    assert states["stage-1/critique"][0] == "to do"
    assert "reused" in table.text(found)
    assert found.seconds < planned(recipe(), price=2.0).seconds


@pytest.mark.parametrize(
    "name", ["smoke", "demo", "bootstrap-270m", "qwen2.5-32b-a100-pilot", "qwen2.5-32b-a100", "qwen2.5-32b-h200"]
)
def test_every_recipe_has_a_plan(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--recipe", name, "--price", "2", "--json"]) == EXIT_OK
    found = json.loads(capsys.readouterr().out)
    assert found["fits"] is True
    assert found["usd"] == pytest.approx(found["seconds"] / 1800, rel=0.01)
    assert found["steps"][-1]["running_usd"] == pytest.approx(found["usd"])
    assert sum(s["seconds"] for s in found["stages"].values()) == pytest.approx(found["seconds"], rel=0.01)
    assert all(s["seconds"] > 0 for s in found["steps"] if s["tokens_in"] or s["tokens_trained"])


def outlook(tmp_path: Path, hardware: dict[str, Any], given: Recipe, **more: Any) -> Outlook:
    rates = Rates(tmp_path, "here", given.model.id, given.name)
    return Outlook(given, build(given), hardware, rates, **more)


HERE = {"device": "cuda", "gpu": "NVIDIA H200, 143771 MiB"}


def test_a_run_on_a_new_machine_is_foretold_from_its_limits_and_then_from_itself(tmp_path: Path) -> None:
    given = recipe(stages=[1, 2])
    found = outlook(tmp_path, HERE, given)
    before = found.step("stage-2/answer")
    assert before is not None
    assert not before.measured
    last = Outcome("done", seconds=505.0, tokens=9, until_work=25.0)
    found.record("stage-1/answer", {"seconds": 500.0, "tokens": 900, "summary": {}}, last, 0.0)
    after = found.step("stage-2/answer")
    assert after is not None
    assert after.measured
    assert after.seconds > 500
    own = found.step("stage-1/answer")
    assert own is not None
    assert own.seconds == pytest.approx(500.0)
    assert own.busy == pytest.approx(480.0)  # five of the 25 s before the first answer were the process's start


def test_training_is_foretold_by_the_rows_that_were_kept_once_they_are(tmp_path: Path) -> None:
    given = recipe(stages=[1, 2])
    expected = work(given)["stage-1/sft"].examples
    left = {"stage-1/filter": {"kept": round(expected), "rehearsed": 0}, "stage-2/filter": {"kept": 9, "rehearsed": 1}}
    found, blind = outlook(tmp_path, HERE, given, told=left.get), outlook(tmp_path / "blind", HERE, given)
    first, before = found.step("stage-1/sft"), blind.step("stage-1/sft")
    assert first is not None
    assert before is not None
    assert first.busy == pytest.approx(before.busy, rel=0.05)  # what was expected
    found.record("stage-1/sft", {"seconds": 100.0, "tokens": 900, "summary": {}}, Outcome("done", 100.0, None), 0.0)
    fewer = found.step("stage-2/sft")
    assert fewer is not None
    assert fewer.busy == pytest.approx(100 * 10 / expected, rel=0.3)  # by the rows, not by the plan


def test_training_is_foretold_by_the_text_that_was_kept_however_long_its_rows_are(tmp_path: Path) -> None:
    given = recipe(stages=[1, 2])
    short, long = ({"kept": 50, "rehearsed": 50, "characters": count} for count in (20_000, 40_000))
    left = {"stage-1/filter": short, "stage-2/filter": long, "stage-2/pairs": {"pairs": 50, "characters": 40_000}}
    found = outlook(tmp_path, HERE, given, told=left.get)
    found.record("stage-1/sft", {"seconds": 100.0, "tokens": 900, "summary": {}}, Outcome("done", 100.0, None), 0.0)
    longer, pairs = found.step("stage-2/sft"), found.step("stage-2/dpo")
    assert longer is not None
    assert pairs is not None
    assert longer.busy == pytest.approx(200, rel=0.1)
    assert pairs.busy > 0


def test_a_step_that_was_skipped_says_nothing_about_its_kind(tmp_path: Path) -> None:
    found = outlook(tmp_path, HERE, recipe(stages=[1, 2]))
    manifest = {"seconds": 0.1, "tokens": None, "summary": {"skipped": "no headroom"}}
    found.record("stage-1/answer", manifest, Outcome("done", 1.0, None), 0.0)
    later = found.step("stage-2/answer")
    assert later is not None
    assert not later.measured


def test_the_rest_of_a_run_is_the_sum_of_what_is_not_done(tmp_path: Path) -> None:
    given = recipe()
    whole = outlook(tmp_path, HERE, given).later("stage-1/answer")
    some = outlook(tmp_path, HERE, given, done=lambda step: step == "stage-1/critique").later("stage-1/answer")
    critique = outlook(tmp_path, HERE, given).step("stage-1/critique")
    assert whole is not None
    assert some is not None
    assert critique is not None
    assert whole - some == pytest.approx(critique.seconds)
    assert outlook(tmp_path, HERE, given).later(build(given)[-1].name) == 0


def test_an_unknown_machine_or_model_foretells_nothing(tmp_path: Path) -> None:
    unknown = outlook(tmp_path, {"device": "cuda", "gpu": "Tesla T4"}, recipe())
    assert unknown.step("stage-1/answer") is None
    assert unknown.later("stage-1/answer") is None
    foreign = recipe(model={"id": "somebody/unheard-of"})
    assert outlook(tmp_path, HERE, foreign).step("stage-1/answer") is None
