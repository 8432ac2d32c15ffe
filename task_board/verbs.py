"""What can be done with a task: each verb is one journalled change under the board's lock."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from task_board import board, edits, fields, store
from task_board.document import Document, one_line
from task_board.errors import BoardError, Conflict, Refused, UsageError
from task_board.index import kept
from task_board.reading import read_file
from task_board.task import Lane, Task, role_of


@dataclass(frozen=True, slots=True)
class Draft:
    """A task to be made. `key` makes it at most once: a board that has a task with this finding takes no second."""

    title: str
    priority: int = 2
    body: str = ""
    assigned_to: str | None = None
    estimate: str | None = None
    depends_on: tuple[str, ...] = ()
    from_review: str | None = None
    criteria: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    key: str | None = None
    run: str | None = None
    gate: str | None = None


def find(root: Path, reference: str) -> Task:
    """The one task that `reference` names: its id, slug, file, lane/id, or the beginning of an id.

    Raises UsageError when it names none, or several.
    """
    files = [(place, path, fields.read_name(path.name)) for place, path in board.places(root)]
    wanted = reference.strip().rstrip("/")
    for fits in _WAYS:
        # Names alone decide, so that one task costs the reading of one file, however large the board is.
        fitting = [(path, place) for place, path, name in files if wanted and fits(wanted, place, path, name)]
        read = [board.read_task(path, place) for path, place in fitting]
        found = [task for task in read if task is not None]
        if len(found) == 1:
            return found[0]
        if found:
            named = ", ".join(task.file for task in found[:4])
            raise UsageError(f"{reference!r} names {len(found)} tasks: {named}", "Name one by its file.")
    near = difflib.get_close_matches(wanted, [word for *_, name in files for word in (name.id, name.slug)], 1, 0.5)
    raise UsageError(
        f"there is no task {reference!r} in {root}", f"Did you mean {near[0]}?" if near else "`list --all`."
    )


_WAYS: tuple[Callable[[str, Lane, Path, fields.Name], bool], ...] = (
    lambda wanted, _, path, __: str(path) == wanted or ("/" in wanted and path.absolute() == Path(wanted).absolute()),
    lambda wanted, _, path, name: wanted in (name.id, path.name, one_line(name.id)),
    lambda wanted, place, path, name: wanted in (f"{place.name}/{name.id}", f"{place.name}/{path.name}"),
    lambda wanted, _, __, name: wanted in (name.slug, one_line(name.slug)),
    lambda wanted, _, __, name: name.id.startswith(wanted),
    lambda wanted, _, __, name: name.slug.startswith(wanted),
)
"""In which ways a reference may name a file; the surest comes first."""


def read_bytes(task: Task) -> bytes:
    """What the file holds. Raises BoardError when it cannot be read."""
    try:
        return read_file(task.path)
    except OSError as error:
        raise BoardError(f"{task.file} cannot be read: {error.strerror}", "Look at the file itself.") from error


def waiting_for(root: Path, task: Task) -> list[str]:
    """What the task depends on and is not completed, each with its lane ("missing" when there is none)."""
    if not task.depends_on:
        return []
    known = board.names(root)
    found = []
    for name in task.depends_on:
        places = [lane for lane, path in known.get(name, []) if path != task.file]
        if not any(role_of(lane) == board.FINISHED for lane in places):
            found.append(f"{name} ({places[0] if places else 'missing'})")
    return found


def upcoming(root: Path, assignee: str | None = None) -> Task | None:
    """The first pending task, by priority and date, whose dependencies are all completed."""
    with kept(root) as cache:
        tasks = board.read_board(root, finished=False, cache=cache)
    return first_of(root, tasks, assignee)


def first_of(root: Path, tasks: Iterable[Task], assignee: str | None = None) -> Task | None:
    """As `upcoming`, of tasks that were read already."""
    tasks = [t for t in tasks if t.role == "pending"]
    mine = [t for t in tasks if assignee is None or assignee.lower() in (t.assigned_to or assignee).lower()]
    return next((t for t in sorted(mine, key=board.order) if not waiting_for(root, t)), None)


def start(root: Path, reference: str, now: datetime | None = None, force: bool = False) -> Task:
    """Pending → in_progress. Raises Refused when a dependency is unfinished (unless `force`)."""

    def check(task: Task) -> None:
        _from(task, "start", "pending", "other", "closed")
        if not force and (open_ones := waiting_for(root, task)):
            raise Refused(f"{task.id} waits for {', '.join(open_ones)}", "Finish that first, or --force.")

    return _move(root, reference, "in_progress", "Started", now, check)


def done(root: Path, reference: str, notes: str, now: datetime | None = None) -> Task:
    """Completion notes first, then → completed. Raises UsageError without notes."""
    _said(notes, "done", "--notes 'what was done, how it was checked'")
    check = lambda task: _from(task, "complete", "pending", "in_progress", "other")  # noqa: E731
    return _move(root, reference, "completed", "Completed", now, check, notes=notes)


def block(root: Path, reference: str, reason: str, now: datetime | None = None) -> Task:
    """Reason first, then → blocked. Raises UsageError without a reason."""
    _said(reason, "block", "--reason 'what it waits for'")
    check = lambda task: _from(task, "block", "pending", "in_progress", "other")  # noqa: E731
    return _move(root, reference, "blocked", f"Blocked: {reason}", now, check)


def unblock(root: Path, reference: str, note: str = "", now: datetime | None = None) -> Task:
    """Blocked → pending."""
    check = lambda task: _from(task, "unblock", "blocked")  # noqa: E731
    return _move(root, reference, "pending", f"Unblocked: {note}" if note.strip() else "Unblocked", now, check)


def move(root: Path, reference: str, lane: str, now: datetime | None = None, create: bool = False) -> Task:
    """To any lane. A lane that is not there is made only with `create`."""

    def check(task: Task) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][\w -]*", lane):
            raise UsageError(f"{lane!r} cannot be a lane", "Letters, digits, - and _.")
        name = task.path.name
        if lane in board.SKIPPED or (role_of(lane) == "other" and not board.makes_lane(name)):
            raise UsageError(f"in a folder {lane!r}, {name} would be in no list", "Choose another lane.")
        known = {place.name for place in board.lanes(root)} | set(board.LANES)
        if lane not in known and not create:
            raise UsageError(
                f"there is no lane {lane!r}", f"Lanes: {', '.join(sorted(known))}; --create makes a new one."
            )
        if task.lane == lane:
            raise Refused(f"{task.id} is already in {lane}", "Nothing was changed.")

    return _move(root, reference, lane, f"Moved to {lane}", now, check, exact=True)


def note(root: Path, reference: str, text: str, now: datetime | None = None) -> Task:
    """Append a status update."""
    _said(text, "note", "the text after the id")
    return _change(root, reference, "note", lambda _task, raw, at: (edits.update(raw, text, at),), now)


def check(root: Path, reference: str, which: str, undone: bool = False, now: datetime | None = None) -> Task:
    """Tick a success criterion, by its number from 1 or a part of its text (`undone`: take the tick away)."""

    def edit(task: Task, raw: bytes, _at: datetime) -> tuple[edits.Edit, ...]:
        document = Document(raw)
        made = edits.tick(document, _criterion(task, document, which), not undone)
        if made is None:
            raise Refused(
                f"that criterion of {task.id} is {'open' if undone else 'done'} already", "Nothing was changed."
            )
        return (made,)

    return _change(root, reference, "check", edit, now)


def new(root: Path, draft: Draft, now: datetime | None = None) -> Task:
    """Make a task in pending. `root` must be one board. Raises UsageError for a title without letters."""
    made = create(root, [draft], now)
    if not made:
        raise Refused(f"there is a task for {draft.key} already", "Nothing was made.")
    return made[0]


def create(root: Path, drafts: Sequence[Draft], now: datetime | None = None) -> list[Task]:
    """Make tasks in one go; drafts whose key a task has already are left out. Returns the ones made."""
    now, home = now or datetime.now(UTC), _one_home(root)
    for draft in drafts:
        if not edits.words(draft.title):
            raise UsageError("a task needs a title", "Say in a few words what is to be done.")
        if draft.priority not in range(4):
            raise UsageError(f"P{draft.priority} is no priority", "P0 (most urgent) to P3.")
        if unnamed := [name for name in draft.depends_on if not fields.references(edits.words(name))]:
            raise UsageError(f"{unnamed[0]!r} names no task", "Give the id, slug or file of what it depends on.")
        if not all(map(edits.words, draft.criteria)):
            raise UsageError("a criterion must say something", "Say what can be checked.")
    made = []
    with store.locked(home):
        keyed = any(draft.key for draft in drafts)
        known = {task.finding for task in board.read_board(root)} if keyed else set()
        lane = _lane(home, "pending")
        for draft in drafts:
            if draft.key and draft.key in known:
                continue
            known.add(draft.key)
            target = _free(home, lane, now, draft)
            change = store.Change(None, target, (edits.Edit(0, b"", compose(draft, now).encode("utf-8", "replace")),))
            store.commit(home, "new", [change], {}, now)
            made.append(_read(home, home / target))
    return made


def undo(root: Path, now: datetime | None = None) -> store.Entry:
    """Take the tree's newest change back. Raises Refused when there is none, Conflict when a file changed since."""
    last = [(entry.t, entry.seq, home) for home in board.homes(root) if (entry := store.undoable(home))]
    if not last:
        raise Refused(f"there is nothing to undo in {root}", "Only changes made by these commands can be taken back.")
    home = max(last, key=lambda item: item[:2])[2]
    with store.locked(home):
        entry = store.undo(home, now or datetime.now(UTC))
    if entry is None:
        raise Conflict("somebody else took it back first", "Look at the list.")
    return entry


