"""Plain text and JSON shapes of what the command line prints. Pure; unknown values are shown as unknown, never as 0."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from app.fold import stage_of
from app.runs import RunEntry
from app.state import CostView, GateView, PodView, RunView
from pipeline.protocol import CONDITIONS

_HOSTILE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def harmless(text: str) -> str:
    """Text from a pod, with everything a terminal would obey (escapes, titles, clipboard) taken out."""
    return _HOSTILE.sub("", text)


def money(usd: Decimal | None, digits: int = 2) -> str:
    return "unknown" if usd is None else f"${usd:.{digits}f}"


def duration(seconds: float | None) -> str:
    """ "4:05", "1:02:03" or "unknown"."""
    if seconds is None:
        return "unknown"
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def moment(unix: float | None) -> str:
    return "–" if unix is None else datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Left-aligned columns, two spaces apart."""
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def pod_row(pod: PodView) -> tuple[str, ...]:
    gpu = "–" if pod.gpu is None else f"{pod.gpu_count or 1}× {pod.gpu}"
    price = "unknown" if pod.cost_per_hour is None else f"{pod.cost_per_hour:.2f}"
    ssh = "–" if pod.host is None else f"{pod.host}:{pod.port}"
    note = pod.detail or ("" if pod.ours else "not of this workspace")
    return (pod.id, pod.name, pod.provider, pod.status, gpu, price, ssh, harmless(note))


def run_row(entry: RunEntry, view: RunView) -> tuple[str, ...]:
    verdict = view.gates[-1].verdict if view.gates else "–"
    home = "yes" if view.pulled else "no"
    return (entry.run_id, entry.recipe, entry.pod, str(entry.attempt), moment(entry.started), view.state, verdict, home)


def rate_lines(gate: GateView) -> list[str]:
    """One line per condition: strict rate with its Wilson interval, and the lenient rate."""
    order = [c for c in CONDITIONS if c in gate.rates] + sorted(set(gate.rates) - set(CONDITIONS))
    lines = []
    for condition in order:
        rate = gate.rates[condition]
        trials = rate["trials"]
        if not trials:
            lines.append(f"  {harmless(condition):<15} no items")
            continue
        low, high = wilson(rate["lenient_successes"], trials)
        lines.append(
            f"  {harmless(condition):<15} strict {_rate(rate['successes'], trials, rate['low'], rate['high'])}"
            f"   lenient {_rate(rate['lenient_successes'], trials, low, high)}"
        )
    return lines


def _rate(successes: int, trials: int, low: float, high: float) -> str:
    return f"{successes:>4}/{trials} = {successes / trials:6.1%} [{low:5.1%}, {high:5.1%}]"


