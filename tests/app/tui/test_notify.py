"""Notifications: for each cause once, only while the terminal is not in front, and never more than text."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import tui_samples as samples
from msgspec.structs import replace
from textual import events

from app.news import news
from app.state import AppState, BudgetView, CostView, GateView, Notice, WatchView
from app.tui.notify import Notifier, method, sequence

if TYPE_CHECKING:
    from conftest import Opener

NOW = samples.NOW


def step_failed(state: AppState) -> AppState:
    assert state.run is not None
    steps = tuple(replace(step, state="failed") if step.state == "running" else step for step in state.run.steps)
    return replace(state, run=replace(state.run, steps=steps))


def gate_waits(state: AppState) -> AppState:
    assert state.run is not None
    gate = GateView(1, "explicit", 1, "FAIL", 0.3, 0.2, 0.4, 0.95, None, 100, "too few")
    return replace(state, run=replace(state.run, gates=(gate,)))


def run_done(state: AppState) -> AppState:
    assert state.run is not None
    return replace(state, run=replace(state.run, state="finished", reason="every gate passed"))


def budget(state: AppState) -> AppState:
    return replace(state, cost=CostView(budgets=(BudgetView("day", Decimal(40), Decimal(33), "warn"),)))


def idle(state: AppState) -> AppState:
    return replace(
        state, notices=(Notice(NOW, "warn", "pod local: it has been idle for 15 minutes; at 30 it is stopped"),)
    )


def stops_soon(state: AppState) -> AppState:
    watch = WatchView("green", "", "local-1", until=NOW + 300, rule="idle", at=NOW)
    return replace(state, watches={watch.pod: watch})


def lost(state: AppState) -> AppState:
    pod = samples.pod(state="GONE", detail="the provider does not list it any more")
    return replace(state, pods=(pod,), pod=pod)


CAUSES: tuple[tuple[Callable[[AppState], AppState], str], ...] = (
    (step_failed, "stage-1/sft failed"),
    (gate_waits, "gate of stage 1 explicit: FAIL"),
    (run_done, "finished: every gate passed"),
    (budget, "82 % of the budget of the day are spent: $33.00 of $40.00"),
    (idle, "it has been idle for 15 minutes"),
    (stops_soon, "stops itself in 5:00 (idle)"),
    (lost, "is GONE: the provider does not list it"),
)


@pytest.mark.parametrize(("cause", "words"), CAUSES, ids=lambda one: getattr(one, "__name__", ""))
def test_each_cause_calls_once_and_only_when_nobody_looks(cause: Callable[[AppState], AppState], words: str) -> None:
    before = samples.training_state()
    after = cause(before)
    assert not news(before, NOW)
    for focused, told in ((False, 1), (True, 0)):
        sent: list[str] = []
        notifier = Notifier("osc9", sent.append)
        notifier.look(before, NOW, focused)
        notifier.look(after, NOW, focused)
        notifier.look(replace(after, hint="something else"), NOW, False)
        assert len(sent) == told, "what was seen while it had the focus is not told later"
        assert all(words in said for said in sent)


def test_what_was_so_before_the_panel_began_is_no_news() -> None:
    sent: list[str] = []
    Notifier("bell", sent.append).look(gate_waits(samples.training_state()), NOW, False)
    assert sent == []


def test_a_replay_and_the_word_off_are_silent() -> None:
    for how, replayed in (("off", None), ("bell", "60×")):
        sent: list[str] = []
        notifier = Notifier(how, sent.append)
        notifier.look(samples.training_state(), NOW, False)
        notifier.look(replace(gate_waits(samples.training_state()), replay=replayed), NOW, False)
        assert sent == []


@pytest.mark.parametrize("how", ["osc9", "osc777", "osc99", "bell"])
def test_hostile_words_cannot_leave_the_sequence(how: str) -> None:
    said = sequence(how, "a\x07b\x1b]0;owned\x1b\\c\x9cd;e" + "x" * 1000)
    body = said.removesuffix("\x1b\\").removeprefix("\x1b]")
    assert how == "bell" or not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in body)
    assert len(said) < 400


@pytest.mark.parametrize(
    ("environ", "how"),
    [
        ({"TERM": "xterm-kitty"}, "osc99"),
        ({"TERM_PROGRAM": "iTerm.app"}, "osc9"),
        ({"TERM_PROGRAM": "WezTerm"}, "osc9"),
        ({"VTE_VERSION": "7000"}, "osc777"),
        ({"TERM": "foot"}, "osc777"),
        ({"TERM": "tmux-256color", "TERM_PROGRAM": "iTerm.app"}, "bell"),
        ({"TERM": "xterm-256color"}, "bell"),
        ({}, "bell"),
    ],
)
def test_the_terminal_is_asked_in_the_way_it_knows(environ: dict[str, str], how: str) -> None:
    assert method("auto", environ) == how
    assert method("off", environ) == "off"


async def test_the_panel_tells_it_while_it_is_blurred_and_not_before(panel: Opener) -> None:
    async with panel(samples.training_state()) as shown:
        sent: list[str] = []
        shown.app.notifier = Notifier("bell", sent.append)
        shown.app.tick()
        shown.controller.become(budget(shown.controller.state))
        shown.app.tick()
        assert sent == []
        shown.app.post_message(events.AppBlur())
        await shown.until(lambda: not shown.app.app_focus)
        shown.controller.become(gate_waits(shown.controller.state))
        await shown.until(lambda: sent == ["\x07"])
