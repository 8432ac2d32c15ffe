"""The whole panel, headless: what stands on the screen at each size and what keys do."""

from __future__ import annotations

import threading
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import tui_samples as samples
from msgspec.structs import replace

from app.actions.base import Confirm
from app.state import Activity, CostView, CountdownView, Notice, StreamView, WatchView
from app.tui.modals.confirm import Question
from app.tui.modals.help import Help, Reader
from app.tui.prompt import Prompt
from app.tui.spool import Spool
from app.tui.theme import LIGHT

if TYPE_CHECKING:
    from conftest import Opener

SIZES = [(60, 16), (80, 24), (120, 35), (160, 45)]


@pytest.mark.parametrize("size", SIZES)
async def test_money_state_and_progress_are_on_the_screen_at_every_size(
    panel: Opener, size: tuple[int, int], tmp_path: Path
) -> None:
    log = tmp_path / "sft.log"
    log.write_bytes(b"".join(b"line %d\n" % n for n in range(100)))
    async with panel(samples.training_state(log), size) as shown:
        text = await shown.sees("line 99")
        for words in (
            "● RUNNING",
            "$0.00/h",
            "RUN 2027",
            "▶ sft",
            "228/375",
            "60%",
            "ETA 22s",
            "◇ no result yet",
            "q Quit",
        ):
            assert words in text
        assert all(len(line) <= size[0] for line in text.split("\n"))
        assert ("CONDITIONS" in text) == (size[1] >= 20)
        assert ("COST" in text) == (size[0] >= 110)


@pytest.mark.parametrize(("size", "rows"), [((20, 5), 2), ((59, 24), 2), ((80, 13), 2), ((20, 1), 1)])
async def test_a_tiny_terminal_gets_one_line_and_a_hint(panel: Opener, size: tuple[int, int], rows: int) -> None:
    async with panel(samples.training_state(), size) as shown:
        text = await shown.sees("● RUNNING")
        assert len([line for line in text.split("\n") if line]) == rows
        await shown.pilot.press("q")
        await shown.until(lambda: isinstance(shown.app.screen, Question))


async def test_growing_the_terminal_brings_the_panel_back(panel: Opener) -> None:
    async with panel(samples.training_state(), (20, 5)) as shown:
        await shown.pilot.resize_terminal(80, 24)
        await shown.sees("STEPS", "CONDITIONS", "LOG")
        await shown.pilot.resize_terminal(160, 45)
        await shown.sees("POD", "COST", "METRICS")


async def test_the_first_look_says_how_to_begin(panel: Opener) -> None:
    async with panel(samples.base_state()) as shown:
        await shown.sees("No run yet", "r  start a run", "○ no pod", "$?/h", "RUNPOD_API_KEY")


async def test_a_verdict_is_shown_with_every_condition(panel: Opener) -> None:
    async with panel(samples.finished_state("FAIL"), (160, 45)) as shown:
        text = await shown.sees("✖ FAIL", "base-few-shot", "23–40", "not pulled yet")
        assert "◆" not in text


async def test_a_key_does_its_action_and_a_refused_one_says_why(panel: Opener) -> None:
    async with panel(samples.up_state()) as shown:
        await shown.pilot.press("P")
        await shown.until(lambda: ("push", {"pod": "local-1"}) in shown.controller.done)
        shown.controller.become(replace(shown.controller.state, readonly=True))
        await shown.pilot.press("r")
        await shown.sees("read-only")
        assert [name for name, _ in shown.controller.done] == ["push"]


async def test_stop_asks_with_the_numbers_and_only_a_yes_stops(panel: Opener) -> None:
    question = Confirm("Stop the pod?", ("saves $1.74/h", "3 files are not pulled"), "stop", True, {"force": True})
    async with panel(samples.up_state(), confirm={"pod.stop": question}) as shown:
        await shown.pilot.press("x")
        await shown.sees("saves $1.74/h", "3 files are not pulled")
        await shown.pilot.press("enter")
        await shown.until(lambda: not isinstance(shown.app.screen, Question))
        assert shown.controller.done == []
        await shown.pilot.press("x")
        await shown.until(lambda: isinstance(shown.app.screen, Question))
        await shown.pilot.press("y")
        await shown.until(lambda: shown.controller.done == [("pod.stop", {"pod": samples.pod().id, "force": True})])


async def test_quit_says_what_goes_on_costing(panel: Opener) -> None:
    state = replace(samples.training_state(), cost=CostView(per_hour=Decimal("1.74")))
    async with panel(state) as shown:
        await shown.pilot.press("q")
        await shown.sees("pod keeps running, $1.74/h", "goes on", "esc")
        await shown.pilot.press("escape")
        await shown.until(lambda: not isinstance(shown.app.screen, Question))
        await shown.pilot.press("q")
        await shown.until(lambda: isinstance(shown.app.screen, Question))
        await shown.pilot.press("q")
        await shown.until(lambda: shown.app._exit)
        assert shown.controller.done == []


