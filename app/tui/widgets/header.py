"""The two header lines: project ▸ pod, state, GPU, money and data age; below them views, alerts and the clock."""

from __future__ import annotations

from itertools import accumulate

from textual import events
from textual.content import Content
from textual.widgets import Static

from app.state import AppState, BudgetView
from app.text import duration
from app.tui import fmt
from app.tui.lines import clean
from app.tui.picture import Picture
from app.tui.switch import VIEWS, counter
from app.tui.widgets.chosen import Chosen, Outdated
from app.tui.widgets.cost_meter import per_hour, spent
from app.tui.widgets.gauge import gauge
from app.tui.widgets.panel import MUTED, fitting, pack, spread, text
from app.tui.widgets.signs import link_sign, pod_sign

SOON_S = 900.0
"""Seconds before an automatic stop from which it is a warning."""


class Header(Static):
    """Money, run state and data age, on every view."""

    def __init__(self) -> None:
        super().__init__(id="header", markup=False)
        self._shown: Content | None = None
        self._ends: tuple[tuple[int, str], ...] = ()

    def on_resize(self, _event: events.Resize) -> None:
        self.post_message(Outdated())

    def on_click(self, event: events.Click) -> None:
        """A click on a view's name shows it."""
        at = event.get_content_offset(self)
        for end, name in self._ends if at is not None and at.y == 1 else ():
            if at is not None and at.x < end:
                self.post_message(Chosen(f"view.{name}"))
                return

    def show(self, picture: Picture, view: str) -> None:
        """Draw, if it differs from what is there."""
        width = self.size.width - 2
        if width < 1:
            return
        tabs = view_tabs(picture, view)
        self._ends = tuple(zip(accumulate(tab.cell_length for tab in tabs), (spec.name for spec in VIEWS), strict=True))
        body = fitting(Content("\n").join([top_line(picture, width), tab_line(picture, tabs, width)]), picture.glyphs)
        if self._shown is None or not body.is_same(self._shown):
            self._shown = body
            self.update(body, layout=False)


def top_line(picture: Picture, width: int) -> Content:
    """Who, in what state, at what price, how old. What does not fit is left out from the right of each half."""
    state, g = picture.state, picture.glyphs
    pod = state.pod
    name = clean(pod.name if pod else state.provider)
    left = [replay_mark(state)] if state.replay is not None else []
    left += [text((clean(state.project), "bold"), (f" {g.into} ", MUTED), (name, "bold $primary")), pod_sign(pod, g)]
    if picture.pod_stale:
        left.append(text((f"stale {fmt.age(picture.pod_age)}", "bold $warning")))
    left.append(text((per_hour(state.cost, pod), "bold")))
    left += countdown_part(picture)
    right = [data_age(picture), link_sign(state.link, picture.now, g)]
    more = []
    if pod is not None and pod.gpu:
        more.append(text(f"{pod.gpu_count or 1}{'x' if g.ascii else '×'}{clean(pod.gpu)}"))
    if state.watch is not None and state.watch.until is not None and pod is not None:
        left_s = max(0.0, state.watch.until - picture.now)
        about = f"{g.about}" if picture.watch_stale else ""
        more.append(text(("auto-stop ", MUTED), (about + fmt.span(left_s), "bold $warning" if left_s < SOON_S else "")))
    more += [budget_part(picture, budget) for budget in state.cost.budgets if budget.name == "day"]
    session = spent(state.cost.session, state.cost.estimated, g)
    more.append(text(("session ", MUTED), session))
    if picture.pod_up is not None:
        more.append(text(("up ", MUTED), fmt.age(picture.pod_up)))
    ends = pack([part for part in right if part.cell_length], max(0, width - pack(left, width).cell_length - 2))
    start = pack([*left, *more], max(1, width - ends.cell_length - 2))
    return spread(start, ends, width)


def countdown_part(picture: Picture) -> list[Content]:
    """`STOPS IN 9:58 any key keeps it`, nothing while no stop is counted down."""
    one = picture.state.countdown
    if one is None:
        return []
    keeps = "" if picture.state.readonly else "any key keeps it "
    left = duration(max(0.0, one.ends - picture.now))
    return [text((f" STOPS IN {left} {keeps}", "bold reverse $error"))]


def replay_mark(state: AppState) -> Content:
    """`REPLAY 60×`: nothing on the screen is happening now."""
    return text((f" REPLAY {state.replay} ", "bold reverse $warning"))


def budget_part(picture: Picture, budget: BudgetView) -> Content:
    """`today $6.21/$40 ▕█▌░░▏`; what is unknown is a dash and an empty bar."""
    g = picture.glyphs
    style = {"ok": "", "warn": "bold $warning", "stop": "bold $error"}.get(budget.level, MUTED)
    share = None if budget.spent is None or not budget.limit else float(budget.spent / budget.limit)
    word = {"warn": f" {g.warn}", "stop": f" {g.bad} over"}.get(budget.level, "")
    said = f"{fmt.money(budget.spent)} of {fmt.money(budget.limit)}{word} "
    return text(("today ", MUTED), (said, style), gauge(share, 8, g, style or "$primary"))


def data_age(picture: Picture) -> Content:
    """`data ● 0s`, or `data ◌ stale 42s`. Nothing received yet is said, not shown as fresh."""
    g, age = picture.glyphs, picture.data_age
    if age is None:
        return text((f"data {g.todo} none yet", MUTED))
    if picture.run_stale or picture.link_stale:
        return text(("data ", MUTED), (f"{g.wait} stale {fmt.age(age)}", "bold $warning"))
    live = picture.state.link.state == "up"
    return text(("data ", MUTED), (f"{g.on if live else g.todo} {fmt.age(age)}", "$success" if live else MUTED))


def view_tabs(picture: Picture, view: str) -> list[Content]:
    """`[1 Overview]` for the view on the screen, ` 5 Board•3 ` with what waits in it for the others."""
    tabs = []
    for spec in VIEWS:
        count = counter(picture, spec.name)
        title = f"{spec.key} {spec.title}" + (f"{picture.glyphs.dot}{count}" if count else "")
        tabs.append(text((f"[{title}]", "bold $accent")) if spec.name == view else text(f" {title} "))
    return tabs


def tab_line(picture: Picture, tabs: list[Content], width: int) -> Content:
    """Views by number key, the act under way, warnings, the clock."""
    g, state = picture.glyphs, picture.state
    right = []
    if state.readonly and state.replay is None:
        right.append(text(("read-only", "bold $warning")))
    for activity in list(state.activities.values())[-1:]:
        done = f" {fmt.percent(activity.done / activity.total)}" if activity.done is not None and activity.total else ""
        right.append(text((f"{g.wait} {clean(activity.text)}{done}", "$accent")))
    warnings = len(state.run.warnings) if state.run else 0
    if warnings:
        right.append(text((f"{g.warn} {warnings} warning{'s' if warnings > 1 else ''}", "bold $warning")))
    right.append(text((fmt.clock(picture.now), MUTED)))
    left = text(*tabs)
    clock = right[-1]
    others = pack(right[:-1], max(0, width - left.cell_length - clock.cell_length - 4))
    return spread(left, text(others, "  ", clock), width)
