"""One step's answers made in shares on several machines, and taken in as if the run had made them all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pipeline import artifacts, rundir, shards
from pipeline.__main__ import main
from pipeline.errors import UsageError
from pipeline.protocol import EXIT_OK, EXIT_USAGE, RunPaths, read_events
from pipeline.recipe import Recipe
from pipeline.recipe_load import load
from pipeline.records import Instruction, write_records
from pipeline.steps import answer
from pipeline.steps.base import Shard, StepContext
from tests.pipeline.model_tools import Memory

STEP, KEY = "stage-1/answer", "ab" * 32
SMALL = ("data.answers=2", "data.calibration_items=10", "stages=[1]", "runtime.generate_tokens=100")


def recipe() -> Recipe:
    return load("smoke", SMALL)


def place(root: Path, which: Recipe) -> Path:
    """A run directory with the instructions that are to be answered."""
    rundir.write_run(
        root, {"run_id": root.name, "recipe": which.model_dump(mode="json"), "recipe_sha256": which.digest()}
    )
    out = root / "stage-1/generate"
    out.mkdir(parents=True)
    common = {
        "stage": 1,
        "family": "copy",
        "seed": 0,
        "decoding": "{}",
        "model": "ab" * 8,
        "parents": [],
        "prompt": "p",
    }
    rest = {"text_raw": "x", "text": "x", "finish_reason": "stop", "tokens": 1}
    write_records(
        out / "records.jsonl",
        [Instruction.make(**common, **rest, instruction=f"Repeat the word {w}.") for w in ("stone", "river", "apple")],
    )
    return root


def answered(root: Path, which: Recipe, shard: Shard | None = None) -> Path:
    rundir.ready(root, STEP, KEY)
    ctx = StepContext(which, 1, STEP, KEY, root, root / STEP, Memory(), shard=shard)
    answer.STEP.run(ctx)
    if shard is not None:
        shards.publish(ctx.out, STEP, KEY, shard)
    return ctx.out


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return answered(place(tmp_path_factory.mktemp("whole"), recipe()), recipe())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three shares, each in a run directory of its own."""
    roots = [place(tmp_path_factory.mktemp("share") / str(k), recipe()) for k in (1, 2, 3)]
    for k, root in enumerate(roots, 1):
        answered(root, recipe(), Shard(k, 3))
    return roots


@pytest.fixture
def given(made: list[Path], tmp_path: Path) -> list[Path]:
    """Copies of the shares, to be spoilt."""
    return [Path(shutil.copytree(root, tmp_path / f"share-{k}")) for k, root in enumerate(made)]


def test_three_shares_merged_are_the_bytes_of_the_undivided_step(
    whole: Path, made: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = place(tmp_path / "run", recipe())
    count = shards.merge(target, STEP, made)
    monkeypatch.setattr(
        "pipeline.engines.transformers_engine.TransformersEngine.generate", None
    )  # nothing is made again
    out = answered(target, recipe())
    names = ["records.jsonl", "calibration.jsonl"]
    assert [(out / n).read_bytes() for n in names] == [(whole / n).read_bytes() for n in names]
    assert count == sum(len((whole / n).read_text().splitlines()) for n in names)


def test_every_share_makes_something_and_no_row_twice(made: list[Path]) -> None:
    parts = [list(shards._positions(root / STEP / "records.part")) for root in made]
    assert all(parts)
    assert len([pos for part in parts for pos in part]) == len(set().union(*parts)) == 6
    notes = [(root / STEP / shards.NOTE) for root in made]
    assert all(note.is_file() and note not in artifacts.output_files(note.parent) for note in notes)


def test_a_share_that_is_missing_or_there_twice_is_refused(given: list[Path], tmp_path: Path) -> None:
    target = place(tmp_path / "run", recipe())
    for few in (given[:2], [*given, given[0]]):
        with pytest.raises(UsageError, match="every one is needed once"):
            shards.merge(target, STEP, few)
    assert not (target / STEP).exists()


def test_a_share_that_was_cut_off_damaged_or_is_of_other_work_is_refused(given: list[Path], tmp_path: Path) -> None:
    target = place(tmp_path / "run", recipe())
    note = given[1] / STEP / shards.NOTE
    body = note.read_text()
    note.unlink()
    with pytest.raises(UsageError, match="not finished"):
        shards.merge(target, STEP, given)
    note.write_text(json.dumps({**json.loads(body), "key": "cd" * 32}))
    with pytest.raises(UsageError, match="differ in their key"):
        shards.merge(target, STEP, given)
    note.write_text(body)
    with (given[2] / STEP / "records.part").open("ab") as part:
        part.write(b"x\n")
    with pytest.raises(UsageError, match="copy it again"):
        shards.merge(target, STEP, given)
    other = place(tmp_path / "other", load("smoke", (*SMALL, "seed=1")))
    with pytest.raises(UsageError, match="another recipe"):
        shards.merge(other, STEP, _mended(given))
    assert not (target / STEP).exists()


def _mended(given: list[Path]) -> list[Path]:
    part = given[2] / STEP / "records.part"
    part.write_bytes(part.read_bytes()[:-2])
    return given


@pytest.mark.parametrize("text", ["0/3", "4/3", "2", "a/b", "2/0"])
def test_a_share_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="which of how many"):
        Shard.parse(text)


def test_only_a_step_that_can_be_shared_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for until in ([], ["--until", "stage-1/sft"]):
        argv = ["run", "--recipe", "smoke", "--run-dir", str(tmp_path), "--shard", "1/2", *until]
        assert main(argv) == EXIT_USAGE
        assert "can be shared: answer" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_shares_made_and_merged_by_the_commands_end_in_the_same_run(tmp_path: Path) -> None:
    """The real runner: one run undivided, one whose answers two copies made."""
    more = ["data.instructions=9", "data.min_accept=0", "runtime.reuse=false"]
    base = ["run", "--recipe", "smoke", *(a for s in (*SMALL, *more) for a in ("--set", s)), "--until"]
    whole, target = tmp_path / "whole", tmp_path / "target"
    assert main([*base, STEP, "--run-dir", str(whole)]) == EXIT_OK
    assert main([*base, "stage-1/generate", "--run-dir", str(target)]) == EXIT_OK
    copies = [shutil.copytree(target, tmp_path / f"copy-{k}") for k in (1, 2)]
    for k, copy in enumerate(copies, 1):
        assert main([*base, STEP, "--run-dir", str(copy), "--shard", f"{k}/2"]) == EXIT_OK
        assert list(read_events(RunPaths(copy).events))[-1]["reason"].startswith(f"share {k}/2 of {STEP} is made")
        assert not (copy / STEP / artifacts.DONE).exists()
    assert main(["merge", str(target), "--step", STEP, *map(str, copies)]) == EXIT_OK
    assert main([*base, STEP, "--run-dir", str(target)]) == EXIT_OK
    assert artifacts.digest(target) == artifacts.digest(whole)
