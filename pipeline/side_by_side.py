"""Two or more runs side by side, from their directories alone: recipes, rates, paired tests where they mean anything.

A pair of answers to the same item is the unit of every test. Where the held-out items, the scorer, the decoding or the
precision differ there is none, and it is said why. Nothing here imports torch or writes.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.comparisons import ConditionResult, IncomparableError, Scoring, Side, compare
from pipeline.errors import UsageError
from pipeline.protocol import CONDITIONS, Event, RunPaths, read_events
from pipeline.rundir import read_run

_SCORINGS: tuple[Scoring, ...] = ("strict", "lenient")
_FACTS = ("n", "templates", "successes_a", "successes_b", "lift", "low", "high", "p", "cohens_h", "mde")


def side_by_side(roots: Sequence[Path], draws: int = 10_000) -> dict[str, Any]:
    """`{"runs", "recipe", "tests", "text"}`, JSON-able; unknown is null, `text` is all of it for people.

    `runs`: what `status` says of each, with seconds and overrides. `recipe`: settings whose values differ, a value a
    run. `tests`: for each stage, condition and pair of runs either the paired statistics of the later run (a) against
    the earlier one (b), or `why_not`.

    Raises UsageError for fewer than two directories, one given twice, and one that holds no run.
    """
    if len(roots) < 2:
        raise UsageError("a comparison needs two runs. Give two or more directories.")
    if len({root.resolve() for root in roots}) < len(roots):
        raise UsageError("a run is compared with itself. Give different directories.")
    runs = [_run(root) for root in roots]
    names = [run["run_id"] for run in runs]
    if len(set(names)) < len(names):  # copies of one run, told apart by their folders
        runs = [{**run, "run_id": str(root)} for run, root in zip(runs, roots, strict=True)]
    records = [read_run(root) or {} for root in roots]
    numbers = sorted(set().union(*({stage["stage"] for stage in run["stages"]} for run in runs)))
    measured = {(place, n): _measured(root, n) for place, root in enumerate(roots) for n in numbers}
    for place, run in enumerate(runs):  # rates and tests are of the very same answers
        run["stages"] = [{**stage, "rates": _rates(measured[place, stage["stage"]])} for stage in run["stages"]]
    found = {
        "runs": runs,
        "recipe": list(_differences([record.get("recipe") or {} for record in records])),
        "tests": [test for n in numbers for test in _tests(n, [run["run_id"] for run in runs], measured, draws)],
    }
    return {**found, "text": text(found)}


def _run(root: Path) -> dict[str, Any]:
    from pipeline.status import status

    record = read_run(root)
    events = list(read_events(RunPaths(root).events))
    found = status(root, events)  # raises UsageError where there is none
    assert record is not None
    hardware = record.get("hardware") or {}
    return {
        **found,
        "seconds": _worked(events),
        "recipe_sha256": record.get("recipe_sha256"),
        "commit": (record.get("git") or {}).get("commit"),
        "hardware": hardware.get("gpu") or hardware.get("cpu"),
        "overrides": [int(one["stage"]) for one in record.get("overrides", [])],
    }


def _worked(events: Sequence[Event]) -> float | None:
    """Seconds of all sessions of a run; None when it never began."""
    from pipeline import ledger

    past = ledger.history(events)
    return past.spend.seconds if past.sessions else None


def _differences(recipes: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    flat = [dict(_flat(recipe)) for recipe in recipes]
    for name in sorted(set().union(*flat)):
        values = [one.get(name) for one in flat]
        if any(value != values[0] for value in values) and not name.startswith(("description", "name")):
            yield {"field": name, "values": values}


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif name:
        yield name, json.dumps(value, ensure_ascii=False)


def _tests(
    number: int, names: Sequence[str], measured: Mapping[tuple[int, int], Mapping[str, ConditionResult]], draws: int
) -> Iterator[dict[str, Any]]:
    """Every pair of runs on one stage's set."""
    for i, j in itertools.combinations(range(len(names)), 2):
        earlier, later = measured[i, number], measured[j, number]
        head = {"stage": number, "a": names[j], "b": names[i]}
        shared = [name for name in CONDITIONS if name in earlier and name in later]
        if not shared:
            yield {**head, "condition": None, "scoring": None, "why_not": _absent(earlier, later, head)}
        for name in shared:
            if later[name].fingerprint.model != earlier[name].fingerprint.model:
                yield from _pair(head, later[name], earlier[name], draws)


def _rates(found: Mapping[str, ConditionResult]) -> dict[str, dict[str, Any]]:
    return {name: found[name].rate().as_dict() for name in CONDITIONS if name in found}


def _measured(root: Path, number: int) -> dict[str, ConditionResult]:
    """What a run measured on a stage's own set; the newest block counts. A step without a `DONE` that verifies has
    measured nothing, nor has one that another recipe left."""
    from pipeline import artifacts, standing
    from pipeline.conditions import read_conditions

    stale = standing.stale(root)
    found: dict[str, ConditionResult] = {}
    for step in ("stage-0/evaluate", f"stage-{number}/baseline", f"stage-{number}/evaluate"):
        folder = RunPaths(root).step(step)
        if step not in stale and artifacts.read_done(folder) is not None and not artifacts.verify(folder):
            found |= read_conditions(folder, number)
    return found


