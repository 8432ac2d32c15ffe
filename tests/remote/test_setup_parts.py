"""The set-up's parts on the pod: what a lock depends on, what the preflight sees, and Pythons that are too old."""

from __future__ import annotations

import ast
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from setup_world import NO_PIP, image, tree
from subprocess_connection import SubprocessConnection

from remote.agent.client import Agent
from remote.agent.disk import Refused
from remote.errors import ConfigError, PythonMissing
from remote.setup import model as asked
from remote.setup.model import Level, Needs, Wish
from remote.setup.pod import checks, children, lock, model, notes, pythons, versions
from remote.setup.run import clock_check
from remote.setup.script import _POD, Script, bundle

NUMBERS = st.lists(st.integers(0, 12), min_size=1, max_size=3).map(lambda parts: ".".join(map(str, parts)))
CLAUSES = st.builds(lambda op, version: f"{op}{version}", st.sampled_from(["==", "!=", ">=", "<=", "<", ">"]), NUMBERS)


@given(version=NUMBERS, local=st.sampled_from(["", "+cu128"]), clauses=st.lists(CLAUSES, max_size=3))
def test_versions_are_compared_as_pip_compares_them(version: str, local: str, clauses: list[str]) -> None:
    spec = ",".join(clauses)
    right = SpecifierSet(spec).contains(Version(version + local))
    assert versions.satisfies(version + local, f"torch{spec}") == right, spec


@pytest.mark.parametrize(
    ("version", "requirement", "answer"),
    [
        ("2.8.0+cu128", "torch", True),
        ("2.8.0+cu128", "torch==2.8.*", True),
        ("2.8.1", "torch~=2.8.0", True),
        ("2.9.0", "torch~=2.8.0", False),
        ("2.8.0+cu126", "torch==2.8.0+cu128", False),
        ("2.8.0a0+git1", "torch>=2", False),
        ("2.8.0", "torch @ https://example.org/torch.whl", False),
        ("2.8.0", 'torch[opt] >= 2.6 ; sys_platform == "linux"', True),
    ],
)
def test_a_version_that_is_not_understood_does_not_suit(version: str, requirement: str, answer: bool) -> None:
    assert versions.satisfies(version, requirement) is answer


def wish(**more: object) -> dict[str, object]:
    return {"extras": ["pipeline"], "torch": "auto", "torch_args": [], "pip_args": [], **more}


def test_a_lock_follows_the_projects_own_extras_and_refuses_unknown_ones(tmp_path: Path) -> None:
    code = tree(tmp_path / "code", "a>=1", "b")
    assert lock.requirements(str(code), ["all"]) == ["a>=1", "b"]
    with pytest.raises(Refused, match="no extra 'gpu'; it has all, pipeline"):
        lock.requirements(str(code), ["gpu"])
    (code / "pyproject.toml").unlink()
    with pytest.raises(Refused, match="neither pyproject"):
        lock.requirements(str(code), [])
    (code / "requirements.txt").write_text("# comment\nb==2 # why\n")
    assert lock.requirements(str(code), []) == ["b==2"]


def test_a_lock_changes_with_what_it_is_made_of_and_with_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {
        "version": "3.12.3",
        "machine": "x86_64",
        "executable": "/usr/bin/python3",
        "torch": "2.8.0",
        "cuda": "12.8",
    }
    monkeypatch.setattr(lock, "choose", lambda *_: facts)
    code = tree(tmp_path / "code", "torch==2.8.0", "b")
    (code / "constraints.txt").write_text("# made\ntorch==2.8.0\nnvidia-nccl-cu12==2\nb==1\n")
    first, _ = lock.lock(str(code), wish())
    assert first["constraints"] == ["b==1", "torch==2.8.0"]
    assert first["torch"] == {"from": "image", "required": "torch==2.8.0", "version": "2.8.0", "cuda": "12.8"}
    (code / "other.py").touch()
    (code / "constraints.txt").write_text("torch==2.8.0\nb==1\n")
    assert lock.hash_of(lock.lock(str(code), wish())[0]) == lock.hash_of(first)
    for change in ({"torch": "install"}, {"pip_args": ["--pre"]}):
        assert lock.hash_of(lock.lock(str(code), wish(**change))[0]) != lock.hash_of(first)
    (code / "constraints.txt").write_text("torch==2.8.0\nb==2\n")
    assert lock.hash_of(lock.lock(str(code), wish())[0]) != lock.hash_of(first)
    facts["torch"] = None
    with pytest.raises(Refused, match="has torch"):
        lock.lock(str(code), wish(torch="image"))


