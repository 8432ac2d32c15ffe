"""Reading boards: every file of every lane becomes a task, and a file that says little is still shown.

The lane folder is the status; headers never override it. Nothing here writes. A tree may be one board (`<lane>/`) or
hold one board per assignee (`<assignee>/<lane>/`), at most three folders down.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from task_board import fields, headers
from task_board.document import Document, one_line, plain
from task_board.index import Cache, mark_of
from task_board.reading import read_file
from task_board.task import Criteria, Lane, Task, role_of

LANES = ("pending", "in_progress", "blocked", "completed")
FINISHED = "completed"
_ORDER = {"in_progress": 1, "pending": 0, "blocked": 2, "completed": 4, "closed": 5}
SKIPPED = frozenset({"__pycache__", "node_modules", "templates", "template", "docs"})
"""Folders whose files are no tasks."""
_ATTACHED = {
    ".py", ".sh", ".json", ".jsonl", ".csv", ".tsv", ".png", ".jpg", ".jpeg", ".svg", ".pdf", ".log", ".yaml", ".yml",
    ".swp", ".tmp", ".bak", ".orig", ".rej", ".pyc", ".html", ".zip",
}  # fmt: skip
_NO_TASK = re.compile(
    r"(?:^|[_\-. ])(?:readme|template|audit|index|changelog|example)(?:s)?(?:[_\-. ]|$)", re.IGNORECASE
)
_TEMPLATE = re.compile(r"^\W*_*templates?(?:[_\-. ]|$)|[_\-. ]templates?(?:[_\-. ]?v?\d+)?$", re.IGNORECASE)
_BACKUP = re.compile(r"~$|^#.*#$|\.(?:swp|swo|bak|orig|rej|tmp)$", re.IGNORECASE)
"""What editors and patches leave beside a file: a second copy of the task, and none of its own."""
_OTHER = re.compile(
    r"(?:claude|agents|gemini|copilot|contributing|license|copying|notice|makefile|dockerfile|thumbs)(?:\.\w+)?",
    re.IGNORECASE,
)
_TELLING = ("priority", "assigned_to", "estimate", "depends_on")
"""Headers by which a file that is named like an audit or an index is a task after all."""
_NOBODY = frozenset({"", "unassigned", "nobody", "anyone", "anybody", "any", "any agent", "open", "tba"})
_TITLE_PREFIX = re.compile(r"^(?:task\s*[:\-–]\s*|\[?P[0-3]\]?\s*[:\-–]\s*|\[P[0-3]\]\s*)+", re.IGNORECASE)
_CRITERIA = re.compile(
    r"[\W\d]*+(?:(?:success|acceptance|completion|done|exit)\s+)?criteria|[\W\d]*+definition of done", re.IGNORECASE
)
_BOLD_CRITERIA = re.compile(
    r"\n\*\*(?:(?:success|acceptance|completion|done|exit) criteria|definition of done)\b[^*\n]{0,40}\*\*:?[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_DEEPEST = 8
UNREAD = "cannot be read"
"""How the problem of a file begins that the system would not give."""


def homes(root: Path, depth: int = 3) -> list[Path]:
    """Folders at or under `root` that hold at least one lane folder."""
    found: list[Path] = []
    folders = _folders(root)
    if any(_is_lane(folder.name) for folder in folders):
        found.append(root)
    if depth > 0:
        for folder in folders:
            if not _is_lane(folder.name):
                found += homes(folder, depth - 1)
    return found


def lanes(root: Path) -> list[Lane]:
    """Every lane of every board of the tree, in reading order."""
    found = []
    for home in homes(root):
        assignee = None if home == root or home.name in ("tasks", "task_board") else home.name
        inner = {h for h in homes(home, 2) if h != home}
        for folder in _folders(home):
            if not any(h == folder or folder in h.parents for h in inner) and (
                _is_lane(folder.name) or _has_tasks(folder)
            ):
                found.append(Lane(home, folder.name, assignee, folder))
    return sorted(found, key=lambda lane: (_ORDER.get(role_of(lane.name), 3), lane.name, str(lane.home)))


def read_board(root: Path, lane: str | None = None, finished: bool = True, cache: Cache | None = None) -> list[Task]:
    """Every task under `root`, lane by lane, by priority, date and name. Reading never fails.

    Args:
        root: a board, or a tree of boards.
        lane: only lanes of this name.
        finished: also the lanes of what is completed, cancelled or obsolete.
        cache: makes a second reading cheap (`task_board.index.kept`); a reading of everything forgets files that went.
    """
    found: dict[str, list[Task]] = {}
    seen: set[str] = set()
    for place in lanes(root):
        if lane is not None and place.name != lane:
            continue
        if lane is None and not finished and role_of(place.name) in ("completed", "closed"):
            continue
        paths = list(_files(place.folder))
        seen.update(map(str, paths))
        tasks = (_cached(path, place, cache) for path in paths)
        found.setdefault(place.name, []).extend(task for task in tasks if task is not None)
    if cache is not None and lane is None and finished:
        for gone in cache.keys() - seen:
            del cache[gone]
    return [task for tasks in found.values() for task in sorted(tasks, key=order)]


def order(task: Task) -> tuple[int, str, str]:
    """Priority, then date, then name; what has none comes last."""
    return (4 if task.priority is None else task.priority, task.created or "9", task.id)


def places(root: Path) -> Iterator[tuple[Lane, Path]]:
    """Every file of every lane, unread."""
    for place in lanes(root):
        for path in _files(place.folder):
            yield place, path


def names(root: Path) -> dict[str, list[tuple[str, str]]]:
    """Id and slug of every file → (lane, path), from names alone: cheap, for dependencies."""
    found: dict[str, list[tuple[str, str]]] = {}
    for place, path in places(root):
        name = fields.read_name(path.name)
        for key in {name.id, name.slug}:
            found.setdefault(key, []).append((place.name, str(path)))
    return found


def render(tasks: list[Task], empty: bool = True) -> str:
    """The board as text, one lane after the other; without `empty`, only lanes that hold something."""
    lines: list[str] = []
    named = dict.fromkeys([*(LANES if empty else ()), *(task.lane for task in tasks)])
    for lane in named:
        inside = [task for task in tasks if task.lane == lane]
        lines.append(f"{one_line(lane)} ({len(inside)})")
        for task in inside:
            level = "P?" if task.priority is None else f"P{task.priority}"
            boxes = task.criteria.open + task.criteria.done
            tail = f" [{task.criteria.done}/{boxes}]" if boxes else ""
            tail += f" after {', '.join(task.depends_on)}" if task.depends_on else ""
            lines.append(f"  {level}  {task.title}{tail}  ({task.id})")
            lines += [f"      ✖ {problem}" for problem in task.problems]
    return "\n".join(lines)


def read_task(path: Path, place: Lane) -> Task | None:
    """The task of one file; None when the file is no task (a template, an audit, a README)."""
    name = fields.read_name(path.name)
    problems: list[str] = []
    try:
        document = Document(read_file(path))
    except OSError as problem:
        document = Document(b"")
        problems.append(f"{UNREAD}: {problem.strerror or problem}")
    said = headers.read(document)
    if _no_task(path.name, name, said):
        return None
    if not document.is_text:
        problems.append("is not UTF-8 text")
    level = _level(name, said, document, problems)
    return Task(
        id=one_line(name.id), lane=place.name, file=str(path), title=_title(document, said) or _words(name.slug),
        slug=one_line(name.slug), priority=level, assigned_to=_somebody(said) or place.assignee,
        created=_created(name, said, problems), estimate=said.get("estimate"),
        depends_on=tuple(headers.depends_on(document, said)), from_review=said.get("from_review"),
        criteria=_criteria(document), problems=tuple(problems), home=str(place.home), finding=said.get("finding"),
        run=said.get("run"), gate=said.get("gate"),
    )  # fmt: skip


def criteria_boxes(document: Document) -> list[int]:
    """Indexes into `document.boxes` that are success criteria: those of that section, or all when there is none."""
    section = document.section(_CRITERIA) or _bold_section(document)
    inside = [n for n, box in enumerate(document.boxes) if section is not None and box.line in section]
    return inside or list(range(len(document.boxes)))


def _bold_section(document: Document) -> range | None:
    """Lines below "**Success criteria**:", up to the next heading or line that begins in bold."""
    found = document.outside_fences(_BOLD_CRITERIA)
    if not found:
        return None
    first = found[0][0] + 1
    bold = (n for n in range(first, document.length) if document.lines[n].startswith("**"))
    later = (heading.line for heading in document.headings if heading.line >= first)
    return range(first, min(next(bold, document.length), next(later, document.length)))


def _somebody(said: dict[str, str]) -> str | None:
    who = said.get("assigned_to", "")
    return None if who.strip(" .?!-_").lower() in _NOBODY else who


def _level(name: fields.Name, said: dict[str, str], document: Document, problems: list[str]) -> int | None:
    header = fields.priority(said.get("priority", ""))
    if said.get("priority") and header is None:
        problems.append(f"priority {said['priority'][:40]!r} is none of P0 to P3")
    named = name.level if name.level is not None and name.level <= 3 else None
    if header is not None and named is not None and header != named:
        problems.append(f"the header says P{header}, the file name P{named}")
    if header is not None or named is not None:
        return named if header is None else header
    title = next((h.title for h in document.headings if h.level == 1), "")
    match = re.match(r"\W*P([0-3])\b", title, re.IGNORECASE) or re.search(
        r"[\[(]P([0-3])[\])]\W*$", title, re.IGNORECASE
    )
    return int(match[1]) if match else None


def _created(name: fields.Name, said: dict[str, str], problems: list[str]) -> str | None:
    written = fields.date(said["created"]) if "created" in said else None
    if "created" in said and written is None:
        problems.append(f"date {said['created'][:40]!r} is not understood")
    return name.stamp if name.stamp and ("T" in name.stamp or not written) else written or name.stamp


def _criteria(document: Document) -> Criteria:
    boxes = [document.boxes[n] for n in criteria_boxes(document)]
    done = sum(box.done for box in boxes)
    return Criteria(len(boxes) - done, done)


def _title(document: Document, said: dict[str, str]) -> str | None:
    for heading in document.headings:
        if heading.level == 1 and (title := _titled(heading.title)):
            return title
    if "title" in said:
        return said["title"]
    # Underlined, or the first line is a heading of a lower level.
    top = next((n for n, line in enumerate(document.lines[:20]) if line.strip()), 0)
    if re.fullmatch(r"={3,}\s*", "".join(document.lines[top + 1 : top + 2])):
        return _titled(document.lines[top]) or None
    first = document.headings[0] if document.headings and document.headings[0].line == top else None
    return (
        _titled(first.title) or None
        if first and not (_CRITERIA.match(first.title) or headers.means(first.title))
        else None
    )


def _titled(text: str) -> str:
    return _TITLE_PREFIX.sub("", one_line(plain(text))).strip()


def _words(slug: str) -> str:
    return one_line(slug.replace("_", " ").replace("-", " ")) or "untitled"


def _no_task(file: str, name: fields.Name, said: dict[str, str]) -> bool:
    if re.match(r"\W*readme\b", file, re.IGNORECASE) or _BACKUP.search(file):
        return True
    if name.level is not None:
        return False
    if name.stamp is None and (os.path.splitext(file)[1].lower() in _ATTACHED or _OTHER.fullmatch(file)):
        return True
    if not _NO_TASK.search(name.id):
        return False
    return bool(_TEMPLATE.search(name.id)) or not any(map(said.get, _TELLING))


def _cached(path: Path, place: Lane, cache: Cache | None) -> Task | None:
    if cache is None:
        return read_task(path, place)
    try:
        mark = mark_of(path.stat())
    except OSError:
        return read_task(path, place)
    name = str(path)
    known = cache.get(name)
    # The same file is another task when a folder became a board of its own meanwhile.
    if known is not None and known[0] == mark and (known[1].lane, known[1].home) == (place.name, str(place.home)):
        return known[1]
    task = read_task(path, place)
    # What could not be read now may be readable in a moment, although nothing about the file changes.
    if task is not None and mark is not None and not any(text.startswith(UNREAD) for text in task.problems):
        cache[name] = (mark, task)
    else:
        cache.pop(name, None)
    return task


def _is_lane(name: str) -> bool:
    return role_of(name) not in ("other", "closed")


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            found = [e.name for e in entries if not e.name.startswith(".") and e.name not in SKIPPED and _inside(e)]
    except OSError:
        return []
    return [folder / name for name in sorted(found)]


def _inside(entry: os.DirEntry[str]) -> bool:
    """A folder, or a link to one if it is called like a lane: other links may lead anywhere, `/` too."""
    return entry.is_dir(follow_symlinks=role_of(entry.name) != "other")


def _has_tasks(folder: Path) -> bool:
    return role_of(folder.name) == "closed" or any(makes_lane(path.name) for path in _files(folder))


def makes_lane(name: str) -> bool:
    """Is a folder of any name a lane because it holds a file of this name?"""
    return ".md" in name.lower() or fields.read_name(name).level is not None


def _files(folder: Path, depth: int = _DEEPEST) -> Iterator[Path]:
    """Files of a lane, also in folders inside it (unless it is a link); hidden ones are left out."""
    try:
        with os.scandir(folder) as entries:
            found = sorted((e.name, e.is_dir(follow_symlinks=False)) for e in entries if not e.name.startswith("."))
    except OSError:
        return
    for name, is_folder in found:
        if not is_folder:
            yield folder / name
        elif name not in SKIPPED and depth > 0 and (depth < _DEEPEST or not folder.is_symlink()):
            yield from _files(folder / name, depth - 1)
