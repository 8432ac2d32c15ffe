"""Push code to the pod and pull verified results from it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from app.actions.base import Action, Args, Context, Param, Reason, Scope
from app.errors import UsageError
from app.events import AppEvent, Output
from app.reduce import OFF
from app.state import AppState


async def _push(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from app.launch import push_code

    report = await push_code(context.supervisor, force=args["force"])
    data = {
        "tree_id": report.tree_id,
        "files": report.files,
        "bytes": report.bytes,
        "sent_files": report.sent_files,
        "sent_bytes": report.sent_bytes,
        "seconds": report.seconds,
    }
    yield Output(report.tree_id, data)


async def _pull(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    supervisor = context.supervisor
    entry = supervisor.book.find(args["run"])
    if entry is None:
        raise UsageError("there is no run to pull", "Start one: `maxcai run start`.")
    dest = await supervisor.pull(entry)
    yield Output(str(dest), {"run_id": entry.run_id, "path": str(dest)})


def pod_is_up(state: AppState) -> Reason | None:
    """Reason when the pod is known not to run; an unknown state is tried."""
    if state.pods_at is not None and (state.pod is None or state.pod.status in OFF):
        return Reason("no pod is running", "start it with `s` or `maxcai pod start`")
    return None


ACTIONS: tuple[Action, ...] = (
    Action(
        "push", ("push",), "Push code", "send what changed of the code tree; running jobs keep theirs", "P",
        Scope.GLOBAL, _push, enabled=pod_is_up, prints=True,
        params=(Param("force", "send a tree that is empty or lost most of its files"),),
    ),
    Action(
        "pull", ("pull",), "Pull results", "bring a run's files home and verify each by its hash", "p", Scope.GLOBAL,
        _pull, enabled=pod_is_up, prints=True,
        params=(Param("run", "run id or its beginning; default: the newest", kind="positional", metavar="RUN"),),
    ),
)  # fmt: skip
