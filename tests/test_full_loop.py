"""The whole loop: rent, set up, run, restart midway, resume, pull; then the laptop dies and the pod stops itself.

Every command is a process of its own, as a person would start it; the pods are real SSH servers of the best tier that
works here. The short loop runs a pipeline of a second; the slow ones run the real one, its first stage and all of it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.app.app_samples import make_workspace
from tests.remote.setup_world import wheel
from tests.sim import pods
from tests.sim.runpod_api.clock import VirtualClock
from tests.sim.runpod_api.faults import Fault
from tests.sim.runpod_api.harness import Served, Simulator, served
from tests.sim.runpod_api.model import BootTimes, Status

ROOT = Path(__file__).parents[1]
HUB = "hf_" + "q7" * 16
"""A planted token for the model hub: it may reach the jobs, and no file."""

SETTINGS = """
provider = "runpod"
recipe = "{recipe}"
[runpod]
volume_gb = 20
[setup]
extras = []
model = false
free_gb = 0
pip_args = ["--no-index", "--find-links", "{wheels}"]
[guard]
required = true
max_hours = 5
pull_grace_minutes = {grace}
publish_minutes = 0.1
tick_seconds = 0.5
"""


@dataclass
class Laptop:
    """A workspace and the commands given in it; everything that any of them said is kept."""

    root: Path
    cloud: Served
    said: list[str] = field(default_factory=list)

    @property
    def environ(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MAXCAI_", "RUNPOD_", "HF_"))}
        return {**kept, **self.cloud.sim.environ(), "PYTHONPATH": str(ROOT), "HF_TOKEN": HUB}

    def start(self, *words: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-P", "-m", "app", *words]
        return subprocess.Popen(
            argv, cwd=self.root, env=self.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def __call__(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "app", *words], cwd=self.root, env=self.environ, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        self.said += [done.stdout, done.stderr]
        assert done.returncode == code, done.stderr
        return done.stdout

    def data(self, *words: str) -> Any:
        return json.loads(self(*words, "--json"))

    def pins(self) -> set[str]:
        """Host keys pinned so far."""
        return {key for keys in json.loads((self.root / ".maxcai/pins.json").read_text()).values() for key, _ in keys}


def processes() -> str:
    """Every command line of this machine."""
    lines = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                lines.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue
    return "\n".join(lines)


def until(holds: Callable[[], object], patience_s: float) -> None:
    end = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.1)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Served]:
    if pods.Namespaces.why_not() is not None and not Path("/proc/self").exists():
        pytest.skip("command lines of other processes cannot be read here")

    def make() -> Simulator:
        factory = pods.choose("auto", tmp_path / "sim")
        return Simulator(factory, VirtualClock.real(), boot=BootTimes.instant())  # type: ignore[arg-type]

    with served(make) as one:
        yield one


def the_loop(
    laptop: Laptop, recipe: str, *, begun: Callable[[], object], finish: Callable[[], None], wait_s: float
) -> None:
    """What the user does, in order. `begun` tells that the run is under way, `finish` lets it end."""
    sim = laptop.cloud.sim
    made = laptop.data("pod", "create", "--yes")
    bring_wheels(laptop)
    laptop("pod", "setup")
    first = laptop.data("run", "start", "-r", recipe)
    until(begun, wait_s)
    seen = [processes()]
    before = laptop.pins()
    moved = laptop.data("pod", "restart", "--yes", "--force")
    assert moved["ssh"] != made["ssh"]
    assert len(laptop.pins() - before) >= 1, "the restarted pod has another host key"
    assert laptop.data("run", "show")["state"] == "lost"
    following = laptop.start("run", "resume", "-f")
    until(begun, wait_s)
    finish()
    home = laptop.root / ".maxcai/home" / first["run_id"]
    until(home.exists, wait_s)
    following.send_signal(signal.SIGKILL)  # nobody of ours is left; the pod is on its own
    killed = time.monotonic()
    laptop.said.append(following.communicate()[0])
    seen.append(processes())
    pod = sim.state.pods[made["id"]]
    until(lambda: pod.status is Status.EXITED, wait_s)
    print(f"the pod's own watchdog stopped it {time.monotonic() - killed:.1f} s after the laptop was killed")
    asked = [one for one in sim.requests if one.path == f"/v2/pods/{pod.id}/action" and "stop" in str(one.body)]
    assert asked, "the pod asked for its own stop"
    assert not [one for one in sim.requests if one.method == "DELETE"]
    shown = laptop.data("status")
    assert (shown["run"]["state"], shown["run"]["pulled"], shown["pods"][0]["status"]) == ("finished", True, "STOPPED")
    the_bill(laptop)
    laptop("screenshot", "--run", first["run_id"], "--size", "100x30", "shot.svg")
    what_echoes_the_key(laptop)
    no_key_is_left(laptop, seen)


def what_echoes_the_key(laptop: Laptop) -> None:
    """Refusals that repeat what was sent, as a careless proxy's do: with and without a traceback."""
    detail = f"rejected: Authorization: Bearer {laptop.cloud.sim.key} ({HUB})"
    for status, code in ((422, 1), (500, 4)):
        laptop.cloud.do(lambda sim, status=status: sim.inject("v2", Fault("error", status=status, detail=detail), 20))
        laptop("pod", "volumes", "--debug", code=code)
        laptop.cloud.do(lambda sim: sim.clear_faults())
        assert "rejected" in laptop.said[-1], "what the provider said is told, without the key"