def wilson(successes: int, trials: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson's 95 % score interval (JASA 22, 1927). Events carry it for the strict rate only."""
    rate, zz = successes / trials, z * z
    centre = (rate + zz / (2 * trials)) / (1 + zz / trials)
    half = z / (1 + zz / trials) * math.sqrt(rate * (1 - rate) / trials + zz / (4 * trials * trials))
    return max(0.0, centre - half), min(1.0, centre + half)


def present_stage(run: RunView) -> int:
    """The stage that the run works on, or has worked on last; the first one while the base is being measured."""
    stages = [(stage_of(step.step), step.state != "planned") for step in run.steps]
    begun = [stage for stage, started in stages if stage and started]
    return max(begun, default=min((stage for stage, _ in stages if stage), default=1))


def measured(run: RunView, stage: int | None = None) -> dict[str, dict[str, Any]]:
    """Rates on a stage's held-out set that the evaluate steps have told so far, by default the present stage's,
    condition by condition, in the shape of a gate's `rates`."""
    held = f"strict/set-{present_stage(run) if stage is None else stage}/"
    found: dict[str, dict[str, Any]] = {}
    for name, (trials, strict) in run.metrics.items():
        step, _, metric = name.partition(" ")
        lenient = run.metrics.get(f"{step} {metric.replace('strict/', 'lenient/', 1)}")
        if not metric.startswith(held) or lenient is None or trials < 1:
            continue
        if not (0 <= strict <= 1 and 0 <= lenient[1] <= 1):
            continue  # no rate: rather left out than shown wrong
        successes, whole = round(strict * trials), int(trials)
        low, high = wilson(successes, whole)
        found[metric.removeprefix(held)] = {
            "successes": successes,
            "trials": whole,
            "low": low,
            "high": high,
            "lenient_successes": round(lenient[1] * trials),
        }
    return found


def gate_lines(gate: GateView) -> list[str]:
    threshold = "no threshold" if gate.threshold is None else f"threshold {gate.threshold:.0%}"
    lines = [f"stage {gate.stage} {harmless(gate.name)}: {harmless(gate.verdict)} ({threshold})"]
    if gate.reason:
        lines.append(f"  {harmless(gate.reason)}")
    return lines + rate_lines(gate)


def run_text(view: RunView, entry: RunEntry) -> str:
    """The whole of one run in a few lines."""
    lines = [
        f"run {view.run_id}  recipe {harmless(view.recipe or entry.recipe)}  {view.state}  attempt {entry.attempt}"
    ]
    if view.reason:
        lines.append(f"  {harmless(view.reason)}")
    if entry.review or entry.without_review:
        lines.append(
            f"  approved by review {entry.review}" if entry.review
            else f"  STARTED WITHOUT A REVIEW: {entry.without_review}"
        )  # fmt: skip
    for step in view.steps:
        amount = (
            "" if step.done is None else f"  {step.done}/{'?' if step.total is None else step.total} {step.unit or ''}"
        )
        took = "" if step.seconds is None else f"  {duration(step.seconds)}"
        lines.append(f"  {step.state:<8} {harmless(step.step)}{took}{harmless(amount)}".rstrip())
    for gate in view.gates:
        lines += gate_lines(gate)
    lines += [f"  warning: {harmless(w)}" for w in view.warnings]
    lines.append("results are home" if view.pulled else "results are not home")
    return "\n".join(lines)


def run_data(view: RunView, entry: RunEntry) -> dict[str, Any]:
    """The run for `--json`; `stages` as in `python -m pipeline status --json`."""
    return {
        "run_id": view.run_id,
        "recipe": view.recipe or entry.recipe,
        "state": view.state,
        "attempt": entry.attempt,
        "pod": entry.pod,
        "tree": entry.tree,
        "reason": view.reason,
        "review": entry.review,
        "without_review": entry.without_review,
        "exit_code": view.exit_code,
        "started": view.started_at,
        "finished": view.finished_at,
        "pulled": view.pulled,
        "steps": [{"step": s.step, "state": s.state, "seconds": s.seconds, "attempt": s.attempt} for s in view.steps],
        "stages": [
            {
                "stage": g.stage,
                "name": g.name,
                "verdict": g.verdict,
                "threshold": g.threshold,
                "rates": {condition: dict(rate) for condition, rate in g.rates.items()},
                "attempt": g.attempt,
            }
            for g in view.gates
        ],
        "warnings": list(view.warnings),
    }


def cost_text(cost: CostView) -> str:
    per_hour = "unknown $/h" if cost.per_hour is None else f"{money(cost.per_hour)}/h"
    return f"cost {per_hour}, this session {reckoned(cost.session, cost)}, in all {reckoned(cost.total, cost)}"


def reckoned(usd: Decimal | None, cost: CostView) -> str:
    """A sum, with ≈ while it is our own reckoning."""
    return ("≈" if cost.estimated and usd is not None else "") + money(usd, 4)


def pod_line(pod: PodView) -> str:
    """One pod: provider's word, ours where it says more, and why."""
    line = f"pod {pod.id} {pod.status}" + (f" since {moment(pod.started_at)}" if pod.host else "")
    line += f" → {pod.state}" if pod.state not in (None, pod.status) else ""
    line += f": {harmless(pod.detail)}" if pod.detail else ""
    line += f" (you can: {', '.join(pod.offers)})" if pod.offers and pod.state not in ("STOPPED", None) else ""
    return line + ("" if pod.ours else " (not of this workspace)")


def status_text(project: str, pods: Sequence[PodView], run: RunView | None, cost: CostView) -> str:
    lines = [f"project {project}"]
    lines += [pod_line(pod) for pod in pods]
    if not pods:
        lines.append("no pod")
    if run is None:
        lines.append("no run yet: `maxcai run start` or `maxcai demo`")
    else:
        lines.append(f"run {run.run_id} {run.state}, results {'home' if run.pulled else 'not home'}")
        lines += [line for gate in run.gates for line in gate_lines(gate)]
    return "\n".join([*lines, cost_text(cost)])


def status_data(project: str, pods: Sequence[PodView], run: RunView | None, cost: CostView) -> dict[str, Any]:
    def number(usd: Decimal | None) -> float | None:
        return None if usd is None else float(usd)

    return {
        "project": project,
        "pods": [
            {
                "id": p.id,
                "name": p.name,
                "provider": p.provider,
                "status": p.status,
                "state": p.state,
                "detail": p.detail,
                "offers": list(p.offers),
                "ours": p.ours,
            }
            for p in pods
        ],
        "run": None
        if run is None
        else {
            "run_id": run.run_id,
            "state": run.state,
            "verdict": run.gates[-1].verdict if run.gates else None,
            "pulled": run.pulled,
        },
        "cost": {
            "per_hour": number(cost.per_hour),
            "session": number(cost.session),
            "total": number(cost.total),
            "estimated": cost.estimated,
        },
    }
