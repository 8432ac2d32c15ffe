"""The demo: the whole loop on a pod, with whatever numbers come out. Nothing here is scripted.

An unfinished demo run is taken up again instead of starting another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from app.errors import Refused
from app.history import is_home, run_view
from app.launch import resume_run, start_run
from app.risk import at_risk
from app.runs import RunBook, RunEntry
from app.state import RunView
from app.text import duration, gate_lines, harmless, money, run_data
from app.workspace import Workspace

if TYPE_CHECKING:
    from app.supervisor import Supervisor

RECIPE = "demo"
RESUMES = 3
"""Times a demo run that was lost is resumed before the loop gives up."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What the demo came to. `reached` is true when the loop ran and a gate has a verdict, whichever it is."""

    text: str
    data: dict[str, Any]
    reached: bool


async def run_demo(supervisor: Supervisor) -> Summary:
    """Start, push, run, follow, pull, stop. Raises Refused when the pod cannot be stopped safely."""
    started = supervisor.clock()
    entry = await _begin(supervisor)
    run = await supervisor.finish(entry)
    for _ in range(RESUMES):
        if run.state not in ("lost", "stopped"):
            break
        supervisor.say("warn", f"run {run.run_id} {run.state}: {run.reason or 'no reason told'}; resuming it")
        entry = await resume_run(supervisor, entry)
        run = await supervisor.finish(entry)
    if not is_home(supervisor.workspace, entry):
        await supervisor.pull(entry)
    pod = await supervisor.pod(entry.pod)
    price, began = pod.price_per_hour, pod.started_at
    risks = await at_risk(supervisor, pod)
    if risks:
        raise Refused(f"the pod goes on: {'; '.join(risks)}", "`maxcai pull`, then `maxcai pod stop`.")
    await supervisor.stop_pod(pod)
    supervisor.say("ok", f"pod {pod.id} is stopped")
    ended = supervisor.clock()
    cost = None if price is None or began is None else price * Decimal(str(ended - began)) / 3600
    return summarise(supervisor.workspace, entry, ended - started, cost)


def last_summary(workspace: Workspace) -> Summary | None:
    """The summary of the newest demo run that is home, from the files here; None when there is none."""
    from remote.costs import Ledger

    entry = RunBook(workspace.state_dir).find(None, RECIPE)
    if entry is None or not is_home(workspace, entry):
        return None
    view = run_view(workspace, entry)
    began, ended = view.started_at, view.finished_at
    seconds = None if began is None or ended is None else ended - began
    rows = [r for r in Ledger(workspace.state_dir).rows() if began is not None and r.session.pod_id == entry.pod]
    held = [r for r in rows if began is not None and r.session.started_at <= began + 1]
    return summarise(workspace, entry, seconds, held[-1].cost(ended or 0.0) if held else None)


def summarise(workspace: Workspace, entry: RunEntry, seconds: float | None, usd: Decimal | None) -> Summary:
    """The report's summary: rates and intervals per condition, verdict, seconds, dollars, where the files are."""
    view = run_view(workspace, entry)
    folder = workspace.run_dir(entry.run_id)
    lines = [f"run {view.run_id}, recipe {entry.recipe}: {view.state}"]
    if view.reason:
        lines.append(f"  {harmless(view.reason)}")
    for gate in view.gates:
        lines += gate_lines(gate)
    if not view.gates:
        lines.append("no gate was reached")
    lines.append(
        f"time {duration(seconds)} ({'unknown' if seconds is None else f'{seconds:.0f}'} s), cost {money(usd)}"
    )
    lines += [f"files {folder}", *_reports(workspace, entry)]
    data = {
        **run_data(view, entry),
        "seconds": seconds,
        "usd": None if usd is None else float(usd),
        "path": str(folder),
    }
    return Summary("\n".join(lines), data, _reached(view))


def _reports(workspace: Workspace, entry: RunEntry) -> Sequence[str]:
    folder = workspace.run_dir(entry.run_id)
    return [f"report {folder / name}" for name in ("report.md", "report.html") if (folder / name).is_file()]


def _reached(view: RunView) -> bool:
    return any(gate.verdict not in ("MISSING", "INVALID") for gate in view.gates)


async def _begin(supervisor: Supervisor) -> RunEntry:
    """The demo run to finish: one that is alive or not home, else a lost or stopped one, else a new one."""
    entry = supervisor.book.find(None, RECIPE)
    if entry is None or is_home(supervisor.workspace, entry):
        if entry is None or run_view(supervisor.workspace, entry).state not in ("lost", "stopped"):
            return await start_run(supervisor, RECIPE)
        return await resume_run(supervisor, entry)
    await supervisor.start_pod(entry.pod)
    await supervisor.catch_up(entry)
    run = supervisor.state().run
    state = run.state if run is not None else "lost"
    if state in ("lost", "stopped", "pending"):
        supervisor.say("info", f"taking up run {entry.run_id} again ({state})")
        return await resume_run(supervisor, entry)
    supervisor.say("info", f"run {entry.run_id} is {state}: following it instead of starting another")
    supervisor.watch(entry)
    return entry
