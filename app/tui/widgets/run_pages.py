"""Pages of the Run view that are lines of text: rates, quality, configuration, files. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from app.fold import stage_of
from app.state import RunView
from app.tui import fmt
from app.tui.lines import clean
from app.tui.picture import Picture
from app.tui.rundir import Config, Discordant, Kept, Limit, Quality
from app.tui.theme import Glyphs
from app.tui.widgets.conditions import condition_line, head_line, names_of, rates_of, wrap
from app.tui.widgets.gauge import gauge
from app.tui.widgets.panel import MUTED, pad, text
from app.tui.widgets.signs import verdict_sign


def rates_page(picture: Picture, run: RunView, stage: int, compared: Sequence[Discordant], width: int) -> list[Content]:
    """Rates of every condition with intervals, the verdict with its reason, and the paired comparisons behind it."""
    g, gate = picture.glyphs, picture.gate(stage)
    rates = rates_of(run, gate, stage)
    lines = [text(("gate  ", MUTED), verdict_sign(gate.verdict if gate else None, g)), head_line(width)]
    threshold = gate.threshold if gate else None
    lines += [condition_line(name, rates.get(name), width, g, threshold if name == "tuned" else None)
              for name in names_of(rates)]  # fmt: skip
    if gate is not None:
        p = "" if gate.p is None else f"p={gate.p:.2g}  "
        n = "" if gate.n is None else f"n={gate.n}  "
        lines += [text(""), *(text(line) for line in wrap(clean(gate.reason), width))]
        lines.append(text((f"{p}{n}attempt {gate.attempt}", MUTED)))
    if compared:
        lines += [text(""), text(("pairs of answers to the same item", "bold"))]
    for one in compared:
        gained = sum(item.gained for item in one.items)
        p = "p unknown" if one.p is None else f"p={one.p:.2g}"
        sides = f"{clean(one.a)} against {clean(one.b)}"
        lines.append(
            text(
                pad(text(sides), min(44, width - 24)),
                f" +{gained:<3} {g.dash}{len(one.items) - gained:<3} ",
                (p, MUTED),
            )
        )
    return lines


def quality_page(found: Quality, glyphs: Glyphs, width: int) -> list[Content]:
    """Limits of the data, rows per step, principles."""
    lines = [text(("limits", "bold"))]
    if found.limits is None:
        lines.append(text(("the filter has not reported yet", MUTED)))
    lines += [limit_line(limit, glyphs) for limit in found.limits or ()]
    lines += [text((f"{glyphs.bad} {clean(breach)}", "bold $error")) for breach in found.breaches]
    lines += [text(""), text(("rows", "bold"))]
    most = max((count for _, count in found.funnel), default=1)
    lines += [bar_line(name, count, most, width, glyphs) for name, count in found.funnel]
    if not found.funnel:
        lines.append(text(("none at home yet", MUTED)))
    lines += [text(""), text(("principles, how often each was dealt", "bold"))]
    if found.coverage is None:
        lines.append(text(("not counted yet", MUTED)))
    most = max((count for _, count in found.coverage or ()), default=1)
    lines += [bar_line(name, count, most, width, glyphs) for name, count in found.coverage or ()]
    lines += [text((f"{glyphs.warn} {clean(name)} was never dealt", "bold $warning")) for name in found.unused]
    return lines


def limit_line(limit: Limit, glyphs: Glyphs) -> Content:
    """`✔ acceptance  55% at least 30%`; a broken limit is said in a word."""
    glyph, style, word = {
        True: (glyphs.done, "$success", ""),
        False: (glyphs.bad, "bold $error", "  BROKEN"),
        None: (glyphs.todo, MUTED, "  unknown"),
    }[limit.held]

    def shown(value: float | None) -> str:
        return fmt.percent(value, 1) if limit.share else fmt.count(value)

    side = "at least" if limit.at_least else "at most"
    name = f"{limit.name.replace('_', ' '):<20}"
    return text(
        (f"{glyph} ", style), name, f"{shown(limit.value):>8}", (f"  {side} {shown(limit.bound)}", MUTED), (word, style)
    )


def bar_line(name: str, count: int, most: int, width: int, glyphs: Glyphs) -> Content:
    """`examples accepted     26 ███▌`."""
    label = pad(text(clean(name)), 30 if width >= 60 else 22)
    return text(label, f" {count:>7,} ", gauge(count / max(1, most), max(4, min(40, width - 42)), glyphs))


def config_page(found: Config, width: int) -> list[Content]:
    """What the run was made with, and what is different from the run before it."""
    lines = [text((f"{name:<18}", MUTED), clean(value)) for name, value in found.facts]
    if found.earlier is None:
        return [*lines, text(""), text(("no earlier run is at home to compare with", MUTED))]
    lines += [
        text(""),
        text(("against ", "bold"), (clean(found.earlier), "bold"), f": {len(found.differences)} settings differ"),
    ]
    name = min(36, max((len(one.name) for one in found.differences), default=0) + 1, max(12, width // 2))
    for one in found.differences:
        old, new = (clean(value) if value is not None else "absent" for value in (one.old, one.new))
        lines.append(text(pad(text(clean(one.name)), name), (f" {old}", MUTED), " to ", (new, "bold")))
    return lines


def files_page(picture: Picture, run: RunView, kept: Sequence[Kept]) -> list[Content]:
    """Signs of life, restarts, warnings; checkpoints and adapters at home."""
    attempts = [step for step in run.steps if step.attempt > 1]
    lines = [
        text(
            (f"{'attempts':<12}", MUTED),
            f"{len(attempts)} steps were begun more than once" if attempts else "each step once",
        ),
        text((f"{'warnings':<12}", MUTED), str(len(run.warnings))),
        text((f"{'last event':<12}", MUTED), str(run.seq)),
    ]
    if run.heartbeat_at is not None:
        lines.append(text((f"{'heartbeat':<12}", MUTED), f"{fmt.age(max(0.0, picture.now - run.heartbeat_at))} ago"))
    lines += [text((f"{picture.glyphs.warn} {clean(warning)}", "$warning")) for warning in run.warnings[-8:]]
    lines += [text(""), text(("checkpoints and adapters at home, newest first", "bold"))]
    if not kept:
        lines.append(text(("none yet", MUTED)))
    for one in kept:
        age = fmt.age(max(0.0, picture.now - one.at))
        lines.append(text(f"{clean(one.path):<44} {fmt.size(one.size):>9}", (f"  {age} ago", MUTED)))
    return lines


def stage_title(run: RunView, stage: int | None) -> str:
    """`stage 2 implicit`."""
    if stage is None:
        return "the run"
    name = next((gate.name for gate in run.gates if gate.stage == stage and gate.name), "")
    known = any(stage_of(step.step) == stage for step in run.steps)
    return f"stage {stage} {clean(name)}".rstrip() if known else "the run"