async def test_quit_with_nothing_running_just_quits(panel: Opener) -> None:
    async with panel(samples.base_state()) as shown:
        await shown.pilot.press("q")
        await shown.until(lambda: shown.app._exit)


async def test_ctrl_c_quits_only_when_pressed_twice(panel: Opener) -> None:
    now = [samples.NOW]
    async with panel(samples.up_state(), clock=lambda: now[0]) as shown:
        await shown.pilot.press("ctrl+c")
        await shown.sees("ctrl+c again quits")
        now[0] += 30
        await shown.pilot.press("ctrl+c")
        assert not shown.app._exit
        now[0] += 1
        await shown.pilot.press("ctrl+c")
        await shown.until(lambda: shown.app._exit)


async def test_help_lists_every_key_and_can_be_searched(panel: Opener) -> None:
    async with panel(samples.training_state(), (120, 50)) as shown:
        await shown.pilot.press("question_mark")
        await shown.until(lambda: isinstance(shown.app.screen, Help))
        await shown.sees("Push code", "Stop the pod")
        await shown.pilot.press(*"resume")
        text = await shown.sees("Resume a run", "not now")
        assert "Push code" not in text
        assert shown.controller.done == []  # letters typed into the search are not keys
        await shown.pilot.press("escape")
        await shown.until(lambda: not isinstance(shown.app.screen, Help))


async def test_the_palette_opens_on_colon_and_does_an_action(panel: Opener) -> None:
    async with panel(samples.up_state(), (100, 30)) as shown:
        await shown.pilot.press("colon")
        await shown.pilot.press(*"push code")
        await shown.sees("Push code")
        await shown.pilot.press("enter")
        await shown.until(lambda: ("push", {"pod": "local-1"}) in shown.controller.done)


async def test_what_an_action_prints_is_shown_to_be_read(panel: Opener) -> None:
    async with panel(samples.finished_state()) as shown:
        await shown.pilot.press("v")
        await shown.until(lambda: isinstance(shown.app.screen, Reader))
        await shown.sees("output of run.report")
        await shown.pilot.press("escape")
        await shown.until(lambda: not isinstance(shown.app.screen, Reader))


async def test_no_key_is_offered_that_does_nothing(panel: Opener) -> None:
    async with panel(samples.up_state()) as shown:
        from app.tui.acts import VIEW_ACTS

        for action in shown.app.offered():
            assert not action.view or action.id in VIEW_ACTS
        assert {a.id for a in shown.controller.actions() if not a.view} <= {a.id for a in shown.app.offered()}


async def test_the_log_follows_until_scrolled_and_counts_what_came(panel: Opener, tmp_path: Path) -> None:
    log = tmp_path / "sft.log"
    log.write_bytes(b"".join(b"line %d\n" % n for n in range(500)))
    async with panel(samples.training_state(log)) as shown:
        await shown.pilot.press("3")
        await shown.sees("line 499", "FOLLOW", "500 lines", "[3 Logs]")
        await shown.pilot.press("up", "up")
        await shown.sees("PAUSED +0")
        with log.open("ab") as more:
            more.write(b"".join(b"more %d\n" % n for n in range(25)))
        text = await shown.sees("PAUSED +25 lines")
        assert "more 24" not in text
        await shown.pilot.press("G")
        await shown.sees("more 24", "FOLLOW")


