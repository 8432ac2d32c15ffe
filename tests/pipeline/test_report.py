"""A report shows what the run's files say, says what is missing, and cannot be broken by what a model wrote."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import example_run as example
import pytest

from pipeline.gates import Decision
from pipeline.protocol import Event, Verdict, parse_line
from pipeline.report import failing, wording
from pipeline.report.answer import answer
from pipeline.report.reading import RunFiles
from pipeline.report.report import render
from pipeline.report.timeline import timeline


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run")
    example.whole_run(root)
    render(root)
    return root


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("chain")
    example.whole_chain(root)
    render(root)
    return root


@pytest.fixture
def two(chain: Path, tmp_path: Path) -> Path:
    """A private copy of a finished chain of two stages."""
    return Path(shutil.copytree(chain, tmp_path / "two"))


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A private copy of a finished run."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


class Page(HTMLParser):
    """Tags in the order they come, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def texts(root: Path) -> tuple[str, str]:
    md, html = render(root)
    return md.read_text(), html.read_text()


def test_the_answer_comes_first_with_its_numbers(finished: Path) -> None:
    text = (finished / "report.md").read_text()
    first = text.split("\n\n")[1]
    assert first.startswith("Stage 1 (explicit) passed its gate.")
    assert "118 of 120 held-out instructions" in first
    assert "95 % interval 94.1 – 99.5 %" in first
    assert "40 became 118 of 120 (+65.0 points" in first


def test_every_part_is_there_with_the_numbers_of_the_files(finished: Path) -> None:
    text = (finished / "report.md").read_text()
    for line in (
        "| base-formatted | 4 of 120 | 3.3 % | 1.3 – 8.3 % | 40 of 120 | 33.3 % | 25.5 – 42.2 % |",
        "| instructions generated | 45 |",
        "| instructions answered | 40 |",
        "| examples accepted | 30 |",
        "| examples trained on | 29 |",
        "| family\\_1 | 15 | 0.48 | not measured | not measured | not measured | yes |",
        "**Blind families, where no critic beats 0.6:** family\\_1.",
        "**Never used:** kind.",
        "| unique rate | 100.0 % | at least 99.0 % | yes |",
        "| runaway rate | 7.0 % | at most 5.0 % | **NO** |",
        "| acceptance | not measured | at least 50.0 % | not known |",
        "**Breached:** runaway\\_rate is 0.07.",
        "| answers sampled | 160 | 2 | 3 | 4 | 5 | 6 |",
        "| chosen | 12 | 1 | 3.75 | 6.5 | 9.25 | 12 |",
        "| shorter is chosen | 75.0 % | 80.0 % |",
        "| refusal is rejected | not measured | 80.0 % |",
        "mean |Δ log p| 1e-07 nats",
        "60 → 118 of 120 strict (+48.3 points",
        "**The watch said:** the gradient was large.",
        "| loss | 2 | 0.2222 | 9 |",
        "| stage-1/generate | done | 55.0 s | 50.0 s | 900 | $0.0275 |",
        "| stage-1/dpo | unfinished |",
        "| stage-1/evaluate | not run | – | – | – | – |",
        "2 of 25 are wrong (8.0 %); of the rejected ones 5 of 10 (50.0 %)",
        "Rejected by generate: near 5.",
        "Strict failures of the tuned model by reason: runaway 2.",
        "Tuned alone was right on 80, base-formatted alone on 2",
        "python -m pipeline run --recipe demo --set seed=3",
    ):
        assert line in text, line
    assert "| lost | item3 |" in text


@pytest.mark.parametrize("name", ["report.md", "report.html"])
def test_what_a_model_wrote_stays_text(finished: Path, name: str) -> None:
    text = (finished / name).read_text()
    assert "alert(1)" in text
    assert "<script" not in text.lower()
    assert "\x00" not in text
    assert "\u202e" not in text
    page = Page(text)
    assert not [tag for tag, _ in page.tags if tag in {"script", "img", "a", "iframe", "link"}]
    assert not [a for _, attrs in page.tags for a in attrs if a.startswith("on")]
    if name == "report.md":
        rows = [line for line in text.splitlines() if line.startswith(("| won", "| lost"))]
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {9}
        assert not re.search(r"(?<!\\)\]\(", text)
        assert "http://" not in text


