"""The command line as a person or a script meets it: real exit codes, data on stdout only, no traceback.

Where the process itself matters (terminal, pipes, signals) it is a fresh one; else `main` is called.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import app
from app import cli

ROOT = Path(app.__file__).parents[1]


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MAXCAI_", "RUNPOD_"))}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def maxcai(cwd: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-P", "-m", "app", *words]
    done = subprocess.run(
        argv, cwd=cwd, env=environment(**more), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def here(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`main` in this process, with what it printed and returned."""

    def run(cwd: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        for name, value in more.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(cwd)
        code = cli.main(words)
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        assert "fault of maxcai" not in err, err
        return subprocess.CompletedProcess(words, code, out, err)

    return run


def test_pod_list_json_is_exactly_as_promised(tmp_path: Path) -> None:
    done = maxcai(tmp_path, "pod", "list", "--json")
    (pod,) = json.loads(done.stdout)
    assert list(pod) == ["id", "name", "provider", "status", "gpu", "gpu_count", "cost_per_hour", "ssh", "started_at"]
    assert (pod["id"], pod["status"], pod["ssh"], done.returncode, done.stderr) == ("local", "STOPPED", None, 0, "")


def test_no_command_and_no_terminal_prints_the_status(tmp_path: Path) -> None:
    done = maxcai(tmp_path)
    assert done.returncode == 0
    assert "pod local STOPPED" in done.stdout
    assert "no run yet" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("pod", "lsit"), 2, "invalid choice"),
        (("--nonsense",), 2, "unrecognized arguments"),
        (("run",), 2, "required"),
        (("run", "show"), 2, "no run in this workspace"),
        (("run", "show", "01ZZ"), 2, "no run 01ZZ in this workspace"),
        (("pull",), 2, "no run to pull"),
        (("logs",), 2, "no run in this workspace"),
        (("pod", "start", "other"), 2, "no pod other"),
        (("--provider", "nowhere", "pod", "list"), 2, "nowhere"),
        (("--provider", "runpod", "pod", "list"), 2, "No RunPod API key"),
        (("-C", "/no/such/folder", "status"), 2, "is not a folder"),
        (("--readonly", "pod", "start"), 3, "read-only"),
        (("pod", "start", "--readonly"), 3, "read-only"),
    ],
)
def test_bad_input_costs_one_sentence_and_the_right_exit_code(
    here: Run, tmp_path: Path, words: tuple[str, ...], code: int, told: str
) -> None:
    done = here(tmp_path, *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr
    assert not (tmp_path / ".maxcai" / "pods").exists()


@pytest.mark.parametrize("words", [("pod", "start"), ("push",), ("task", "new", "a title"), ("init",)])
def test_a_variable_makes_every_command_read_only(here: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    done = here(tmp_path, *words, MAXCAI_READONLY="1")
    assert (done.returncode, done.stdout) == (3, "")
    assert "read-only" in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_unreachable_pod_is_exit_code_4(here: Run, tmp_path: Path) -> None:
    done = here(tmp_path, "push")
    assert (done.returncode, done.stdout) == (4, "")
    assert "is STOPPED: nothing runs on it" in done.stderr


def test_a_wrong_setting_is_named(here: Run, tmp_path: Path) -> None:
    (tmp_path / "maxcai.toml").write_text("recip = 'x'\n")
    done = here(tmp_path, "status")
    assert done.returncode == 2
    assert "unknown key recip. Did you mean recipe?" in done.stderr


def test_two_actions_on_one_key_are_refused_at_the_start(here: Run, tmp_path: Path) -> None:
    (tmp_path / "maxcai.toml").write_text('[keys]\n"pod.stop" = "s"\n')
    done = here(tmp_path, "status")
    assert done.returncode == 2
    assert "key s is asked for by" in done.stderr


def test_init_makes_a_workspace_and_overwrites_nothing(here: Run, workspace_dir: Path) -> None:
    (workspace_dir / ".gitignore").write_bytes(b"mine")
    before = (workspace_dir / "constitution.yaml").read_bytes()
    assert here(workspace_dir, "init").returncode == 0
    assert (workspace_dir / ".gitignore").read_bytes().startswith(b"mine\n.maxcai/\n")
    for name in ("maxcai.toml", "task_board/pending", "reviews/requests", "runs"):
        assert (workspace_dir / name).exists()
    (workspace_dir / "maxcai.toml").write_text('recipe = "smoke"\n')
    again = here(workspace_dir, "init", "--json")
    assert json.loads(again.stdout)["made"] == []
    assert (workspace_dir / "maxcai.toml").read_text() == 'recipe = "smoke"\n'
    assert (workspace_dir / "constitution.yaml").read_bytes() == before


def test_the_template_that_init_writes_is_valid(here: Run, workspace_dir: Path) -> None:
    here(workspace_dir, "init")
    assert here(workspace_dir, "status").returncode == 0


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    argv = [sys.executable, "-P", "-m", "app", "--help"]
    done = subprocess.Popen(argv, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.stdout is not None
    assert done.stderr is not None
    done.stdout.close()
    errors = done.stderr.read()
    done.wait(timeout=60)
    done.stderr.close()
    assert b"Traceback" not in errors
    assert b"Exception ignored" not in errors


def test_debug_shows_where_and_changes_no_exit_code(tmp_path: Path) -> None:
    argv = [sys.executable, "-P", "-m", "app", "--debug", "pod", "list", "--provider", "nowhere"]
    done = subprocess.run(argv, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60)
    assert "Traceback" in done.stderr and done.stderr.splitlines()[-1].startswith("maxcai: ")
    assert done.returncode == 2


def test_a_whole_round_of_commands_and_the_plain_demo(here: Run, workspace_dir: Path) -> None:
    def data(*words: str) -> Any:
        done = here(workspace_dir, *words, "--json", MAXCAI_LOCAL_PRICE="2")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    try:
        demo = maxcai(workspace_dir, "demo", "--plain", MAXCAI_LOCAL_PRICE="2")
        assert demo.returncode == 0, demo.stderr
        assert "stage 1 explicit: PASS (threshold 60%)" in demo.stdout
        assert "lenient   80/100 =  80.0% [" in demo.stdout
        assert "report.md" in demo.stdout
        assert "[1/2] stage-1/generate" in demo.stderr
        (listed,) = data("run", "list")
        assert (listed["state"], listed["verdict"], listed["pulled"]) == ("finished", "PASS", True)
        shown = data("run", "show")
        assert shown["stages"][0]["rates"]["tuned"]["successes"] == 70
        report = here(workspace_dir, "run", "report")
        assert report.stdout == "# Report\n\nverdict PASS\n\n"
        logs = here(workspace_dir, "logs", "--stream", "stage-1.generate")
        assert logs.stdout == "working on stage-1/generate\n"
        wrong = here(workspace_dir, "logs", "--stream", "stage-1.genrate")
        assert wrong.returncode == 2
        assert "Did you mean" in wrong.stderr
        status = data("status")
        assert status["run"]["verdict"] == "PASS"
        assert status["cost"]["total"] > 0
        again = here(workspace_dir, "run", "resume", MAXCAI_LOCAL_PRICE="2")
        assert again.returncode == 3
        assert "has finished" in again.stderr
    finally:
        here(workspace_dir, "pod", "stop", "--force")


def test_ctrl_c_leaves_the_run_alone_and_says_so(here: Run, workspace_dir: Path) -> None:
    argv = [sys.executable, "-P", "-m", "app", "run", "start", "-r", "long", "-f"]
    with subprocess.Popen(
        argv, cwd=workspace_dir, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stderr is not None
            for line in child.stderr:
                if "stage-1/generate" in line:
                    break
            child.send_signal(signal.SIGINT)
            rest = child.stderr.read()
            assert child.wait(timeout=60) == 130
            assert "interrupted; a run on the pod goes on" in rest
            assert "Traceback" not in rest
            refused = here(workspace_dir, "pod", "stop")
            assert refused.returncode == 3
            assert "is running" in refused.stderr
        finally:
            here(workspace_dir, "pod", "stop", "--force")


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_cannot_draw_gets_the_status_and_not_the_panel(
    term: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(cli, "_panel", lambda *_: pytest.fail("it was opened"))
    assert cli.main(["-C", str(tmp_path)]) == 0
    assert "no run yet" in capsys.readouterr().out


def test_the_version_is_told_without_a_workspace(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("maxcai ")