async def test_a_big_log_shows_its_end_at_once_and_keeps_its_place_while_the_rest_is_counted(
    panel: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_it = threading.Event()
    index_head = Spool.index_head

    def index_when_let(spool: Spool) -> None:
        assert let_it.wait(30)
        index_head(spool)

    monkeypatch.setattr(Spool, "index_head", index_when_let)
    monkeypatch.setattr(Spool.__init__, "__kwdefaults__", {"big": 10_000, "tail": 2_000})
    log = tmp_path / "sft.log"
    log.write_bytes(b"".join(b"line %06d\n" % n for n in range(5000)))
    async with panel(samples.training_state(log)) as shown:
        await shown.pilot.press("3")
        await shown.sees("line 004999", "last 166 lines")
        await shown.pilot.press("up", "up", "up")
        before = (await shown.sees("PAUSED +0")).split("\n")[5:15]
        let_it.set()
        text = await shown.sees("5,000 lines")
        assert "last" not in text
        assert text.split("\n")[5:15] == before
        await shown.pilot.press("home")
        await shown.sees("line 000000")


async def test_find_goes_through_the_matches_and_counts_them(panel: Opener, tmp_path: Path) -> None:
    log = tmp_path / "sft.log"
    log.write_bytes(
        b"".join(b"step %d %s\n" % (n, b"\x1b[33mWARN\x1b[0m" if n % 100 == 7 else b"ok") for n in range(1000))
    )
    async with panel(samples.training_state(log)) as shown:
        await shown.sees("step 999")
        await shown.pilot.press("3", "slash")
        await shown.until(lambda: shown.app.query_one(Prompt).has_class("-open"))
        await shown.pilot.press(*"warn", "enter")
        await shown.sees("find 'warn' 10/10", "step 907 WARN")
        await shown.pilot.press("n")
        await shown.sees("1/10", "step 7 WARN")
        await shown.pilot.press("N")
        await shown.sees("10/10")
        with log.open("ab") as more:
            more.write(b"late warn\n")
        await shown.sees("10/11")
        assert shown.controller.done == []


async def test_a_filter_shows_only_matches_and_escape_shows_all(panel: Opener, tmp_path: Path) -> None:
    log = tmp_path / "sft.log"
    log.write_bytes(b"".join(b"step %d\n" % n for n in range(300)))
    async with panel(samples.training_state(log)) as shown:
        await shown.sees("step 299")
        from app.tui import acts

        acts.filter_lines(shown.app)
        await shown.pilot.press(*"[05]0$", "enter")
        text = await shown.sees("step 250", "only")
        assert "step 249" not in text
        acts.filter_lines(shown.app)
        await shown.pilot.press("escape")
        await shown.sees("step 299", "step 298")


async def test_hostile_bytes_in_a_log_are_only_text(panel: Opener, tmp_path: Path) -> None:
    log = tmp_path / "sft.log"
    log.write_bytes(b"\x1b[2J\x1b]0;owned\x07[bold red]not markup[/] \x1b[?1049l\x9b31m\xff end\n[/nothing] [ERROR]\n")
    async with panel(samples.training_state(log)) as shown:
        text = await shown.sees("[bold red]not markup[/]", "[/nothing] [ERROR]")
        assert "\x1b" not in text
        assert "owned" not in text


async def test_hostile_notices_and_reasons_are_only_text(panel: Opener) -> None:
    evil = "[red]\x1b[2Jx[/nothing] [@click=app.exit()]y[/]"
    state = replace(
        samples.up_state(),
        notices=(Notice(samples.NOW, "warn", evil),),
        activities={"push": Activity("push", evil, 3, 10)},
    )
    async with panel(state) as shown:
        shown.app.say(evil)
        text = await shown.sees("[red]x[/nothing]", "30%")
        assert "\x1b" not in text


async def test_streams_change_with_brackets_and_events_come_last(panel: Opener, tmp_path: Path) -> None:
    log, events = tmp_path / "a.log", tmp_path / "events.jsonl"
    log.write_bytes(b"from the step\n")
    state = samples.training_state(log, events)
    other = tmp_path / "b.log"
    other.write_bytes(b"from another\n")
    name = "logs/stage-1.generate.log"
    state = replace(state, streams={name: StreamView(name, str(other), 13), **state.streams})
    async with panel(state) as shown:
        await shown.pilot.press("3")
        await shown.sees("from the step", "auto")
        await shown.pilot.press("left_square_bracket")
        await shown.sees("from another")
        await shown.pilot.press("right_square_bracket", "right_square_bracket")
        await shown.sees('"kind": "heartbeat"')


async def test_nothing_is_painted_while_nothing_changes(panel: Opener) -> None:
    async with panel(samples.training_state()) as shown:
        await shown.sees("228/375")
        await shown.until(lambda: not shown.app.bridge.tick(shown.app.paint))
        painted: list[object] = []
        assert not shown.app.bridge.tick(painted.append)
        shown.controller.become(replace(shown.controller.state, hint="another"))
        shown.controller.become(replace(shown.controller.state, hint="and another"))
        shown.app.bridge.tick(painted.append)
        shown.app.bridge.tick(painted.append)
        assert len(painted) == 1


async def test_a_stale_run_is_dimmed_and_says_so(panel: Opener) -> None:
    async with panel(samples.training_state(), clock=lambda: samples.NOW + 41) as shown:
        await shown.sees("stale 42s")
        assert shown.app.query_one("#run").has_class("-stale")


async def test_without_colour_and_beyond_ascii_every_state_is_still_told(
    panel: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with panel(samples.finished_state("FAIL"), (160, 45), ascii_only=True) as shown:
        text = await shown.sees("* RUNNING", "x FAIL", "finished", "ok evaluate")
        assert text.isascii(), sorted({char for char in text if not char.isascii()})
        for key, words in (("a", "WHAT NEEDS SOMEBODY"), ("question_mark", "HELP")):
            await shown.pilot.press(key)
            text = await shown.sees(words)
            assert text.isascii(), sorted({char for char in text if not char.isascii()})
            await shown.pilot.press("escape")
            await shown.until(lambda: len(shown.app.screen_stack) == 1)


async def test_another_theme_repaints_what_was_drawn_before(panel: Opener, tmp_path: Path) -> None:
    log = tmp_path / "sft.log"
    log.write_bytes(b"".join(b"line %d\n" % n for n in range(100)))
    async with panel(samples.training_state(log)) as shown:
        await shown.sees("228/375", "line 99")
        shown.app.theme = LIGHT.name
        assert not shown.app.current_theme.dark
        view = shown.app.log_view

        def grounds() -> set[object]:
            strips = [view.render_line(y) for y in range(view.size.height)]
            return {segment.style.bgcolor for strip in strips for segment in strip if segment.style}

        await shown.until(lambda: grounds() == {view.rich_style.bgcolor})


async def test_the_demo_begins_by_itself_and_its_end_leaves_the_panel_open(panel: Opener) -> None:
    async with panel(samples.up_state(), demo=True) as shown:
        await shown.until(lambda: [name for name, _ in shown.controller.done] == ["demo"])
        await shown.sees("the demo is over", "q leaves")
        assert not shown.app._exit


async def test_a_click_on_a_key_does_what_the_key_does(panel: Opener) -> None:
    async with panel(samples.up_state()) as shown:
        text = await shown.sees("P Push")
        row = text.split("\n")[-1]
        await shown.pilot.click("#keys", offset=(row.index("P Push") + 1, 0))
        await shown.until(lambda: ("push", {"pod": "local-1"}) in shown.controller.done)
        tabs = shown.text.split("\n")[1]
        await shown.pilot.click("#header", offset=(tabs.index("3 Logs") + 1, 1))
        await shown.sees("[3 Logs]")


async def test_a_link_that_says_nothing_and_a_watchdog_not_heard_of_do_not_look_fresh(panel: Opener) -> None:
    now = [samples.NOW]
    watch = WatchView("green", "runs", "local-1", samples.NOW + 3600, "lease", samples.NOW)
    async with panel(replace(samples.up_state(), watches={watch.pod: watch}), (160, 45), clock=lambda: now[0]) as shown:
        await shown.sees("data ● 1s", "auto-stop 1h00m")
        now[0] += 60
        await shown.sees("data ◌ stale 1m01s", "auto-stop 59m00s")
        now[0] += 180
        await shown.sees("auto-stop ≈56m00s")


@pytest.mark.parametrize("size", [(40, 5), (80, 24), (160, 45)])
async def test_any_key_calls_a_counted_down_stop_off_and_does_nothing_else(
    panel: Opener, size: tuple[int, int]
) -> None:
    counted = CountdownView(
        "p", "maxcai-p", "idle", "it has been idle for 30 minutes", samples.NOW - 2, samples.NOW + 598
    )
    async with panel(samples.training_state(), size=size) as shown:
        shown.controller.become(replace(shown.controller.state, countdown=counted))
        await shown.sees("STOPS IN 9:58", "any key")
        await shown.pilot.press("x")  # would ask whether to stop
        await shown.until(lambda: shown.controller.done)
        assert shown.controller.done == shown.controller.asked == [("pod.keep", {})]
        shown.controller.become(replace(shown.controller.state, countdown=None))
        await shown.until(lambda: "STOPS IN" not in shown.text)
        await shown.pilot.press("x")
        await shown.until(lambda: shown.controller.asked[1:] == [("pod.stop", {"pod": samples.pod().id})])


async def test_a_panel_that_only_looks_shows_a_countdown_and_keeps_its_keys(panel: Opener) -> None:
    counted = CountdownView("p", "maxcai-p", "budget", "it is used up", samples.NOW - 60, samples.NOW + 540)
    async with panel(replace(samples.training_state(), countdown=counted, readonly=True)) as shown:
        assert "any key keeps it" not in await shown.sees("STOPS IN 9:00")
        await shown.pilot.press("3")
        await shown.until(lambda: shown.app.view == "logs")


async def test_a_key_that_was_on_its_way_when_a_countdown_began_means_what_it_is_bound_to(panel: Opener) -> None:
    counted = CountdownView("p", "maxcai-p", "idle", "it has been idle", samples.NOW - 0.2, samples.NOW + 599.8)
    async with panel(replace(samples.training_state(), countdown=counted)) as shown:
        await shown.pilot.press("3")
        await shown.until(lambda: shown.app.view == "logs")
        assert not shown.controller.done
