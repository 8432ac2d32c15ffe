"""The plan of a recipe on a machine: a line a step with work, speed, minutes and dollars; does it fit; is it paid for.

A number that is not known is None and is shown as a question mark, never as 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pipeline.forecast.machines import GIB, Machine
from pipeline.forecast.memory import Need, need
from pipeline.forecast.outlook import precision_of
from pipeline.forecast.rates import BOUND, MEASURED, REACHED_HERE, seconds
from pipeline.forecast.shapes import Shape
from pipeline.forecast.work import Work, works
from pipeline.ledger import Rates
from pipeline.plan import PlannedStep
from pipeline.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Line:
    """One step. `rate` is tokens a second of its chief kind; `usd` and `running_usd` are None without a price."""

    step: str
    stage: int
    read: float
    written: float
    trained: float
    rate: float | None
    source: str
    seconds: float
    usd: float | None
    running_usd: float | None
    state: str | None


@dataclass(frozen=True, slots=True)
class Table:
    """The lines of a recipe in their order, what its steps hold in memory, and what it says of its budget."""

    recipe: Recipe
    machine: Machine
    count: int
    price: float | None  # of all GPUs, USD an hour
    lines: tuple[Line, ...]
    needs: tuple[Need, ...]

    @property
    def seconds(self) -> float:
        return sum(line.seconds for line in self.lines)

    @property
    def usd(self) -> float | None:
        return self.lines[-1].running_usd if self.lines else None

    @property
    def fullest(self) -> Need | None:
        return max(self.needs, key=lambda n: n.total, default=None)

    def stages(self) -> dict[int, tuple[float, float | None]]:
        """Seconds and dollars of each stage."""
        found: dict[int, tuple[float, float | None]] = {}
        for line in self.lines:
            spent, usd = found.get(line.stage, (0.0, 0.0))
            found[line.stage] = spent + line.seconds, None if usd is None or line.usd is None else usd + line.usd
        return found

    def budget(self) -> dict[str, str]:
        """For each limit of the recipe: over, under, or unknown."""
        budget, verdicts = self.recipe.budget, {}
        if budget.usd is not None:
            verdicts["usd"] = "unknown" if self.usd is None else _verdict(self.usd, budget.usd)
        if budget.deadline_hours is not None:
            verdicts["deadline"] = _verdict(self.seconds / 3600, budget.deadline_hours)
        return verdicts


def table(
    recipe: Recipe,
    plan: Sequence[PlannedStep],
    shape: Shape,
    machine: Machine,
    count: int = 1,
    price: float | None = None,
    measured: Rates | None = None,
    done: Callable[[str], bool] | None = None,
    further: Mapping[str, Shape] = MappingProxyType({}),
) -> Table:
    """`price` is USD an hour of one GPU; steps for which `done` says yes are reused and cost nothing; `further` has the
    shapes of the recipe's further models by the field that names them."""
    asked, shapes = works(recipe, tuple(plan), shape), {"": shape, **further}
    hourly = None if price is None else price * count
    lines: list[Line] = []
    running = None if hourly is None else 0.0
    for planned in plan:
        work = asked[planned.name]
        reused = done is not None and done(planned.name)
        spent, busy, source = _time(planned.name, work, shapes[work.of], machine, measured)
        spent = 0.0 if reused else spent
        usd = None if hourly is None else spent / 3600 * hourly
        running = None if running is None or usd is None else running + usd
        state = None if done is None else "done" if reused else "to do"
        lines.append(
            Line(
                planned.name,
                planned.stage,
                work.read,
                work.written,
                work.trained,
                _rate(work, busy),
                source,
                spent,
                usd,
                running,
                state,
            )
        )
    found = (need(name, work, shapes[work.of], recipe, machine) for name, work in asked.items())
    return Table(recipe, machine, count, hourly, tuple(lines), tuple(n for n in found if n is not None))


def _time(name: str, work: Work, shape: Shape, machine: Machine, measured: Rates | None) -> tuple[float, float, str]:
    """(seconds, busy seconds, source)."""
    bound = seconds(work, shape, machine)
    found = measured.forecast(name, bound.busy, precision_of(work)) if measured is not None and bound.busy > 0 else None
    if found is None:
        return bound.total, bound.busy, BOUND if bound.busy > 0 else ""
    return found.seconds, found.busy, MEASURED if found.measured else REACHED_HERE


def _rate(work: Work, busy: float) -> float | None:
    chief = work.trained or work.written or work.read
    return chief / busy if chief and busy > 0 and not work.rewrites else None


