"""The commands: data on stdout, sentences on stderr, the right exit code, never a traceback unless asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.__main__ import main, place
from pipeline.protocol import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from pipeline.recipe import RECIPE_NAMES
from pipeline.recipe_load import load
from pipeline.report.reading import RunFiles
from pipeline.runner import run
from tests.pipeline.fake_run import options
from tests.pipeline.fake_steps import run_dir_of


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("finished")
    run(options(root))
    return run_dir_of(root)


def test_recipes_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "--json"]) == EXIT_OK
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == list(RECIPE_NAMES)
    assert main(["recipes", "demo"]) == EXIT_OK
    assert "answer_temperature: 0.7" in capsys.readouterr().out


def test_status_digest_and_validate_read_a_finished_run(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(finished), "--json"]) == EXIT_OK
    assert json.loads(capsys.readouterr().out)["state"] == "finished"
    assert main(["digest", str(finished)]) == EXIT_OK
    assert len(capsys.readouterr().out.strip()) == 64
    assert main(["validate", "run", str(finished)]) == EXIT_OK
    assert capsys.readouterr().out == ""


def test_a_verdict_written_over_by_hand_is_found_and_never_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(options(tmp_path))
    path = run_dir_of(tmp_path) / "stage-1/gate.json"
    path.write_bytes(path.read_bytes().replace(b"PASS", b"NO_HEADROOM"))
    assert main(["validate", "run", str(run_dir_of(tmp_path))]) == EXIT_FAILED
    assert "stage-1/gate.json: is not what stage-1/gate decided" in capsys.readouterr().out
    assert main(["status", str(run_dir_of(tmp_path)), "--json"]) == EXIT_OK
    assert json.loads(capsys.readouterr().out)["stages"][0]["verdict"] == "MISSING"
    assert RunFiles(run_dir_of(tmp_path)).gate(1) is None


def test_a_flipped_byte_is_found_by_validate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(options(tmp_path))
    path = run_dir_of(tmp_path) / "stage-1/sft/adapter/weights"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert main(["validate", "run", str(run_dir_of(tmp_path))]) == EXIT_FAILED
    assert "adapter/weights: content differs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["run", "--recipe", "dmo"], "Did you mean 'demo'?"),
        (["run", "--recipe", "smoke", "--set", "data.x=1"], "field data.x: unknown field"),
        (["run", "--recipe", "smoke", "--set", "stages=[1,9]"], "field stages: there is no stage 9"),
        (["run", "--recipe", "smoke", "--until", "stage-1/nothing"], "no step 'stage-1/nothing' in this run"),
        (["plan", "--recipe", "nowhere.yaml"], "no recipe named 'nowhere.yaml'"),
        (["validate", "recipe", "nowhere.yaml"], "no recipe named 'nowhere.yaml'"),
        (["status", "nowhere"], "nowhere holds no run"),
        (["digest", "nowhere"], "nowhere holds no run"),
        (["report", "nowhere"], "nowhere holds no run"),
        (["validate", "run", "nowhere"], "nowhere holds no run"),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_2(
    argv: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(argv) == EXIT_USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert words in shown.err
    assert "Traceback" not in shown.err


def test_debug_shows_the_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(tmp_path), "--debug"]) == EXIT_USAGE
    assert "Traceback" in capsys.readouterr().err


def test_a_run_directory_of_another_recipe_is_refused(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--recipe", "smoke", "--run-dir", str(finished)]) == EXIT_USAGE
    assert "belongs to recipe 'fake'" in capsys.readouterr().err


def test_a_file_as_run_directory_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["run", "--recipe", "smoke", "--run-dir", str(tmp_path / "file")]) == EXIT_USAGE
    assert "is a file" in capsys.readouterr().err


def test_the_run_directory_comes_from_the_flag_then_the_environment(tmp_path: Path) -> None:
    now = 1_700_000_000.0
    fresh = "demo-20231114-221320"
    env = {"MAXCAI_RUN_DIR": "/a/b", "MAXCAI_RUN_ID": "r7", "CAI_BASE_DIR": "/base"}
    assert place(tmp_path, "demo", env, now) == (tmp_path, "r7")
    assert place(None, "demo", env, now) == (Path("/a/b"), "r7")
    del env["MAXCAI_RUN_DIR"]
    assert place(None, "demo", env, now) == (Path("/base/runs/r7"), "r7")
    assert place(None, "demo", {"CAI_BASE_DIR": "/base"}, now) == (Path("/base/runs") / fresh, fresh)
    assert place(None, "demo", {}, now) == (Path.cwd() / "runs" / fresh, fresh)


def test_plan_says_what_is_done_and_what_another_recipe_would_make_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(options(tmp_path, recipe=load("demo")))

    def planned(*more: str) -> dict[str, str]:
        words = ["plan", "--recipe", "demo", "--run-dir", str(run_dir_of(tmp_path)), "--json", *more]
        assert main(words) == EXIT_OK
        return {row["step"]: row["state"] for row in json.loads(capsys.readouterr().out)["steps"]}

    same, other = planned(), planned("--set", "train.sft.learning_rate=0.5")
    assert (same["stage-1/generate"], same["stage-1/sft"], same["stage-1/dpo"]) == ("done", "done", "to do")
    assert (other["stage-1/generate"], other["stage-1/sft"], other["stage-1/evaluate"]) == ("done", "to do", "to do")


def test_a_reader_that_goes_away_is_no_error() -> None:
    argv = f"{sys.executable} -m pipeline recipes demo | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", argv], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (EXIT_OK, "")