def compose(draft: Draft, now: datetime) -> str:
    """Text of a new task."""
    header = {
        "Priority": f"P{draft.priority}", "Assigned to": draft.assigned_to, "Estimated time": draft.estimate,
        "Created": now.astimezone(UTC).strftime("%Y-%m-%d"), "Depends on": ", ".join(draft.depends_on) or None,
        "From review": draft.from_review, "Finding": draft.key, "Run": draft.run, "Gate": draft.gate,
    }  # fmt: skip
    lines = [f"# {edits.words(draft.title)}", ""]
    lines += [f"**{key}**: {edits.words(value)}" for key, value in header.items() if value]
    lines += ["", draft.body.strip()] if draft.body.strip() else []
    lines += ["", "## Success Criteria", *(f"- [ ] {edits.words(text)}" for text in draft.criteria or (draft.title,))]
    lines += ["", "## Files to Modify", *(f"- `{edits.words(name)}`" for name in draft.files)] if draft.files else []
    return "\n".join([*lines, "", "## Status Updates", f"- [{edits.stamp(now)}] Created", ""])


def _move(
    root: Path,
    reference: str,
    lane: str,
    text: str,
    now: datetime | None,
    check: Callable[[Task], None],
    notes: str = "",
    exact: bool = False,
) -> Task:
    def target(task: Task) -> str:
        check(task)
        home = Path(task.home)
        return f"{lane if exact else _lane(home, lane)}/{task.path.name}"

    def edit(_task: Task, raw: bytes, at: datetime) -> tuple[edits.Edit, ...]:
        first = (edits.completion(raw, notes, at),) if notes else ()
        return (*first, edits.update(edits.applied(raw, first), text, at))

    return _change(root, reference, lane, edit, now, target)