def test_the_page_stands_alone_in_light_and_dark(finished: Path) -> None:
    text = (finished / "report.html").read_text()
    page = Page(text)
    assert text.startswith("<!doctype html>")
    assert "prefers-color-scheme: dark" in text
    assert not [attrs for _, attrs in page.tags if "src" in attrs or "href" in attrs]
    drawn = sum(tag == "svg" for tag, _ in page.tags)
    assert drawn == sum(tag == "title" for tag, _ in page.tags) - 1 == sum(tag == "desc" for tag, _ in page.tags) >= 8
    assert "118 of 120 held-out instructions" in "".join(page.text)


def test_a_failed_gate_is_told_as_plainly_as_a_passed_one(run: Path) -> None:
    (run / "stage-1/gate.json").write_text(json.dumps(example.decision(0.9999).as_dict()))
    text, page = texts(run)
    assert "did not pass its gate" in text.split("\n\n")[1]
    assert "What decided: 118 of 120 right" in text
    assert 'class="answer FAIL"' in page


def test_an_invalid_gate_offers_no_number_in_its_answer(run: Path) -> None:
    (run / "stage-1/gate.json").write_text(json.dumps(example.decision(leaks=3).as_dict()))
    first = texts(run)[0].split("\n\n")[1]
    assert "none of its numbers may be relied on" in first
    assert "118" not in first


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_has_its_words(verdict: Verdict) -> None:
    good = example.decision().as_dict()
    told = answer(1, Decision.from_dict({**good, "verdict": verdict.value}))
    assert told.startswith("Stage 1 (explicit) ")
    assert ("passed its gate." in told) == (verdict is Verdict.PASS)


def test_a_run_that_has_only_begun_says_what_is_missing(tmp_path: Path) -> None:
    example.baseline(tmp_path)
    text, page = texts(tmp_path)
    assert "Stage 1 has no verdict yet" in text
    assert "| base-formatted | 4 of 120 |" in text
    assert "| tuned | not measured | | | not measured | | |" in text
    assert "| examples accepted | not measured |" in text
    assert "The machine was held for not measured (price unknown)" in text
    assert "Gate: not decided." in page
    assert not re.search(r"examples accepted \| 0 ", text)


def test_an_empty_directory_makes_a_report_that_says_so(tmp_path: Path) -> None:
    text, page = texts(tmp_path)
    assert "there is nothing to report" in text
    assert "there is nothing to report" in page


