"""What can be done with reviews: ask for one, take in an answer, turn findings into tasks, put a set away.

Every change is journalled under the reviews' lock by `task_board.store` and can be undone.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from reviews.files import ARCHIVE, PER_REVIEWER, REQUEST_FOLDERS, Response, Review, read_reviews, reviewer_name, stem
from reviews.findings import SEVERITIES, Finding, key
from reviews.verdicts import INVALID, read_verdict
from task_board import edits, fields, store, verbs
from task_board.document import Document, one_line
from task_board.errors import BoardError, Conflict, Refused, UsageError
from task_board.task import Task

_FOLDERS = {"requests", "responses", "archive", "__pycache__", *REQUEST_FOLDERS}
"""Names that mean something else inside the archive."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to be made. `context` is the text that `reviews.context` collected."""

    topic: str
    reviewers: tuple[str, ...]
    kind: str = "general"
    context: str = ""
    questions: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    commit: str | None = None
    recipe: str | None = None
    material: str = ""
    requester: str | None = None
    priority: str = "Medium"


def find(root: Path, reference: str) -> Review:
    """The one review of that id, file, or beginning of an id. Raises UsageError for none or several."""
    every = read_reviews(root)
    wanted = stem(reference.rsplit("/", 1)[-1])
    live = [r for r in every if r.layout != ARCHIVE]
    for pool in (live, every):
        same = [r for r in pool if r.id == wanted or reference in (r.request, *(a.file for a in r.responses))]
        begins = [r for r in pool if wanted and (r.id.startswith(wanted) or wanted in r.id)]
        found = same or begins
        asked = [r for r in found if r.request] or found
        if len(asked) == 1:
            return asked[0]
        if asked:
            raise UsageError(f"{reference!r} names {', '.join(r.id for r in asked[:4])}", "Name one of them in full.")
    near = difflib.get_close_matches(wanted, [r.id for r in every], 1, 0.5)
    raise UsageError(
        f"there is no review {reference!r} in {root}", f"Did you mean {near[0]}?" if near else "See `list`."
    )


def request(root: Path, ask: Ask, now: datetime | None = None) -> Review:
    """Write the request. Raises UsageError without a topic or reviewers."""
    now = now or datetime.now(UTC)
    names = tuple(dict.fromkeys(filter(None, map(reviewer_name, ask.reviewers))))
    if not edits.words(ask.topic):
        raise UsageError("a request needs a topic", "Say in a few words what is to be reviewed.")
    if not names:
        raise UsageError("a request must name its reviewers", "Give --reviewer NAME, once for each.")
    name = f"{now.astimezone(UTC):%Y%m%d_%H%M%S}_{fields.slug(ask.topic)}"
    with store.locked(root):
        taken = {review.id for review in read_reviews(root)}
        free = next(n for n in (name, *(f"{name}_{k}" for k in range(2, 10_000))) if n not in taken)
        _write(root, "request", f"requests/{free}.md", _compose(ask, names, free, now).encode("utf-8", "replace"), now)
    return find(root, free)


def take(
    root: Path, reference: str, reviewer: str, raw: bytes, now: datetime | None = None, force: bool = False
) -> Review:
    """Keep an answer, byte for byte. An earlier one is kept too; the newest valid one counts.

    Raises Refused for an answer without a verdict (unless `force`), UsageError for a request that is not there.
    """
    now, review, name = now or datetime.now(UTC), find(root, reference), reviewer_name(reviewer)
    if not re.fullmatch(r"[a-z0-9][\w.-]*", name):
        raise UsageError(f"{reviewer!r} is no reviewer's name", "Letters, digits and _.")
    if review.request is None or review.layout == ARCHIVE:
        raise UsageError(f"{review.id} is not an open request", "`list` names the open ones.")
    if read_verdict(Document(raw)).value == INVALID and not force:
        raise Refused("that answer states no verdict, so it is no review", "Ask again, or keep it with --force.")
    with store.locked(root):
        folder, base = "responses", f"{review.id}_{name}"
        if review.layout == PER_REVIEWER:
            folder, base = f"{name}/responses", review.id
        names = (base, *(f"{base}_{n}" for n in range(2, 10_000)))
        target = next(f"{folder}/{n}.md" for n in names if not (root / folder / f"{n}.md").exists())
        _write(root, "import", target, raw, now)
    return find(root, review.request)


def make_tasks(
    root: Path, board_root: Path, reference: str, least: str = "low", now: datetime | None = None, dry: bool = False
) -> tuple[list[verbs.Draft], list[Task]]:
    """A task for each finding of the answers that count, once each however often it is asked.

    Returns the drafts of all findings that are at least this severe, and the tasks made now.
    """
    review = find(root, reference)
    if not review.counted:
        raise Refused(f"{review.id} has no valid answer", "`check` says who is missing.")
    kept = SEVERITIES[: SEVERITIES.index(least) + 1]
    drafts = [
        _draft(review, answer, finding)
        for answer in review.counted
        for finding in answer.findings
        if finding.severity in kept
    ]
    return drafts, [] if dry else verbs.create(board_root, drafts, now)