def test_a_package_index_with_a_password_is_refused() -> None:
    with pytest.raises(ConfigError, match="process list"):
        Wish("0" * 64, pip_args=("--index-url", "https://me:" + "word@example.org/simple"))
    assert Wish("0" * 64, torch_args=("--index-url=https://example.org/cu128",)).torch_args


def test_a_python_says_which_torch_it_brings_without_importing_it(tmp_path: Path) -> None:
    python = image(tmp_path / "image", "2.8.0+cu128")
    (next(tmp_path.glob("image/lib/python*/site-packages/torch")) / "__init__.py").write_text("raise SystemExit(1)\n")
    told = pythons.facts(str(python))
    assert told is not None
    assert (told["torch"], told["cuda"], told["nested"]) == ("2.8.0+cu128", "12.8", True)
    bare = pythons.facts(str(image(tmp_path / "bare", site=NO_PIP)))
    assert bare is not None and (bare["torch"], bare["pip_wheel"], bare["pip"]) == (None, None, None)


# --- preflight ---------------------------------------------------------------------------------------------------


def test_a_torch_that_hangs_is_given_up_at_its_deadline(tmp_path: Path) -> None:
    python = image(tmp_path / "image", "2.8.0")
    (next(tmp_path.glob("image/lib/python*/site-packages/torch")) / "__init__.py").write_text(
        "import time; time.sleep(60)"
    )
    begin = time.monotonic()
    row = checks.torch_check(pythons.facts(str(python)), has_gpu=True, deadline_s=0.5)
    assert (row["level"], time.monotonic() - begin < 15) == ("fail", True)
    assert "did not end" in row["text"] and row["remedy"]


def fake_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_gpus_are_listed_with_driver_and_cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = 'case "$1" in --query*) echo "0, NVIDIA A100, 81920, 570.86";; *) echo "| CUDA Version: 12.8 |";; esac'
    fake_smi(tmp_path, monkeypatch, script)
    cards, why = checks.gpus()
    assert (cards[0]["name"], cards[0]["driver"], cards[0]["cuda"], why) == ("NVIDIA A100", "570.86", "12.8", "")
    assert checks.gpu_check(cards, why, 1)["level"] == "ok"
    assert checks.gpu_check(cards, why, 2)["level"] == "fail"


def test_a_driver_that_hangs_or_fails_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "GPU_S", 0.3)
    fake_smi(tmp_path, monkeypatch, "sleep 60")
    assert checks.gpus() == ([], "nvidia-smi did not answer in 0 s")
    fake_smi(tmp_path, monkeypatch, "echo 'Failed to initialize NVML: Unknown Error'; exit 255")
    monkeypatch.setattr(checks, "GPU_S", 15.0)
    cards, why = checks.gpus()
    assert checks.gpu_check(cards, why, 1)["level"] == "fail" and "NVML" in why
    assert checks.gpu_check(cards, why, None)["level"] == "warn"


def test_a_write_that_hangs_is_given_up_at_its_deadline() -> None:
    begin = time.monotonic()
    assert checks.in_child(lambda: time.sleep(60) or {}, 0.2) is None
    assert time.monotonic() - begin < 10


def test_a_volume_that_cannot_be_written_fails_the_preflight(tmp_path: Path) -> None:
    assert checks.write_check(str(tmp_path), 1 << 20)["level"] in ("ok", "warn")
    assert not list(tmp_path.glob(".maxcai/probe-*"))
    told = checks.in_child(lambda: checks.write_probe("/proc/nothing", 4096), 10.0)
    assert told is not None and "error" in told