def test_a_directory_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        render(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "damaged",
    ["run.json", "stage-1/gate.json", "stage-0/evaluate/summary.json", "stage-1/critique/calibration.json",
     "stage-1/filter/sft.jsonl", "stage-1/evaluate/set-1/tuned.jsonl", "stage-1/sft/metrics.jsonl",
     "stage-1/sft/manifest.json", "stage-1/merge/merge.json", "stage-1/filter/qc.json"],
)  # fmt: skip
def test_a_damaged_file_is_named_and_the_rest_is_shown(run: Path, damaged: str) -> None:
    content = (run / damaged).read_bytes()
    (run / damaged).write_bytes(content[: len(content) // 2] + b"\xff\xfe")
    text, page = texts(run)
    assert "Files that could not be read" in text
    assert damaged.replace("_", "\\_") in text
    assert damaged in page
    assert "## Steps, time and cost" in text


@pytest.mark.parametrize("content", ["[]", '"x"', "{}", '{"verdict": "GREAT"}', '{"conditions": 5, "families": 3}'])
@pytest.mark.parametrize(
    "names",
    [
        ["stage-1/gate.json", "stage-0/evaluate/summary.json", "stage-1/critique/calibration.json"],
        ["stage-1/merge/merge.json", "stage-1/filter/qc.json", "stage-1/filter/coverage.json", "stage-1/attempts.json",
         "stage-1/retries.json", "stage-1/sft/manifest.json"],
    ],
)  # fmt: skip
def test_a_foreign_shape_is_no_result(run: Path, names: list[str], content: str) -> None:
    for name in names:
        (run / name).write_text(content)
    text, _ = texts(run)
    if "stage-1/gate.json" in names:
        assert "has no verdict yet" in text
    assert "## Steps, time and cost" in text


@pytest.mark.parametrize(
    "change", [{"outputs": 3}, {"outputs": [1]}, {"summary": []}, {"tokens": "many"}, {"seconds": None, "times": 5}]
)
def test_a_manifest_of_another_shape_is_named(run: Path, change: dict[str, object]) -> None:
    path = run / "stage-1" / "sft" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    text, _ = texts(run)
    assert "not a manifest" in text
    assert "## Steps, time and cost" in text


@pytest.mark.parametrize("step", ["generate", "answer", "critique", "filter", "sft", "pairs", "dpo", "evaluate"])
def test_any_step_may_be_absent(run: Path, step: str) -> None:
    shutil.rmtree(run / "stage-1" / step)
    text, _ = texts(run)
    assert "not measured" in text.lower() or "no metrics" in text


def test_rendering_twice_gives_the_same_bytes(run: Path) -> None:
    assert texts(run) == texts(run)


def test_the_chain_is_one_table_of_stages_and_conditions(chain: Path) -> None:
    text = (chain / "report.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith(("| 1 explicit", "| 2 implicit"))]
    assert len(rows) == 2
    assert all(row.count("|") == 10 for row in rows)
    assert "40 of 120, 33.3 % (25.5 – 42.2 %); lenient 33.3 %" in rows[1]
    assert rows[0].split("|")[8].strip() == "–"
    assert "| 2 implicit | FAIL | 1 | 90.0 % |" in rows[1]


def test_what_was_kept_of_an_earlier_stage_stands_with_its_level_and_its_loss(chain: Path) -> None:
    text = (chain / "report.md").read_text()
    assert "| after stage 1 | 118 of 120, 98.3 % (wanted: 95.0 %) | – |" in text
    assert "117 of 120, 97.5 % (to keep: 90.0 %) (-0.8, " in text
    assert "45 of 120, 37.5 % (wanted: 90.0 %) **below**" in text


def test_a_lost_skill_is_marked_in_the_matrix(two: Path) -> None:
    (two / "stage-2/gate.json").write_text(json.dumps(example.second_decision(keep=0.99).as_dict()))
    text, page = texts(two)
    assert "97.5 % (to keep: 99.0 %) (-0.8, " in text
    assert re.search(r"97\.5 % \(to keep: 99\.0 %\) \(.{0,30}\) \*\*below\*\*", text)
    assert page.count("below its level") == 2


def test_a_retention_that_was_not_measured_stays_so(two: Path) -> None:
    summary = json.loads((two / "stage-2/evaluate/summary.json").read_text())
    del summary["sets"]["1"]
    (two / "stage-2/evaluate/summary.json").write_text(json.dumps(summary))
    line = next(line for line in texts(two)[0].splitlines() if line.startswith("| after stage 2"))
    assert line.startswith("| after stage 2 | not measured |")


def test_a_gate_passed_over_cannot_be_overlooked(chain: Path) -> None:
    text, page = (chain / "report.md").read_text(), (chain / "report.html").read_text()
    told = "Stage 2, FAIL, passed over: to see what lies behind."
    assert told in text.split("## The chain")[0].split("Stage 1 (explicit)")[0]
    assert page.index('class="override"') < page.index("<h1>")
    cards = list((chain / "cards").iterdir())
    assert len(cards) == 9
    assert all(told in card.read_text() for card in cards)


def test_a_run_without_overrides_has_no_such_box(finished: Path) -> None:
    assert "passed over" not in (finished / "report.md").read_text().lower()
    assert 'class="override"' not in (finished / "report.html").read_text()


def test_data_made_again_say_what_was_changed_and_why(chain: Path) -> None:
    text = (chain / "report.md").read_text()
    assert "| 2 | 1 | `data.answer_temperature=0.5` | acceptance is 0.31, the limit is 0.5 |" in text


def test_a_failing_gate_says_which_families_fail_and_how(chain: Path) -> None:
    text = (chain / "report.md").read_text()
    table = text.split("### By family")[2].split("###")[0]
    names = re.findall(r"^\| (family\\_\d) \| 15 \| 15 \| (\d+) \|", table, re.MULTILINE)
    assert len(names) == 8
    assert [int(n) for _, n in names] == sorted(int(n) for _, n in names)
    assert "48 ended by themselves and were wrong (64 %) and 27 ran on into a new turn (36 %)" in text
    assert "Cut where they run on, 15 more would be right" in text
    assert "had 40 of 120 right on the same items: the stage's training added 5." in text
    assert "In 1 of 8 families" in text
    assert "wrong 48, runaway 27" in table


def test_an_early_end_compares_no_family_with_items_that_were_left_out(chain: Path) -> None:
    files = RunFiles(chain)
    path = chain / files.evaluation(2, "tuned")
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join(rows[:16]))
    for one in failing.families(RunFiles(chain), 2, None):
        assert one.shown is not None
        assert one.shown <= one.n


def test_the_other_side_of_the_test_is_whoever_the_gate_compares_with(chain: Path) -> None:
    text = (chain / "report.md").read_text()
    assert "### Items on which tuned and base-formatted disagree (lenient)" in text
    assert "### Items on which tuned and previous disagree (strict)" in text
    assert "previous alone on" in text
    lost = next(line for line in text.split("tuned and previous disagree")[1].splitlines() if line[:6] == "| lost")
    assert "runaway: a new turn" in lost or "wrong: other text" in lost


def test_revisions_are_counted_by_round_and_shown_whole(chain: Path) -> None:
    text, page = (chain / "report.md").read_text(), (chain / "report.html").read_text()
    assert "| 1 | 6 | 3 | 50.0 % | 3 | 2 | 66.7 % | 1 |" in text
    assert "| 2 | 6 | 0 | 0.0 % | 0 | 0 | not measured | 0 |" in text
    assert "Example 3 (" in text
    assert "- Critique: Too vague, round 1." in text
    assert "revised 1\nwith a second line" in page
    assert "Rehearsal: 10 rows of earlier stages (stage 1: 10), 24.4 % of the training data." in text


def test_an_example_names_its_principle_in_full() -> None:
    from pipeline.report.revision_view import principles

    assert principles()["helpful-no-padding"].startswith("helpful-no-padding: The answer should be as short as")


def test_retries_of_another_recipe_are_not_shown(two: Path) -> None:
    assert "data.answer_temperature=0.5" in texts(two)[0]
    body = json.loads((two / "stage-2/retries.json").read_text())
    (two / "stage-2/retries.json").write_text(json.dumps({**body, "recipe_sha256": "decade"}))
    assert "data.answer_temperature=0.5" not in texts(two)[0]


def test_the_external_check_is_shown_where_there_was_one(two: Path) -> None:
    assert "IFEval" not in texts(two)[0]
    for stage, name in ((0, "base-formatted"), (2, "tuned")):
        path = two / f"stage-{stage}/evaluate/summary.json"
        found = {name: {"prompt_strict": 0.25, "prompts": 40, "model": "ba5e"}}
        path.write_text(json.dumps({**json.loads(path.read_text()), "ifeval": found}))
    text = texts(two)[0]
    assert "IFEval-style check of tuned (external, decides nothing): prompt strict 0.25, prompts 40." in text
    assert text.count("IFEval-style check of base-formatted") == 2


def test_a_curtailed_rate_has_no_interval(two: Path) -> None:
    body = example.second_decision().as_dict()
    body["detail"] = {**body["detail"], "curtailed": True}
    (two / "stage-2/gate.json").write_text(json.dumps({**body, "low": None, "high": None}))
    assert "| tuned | 45 of 120 | 37.5 % | none: stopped early |" in texts(two)[0]


def test_the_cost_of_a_run_counts_what_the_machine_was_held_for(finished: Path) -> None:
    shown = timeline(RunFiles(finished))
    assert shown.seconds == 1800
    assert shown.usd == pytest.approx(0.9)
    assert [(t.name, t.steps) for t in shown.by_stage] == [("stage-0", 1), ("stage-1", 3)]
    assert {t.name: t.usd for t in shown.by_step}["generate"] == pytest.approx(0.0275)
    assert [row.state for row in shown.rows] == ["done", "done", "done", "unfinished", "not run", "not run"]


def test_what_another_run_paid_is_no_cost_of_this_one(finished: Path, tmp_path: Path) -> None:
    """A step that was taken over was never begun here: its manifest tells the seconds of the run that made it."""
    finished = Path(shutil.copytree(finished, tmp_path / "run"))
    lines = (finished / "events.jsonl").read_bytes().splitlines(keepends=True)
    own = [line for line in lines if (e := parse_line(line)) and e.get("step") != "stage-1/generate"]
    seq, at = len(own), "2026-01-02T03:20:00.000Z"
    told = {"step": "stage-1/generate", "state": "reused", "seconds": 99.0, "tokens": 1, "usd": 9.0}
    (finished / "events.jsonl").write_bytes(b"".join([*own, Event(seq, at, "step_finished", told).to_line()]))
    shown = timeline(RunFiles(finished))
    assert {row.step: row.state for row in shown.rows}["stage-1/generate"] == "reused"
    assert "generate" not in {t.name for t in shown.by_step}
    assert [(t.name, t.steps) for t in shown.by_stage] == [("stage-0", 1), ("stage-1", 2)]


def test_an_interrupted_run_is_not_called_finished(run: Path) -> None:
    example.events(run, finished=False)
    assert timeline(RunFiles(run)).state == "running or interrupted"


def gate_told(run: Path, verdict: str) -> None:
    """Events of a run that has just announced a gate, its last steps not begun: when its report is written."""
    example.events(run, finished=False)
    lines = (run / "events.jsonl").read_bytes().splitlines(keepends=True)
    told = Event(len(lines), "2026-01-02T03:40:00.000Z", "gate", {"stage": 1, "verdict": verdict})
    (run / "events.jsonl").write_bytes(b"".join([*lines, told.to_line()]))


def test_a_run_that_a_gate_stopped_is_not_called_interrupted_in_its_own_report(run: Path) -> None:
    gate_told(run, "FAIL")
    assert timeline(RunFiles(run)).state == "finished: stopped at the gate of stage 1"


def test_a_gate_that_lets_the_chain_go_on_ends_nothing(run: Path) -> None:
    gate_told(run, "PASS")
    assert timeline(RunFiles(run)).state == "running or interrupted"
    gate_told(run, "FAIL")
    body = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**body, "overrides": [{"stage": 1, "verdict": "FAIL", "reason": "so"}]}))
    assert timeline(RunFiles(run)).state == "running or interrupted"