def archive(
    root: Path, reference: str, cycle: str | None = None, now: datetime | None = None, force: bool = False
) -> list[str]:
    """Move the request and all its answers to `archive/<cycle>/`, together. Returns the new paths.

    Raises Refused when an assigned reviewer has not answered (unless `force`).
    """
    now, review = now or datetime.now(UTC), find(root, reference)
    cycle = cycle or f"{now.astimezone(UTC):%Y%m%d}_cycle"
    if not re.fullmatch(r"[\w][\w. -]*", cycle) or cycle.lower() in _FOLDERS:
        raise UsageError(f"{cycle!r} cannot be a folder", "Letters, digits, - and _, no folder's name.")
    if review.layout == ARCHIVE:
        raise Refused(f"{review.id} is in the archive already", "Nothing was moved.")
    if not review.complete and not force:
        who = ", ".join(review.waiting) or "a request"
        raise Refused(f"{review.id} is not complete: {who} is missing", "Wait for it, or --force.")
    with store.locked(root):
        review = find(root, reference)
        changes, seen = [], {}
        files = [*((path, "requests") for path in review.requests), *((a.file, "responses") for a in review.responses)]
        for path, folder in files:
            source = Path(path).relative_to(root)
            target = f"archive/{cycle}/{_shelf(review, source, folder)}"
            changes.append(store.Change(source.as_posix(), target))
            seen[source.as_posix()] = read_bytes(Path(path))
        _fits(root, [str(change.target) for change in changes])
        store.commit(root, "archive", changes, seen, now)
    return [str(root / str(change.target)) for change in changes]


def _shelf(review: Review, source: Path, folder: str) -> str:
    """Where a file lies inside its cycle: below the folder that it lay in, and with its reviewer."""
    if review.layout == PER_REVIEWER:
        loose = len(source.parts) == 2
        return f"{source.parts[0]}/responses/{source.name}" if loose else source.as_posix()
    return source.as_posix() if source.parts[0] == folder and len(source.parts) > 1 else f"{folder}/{source.name}"


def _fits(root: Path, targets: list[str]) -> None:
    """Raises Conflict when two files would get one name, or a folder's name is taken by a file."""
    if twice := next((name for name in targets if targets.count(name) > 1), None):
        raise Conflict(f"two files would become {twice}", "Nothing was moved. Rename one of them.")
    for target in targets:
        for folder in Path(target).parents:
            if os.path.lexists(root / folder) and not (root / folder).is_dir():
                raise Conflict(f"{root / folder} is not a folder", "Nothing was moved. Name another --cycle.")


def undo(root: Path, now: datetime | None = None) -> store.Entry:
    """Take the newest change back. Raises Refused when there is none, Conflict when a file changed since."""
    if store.undoable(root) is None:
        raise Refused(f"there is nothing to undo in {root}", "Only changes made by these commands can be taken back.")
    with store.locked(root):
        entry = store.undo(root, now or datetime.now(UTC))
    if entry is None:
        raise Conflict("somebody else took it back first", "Look at the list.")
    return entry


def _draft(review: Review, answer: Response, finding: Finding) -> verbs.Draft:
    where = f"{finding.path}:{finding.line}" if finding.line else finding.path
    quoted = "\n".join(f"> {line}" for line in finding.text.splitlines())
    body = f"## Finding\n{answer.reviewer}, {finding.severity}{f', `{where}`' if where else ''}:\n\n{quoted}"
    return verbs.Draft(
        title=f"Fix: {one_line(finding.title)}", priority=SEVERITIES.index(finding.severity), body=body,
        from_review=answer.file, criteria=(f"The finding no longer holds: {finding.title}",),
        files=(finding.path,) if finding.path else (), key=key(review.id, answer.reviewer, finding),
        run=review.headers.get("run"), gate=review.headers.get("gate"),
    )  # fmt: skip


def _compose(ask: Ask, names: tuple[str, ...], name: str, now: datetime) -> str:
    header = {
        "Date": now.astimezone(UTC).strftime("%Y-%m-%d"), "Requester": ask.requester, "Priority": ask.priority,
        "Assigned Reviewers": ", ".join(names), "Type": ask.kind, "Recipe": ask.recipe, "Commit": ask.commit,
    }  # fmt: skip
    lines = [f"# Review Request: {edits.words(ask.topic)}", ""]
    lines += [f"**{key}**: {edits.words(value)}" for key, value in header.items() if value]
    lines += ["", "## Context", ask.context.strip() or "None was given."]
    lines += ["", "## Files to Review", *(f"- `{edits.words(file)}`" for file in ask.files)] if ask.files else []
    lines += ["", "## Specific Questions", *(f"{n}. {edits.words(q)}" for n, q in enumerate(ask.questions, 1))]
    lines += ["", "## How to answer", _HOW.format(name=name)]
    lines += ["", "## Material", ask.material.strip()] if ask.material.strip() else []
    return "\n".join([*lines, ""])


_HOW = """\
Write `responses/{name}_REVIEWER.md`. It must state a verdict; an answer without one counts as none.

~~~markdown
# Review Response: TOPIC

**Reviewer**: NAME
**Request**: {name}.md
**Verdict**: Approved, Approved with notes, Issues found, or Major problems

## Issues Found
### CRITICAL
1. What is wrong (`path/to/file.py:42`): the impact, and a way to mend it
### HIGH
### MEDIUM
### LOW
~~~

Leave a severity empty, or write "None", when there is nothing."""


def _write(root: Path, op: str, target: str, raw: bytes, now: datetime) -> None:
    store.commit(root, op, [store.Change(None, target, (edits.Edit(0, b"", raw),))], {}, now)


def read_bytes(path: Path) -> bytes:
    """What the file holds. Raises BoardError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BoardError(f"{path} cannot be read: {error.strerror}", "Mend its rights.") from error
