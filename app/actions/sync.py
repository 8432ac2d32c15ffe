"""Push code to the pod and pull verified results from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from msgspec.structs import replace

from app.actions.base import Action, Args, Confirm, Context, Param, Reason, Scope
from app.actions.pod import POD
from app.errors import UsageError
from app.events import AppEvent, Output
from app.reduce import OFF
from app.runs import RunEntry
from app.state import AppState
from app.text import harmless


async def _push(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from app.launch import push_code

    if args["dry_run"]:
        yield await _push_plan(context)
        return
    pod = await context.supervisor.pod(args["pod"])
    report = await push_code(context.supervisor, pod.id, force=args["force"])
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
    if args["dry_run"]:
        yield await _pull_plan(context, entry)
        return
    dest = await supervisor.pull(entry)
    yield Output(str(dest), {"run_id": entry.run_id, "path": str(dest)})


async def _push_plan(context: Context) -> Output:
    """What a push would send, by the last push; the pod is not asked. Raises SecretFound and UnsafePush as it would."""
    from app.ready import sources
    from remote.sync.push import check, plan
    from remote.sync.scan import scan

    supervisor = context.supervisor
    state_dir = context.workspace.state_dir
    found = await asyncio.to_thread(scan, sources(supervisor), state_dir)
    planned = plan(found, state_dir)
    check(found, planned)
    changes = [("+", planned.added), ("~", planned.changed), ("-", planned.deleted)]
    lines = [f"{sign} {path}" for sign, paths in changes for path in paths]
    lines.append(f"tree {planned.tree_id[:12]}: {len(found.entries)} files, {len(lines)} of them differ")
    data = {
        "tree_id": planned.tree_id, "files": len(found.entries), "bytes": found.bytes, "same": planned.same,
        "added": list(planned.added), "changed": list(planned.changed), "deleted": list(planned.deleted),
        "left_out": [{"path": one.path, "why": one.reason} for one in found.left_out],
    }  # fmt: skip
    return Output("\n".join(lines), data)


async def _pull_plan(context: Context, entry: RunEntry) -> Output:
    """What a pull would bring, in its order."""
    from remote.sync.pull import preview

    supervisor = context.supervisor
    agent = await supervisor.link.agent(entry.pod)
    found = await preview(agent, entry.run_id, context.workspace.run_dir(entry.run_id))
    due = [one for one in found.files if one.state != "home"]
    lines = [f"{one.state:<8} {one.size:>12} {harmless(one.path)}" for one in due]
    lines.append(f"{len(due)} of {len(found.files)} files to bring, {found.bytes} bytes at most")
    lines += [f"never written here: {ascii(path)[:200]}" for path in found.refused]
    files = [{"path": one.path, "size": one.size, "state": one.state} for one in found.files]
    data = {"run_id": entry.run_id, "bytes": found.bytes, "files": files, "refused": list(found.refused)}
    return Output("\n".join(lines), data)


def pod_is_up(state: AppState) -> Reason | None:
    """Reason when the pod is known not to run; an unknown state is tried."""
    if state.pods_at is not None and (state.pod is None or state.pod.status in OFF):
        return Reason("no pod is running", "start it with `s` or `maxcai pod start`")
    return None


async def _before_push(context: Context, args: Args) -> Confirm | None:
    from app.asking import before_push

    return await before_push(context, args)


ACTIONS: tuple[Action, ...] = (
    Action(
        "push", ("push",), "Push code", "send what changed of the code tree; running jobs keep theirs", "P",
        Scope.GLOBAL, _push, enabled=pod_is_up, confirm=_before_push, prints=True,
        params=(
            Param("force", "send a tree that lost most of its files"),
            Param("dry_run", "only say what differs from the last push"),
            replace(POD, kind="option"),
        ),
    ),
    Action(
        "pull", ("pull",), "Pull results", "bring a run's files home and verify each by its hash", "p", Scope.GLOBAL,
        _pull, enabled=pod_is_up, prints=True,
        params=(
            Param("run", "run id or its beginning; default: the newest", kind="positional", metavar="RUN"),
            Param("dry_run", "only say what would be brought"),
        ),
    ),
)  # fmt: skip