@pytest.mark.parametrize("verdict", ["INVALID", "MISSING"])
def test_numbers_that_may_not_be_relied_on_explain_nothing(run: Path, verdict: str) -> None:
    body = json.loads((run / "stage-1/gate.json").read_text())
    (run / "stage-1/gate.json").write_text(json.dumps({**body, "verdict": verdict, "reason": "unlike"}))
    render(run)
    shown = (run / "report.md").read_text()
    assert "The reason: unlike." in shown
    assert "fail strictly" not in shown


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (wording.percent(None), "not measured"), (wording.percent(0.0), "0.0 %"),
        (wording.dollars(None), "price unknown"),
        (wording.dollars(0.0), "$0.00"), (wording.dollars(0.0275), "$0.0275"), (wording.dollars(1234.5), "$1,234.50"),
        (wording.duration(None), "not measured"), (wording.duration(59.9), "59.9 s"),
        (wording.duration(72.4), "1 min 12 s"),
        (wording.duration(3599.9), "1 h 00 min"), (wording.p_value(0.0), "0.0e+00"), (wording.p_value(0.0386), "0.039"),
        (wording.number(1200), "1,200"), (wording.number(None), "not measured"), (wording.one_line(""), "(empty)"),
        (wording.one_line("a\nb"), "a ⏎ b"), (wording.one_line("x" * 300, 10), "x" * 9 + "…"),
        (wording.code("a`b"), "``a`b``"), (wording.escape_markdown("a|b_c"), "a\\|b\\_c"),
    ],
)  # fmt: skip
def test_an_unknown_value_is_missing_and_never_zero(shown: str, expected: str) -> None:
    assert shown == expected


def test_an_optional_condition_stands_in_the_overview_where_a_stage_measured_it(two: Path) -> None:
    head = "| stage | verdict | attempt | wanted | base-raw | base-formatted | base-few-shot | previous | tuned |"
    assert head in (two / "report.md").read_text()
    path = two / "stage-0/evaluate/summary.json"
    measured = json.loads(path.read_text())
    told = measured["sets"]["1"]["conditions"]
    told["alt-base"] = {**told["base-formatted"]}
    path.write_text(json.dumps(measured))
    render(two)
    page = (two / "report.md").read_text()
    assert head.removesuffix("|") + "| alt-base |" in page
