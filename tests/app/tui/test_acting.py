"""What a key comes to: questions with their consequences, other answers, typed names, forms, withdrawing, alerts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import run_samples
import tui_samples as samples
from msgspec.structs import replace
from textual.events import Key

from app.actions.base import Confirm, Way
from app.runs import RunBook, RunEntry
from app.state import AppState, WatchView
from app.tui.modals.alerts import Alerts
from app.tui.modals.confirm import Question
from app.tui.modals.form import Form
from app.tui.modals.help import Reader, help_text
from app.tui.modals.pick import Pick
from app.tui.views.board import BoardView
from app.workspace import find

if TYPE_CHECKING:
    from conftest import Opener

START = Confirm("Start pod one?", ("GPU  1× A100", "price  $1.74/h"), "start", args={"agreed": True}, safe=True)
STOP = Confirm(
    "Stop pod one?", ("Run R is running",), "stop now", True, {"force": True}, (Way("p", "pull", {"safely": True}),)
)
REMOVE = Confirm("Remove pod one?", ("3 files are lost",), "remove", True, {"agreed": True, "name": "one"}, typed="one")


def waiting(verdict: str = "FAIL") -> AppState:
    return samples.finished_state(verdict)


async def test_enter_starts_what_loses_nothing_and_the_numbers_stand_there_first(panel: Opener) -> None:
    state = replace(samples.base_state(), pods=(samples.pod(status="STOPPED"),), pod=samples.pod(status="STOPPED"))
    async with panel(state, confirm={"pod.start": START}) as shown:
        await shown.pilot.press("s")
        await shown.sees("GPU  1× A100", "price  $1.74/h", "enter agrees")
        await shown.pilot.press("enter")
        await shown.until(lambda: shown.controller.done == [("pod.start", {"pod": samples.pod().id, "agreed": True})])


async def test_another_answer_does_it_another_way(panel: Opener) -> None:
    async with panel(samples.up_state(), confirm={"pod.stop": STOP}) as shown:
        await shown.pilot.press("x")
        await shown.sees("y  stop now", "p  pull", "esc goes back")
        await shown.pilot.press("p")
        await shown.until(lambda: shown.controller.done == [("pod.stop", {"pod": samples.pod().id, "safely": True})])


async def test_a_run_is_asked_about_with_the_step_under_the_cursor_and_may_go_on_from_there(panel: Opener) -> None:
    ways = (Way("f", "redo from 1/sft", {"step": "stage-1/sft", "agreed": True}, act="run.retry"),)
    question = Confirm("Start a new run?", ("recipe  [red]\x1b[2Jdemo[/nothing]",), "new run", ways=ways, safe=True)
    async with panel(waiting(), confirm={"run.start": question}) as shown:
        await shown.pilot.press("2")
        await shown.until(lambda: shown.app.view == "run" and bool(shown.app.subjects()))
        await shown.pilot.press("r")
        await shown.until(lambda: isinstance(shown.app.screen, Question))
        (asked,) = shown.controller.asked
        assert asked == ("run.start", {"step": shown.app.subjects()["step"]})
        assert asked[1]["step"].startswith("stage-1/")
        text = await shown.sees("f  redo from 1/sft", "[red]demo[/nothing]")
        assert "\x1b" not in text
        await shown.pilot.press("f")
        await shown.until(lambda: shown.controller.done == [("run.retry", ways[0].args)])


async def test_a_pod_is_removed_only_when_its_name_is_typed(panel: Opener) -> None:
    async with panel(samples.up_state(), confirm={"pod.terminate": REMOVE}) as shown:
        await shown.pilot.press("X")
        await shown.sees("3 files are lost", "type one and enter to remove")
        await shown.pilot.press("y", "enter")
        await shown.sees("that is not one")
        assert shown.controller.done == []
        await shown.pilot.press("backspace", *"one", "enter")
        await shown.until(lambda: shown.controller.done == [("pod.terminate", dict(REMOVE.args))])


async def test_a_harmless_stop_waits_and_can_be_withdrawn(panel: Opener) -> None:
    async with panel(samples.up_state(), hold_s=60.0) as shown:
        await shown.pilot.press("x")
        await shown.sees("nothing is at risk, sent in 5 s; u withdraws it")
        await shown.pilot.press("x")
        await shown.sees("already under way")
        await shown.pilot.press("u")
        await shown.sees("withdrawn")
        assert shown.controller.done == []
    async with panel(samples.up_state(), hold_s=0.01) as shown:
        await shown.pilot.press("x")
        await shown.until(lambda: shown.controller.done == [("pod.stop", {"pod": samples.pod().id})])


async def test_a_question_that_cannot_be_put_together_does_nothing(panel: Opener) -> None:
    async with panel(samples.up_state()) as shown:

        async def fails(_action_id: str, _args: Any = None) -> Confirm | None:
            raise OSError("the provider does not answer")

        shown.controller.confirm = fails  # type: ignore[method-assign]
        await shown.pilot.press("x")
        await shown.sees("the provider does not answer")
        assert shown.controller.done == []


async def test_tasks_are_made_moved_and_noted_by_key(panel: Opener, tmp_path: Path) -> None:
    run_samples.board(tmp_path)
    workspace = SimpleNamespace(root=tmp_path, runs_dir=tmp_path / "runs", state_dir=tmp_path / ".maxcai")
    async with panel(samples.up_state(), workspace=workspace) as shown:
        await shown.pilot.press("5")
        await shown.sees("clean eval prompts")
        await shown.pilot.press("n")
        await shown.until(lambda: isinstance(shown.app.screen, Form))
        await shown.pilot.press(*"xXq", "enter", *"P1", "enter")  # letters in a form are no keys
        made = ("task.new", {"title": "xXq", "priority": "P1"})
        await shown.until(lambda: shown.controller.done == [made])
        task = shown.app.subjects()["task"]
        assert task.startswith("pending/")
        await shown.pilot.press("space")
        await shown.until(lambda: shown.controller.done[-1] == ("task.start", {"id": task}))
        await shown.pilot.press("m")
        await shown.until(lambda: isinstance(shown.app.screen, Form))
        await shown.sees(task)
        await shown.pilot.press("escape")
        await shown.until(lambda: not isinstance(shown.app.screen, Form))
        await shown.pilot.press("right", "space")
        await shown.until(lambda: isinstance(shown.app.screen, Form))
        await shown.sees("what was done, how was it checked?")
        await shown.pilot.press("escape")
        await shown.until(lambda: not isinstance(shown.app.screen, Form))
        assert len(shown.controller.done) == 2
        await shown.pilot.press("full_stop")
        await shown.until(lambda: shown.app.query_one(BoardView).lane == "pending")
        await shown.pilot.press("u")
        await shown.until(lambda: shown.controller.done[-1] == ("task.undo", {}))


async def test_what_was_done_to_the_board_is_read_at_once_not_when_its_time_comes(
    panel: Opener, tmp_path: Path
) -> None:
    run_samples.board(tmp_path)
    workspace = SimpleNamespace(root=tmp_path, runs_dir=tmp_path / "runs", state_dir=tmp_path / ".maxcai")
    async with panel(samples.up_state(), workspace=workspace) as shown:
        await shown.pilot.press("5")
        await shown.sees("clean eval prompts")
        perform = shown.controller.perform

        async def writes(*args: Any, **more: Any) -> int:
            (tmp_path / "task_board" / "pending" / "20270115_010101_P0_under_way.md").write_text("# now under way\n")
            return await perform(*args, **more)

        shown.controller.perform = writes  # type: ignore[method-assign]
        await shown.pilot.press("space")
        await shown.sees("now under way")  # the panel's clock stands still: it would never be due


async def test_reviews_are_asked_for_and_answers_taken_in_by_key(panel: Opener, tmp_path: Path) -> None:
    run_samples.reviews(tmp_path)
    workspace = SimpleNamespace(root=tmp_path, runs_dir=tmp_path / "runs", state_dir=tmp_path / ".maxcai")
    async with panel(samples.up_state(), workspace=workspace) as shown:
        await shown.pilot.press("6")
        await shown.sees("gate-1 scorer")
        review = shown.app.subjects()["review"]
        await shown.pilot.press("T")
        await shown.until(lambda: shown.controller.done == [("review.tasks", {"id": review})])
        await shown.pilot.press("i")
        await shown.until(lambda: isinstance(shown.app.screen, Form))
        await shown.pilot.press(*"a.md", "enter", *"ann", "enter")
        taken = ("review.import", {"id": review, "file": "a.md", "reviewer": "ann"})
        await shown.until(lambda: shown.controller.done[-1] == taken)
        await shown.pilot.press("u")
        await shown.until(lambda: shown.controller.done[-1] == ("review.undo", {}))


async def test_what_needs_somebody_stands_on_every_view_until_it_was_acknowledged(panel: Opener) -> None:
    async with panel(waiting(), (110, 30)) as shown:
        for key in "16":
            await shown.pilot.press(key)
            await shown.sees("gate of stage 1 explicit says FAIL", "1 of 2", "a acts")
        await shown.pilot.press("a")
        await shown.sees("WHAT NEEDS SOMEBODY  2", "1  Pass over a gate", "2  Retry a run", "3  Stop the pod")
        await shown.pilot.press("k")
        await shown.until(lambda: bool(shown.controller.done))
        name, args = shown.controller.done[0]
        assert (name, len(args["ack"])) == ("alerts", 1)
        assert args["ack"][0].startswith("gate ")


async def test_a_gate_is_passed_over_with_a_reason_from_its_alert(panel: Opener) -> None:
    async with panel(waiting(), (110, 30)) as shown:
        await shown.pilot.press("a")
        await shown.until(lambda: isinstance(shown.app.screen, Alerts))
        await shown.pilot.press("1")
        await shown.until(lambda: isinstance(shown.app.screen, Form))
        await shown.sees("why may the chain go on behind this gate?")
        await shown.pilot.press(*"known", "enter")
        await shown.until(lambda: shown.controller.done == [("run.override", {"reason": "known"})])


async def test_nothing_stands_there_while_nothing_needs_anybody(panel: Opener) -> None:
    async with panel(samples.training_state()) as shown:
        await shown.sees("228/375")
        assert not shown.app.query_one("#alerts").display
        watch = WatchView("red", "its key is refused", "local-1")
        shown.controller.become(replace(shown.controller.state, watches={watch.pod: watch}))
        await shown.sees("AUTOMATIC STOP IS NOT ARMED")
        await shown.pilot.click("#alerts")
        await shown.until(lambda: isinstance(shown.app.screen, Alerts))


async def test_an_older_run_is_looked_at_while_the_newest_is_followed(panel: Opener, tmp_path: Path) -> None:
    workspace = find(tmp_path)
    for run_id in ("older", run_samples.RUN_ID):
        RunBook(workspace.state_dir).add(RunEntry(run_id, "demo", "local-1", "t" * 64, 1, samples.NOW - 500))
    old = samples.RunScript(samples.up_state(), "older").plan().done("freeze").gate("FAIL")
    spool = workspace.spool_dir("older")
    spool.mkdir(parents=True)
    (spool / "events.jsonl").write_bytes(b"".join(old.lines))
    state = replace(samples.training_state(), runs=(run_samples.RUN_ID, "older"))
    async with panel(state, (110, 30), workspace=workspace) as shown:
        await shown.pilot.press("2")
        await shown.sees(f"RUN 1/2 {run_samples.RUN_ID}")
        await shown.pilot.press("left_square_bracket")
        await shown.sees("OLD 2/2 older", "✖ gate FAIL")
        assert shown.app.subjects()["run"] == "older"
        await shown.pilot.press("left_square_bracket")
        await shown.sees("there is no older run")
        await shown.pilot.press("1")
        await shown.sees("▶ sft", "228/375")  # the overview is about the followed one
        await shown.pilot.press("2", "right_square_bracket")
        await shown.sees(f"RUN 1/2 {run_samples.RUN_ID}")


async def test_runs_are_marked_and_compared(panel: Opener) -> None:
    state = replace(samples.training_state(), runs=(run_samples.RUN_ID, "older", "oldest"))
    async with panel(state) as shown:
        await shown.pilot.press("2")
        await shown.until(lambda: shown.app.view == "run")
        await shown.pilot.press("C")
        await shown.until(lambda: isinstance(shown.app.screen, Pick))
        await shown.pilot.press("enter")
        await shown.sees("mark two or more")
        await shown.pilot.press("down", "down", "space", "enter")
        await shown.until(lambda: isinstance(shown.app.screen, Reader))
        assert shown.controller.done == [("run.compare", {"runs": [run_samples.RUN_ID, "oldest"]})]


async def test_every_action_is_in_the_palette_and_the_help_with_its_key_and_its_reason(panel: Opener) -> None:
    from app.tui.keys import shown_key
    from app.tui.palette import ActionProvider

    async with panel(samples.base_state()) as shown:
        text = help_text(shown.app.offered(), shown.controller.reason, "").plain
        provider = ActionProvider(shown.app.screen)
        hits = {hit.text: hit async for hit in provider.discover()}
        for action in shown.controller.actions():
            assert action.title in hits
            assert action.title in text
            assert shown_key(action, every=True) in text
            refused = shown.controller.reason(action.id)
            if refused is not None:
                assert f"not now: {refused}" in text
                assert f"not now: {refused}" in (hits[action.title].help or "")


async def test_each_key_is_bound_where_it_is_heard_and_nowhere_else(panel: Opener) -> None:
    from app.tui import acts
    from app.tui.keys import textual_keys

    async with panel(samples.up_state()) as shown:
        bound = shown.app._bindings.key_to_bindings
        for action in shown.controller.actions():
            for key in filter(None, textual_keys(action.keys).split(",")):
                wanted = f"act('{action.id}')"
                assert wanted in {binding.action for binding in bound[key]}, (key, action.id)
        for key, bindings in bound.items():
            ids = [binding.action[5:-2] for binding in bindings if binding.action.startswith("act(")]
            for view in ("overview", "run", "logs", "gpu", "board", "reviews"):
                heard = [name for name in ids if acts.heard(shown.app.action_of(name), view)]
                assert len(heard) <= 1, (key, view, heard)


async def test_reading_only_refuses_every_writer_before_it_asks_anything(panel: Opener) -> None:
    state = replace(samples.finished_state(), readonly=True)
    async with panel(state, confirm={"pod.stop": STOP}) as shown:
        for action in shown.controller.actions():
            if action.writes and not action.looks({param.name: param.default for param in action.params}):
                shown.app.do(action.id)
        await shown.sees("read-only")
        assert shown.controller.done == []
        assert shown.controller.asked == []


async def test_an_act_that_takes_the_terminal_says_how_where_there_is_none(panel: Opener) -> None:
    async with panel(samples.up_state()) as shown:
        await shown.pilot.press("S")
        await shown.sees("maxcai pod ssh")


async def test_what_is_typed_faster_than_a_form_can_open_stands_in_its_fields(panel: Opener, tmp_path: Path) -> None:
    run_samples.board(tmp_path)
    workspace = SimpleNamespace(root=tmp_path, runs_dir=tmp_path / "runs", state_dir=tmp_path / ".maxcai")
    async with panel(samples.up_state(), workspace=workspace) as shown:
        await shown.pilot.press("5")
        await shown.sees("clean eval prompts")
        for key in ["n", *"fix xy", "enter", *"P1", "enter"]:  # all at once, as over a slow link
            shown.app.post_message(Key(key if key != " " else "space", key if len(key) == 1 else None))
        made = ("task.new", {"title": "fix xy", "priority": "P1"})
        await shown.until(lambda: shown.controller.done == [made])
        assert shown.controller.asked == [("task.new", made[1])], "no letter was a key of the panel"


async def test_a_question_is_not_answered_by_what_was_typed_before_it_was_there(panel: Opener) -> None:
    async with panel(samples.up_state(), confirm={"pod.stop": STOP}) as shown:
        early = Key("y", "y")
        await shown.pilot.press("x")
        await shown.until(lambda: isinstance(shown.app.screen, Question))
        shown.app.post_message(early)
        await shown.pilot.pause()
        assert isinstance(shown.app.screen, Question)
        assert shown.controller.done == []
        await shown.pilot.press("y")
        await shown.until(lambda: shown.controller.done == [("pod.stop", {"pod": samples.pod().id, "force": True})])
