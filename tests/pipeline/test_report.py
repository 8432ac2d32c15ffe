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
from pipeline.protocol import Verdict
from pipeline.report import wording
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
        "| family\\_1 | 15 | 0.48 | missing | missing | missing | yes |",
        "**Blind families, where no critic beats 0.6:** family\\_1.",
        "**Never used:** kind.",
        "| unique\\_rate | 1 |",
        "| loss | 1 | 0.1111 | 9 |",
        "| stage-1/generate | done | 55.0 s | 900 | $0.0275 |",
        "| stage-1/dpo | unfinished |",
        "| stage-1/evaluate | not run | – | – | – |",
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
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {8}
        assert not re.search(r"(?<!\\)\]\(", text)
        assert "http://" not in text


def test_the_page_stands_alone_in_light_and_dark(finished: Path) -> None:
    text = (finished / "report.html").read_text()
    page = Page(text)
    assert text.startswith("<!doctype html>")
    assert "prefers-color-scheme: dark" in text
    assert not [attrs for _, attrs in page.tags if "src" in attrs or "href" in attrs]
    assert sum(tag == "svg" for tag, _ in page.tags) == 4
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
    assert "| tuned | missing | | | missing | | |" in text
    assert "| examples accepted | missing |" in text
    assert "The machine was held for missing (price unknown)" in text
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
     "stage-1/sft/manifest.json"],
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
    "name", ["stage-1/gate.json", "stage-0/evaluate/summary.json", "stage-1/critique/calibration.json"]
)
def test_a_foreign_shape_is_no_result(run: Path, name: str, content: str) -> None:
    (run / name).write_text(content)
    text, _ = texts(run)
    if "gate" in name:
        assert "has no verdict yet" in text
    assert "## Steps, time and cost" in text


@pytest.mark.parametrize("step", ["generate", "answer", "critique", "filter", "sft", "pairs", "dpo", "evaluate"])
def test_any_step_may_be_absent(run: Path, step: str) -> None:
    shutil.rmtree(run / "stage-1" / step)
    text, _ = texts(run)
    assert "missing" in text.lower()


def test_rendering_twice_gives_the_same_bytes(run: Path) -> None:
    assert texts(run) == texts(run)


def test_the_cost_of_a_run_counts_what_the_machine_was_held_for(finished: Path) -> None:
    shown = timeline(RunFiles(finished))
    assert shown.seconds == 1800
    assert shown.usd == pytest.approx(0.9)
    assert [row.state for row in shown.rows] == ["done", "done", "done", "unfinished", "not run", "not run"]


def test_an_interrupted_run_is_not_called_finished(run: Path) -> None:
    example.events(run, finished=False)
    assert timeline(RunFiles(run)).state == "running or interrupted"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (wording.percent(None), "missing"), (wording.percent(0.0), "0.0 %"), (wording.dollars(None), "price unknown"),
        (wording.dollars(0.0), "$0.00"), (wording.dollars(0.0275), "$0.0275"), (wording.dollars(1234.5), "$1,234.50"),
        (wording.duration(None), "missing"), (wording.duration(59.9), "59.9 s"),
        (wording.duration(72.4), "1 min 12 s"),
        (wording.duration(3599.9), "1 h 00 min"), (wording.p_value(0.0), "0.0e+00"), (wording.p_value(0.0386), "0.039"),
        (wording.number(1200), "1,200"), (wording.number(None), "missing"), (wording.one_line(""), "(empty)"),
        (wording.one_line("a\nb"), "a ⏎ b"), (wording.one_line("x" * 300, 10), "x" * 9 + "…"),
        (wording.code("a`b"), "``a`b``"), (wording.escape_markdown("a|b_c"), "a\\|b\\_c"),
    ],
)  # fmt: skip
def test_an_unknown_value_is_missing_and_never_zero(shown: str, expected: str) -> None:
    assert shown == expected