def _verdict(value: float, limit: float) -> str:
    return "over" if value > limit else "under"


def as_dict(plan: Table) -> dict[str, Any]:
    """The plan as JSON; seconds, USD, tokens and bytes."""
    fullest = plan.fullest
    return {
        "recipe": plan.recipe.name,
        "machine": plan.machine.name,
        "count": plan.count,
        "price_per_hour": plan.price,
        "steps": [
            {
                "step": line.step,
                "state": line.state,
                "tokens_in": round(line.read),
                "tokens_out": round(line.written),
                "tokens_trained": round(line.trained),
                "tokens_per_s": None if line.rate is None else round(line.rate, 1),
                "source": line.source,
                "seconds": round(line.seconds, 1),
                "usd": _rounded(line.usd),
                "running_usd": _rounded(line.running_usd),
            }
            for line in plan.lines
        ],
        "stages": {
            str(number): {"seconds": round(spent, 1), "usd": _rounded(usd)}
            for number, (spent, usd) in plan.stages().items()
        },
        "seconds": round(plan.seconds, 1),
        "usd": _rounded(plan.usd),
        "fits": None if fullest is None else fullest.fits,
        "memory": [n.as_dict() for n in plan.needs],
        "budget": plan.budget(),
    }


def _rounded(usd: float | None) -> float | None:
    return None if usd is None else round(usd, 4)


def text(plan: Table) -> str:
    """The plan for people."""
    price = "price unknown" if plan.price is None else f"${plan.price:.2f} an hour"
    several = f"{plan.count} × " if plan.count > 1 else ""
    head = f"{plan.recipe.name} on {several}{plan.machine.name}, {price}"
    columns = (
        f"{'step':<18}{'read':>9}{'written':>9}{'trained':>9}{'tok/s':>8}  {'source':<19}{'min':>7}{'USD':>8}{'sum':>8}"
    )
    rows = [head, "", columns.rstrip()]
    stages = plan.stages()
    for k, line in enumerate(plan.lines):
        rows.append(_row(line))
        if k + 1 == len(plan.lines) or plan.lines[k + 1].stage != line.stage:
            spent, usd = stages[line.stage]
            rows.append(f"{f'stage {line.stage}':<72}{spent / 60:>7.1f}{_usd(usd):>8}")
    rows.append(f"{'all':<72}{plan.seconds / 60:>7.1f}{_usd(plan.usd):>8}")
    rows += ["", *_memory(plan), *_money(plan)]
    if plan.count > 1:
        rows.append("one GPU works; the others cost without making it faster")
    return "\n".join(rows)


def _row(line: Line) -> str:
    counts = "".join(f"{_tokens(n):>9}" for n in (line.read, line.written, line.trained))
    rate = "" if line.rate is None else f"{line.rate:,.0f}"
    source = "reused" if line.state == "done" else line.source
    money = f"{_usd(line.usd):>8}{_usd(line.running_usd):>8}"
    return f"{line.step:<18}{counts}{rate:>8}  {source:<19}{line.seconds / 60:>7.1f}{money}"


def _tokens(count: float) -> str:
    if count < 0.5:
        return ""
    return f"{count / 1e6:.2f}M" if count >= 1e6 else f"{count / 1e3:.1f}k" if count >= 1e3 else f"{count:.0f}"


def _usd(value: float | None) -> str:
    return "?" if value is None else f"{value:.2f}"


def _memory(plan: Table) -> list[str]:
    """The fullest step, part by part, in GiB; every step that does not fit."""
    fullest = plan.fullest
    if fullest is None:
        return []
    n, over = fullest, [need.step for need in plan.needs if not need.fits]
    rows = [
        f"memory: {n.step}, the fullest step, {'fits' if n.fits else 'DOES NOT FIT'}: {_parts(n.parts)}, with slack "
        f"{n.total / GIB:.1f} of {n.room / GIB:.1f} GiB"
    ]
    return [*rows, f"memory: too much for {len(over)} steps: {', '.join(over)}"] if over else rows


def _parts(parts: Mapping[str, float]) -> str:
    return " + ".join(f"{name} {size / GIB:.3g}" for name, size in parts.items())


def _money(plan: Table) -> list[str]:
    limits = {
        "usd": (_usd(plan.usd), f"{plan.recipe.budget.usd} USD"),
        "deadline": (f"{plan.seconds / 3600:.1f}", f"{plan.recipe.budget.deadline_hours} h"),
    }
    rows = [f"budget: {verdict} ({limits[what][0]} of {limits[what][1]})" for what, verdict in plan.budget().items()]
    return rows or ["budget: none set"]
