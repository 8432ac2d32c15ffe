"""Start, list, show, cancel, resume and report runs. How a run is launched exactly once is `app.launch`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from app.actions.base import AGREED, Action, Args, Confirm, Context, Param, Reason, Scope
from app.actions.sync import pod_is_up
from app.errors import AppError, Unagreed, UsageError
from app.events import AppEvent, Output
from app.reduce import ALIVE
from app.runs import RunEntry
from app.state import AppState

if TYPE_CHECKING:
    from app.launch import Going

_RUN = Param("run", "run id or its beginning; default: the newest", kind="positional", metavar="RUN", subject="run")
_FOLLOW = Param("follow", "stay, show progress, pull the results at the end", short="-f")


def _entry(context: Context, args: Args) -> RunEntry:
    entry = context.supervisor.book.find(args.get("run"))
    if entry is None:
        raise UsageError("there is no run in this workspace", "Start one: `maxcai run start`.")
    return entry


async def _start(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from app.launch import start_run

    supervisor = context.supervisor
    recipe = args["recipe"] or supervisor.settings.recipe
    entry = await start_run(supervisor, recipe, agreed=args["agreed"], without_review=args["without_review"])
    yield _launched(entry)
    if args["follow"]:
        await _to_the_end(context, entry)


async def _resume(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from app.launch import resume_run

    entry = await resume_run(context.supervisor, _entry(context, args), agreed=args["agreed"])
    yield _launched(entry)
    if args["follow"]:
        await _to_the_end(context, entry)


async def _retry(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from app.launch import Going

    async for event in _again(context, args, Going(redo=_step_name(args["step"]), supersede=True)):
        yield event


async def _override(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from app.launch import Going

    reason = (args["reason"] or "").strip()
    if not reason:
        raise UsageError("nobody says why the gate is passed over", "Give --reason; every page of the report shows it.")
    if not args["agreed"]:
        lines = ("it is marked in run.json, in every later manifest and on every page of the report", reason)
        raise Unagreed("Pass over the gate?", lines, "pass over", danger=True)
    async for event in _again(context, args, Going(override=reason)):
        yield event


async def _again(context: Context, args: Args, going: Going) -> AsyncIterator[AppEvent]:
    from app.launch import resume_run

    entry = await resume_run(context.supervisor, _entry(context, args), agreed=args["agreed"], going=going)
    yield _launched(entry)
    if args["follow"]:
        await _to_the_end(context, entry)


def _step_name(given: str | None) -> str | None:
    """`stage-2/sft` of `2/sft` or of itself; None: nothing but what a changed recipe asks for."""
    if given is None:
        return None
    stage, slash, step = given.removeprefix("stage-").partition("/")
    if not (stage.isdecimal() and slash and step):
        raise UsageError(f"{given} is no step", "Write it as stage-2/sft; `maxcai run show` lists them.")
    return f"stage-{stage}/{step}"


def _launched(entry: RunEntry) -> Output:
    data = {"run_id": entry.run_id, "attempt": entry.attempt, "recipe": entry.recipe, "pod": entry.pod}
    return Output(entry.run_id, data)


async def _to_the_end(context: Context, entry: RunEntry) -> None:
    run = await context.supervisor.finish(entry)
    if run.exit_code != 0:
        raise AppError(f"run {run.run_id} {run.state}: {run.reason or 'no reason told'}", "See `maxcai logs`.")


async def _list(context: Context, _args: Args) -> AsyncIterator[AppEvent]:
    from app.history import known_runs
    from app.text import run_row, table

    runs = known_runs(context.workspace, context.supervisor.book)
    rows = [run_row(entry, view) for entry, view in runs]
    data = [
        {
            "run_id": entry.run_id,
            "recipe": entry.recipe,
            "pod": entry.pod,
            "attempt": entry.attempt,
            "started": entry.started,
            "state": view.state,
            "verdict": view.gates[-1].verdict if view.gates else None,
            "pulled": view.pulled,
        }
        for entry, view in runs
    ]
    yield Output(table(("RUN", "RECIPE", "POD", "ATTEMPT", "STARTED", "STATE", "VERDICT", "HOME"), rows), data)


async def _show(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from app.history import last_word, run_there, run_view
    from app.text import run_data, run_text

    entry = _entry(context, args)
    await last_word(context.supervisor, entry)
    view = run_there(context.supervisor.fleet, run_view(context.workspace, entry))
    yield Output(run_text(view, entry), run_data(view, entry))


async def _report(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    entry = _entry(context, args)
    path = context.workspace.run_dir(entry.run_id) / "report.md"
    if not path.is_file():
        await context.supervisor.pull(entry)
    if not path.is_file():
        raise AppError(f"run {entry.run_id} has no report yet", "It is written at its end: `maxcai run show`.")
    text = path.read_text(encoding="utf-8")
    yield Output(text, {"run_id": entry.run_id, "path": str(path), "markdown": text})


async def _compare(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from app.compare import compare

    found = await compare(context.supervisor, args["runs"] or ())
    yield Output(found.text, found.data)


async def _cancel(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from app.launch import CHECKPOINT_S, cancel_run

    entry = _entry(context, args)
    state = await cancel_run(context.supervisor, entry, grace_s=0.0 if args["now"] else CHECKPOINT_S)
    yield Output(entry.run_id, {"run_id": entry.run_id, "state": state})


async def _kill(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    async for event in _cancel(context, {**args, "now": True}):
        yield event


def _alive(state: AppState) -> Reason | None:
    if state.run is not None and state.run.state not in ALIVE:
        return Reason(f"run {state.run.run_id} is {state.run.state}, not running")
    return pod_is_up(state)


def _can_start(state: AppState) -> Reason | None:
    if state.run is not None and state.run.state == "running":
        return Reason(f"run {state.run.run_id} is running", "cancel it or wait for its end")
    return None


def _can_resume(state: AppState) -> Reason | None:
    if state.run is None and state.pods_at is not None and not state.runs:
        return Reason("there is no run to go on with", "r starts one")
    if state.run is not None and state.run.state in ("running", "finished"):
        return Reason(f"run {state.run.run_id} is {state.run.state}")
    return None


def _is_over(state: AppState) -> Reason | None:
    """Reason when the run is known not to be over; an unknown one is tried."""
    if state.run is None:
        return None if state.pods_at is None else Reason("there is no run", "r starts one")
    if state.run.state in ALIVE:
        return Reason(f"run {state.run.run_id} is {state.run.state}", "I ends it after a checkpoint")
    return None


def _gate_waits(state: AppState) -> Reason | None:
    if state.run is None:
        return _is_over(state)
    gates = state.run.gates
    if not gates:
        return Reason(f"no gate of run {state.run.run_id} has decided yet")
    if gates[-1].verdict in ("PASS", "NO_HEADROOM"):
        return Reason(f"the gate of stage {gates[-1].stage} says {gates[-1].verdict}: nothing is to be passed over")
    return _is_over(state)


async def _before_run(context: Context, args: Args) -> Confirm | None:
    from app.asking import before_run

    return await before_run(context, args)


async def _before_kill(context: Context, args: Args) -> Confirm | None:
    from app.asking import before_kill

    return await before_kill(context, args)


async def _before_override(context: Context, args: Args) -> Confirm | None:
    from app.asking import before_override

    return await before_override(context, args)


ACTIONS: tuple[Action, ...] = (
    Action(
        "run.start", ("run", "start"), "Start a run", "start the pod if need be, push, launch exactly once", "r",
        Scope.GLOBAL, _start, enabled=_can_start, confirm=_before_run, prints=True,
        params=(
            Param("recipe", "recipe name or file; default: the settings' one", "option", "-r", "NAME"), _FOLLOW,
            Param("without_review", "why it may start although a review is required; recorded", "option",
                  metavar="REASON"),
            Param("step", "the step under the cursor", "hidden", subject="step"), AGREED,
        ),
    ),
    Action(
        "run.list", ("run", "list"), "List runs", "every run of this workspace", "", Scope.RUN, _list,
        writes=False, prints=True,
    ),
    Action(
        "run.show", ("run", "show"), "Show a run", "steps, rates, gates and state of a run", "", Scope.RUN, _show,
        params=(_RUN,), writes=False, prints=True,
    ),
    Action(
        "run.cancel", ("run", "cancel"), "Cancel the run", "stop it after a checkpoint; it can be resumed", "I",
        Scope.GLOBAL, _cancel, enabled=_alive, prints=True,
        params=(_RUN, Param("now", "kill it at once")),
    ),
    Action(
        "run.kill", ("run", "cancel", "--now"), "Cancel the run now", "kill it at once; it can be resumed", "K",
        Scope.GLOBAL, _kill, enabled=_alive, confirm=_before_kill, asks=True, params=(_RUN,), prints=True,
    ),
    Action(
        "run.resume", ("run", "resume"), "Resume a run", "go on where a stopped or lost run ended", "c", Scope.GLOBAL,
        _resume, enabled=_can_resume, params=(_RUN, _FOLLOW, AGREED), prints=True,
    ),
    Action(
        "run.retry", ("run", "retry"), "Retry a run", "with a changed recipe, as another attempt at its gate; or from "
        "a step on", "", Scope.RUN, _retry, enabled=_is_over, prints=True,
        params=(
            _RUN, Param("step", "do this step again and what follows from it", "option", metavar="STAGE/STEP",
                        subject="step"), _FOLLOW, AGREED,
        ),
    ),
    Action(
        "run.override", ("run", "override"), "Pass over a gate", "go on behind a gate that failed; marked everywhere",
        "", Scope.RUN, _override, enabled=_gate_waits, confirm=_before_override, prints=True,
        params=(
            _RUN, Param("reason", "why; every page of the report shows it", "option", metavar="REASON",
                        asked="why may the chain go on behind this gate?"), _FOLLOW, AGREED,
        ),
    ),
    Action(
        "run.compare", ("run", "compare"), "Compare runs", "recipes, rates with intervals, cost, and paired tests "
        "where the items are the same", "C", Scope.RUN, _compare, writes=False, prints=True,
        params=(Param("runs", "two or more run ids, their beginnings, or directories", "positional", metavar="RUN",
                      many=True),),
    ),
    Action(
        "run.report", ("run", "report"), "Report", "the run's report in Markdown", "v", Scope.GLOBAL, _report,
        params=(_RUN,), writes=False, prints=True,
    ),
)  # fmt: skip
