"""State as glyph + word + colour, the same everywhere: pods, links, runs, steps and verdicts. Pure."""

from __future__ import annotations

from textual.content import Content

from app.reduce import MOVING, OFF
from app.state import LinkView, PodView
from app.tui import fmt
from app.tui.lines import clean
from app.tui.theme import Glyphs

_POD_STOPPED = frozenset({"STOPPED", "ABSENT"})


def pod_sign(pod: PodView | None, glyphs: Glyphs) -> Content:
    """`● RUNNING`, `◌ BOOTING`, `■ STOPPED`, `✖ GONE`; an unknown word is shown with `?`."""
    if pod is None:
        return Content.assemble((f"{glyphs.todo} no pod", "$foreground-muted"))
    word = clean(pod.status).upper()
    if word == "RUNNING":
        return Content.assemble((f"{glyphs.on} {word}", "bold $success"))
    if word in MOVING:
        return Content.assemble((f"{glyphs.wait} {word}", "bold $warning"))
    if word in _POD_STOPPED:
        return Content.assemble((f"{glyphs.off} {word}", "$foreground-muted"))
    return Content.assemble((f"{glyphs.bad if word in OFF else '?'} {word}", "bold $error"))


def link_sign(link: LinkView, now: float, glyphs: Glyphs) -> Content:
    """`ssh ● 41ms`, `ssh ◌ connecting`, `ssh ✖ retry 8s`, `ssh ○ down`."""
    if link.state == "up":
        latency = "" if link.latency_s is None else f" {1000 * link.latency_s:.0f}ms"
        key = " key unverified" if link.verified is False else ""
        return Content.assemble("ssh ", (f"{glyphs.on}{latency}", "$success"), (key, "bold $error"))
    if link.state == "connecting":
        return Content.assemble("ssh ", (f"{glyphs.wait} connecting", "$warning"))
    if link.state == "retrying":
        wait = "" if link.retry_at is None else f" {fmt.age(max(0.0, link.retry_at - now))}"
        return Content.assemble("ssh ", (f"{glyphs.bad} retry{wait}", "bold $error"))
    return Content.assemble(("ssh ", "$foreground-muted"), (f"{glyphs.todo} {clean(link.state)}", "$foreground-muted"))


_RUN = {
    "pending": ("wait", "$warning"),
    "running": ("now", "bold $primary"),
    "finished": ("done", "bold $success"),
    "stopped": ("off", "bold $warning"),
    "failed": ("bad", "bold $error"),
    "lost": ("bad", "bold $error"),
}

_STEP = {
    "planned": ("todo", "$foreground-muted"),
    "running": ("now", "bold $primary"),
    "done": ("done", "$success"),
    "reused": ("done", "$success"),
    "skipped": ("skip", "$foreground-muted"),
    "failed": ("bad", "bold $error"),
}


def run_sign(state: str, glyphs: Glyphs, verdict: str | None = None) -> Content:
    """`▶ running`, `✔ finished`, `✖ lost`; a run that finished without a passed gate gets no tick."""
    glyph, style = _RUN.get(state, ("", "bold $error"))
    if state == "finished" and verdict not in ("PASS", "NO_HEADROOM"):
        glyph, style = "off", "bold $warning"
    return Content.assemble((f"{getattr(glyphs, glyph) if glyph else '?'} {clean(state)}", style))


def step_glyph(state: str, glyphs: Glyphs) -> tuple[str, str]:
    """Glyph and style of a step's state."""
    glyph, style = _STEP.get(state, ("", "bold $error"))
    return (getattr(glyphs, glyph) if glyph else "?"), style


def verdict_sign(verdict: str | None, glyphs: Glyphs) -> Content:
    """`◆ PASS`, `✖ FAIL`, `◇ no result yet`. Only PASS and NO_HEADROOM look passed."""
    if verdict is None:
        return Content.assemble((f"{glyphs.gate} no result yet", "$foreground-muted"))
    word = clean(verdict)
    if word == "PASS":
        return Content.assemble((f"{glyphs.passed} {word}", "bold $success"))
    if word == "NO_HEADROOM":
        return Content.assemble((f"{glyphs.passed} {word}", "bold $warning"))
    if word in ("INCONCLUSIVE", "MISSING"):
        return Content.assemble((f"{glyphs.gate} {word}", "bold $warning"))
    return Content.assemble((f"{glyphs.bad} {word}", "bold $error"))
