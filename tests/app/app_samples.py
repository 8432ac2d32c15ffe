"""A small real pipeline, workspaces that use it, and how the pod of one is ended."""

from __future__ import annotations

import textwrap
from pathlib import Path

from remote import processes
from remote.pods.sandbox import MARK, Sandbox

PIPELINE = '''
"""A pipeline of a second: the command line and the event protocol of the real one, and work that is countable."""
import argparse, datetime, json, os, pathlib, signal, sys, time

parser = argparse.ArgumentParser()
commands = parser.add_subparsers(dest="command", required=True)
validate = commands.add_parser("validate")
validate.add_argument("what")
validate.add_argument("name")
run = commands.add_parser("run")
run.add_argument("--recipe")
run.add_argument("--run-dir", type=pathlib.Path)
options = parser.parse_args()
RECIPES = ("demo", "long", "wordless", "broken")
if options.command == "validate":
    if options.what == "constitution":
        if "principles" not in pathlib.Path(options.name).read_text():
            print("error: constitution.yaml:1: principles: missing; add the field", file=sys.stderr)
            sys.exit(2)
    elif options.name not in RECIPES:
        print(f"unknown recipe {options.name}. Known: {', '.join(RECIPES)}.", file=sys.stderr)
        sys.exit(2)
    sys.exit(0)

folder = options.run_dir
folder.mkdir(parents=True, exist_ok=True)
events = folder / "events.jsonl"
seq = len(events.read_bytes().splitlines()) if events.exists() else 0

def emit(kind, **data):
    global seq
    now = datetime.datetime.now(datetime.timezone.utc).isoformat().replace("+00:00", "Z")
    with events.open("a") as out:
        out.write(json.dumps({"v": 1, "seq": seq, "t": now, "kind": kind, **data}) + "\\n")
    seq += 1

if options.recipe == "broken":
    print("loading\\nerror: the model package no-such-package is not installed; install it\\n", file=sys.stderr)
    sys.exit(2)

def stopped(*_):
    emit("run_finished", state="stopped", exit_code=1, reason="asked to stop")
    sys.exit(1)

signal.signal(signal.SIGTERM, stopped)
print("price", os.environ.get("MAXCAI_PRICE_PER_HOUR"), flush=True)
steps = ["stage-1/generate", "stage-1/evaluate"]
emit("run_started", run_id=os.environ["MAXCAI_RUN_ID"], recipe=options.recipe, recipe_sha256="0", hardware={},
     resumed=seq > 0, steps=steps)
starts = folder / "starts"
with starts.open("a") as out:
    out.write("start\\n")
if options.recipe == "wordless" and len(starts.read_text().splitlines()) == 1:
    os.kill(os.getpid(), signal.SIGKILL)
if options.recipe == "long":
    emit("step_started", step=steps[0], key="k", attempt=1, forecast_s=None)
    emit("progress", step=steps[0], done=1, total=2, unit="items", rate=1.0, eta_s=5.0)
    while not (folder / "go").exists():
        time.sleep(0.05)
(folder / "logs").mkdir(exist_ok=True)
for step in steps:
    emit("step_started", step=step, key="k", attempt=1, forecast_s=1.0)
    (folder / "logs" / (step.replace("/", ".") + ".log")).write_text(f"working on {step}\\n")
    emit("progress", step=step, done=2, total=2, unit="items", rate=2.0, eta_s=0.0)
    emit("step_finished", step=step, state="done", seconds=0.1, tokens=None, usd=None)
rate = {"successes": 30, "trials": 100, "low": 0.219, "high": 0.396, "lenient_successes": 45}
tuned = {"successes": 70, "trials": 100, "low": 0.604, "high": 0.781, "lenient_successes": 80}
emit("gate", stage=1, name="explicit", attempt=1, verdict="PASS", rate=0.7, low=0.604, high=0.781, threshold=0.6,
     p=1e-6, n=100, reason="the rate is above the threshold", rates={"base-formatted": rate, "tuned": tuned})
(folder / "report.md").write_text("# Report\\n\\nverdict PASS\\n")
emit("run_finished", state="finished", exit_code=0, reason=None)
'''


def make_workspace(parent: Path) -> Path:
    """A workspace whose own `pipeline` package runs in about a second."""
    root = parent / "project"
    package = root / "pipeline"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(textwrap.dedent(PIPELINE))
    (root / "constitution.yaml").write_text("version: 1\nprinciples: []\n")
    return root


async def end_pod(folder: Path) -> None:
    """End everything that runs in an embedded pod's folder, without asking its state file, which may be damaged."""
    server = folder / "server.pid"

    def living() -> list[processes.ProcessId]:
        found = [*Sandbox(folder).jobs(), *processes.carrying(MARK, str(folder))]
        if server.is_file():
            pid, started = server.read_text().split()
            found.append(processes.ProcessId(int(pid), started))
        return found

    assert await processes.end(living, grace_s=2.0) == []
