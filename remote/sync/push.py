"""Brings a scan to the pod as a new immutable tree, sending only content the pod lacks. No tree is changed in place."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from remote.agent.client import Agent
from remote.errors import HashMismatch, SyncError, UnsafePush
from remote.files import private_dir, write_atomic
from remote.sync.scan import Entry, Scan
from remote.sync.talk import conversation
from remote.sync.upload import Progress, Upload

LAST_PUSH = "last_push.json"
_PATIENCE_S = 900.0  # to verify and copy a tree on a slow network volume
_ROUNDS = 2  # content that the pod's disk turns out to have lost is sent a second time


class Plan(Struct, frozen=True):
    """How a scan differs from the last push: paths. `first` is true when there was none."""

    tree_id: str
    added: tuple[str, ...]
    changed: tuple[str, ...]
    deleted: tuple[str, ...]
    unchanged: int
    first: bool

    @property
    def same(self) -> bool:
        """Whether the last push brought this very tree."""
        return not (self.first or self.added or self.changed or self.deleted)


class GitState(Struct, frozen=True):
    """The commit of the pushed folder and whether files differ from it; None where there is no git to ask."""

    commit: str | None
    dirty: bool | None


class PushReport(Struct, frozen=True):
    """What a push did. `sent_files` and `sent_bytes` are content that travelled; `seconds` is wall time."""

    tree_id: str
    files: int
    bytes: int
    sent_files: int
    sent_bytes: int
    seconds: float


def plan(scan: Scan, state_dir: Path) -> Plan:
    """Compare a scan with the last push recorded in `state_dir`."""
    last = _last_push(state_dir)
    old = {} if last is None else {row["path"]: row for row in last}
    new = {row["path"]: row for row in scan.manifest}
    changed = tuple(path for path in new if path in old and old[path] != new[path])
    return Plan(
        tree_id=scan.tree_id,
        added=tuple(path for path in new if path not in old),
        changed=changed,
        deleted=tuple(sorted(path for path in old if path not in new)),
        unchanged=sum(1 for path in new if path in old) - len(changed),
        first=last is None,
    )


def check(scan: Scan, planned: Plan) -> None:
    """Raise UnsafePush for what nobody would want: an empty tree, or more than half of the last push gone."""
    if not scan.entries:
        raise UnsafePush("There is nothing to push: every file is ignored or missing.", "Is this the right folder?")
    before = len(planned.deleted) + len(planned.changed) + planned.unchanged
    if before and len(planned.deleted) * 2 > before:
        raise UnsafePush(
            f"{len(planned.deleted)} of the {before} files of the last push are gone, among them {planned.deleted[0]}.",
            "If that is meant, push with --force.",
        )


def git_state(folder: Path) -> GitState:
    """Ask git about `folder`; never fails."""
    commit = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--", ".") if commit is not None else None
    return GitState(commit or None, None if changes is None else bool(changes))


def git_branch(folder: Path) -> str | None:
    """The branch that is checked out; None for a detached head and where there is no git to ask. Never fails."""
    name = _git(folder, "rev-parse", "--abbrev-ref", "HEAD")
    return None if name in (None, "", "HEAD") else name


def _git(folder: Path, *arguments: str) -> str | None:
    program = shutil.which("git")
    if program is None:
        return None
    try:
        argv = [program, "-C", str(folder), *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


async def push(
    agent: Agent,
    scan: Scan,
    state_dir: Path,
    force: bool = False,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> PushReport:
    """Make the tree of `scan` exist on the pod and record it in `state_dir`.

    One round trip when the pod has the tree. Raises UnsafePush (unless `force`), SyncError when a file changes on the
    way, DiskFull, SshError; after any of them the pod has either the whole tree or none, and pushing again is safe.
    """
    begin = clock()
    planned = plan(scan, state_dir)
    if not force:
        check(scan, planned)
    elif not scan.entries:
        raise UnsafePush("There is nothing to push: every file is ignored or missing.", "Is this the right folder?")
    state = asyncio.create_task(
        asyncio.to_thread(git_state, scan.roots[0] if scan.roots[0].is_dir() else scan.roots[0].parent)
    )
    try:
        sent_files, sent_bytes = await _converse(agent, scan, planned, state, progress)
    finally:
        state.cancel()
    private_dir(state_dir)
    write_atomic(state_dir / LAST_PUSH, json.dumps({"v": 1, "manifest": scan.manifest}).encode())
    return PushReport(planned.tree_id, len(scan.entries), scan.bytes, sent_files, sent_bytes, clock() - begin)


async def _converse(
    agent: Agent, scan: Scan, planned: Plan, state: Awaitable[GitState], progress: Progress | None
) -> tuple[int, int]:
    """(files, bytes) that were sent until the pod had the tree."""
    first: dict[str, Any] = {"tree_id": planned.tree_id}
    manifest = {"manifest": scan.manifest}
    if not planned.same:  # else the pod most likely has it, and the manifest would travel for nothing
        first |= manifest
    sent_files = sent_bytes = 0
    async with conversation(agent, "push", first) as (talk, answer):
        if answer.get("need"):
            await talk.say(manifest)
            answer = await talk.hear()
        for _ in range(_ROUNDS):
            if answer.get("have"):
                return sent_files, sent_bytes
            upload = Upload(_by_hash(scan.entries, _digests(answer)), scan.sources, progress)
            git = await state
            try:
                if upload.wanted:
                    await upload.over(agent, talk)
                meta = {"commit": git.commit, "dirty": git.dirty}
                await talk.say({"pieced": upload.pieced, "make": True, "meta": meta})
                answer = await talk.hear(_PATIENCE_S)
            except HashMismatch as error:
                raise await asyncio.to_thread(upload.blame, error) from None
            sent_files, sent_bytes = sent_files + len(upload.wanted), sent_bytes + upload.total
    if answer.get("have"):
        return sent_files, sent_bytes
    raise SyncError(f"The pod still lacks {len(_digests(answer))} files after the push.", "Push again.")


def _digests(answer: Mapping[str, Any]) -> list[str]:
    text = answer["payload"].decode("ascii", "replace")
    return [text[start : start + 64] for start in range(0, len(text), 64)]


def _by_hash(entries: Iterable[Entry], digests: Sequence[str]) -> list[Entry]:
    """One entry for each digest. Raises SyncError when the pod asks for what is not in the tree."""
    known = {entry.sha256: entry for entry in entries if entry.link is None}
    unknown = [digest for digest in digests if digest not in known]
    if unknown:
        raise SyncError("The pod asked for content that is not part of this push.")
    return [known[digest] for digest in digests]


def _last_push(state_dir: Path) -> list[dict[str, Any]] | None:
    try:
        raw = json.loads((state_dir / LAST_PUSH).read_bytes())
        return [dict(row) for row in raw["manifest"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