def test_a_network_volumes_free_space_is_its_size_less_what_lies_there(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(os.urandom(2 << 20))
    row = checks.space_check(str(tmp_path), {"volume_bytes": 3 << 20, "free_bytes": 2 << 20})
    assert (row["level"], "counted" in row["text"]) == ("fail", True)
    assert checks.space_check(str(tmp_path), {"volume_bytes": 64 << 20, "free_bytes": 2 << 20})["level"] == "ok"


def test_a_clock_that_is_off_is_told_with_its_direction() -> None:
    assert clock_check(1000.0, 1001.0).level is Level.OK
    late = clock_check(1000.0, 1030.0)
    assert (late.level, "30 s behind" in late.text) == (Level.WARN, True)
    assert clock_check(9000.0, 1000.0).level is Level.FAIL


def test_a_model_cache_outside_of_the_volume_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", "/root/.cache/huggingface")
    assert checks.cache_check(str(tmp_path))["level"] == "warn"
    assert model.homes("/workspace", {})["HF_HOME"] == "/workspace/models"
    assert "MAXCAI_CACHE_DIR" not in model.homes("/workspace", {"XDG_CACHE_HOME": "/x"})


def test_needs_are_what_the_pod_was_rented_with() -> None:
    from remote.pods.model import Pod, PodStatus

    pod = Pod("p", "n", "runpod", PodStatus.RUNNING, "/workspace", "python3", gpu_count=2, volume_gb=50, image="i")
    assert (Needs.of(pod).gpu_count, Needs.of(pod).volume_bytes) == (2, 50_000_000_000)
    assert asked.facts_of(pod)["image"] == "i"


# --- running -----------------------------------------------------------------------------------------------------


def test_control_characters_of_a_program_are_not_shown_and_its_log_is_whole(tmp_path: Path) -> None:
    heard: list[str] = []
    log = tmp_path / "logs/x.log"
    argv = [sys.executable, "-c", r"print('a\rb\x1b[2Jc'); print('end', end=''); raise SystemExit(3)"]
    code, last = children.logged(argv, dict(os.environ), "/", str(log), heard.append)
    assert (code, heard, last) == (3, ["a", "b[2Jc"], ["a", "b[2Jc", "end"])
    assert log.read_bytes().endswith(b"a\rb\x1b[2Jc\nend")


def test_progress_is_thinned_out_but_its_important_lines_are_not(tmp_path: Path) -> None:
    book = notes.Notes(str(tmp_path / "setup-1.jsonl"))
    book.begin("environment", "go")
    for number in range(500):
        book.brief(f"line {number}")
    book.failed(Refused("pip", "no", last=["x"]))
    rows = [json.loads(line) for line in (tmp_path / "setup-1.jsonl").read_text().splitlines()]
    assert len(rows) < 100
    assert (rows[0]["text"], rows[-1]["event"], rows[-1]["last"]) == ("go", "failed", ["x"])


def test_everything_that_travels_is_python_3_9_and_standard_library() -> None:
    folder = Path(checks.__file__).parent
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(_POD)
    for name in _POD:
        module = ast.parse((folder / f"{name}.py").read_text(), feature_version=(3, 9))
        for node in ast.walk(module):
            if isinstance(node, ast.Import):
                assert all(alias.name.split(".")[0] in sys.stdlib_module_names for alias in node.names), name
            elif isinstance(node, ast.ImportFrom) and not node.level:
                top = (node.module or "").split(".")[0]
                assert top in sys.stdlib_module_names or node.module in AGENT_MODULES, (name, node.module)


AGENT_MODULES = ("remote.agent.disk", "remote.agent.kernel", "remote.agent.runs")


def old_python() -> str:
    for found in (shutil.which("python3.9"), *Path.home().glob(".pyenv/versions/3.9*/bin/python3.9")):
        if found is not None and subprocess.run([found, "-c", ""], capture_output=True).returncode == 0:
            return str(found)
    pytest.skip("there is no Python 3.9 here")


def test_python_3_9_runs_the_preflight_and_says_that_it_is_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = old_python()
    if any(os.path.exists(place) for place in pythons._PLACES):
        pytest.skip("another Python is at a place where images have theirs")
    (tmp_path / "s.pyz").write_bytes(bundle())
    code = tree(tmp_path / ".maxcai/trees" / ("0" * 64), "a")
    assert code.exists()
    request = {"wish": {"tree": "0" * 64, "recipe": None, "set": [], **wish()}, "needs": {"probe_bytes": 4096}}
    done = subprocess.run(
        [python, "-I", "-S", tmp_path / "s.pyz", "check", "--root", tmp_path, "--locks", tmp_path / "locks"],
        input=json.dumps(request).encode() + b"\n", capture_output=True, env={"PATH": "/nonexistent"},
    )  # fmt: skip
    rows = {row["name"]: row for row in json.loads(done.stdout)["checks"]}
    assert rows["python"]["level"] == "fail" and "is 3.9" in rows["python"]["text"]
    assert rows["write"]["level"] in ("ok", "warn")


async def test_an_image_without_python_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(PythonMissing, match="no-such-python"):
        await Script(Agent(SubprocessConnection(tmp_path, "no-such-python"))).call("look", {})