def bring_wheels(laptop: Laptop) -> None:
    """Copy what pip shall find onto the pod's volume: the pods see nothing else of this machine, and no network."""
    (volume,) = (laptop.root.parent / "sim").glob("*/volumes/*")
    shutil.copytree(laptop.root.parent / "wheels", volume / "wheels")
    there = "/workspace/wheels" if pods.Namespaces.why_not() is None else str(volume / "wheels")
    settings = laptop.root / "maxcai.toml"
    settings.write_text(settings.read_text().replace(str(laptop.root.parent / "wheels"), there))


def the_bill(laptop: Laptop) -> None:
    """What the provider billed is what the ledger says, to a second a session."""
    sim = laptop.cloud.sim
    laptop.cloud.wait(sim.advance(600.0))
    sessions = laptop.data("cost")["sessions"]
    assert len(sessions) == 2  # before the restart, and after it
    billed = sum((charge.gpu for charge in sim.state.books.charges if charge.pod_id), Decimal(0))
    seconds = float(billed / Decimal("1.74") * 3600)
    ours = sum(row["seconds"] for row in sessions)
    print(f"{len(sessions)} sessions: {ours:.2f} s by the ledger, {seconds:.2f} s billed")
    assert ours == pytest.approx(seconds, abs=len(sessions))


def no_key_is_left(laptop: Laptop, seen: list[str]) -> None:
    """Neither the account's key nor the hub's token is in anything that was said, written or shown by `ps`."""
    keys = (laptop.cloud.sim.key, HUB)
    texts = [*laptop.said, *seen]
    assert not [text for text in texts for key in keys if key in text]
    folders = (laptop.root, laptop.root.parent / "sim")
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.stat().st_size < 50_000_000:
                data = path.read_bytes()
                assert not [key for key in keys if key.encode() in data], path


def made(tmp_path: Path, cloud: Served, recipe: str, grace: float) -> Laptop:
    """A workspace with a pipeline of a second, which requires nothing."""
    root = make_workspace(tmp_path)
    (tmp_path / "wheels").mkdir()
    (root / "pyproject.toml").write_text('[project]\nname = "sample"\nversion = "1"\ndependencies = []\n')
    (root / "maxcai.toml").write_text(SETTINGS.format(recipe=recipe, wheels=tmp_path / "wheels", grace=grace))
    return Laptop(root, cloud)


def test_the_loop_from_renting_to_a_pod_that_stops_itself(tmp_path: Path, cloud: Served) -> None:
    laptop = made(tmp_path, cloud, "long", 0.1)
    volumes = tmp_path / "sim"

    def runs() -> list[Path]:
        return [path for path in volumes.glob("*/volumes/*/.maxcai/runs/*") if not path.name.startswith("setup-")]

    def begun() -> bool:
        found = [path for path in runs() if (path / "starts").exists()]
        attempts = [path for path in found if (path / "events.jsonl").read_text().count('"run_started"') > 0]
        return bool(attempts) and len((attempts[0] / "starts").read_text().splitlines()) >= started

    started = 1

    def begun_again() -> bool:
        nonlocal started
        if begun():
            started += 1
            return True
        return False

    def finish() -> None:
        (runs()[0] / "go").touch()

    the_loop(laptop, "long", begun=begun_again, finish=finish, wait_s=120.0)


@pytest.mark.slow
@pytest.mark.parametrize("stages", ["[1]", "[1, 2, 3, 4, 5, 6]"])
def test_the_loop_with_the_real_pipeline(tmp_path: Path, cloud: Served, stages: str) -> None:
    """Recipe `smoke`, its first stage or all six (about ten minutes)."""
    pytest.importorskip("torch")
    laptop = made(tmp_path, cloud, "short.yaml", 0.5)
    shutil.rmtree(laptop.root / "pipeline")  # the installed one travels in its place
    shutil.copy(ROOT / "constitution.yaml", laptop.root)
    (laptop.root / "short.yaml").write_text(f"extends: smoke\nname: short\nstages: {stages}\n")
    the_image(tmp_path / "wheels")
    (laptop.root / "pyproject.toml").write_text(
        '[project]\nname = "sample"\nversion = "1"\ndependencies = ["the-image"]\n'
    )
    done = 0

    def begun() -> bool:
        nonlocal done
        finished = list((tmp_path / "sim").glob("*/volumes/*/.maxcai/runs/*/stage-1/*/DONE"))
        if len(finished) > done:
            done = len(finished)
            return True
        return False

    the_loop(laptop, "short.yaml", begun=begun, finish=lambda: None, wait_s=1800.0)


def the_image(wheels: Path) -> None:
    """A wheel that lets an environment see this one's packages: the pods have no network to install torch from."""
    import zipfile

    path = wheel(wheels, "the_image", "1.0")
    site = Path(pytest.__file__).parents[1]
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("the_image.pth", f"{site}\n")