def _change(
    root: Path,
    reference: str,
    op: str,
    edit: Callable[[Task, bytes, datetime], tuple[edits.Edit, ...]],
    now: datetime | None,
    target: Callable[[Task], str] | None = None,
) -> Task:
    now = now or datetime.now(UTC)
    home = Path(find(root, reference).home)
    with store.locked(home):
        task = find(root, reference)  # again: it may have been moved while we waited for the lock
        source = task.path.relative_to(home).as_posix()
        raw = read_bytes(task)
        goal = target(task) if target else source
        store.commit(home, op, [store.Change(source, goal, edit(task, raw, now))], {source: raw}, now)
        made = _read(home, home / goal)
        return replace(made, assigned_to=made.assigned_to or task.assigned_to)


def _criterion(task: Task, document: Document, which: str) -> int:
    boxes = board.criteria_boxes(document)
    _said(which, "check", "the criterion's number or a part of its text")
    if which.isascii() and which.isdigit() and len(which) < 10:
        if not 1 <= int(which) <= len(boxes):
            raise UsageError(f"{task.id} has {len(boxes)} criteria", "Count from 1; `show` prints them.")
        return boxes[int(which) - 1]
    found = [n for n in boxes if which.lower() in document.boxes[n].text.lower()]
    if len(found) != 1:
        raise UsageError(f"{len(found)} criteria of {task.id} say {which!r}", "Give the number; `show` prints them.")
    return found[0]


def _from(task: Task, verb: str, *roles: str) -> None:
    if task.role not in roles:
        hint = "`unblock` it first." if task.role == "blocked" else "`move` takes any lane."
        raise Refused(f"{task.id} is in {task.lane}, so one cannot {verb} it", hint)


def _said(text: str, verb: str, how: str) -> None:
    if not edits.words(text):
        raise UsageError(f"`{verb}` must say something", f"Give {how}.")


def _lane(home: Path, role: str) -> str:
    """The board's own name for this lane; the usual one comes first and is the one that is made."""
    if (home / role).is_dir():
        return role
    return next((lane.name for lane in board.lanes(home) if lane.home == home and role_of(lane.name) == role), role)


def _one_home(root: Path) -> Path:
    found = board.homes(root)
    if len(found) > 1:
        named = ", ".join(str(home) for home in found[:4])
        raise UsageError(f"{root} holds {len(found)} boards: {named}", "Name one of them with --root.")
    return found[0] if found else root


def _free(home: Path, lane: str, now: datetime, draft: Draft) -> str:
    stem = f"{now.astimezone(UTC):%Y%m%d_%H%M%S}_P{draft.priority}_{fields.slug(draft.title)}"
    taken = {path.name for place in board.lanes(home) for path in place.folder.glob(f"{stem}*")}
    tries = (f"{stem}.md" if n == 1 else f"{stem}_{n}.md" for n in range(1, 10_000))
    return f"{lane}/{next(name for name in tries if name not in taken)}"


def _read(home: Path, path: Path) -> Task:
    lane = path.relative_to(home).parts[0]
    task = board.read_task(path, Lane(home, lane, None, path.parent))
    assert task is not None
    return task
