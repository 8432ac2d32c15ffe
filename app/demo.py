"""The demo: the whole loop on a pod, with whatever numbers come out. Nothing here is scripted.

An unfinished demo run is taken up again instead of starting another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

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


class Summary(Struct, frozen=True):
    """What the demo came to. `reached` is true when the loop ran and a gate has a verdict, whichever it is.

    `kept` says why the pod was not stopped; "" when it was.
    """

    text: str
    data: dict[str, Any]
    reached: bool
    kept: str = ""


async def run_demo(supervisor: Supervisor) -> Summary:
    """Start, push, run, follow, pull, and stop the pod if nothing else on it is at risk."""
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
    risks = await at_risk(supervisor, pod)
    if risks:
        return replace(summarise(supervisor.workspace, entry), kept="; ".join(risks))
    await supervisor.stop_pod(pod)
    supervisor.say("ok", f"pod {pod.id} is stopped")
    return summarise(supervisor.workspace, entry)


def last_home(workspace: Workspace) -> RunEntry | None:
    """The newest demo run when it is over and home, else None."""
    entry = RunBook(workspace.state_dir).find(None, RECIPE)
    return entry if entry is not None and is_home(workspace, entry) else None


def summarise(workspace: Workspace, entry: RunEntry) -> Summary:
    """The report's summary: rates and intervals per condition, verdict, seconds, dollars, where the files are.

    The seconds are the run's own, from its first event to its last, pauses included, whoever was watching; the
    dollars are those of the pod sessions it took part in.
    """
    view = run_view(workspace, entry)
    folder = workspace.run_dir(entry.run_id)
    seconds = None if view.started_at is None or view.finished_at is None else view.finished_at - view.started_at
    usd = run_cost(workspace, entry, view)
    lines = [f"run {view.run_id}, recipe {entry.recipe}: {view.state}"]
    if view.reason:
        lines.append(f"  {harmless(view.reason)}")
    for gate in view.gates:
        lines += gate_lines(gate)
    if not view.gates:
        lines.append("no gate was reached")
    whole = (
        "unknown"
        if seconds is None
        else f"{duration(seconds)} ({seconds:.0f} s) from the run's first event to its last"
    )
    again = f", in {entry.attempt} attempts" if entry.attempt > 1 else ""
    lines += [f"time {whole}{again}", f"cost {money(usd, 4)} for the pod sessions it ran in"]
    lines += [f"files {folder}", *_reports(workspace, entry)]
    data = {
        **run_data(view, entry),
        "seconds": seconds,
        "usd": None if usd is None else float(usd),
        "path": str(folder),
    }
    return Summary("\n".join(lines), data, _reached(view))


def run_cost(workspace: Workspace, entry: RunEntry, view: RunView) -> Decimal | None:
    """USD of every session of the run's pod that overlaps the run. None when one of them has no known price."""
    from remote.money.costs import Ledger

    if view.started_at is None or view.finished_at is None:
        return None
    costs = [
        row.cost(view.finished_at)
        for row in Ledger(workspace.state_dir).rows()
        if row.session.pod_id == entry.pod
        and row.session.started_at <= view.finished_at
        and (row.stopped_at is None or row.stopped_at >= view.started_at)
    ]
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if costs and len(known) == len(costs) else None


def _reports(workspace: Workspace, entry: RunEntry) -> Sequence[str]:
    folder = workspace.run_dir(entry.run_id)
    return [f"report {folder / name}" for name in ("report.md", "report.html") if (folder / name).is_file()]


def _reached(view: RunView) -> bool:
    """A gate that found its inputs INVALID has decided as well; one whose inputs are MISSING has not."""
    return any(gate.verdict != "MISSING" for gate in view.gates)


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