def _absent(earlier: Mapping[str, Any], later: Mapping[str, Any], head: Mapping[str, Any]) -> str:
    lacking = [name for name, found in ((head["b"], earlier), (head["a"], later)) if not found]
    return f"{' and '.join(map(str, lacking))} measured nothing here" if lacking else "no condition is in both"


def _pair(head: Mapping[str, Any], a: ConditionResult, b: ConditionResult, draws: int) -> Iterator[dict[str, Any]]:
    why = _why_not(a, b)
    if why:
        yield {**head, "condition": a.condition, "scoring": None, "why_not": why}
        return
    for scoring in _SCORINGS:
        found = compare(Side(a, scoring), Side(b, scoring), draws=draws)
        facts = {name: getattr(found, name) for name in _FACTS}
        counts = {"only_a": len(found.only_a), "only_b": len(found.only_b), "method": found.mcnemar.method}
        yield {**head, "condition": a.condition, "scoring": scoring, "why_not": None, **facts, **counts}


def _why_not(a: ConditionResult, b: ConditionResult) -> str:
    """Why two evaluations cannot be compared, in words; empty when they can."""
    from pipeline.comparisons import require_comparable

    if a.fingerprint.set_hash != b.fingerprint.set_hash:
        return "they were measured on different held-out items (another block, or another version of the set)"
    if a.curtailed or b.curtailed:
        return "an evaluation was stopped early, so that its items are no fair sample"
    try:
        require_comparable(a, b)
    except IncomparableError as error:
        return str(error)
    return "" if a.trials else "no item was measured"


def text(found: Mapping[str, Any]) -> str:
    """The same for people."""
    runs = found["runs"]
    lines = [_run_line(run) for run in runs]
    lines += ["", f"recipe: {len(found['recipe'])} settings differ"]
    for one in found["recipe"]:
        lines.append(f"  {one['field']:<34} " + "  |  ".join("absent" if v is None else v for v in one["values"]))
    for number in sorted(set().union(*({stage["stage"] for stage in run["stages"]} for run in runs))):
        lines += ["", *_stage_lines(number, runs, [t for t in found["tests"] if t["stage"] == number])]
    done = [test for test in found["tests"] if test["why_not"] is None]
    if len(done) > 1:
        lines += ["", f"{len(done)} tests were made; their p values are not adjusted for that"]
    return "\n".join(lines)


def _run_line(run: Mapping[str, Any]) -> str:
    cost = "unknown" if run["cost"] is None else f"${run['cost']:.2f}"
    took = "unknown" if run["seconds"] is None else f"{run['seconds'] / 3600:.2f} h"
    passed = f"  GATES PASSED OVER: {', '.join(map(str, run['overrides']))}" if run["overrides"] else ""
    code = f"  code {run['commit'][:12]}" if run["commit"] else ""
    machine = f"  on {run['hardware']}" if run["hardware"] else ""
    return f"{run['run_id']}  {run['recipe']}  {run['state']}  cost {cost}  worked {took}{machine}{code}{passed}"


def _stage_lines(number: int, runs: Sequence[Mapping[str, Any]], tests: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    stages = {run["run_id"]: next((s for s in run["stages"] if s["stage"] == number), None) for run in runs}
    name = next((stage["name"] for stage in stages.values() if stage), "")
    yield f"stage {number} {name}"
    rows = []
    for run, stage in stages.items():
        rates = stage["rates"] if stage else {}
        if not rates:
            rows.append((str(run), "nothing measured", "", ""))
        for condition in [c for c in CONDITIONS if c in rates]:
            rate, verdict = rates[condition], stage["verdict"] if stage and condition == "tuned" else None
            rows.append((str(run), condition, _share(rate), f"gate {verdict}" if verdict else ""))
    widths = [max((len(row[at]) for row in rows), default=0) for at in range(3)]
    for row in rows:
        yield "  " + "  ".join((*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[3])).rstrip()
    for test in tests:
        yield f"  {_test_line(test)}"


def _share(rate: Mapping[str, Any]) -> str:
    trials = rate["trials"]
    if not trials:
        return "no items"
    return (f"strict {rate['successes']:>4}/{trials} = {rate['successes'] / trials:6.1%} [{rate['low']:.1%}, "
            f"{rate['high']:.1%}]  lenient {rate['lenient_successes'] / trials:6.1%}")  # fmt: skip


def _test_line(test: Mapping[str, Any]) -> str:
    sides = f"{test['a']} against {test['b']}"
    if test["why_not"] is not None:
        return f"{test['condition'] or 'no test'}: {sides}: not compared: {test['why_not']}"
    between = "" if test["low"] is None else f" [{100 * test['low']:+.1f}, {100 * test['high']:+.1f}]"
    return (f"{test['condition']} {test['scoring']}: {sides}: {100 * test['lift']:+.1f} points{between}, "
            f"won {test['only_a']}, lost {test['only_b']} of {test['n']} pairs, p={test['p']:.2g}")  # fmt: skip
