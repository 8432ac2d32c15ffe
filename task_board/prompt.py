"""Everything an agent needs to start a task, as one text: the task, what it waits for, and how to report."""

from __future__ import annotations

import shlex
from pathlib import Path

from task_board import board, verbs
from task_board.document import Document, one_line, printable
from task_board.task import Task

_RULES = """\
## How to work on it
- Start:   {command} start {id}
- Report:  {command} note {id} "what happened"
- Tick:    {command} check {id} NUMBER
- Blocked: {command} block {id} --reason "what it waits for"
- Finish:  {command} done {id} --notes "what was done, how it was checked"

Do not move or rename the file by hand. Do what the success criteria say, tick each one only when it was checked, and
finish with notes that say what stands and what falls short."""


def prompt(root: Path, reference: str, command: str = "python -m task_board") -> str:
    """The text. `command` is how the reader calls this program. Raises UsageError for an unknown task."""
    task = verbs.find(root, reference)
    document = Document(verbs.read_bytes(task))
    call = command if str(root) == "task_board" else f"{command} --root {shlex.quote(str(root))}"
    parts = [
        _facts(root, task),
        _criteria(document),
        _RULES.format(command=call, id=_word(task)),
        _text(task, document),
    ]
    return printable("\n\n".join(part for part in parts if part))


def _word(task: Task) -> str:
    """What names the task in a shell: its slug where the id would be taken for an option."""
    return shlex.quote(task.slug if task.id.startswith("-") else task.id)


def _facts(root: Path, task: Task) -> str:
    level = "without a priority" if task.priority is None else f"P{task.priority}"
    waits = verbs.waiting_for(root, task)
    lines = [f"# Task: {task.title}", f"- File: {task.file} (lane {task.lane}, {level})", f"- Id: {task.id}"]
    lines += [f"- Assigned to: {task.assigned_to}"] if task.assigned_to else []
    lines += [f"- Estimate: {task.estimate}"] if task.estimate else []
    if task.depends_on:
        known = board.names(root)
        where = [f"{n} ({', '.join(lane for lane, _ in known.get(n, [])) or 'missing'})" for n in task.depends_on]
        lines.append(f"- Depends on: {'; '.join(where)}")
    lines += [f"- Not ready: waits for {', '.join(waits)}"] if waits else []
    lines += [f"- From review: {task.from_review}: read it first"] if task.from_review else []
    lines += [f"- Run: {task.run}"] if task.run else []
    lines += [f"- Gate: {task.gate}"] if task.gate else []
    lines += [f"- Problem: {text}" for text in task.problems]
    return "\n".join(lines)


def _criteria(document: Document) -> str:
    boxes = [document.boxes[n] for n in board.criteria_boxes(document)]
    if not boxes:
        return "## Success criteria\nNone are written: agree on some first."
    lines = [f"{n}. [{'x' if box.done else ' '}] {one_line(box.text)}" for n, box in enumerate(boxes, 1)]
    return "\n".join(["## Success criteria", *lines])


def _text(task: Task, document: Document) -> str:
    text = document.raw.decode("utf-8", "replace").rstrip()
    mark = "~" * 4
    while mark in text:
        mark += "~"
    return f"## The file, {one_line(task.path.name)}\n{mark}markdown\n{text}\n{mark}"
