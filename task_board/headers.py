"""What a task's headers say: front matter, header lines, tables, and sections that are named like a header."""

from __future__ import annotations

import re

from task_board import fields
from task_board.document import Document, one_line, plain

KEYS = {
    "title": ("title", "task title"),
    "priority": ("priority", "priority level", "task priority", "prio"),
    "assigned_to": ("assigned to", "assignee", "assigned", "assigned agent", "owner"),
    "created": ("created", "created at", "created on", "created date", "date created", "date", "opened"),
    "estimate": (
        "estimated time", "estimate", "estimated effort", "time estimate", "effort", "estimated", "estimated duration",
    ),
    "depends_on": ("depends on", "dependencies", "dependency", "blocked by"),
    "from_review": ("from review", "source review"),
    "source": ("review", "source"),
    "finding": ("finding",),
    "run": ("run",),
    "gate": ("gate",),
}  # fmt: skip
_WANTED = {alias: key for key, aliases in KEYS.items() for alias in aliases}
_ANYWHERE = {"priority", "assigned to", "estimated time", "depends on", "from review"}
_ANYWHERE_WORDS = ("priority", "assigned", "estimated", "depends", "review")
"""One word of each: how the words of a key are joined may differ."""
_NO_WORD = re.compile(r"[^a-z ]")
_ABOUT = re.compile(r"[\W\d]*+(?:task )?(?:metadata|meta|details|info(?:rmation)?|header)\W*$", re.IGNORECASE)
_FRONT = 20_000
"""Longest front matter, characters: the parser takes a millisecond for each thousand."""
_DEPENDENCIES = re.compile(r"[\W\d]*+(?:dependenc(?:y|ies)|depends on|blocked by)\b", re.IGNORECASE)
_ITEM = re.compile(r"[ \t>]*[-*+][ \t]+(.*)$")
_ONE_WORD = re.compile(r"^[ \t]*+[-*+][ \t]++(?:\[[ xX]\][ \t]+)?`([\w-]++(?:\.md)?)`[ \t]*+$", re.MULTILINE)
_STRUCK = re.compile(r"~~.*?~~")
_OTHERS = re.compile(
    r"\s*+([-*+]\s++)?+\W*+(?:blocks|blocking|unblocks|enables|required by|needed by|used by|"
    r"depended on by|related|see also)\b",
    re.IGNORECASE,
)
"""The beginning of a line that names tasks which this one does not wait for."""
_OTHERS_WORDS = re.compile("block|enables|by|related|see", re.IGNORECASE)
"""One of these is in every such line."""


def read(document: Document) -> dict[str, str]:
    """The first value of each known header: front matter, header lines, then sections named like a header."""
    found = _front_matter(document)
    front = _front_end(document)
    whole = front > document.first_section or _said_below(document)
    for line, key, value in document.headers if whole else document.front_headers:
        name = _WANTED.get(key)
        if name and name not in found and (line < front or key in _ANYWHERE):
            if document.lines[line].lstrip().startswith("|") and (columns := _columns(document, line)):
                found |= {key: value for key, value in columns.items() if key not in found}
                continue
            shown = fields.optional(value or (_items(document, line) if name == "depends_on" else ""))
            found[name] = one_line(shown) if shown else ""
    for heading in document.headings:
        name = means(heading.title)
        if name and name not in found and name not in ("depends_on", "title") and heading.level > 1:
            lines = (document.lines[n] for n in range(heading.line + 1, len(document.lines)))
            found[name] = one_line(plain(next((line for line in lines if line.strip()), "")))
    if "review" in found.get("source", "").lower():
        found.setdefault("from_review", found["source"])
    return {key: value for key, value in found.items() if value}


def means(title: str) -> str | None:
    """The header that a section's title is, None for any other section."""
    return _WANTED.get(_NO_WORD.sub("", title.lower()).strip())


def depends_on(document: Document, said: dict[str, str]) -> list[str]:
    """Tasks that the header and the section name, without those that it says wait for this one."""
    found = fields.references(said.get("depends_on", ""))
    if section := document.section(_DEPENDENCIES):
        text = _STRUCK.sub("", "\n".join(_waited_for(document, section)))
        found += fields.named_tasks(text)
        # A bullet that is one word in code marks is a reference too, whatever it is called.
        found += [fields.read_name(m).id for m in _ONE_WORD.findall(text) if len(m) <= fields.LONGEST]
    return [one_line(name) for name in dict.fromkeys(found)]


def _waited_for(document: Document, section: range) -> list[str]:
    """Lines of the section without "Blocks: …" and the list below it."""
    lines = [document.lines[n] for n in section if not document.fenced[n]]
    if not _OTHERS_WORDS.search("\n".join(lines)):
        return lines
    kept: list[str] = []
    other: int | None = None
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if match := _OTHERS.match(line):
            # An item speaks for what is deeper; a line of its own for the list below it.
            other = indent if match[1] else -1
        elif other is not None and line.strip():
            ends = indent <= other if _ITEM.match(line) else indent <= max(other, 0)
            other = None if ends else other
        if other is None:
            kept.append(line)
    return kept


def _items(document: Document, line: int) -> str:
    """The list right below an empty header: "**Depends on**:", then one task an item."""
    own = document.lines[line]
    deeper = len(own) - len(own.lstrip())
    listed = _ITEM.match(own) is not None
    found: list[str] = []
    for text in document.lines[line + 1 : line + 40]:
        match = _ITEM.match(text)
        if match is None or (listed and len(text) - len(text.lstrip()) <= deeper):
            if text.strip() or found:
                break
            continue
        found.append(re.sub(r"^\[[ xX]\]\s+", "", match[1]))
    return ", ".join(found)


def _columns(document: Document, line: int) -> dict[str, str]:
    """Headers of a table whose first row names them; empty when fewer than two columns do."""
    rows = [
        [plain(cell.strip()) for cell in text.strip().strip("|").split("|")] for text in document.lines[line : line + 3]
    ]
    if len(rows) < 3 or not re.fullmatch(r"[\s|:-]*-[\s|:-]*", document.lines[line + 1]):
        return {}
    names = [_WANTED.get(" ".join(cell.lower().replace("_", " ").split())) for cell in rows[0]]
    if sum(name is not None for name in names) < 2:
        return {}
    return {name: one_line(fields.optional(cell) or "") for name, cell in zip(names, rows[2], strict=False) if name}


def _front_end(document: Document) -> int:
    """Line at which the header ends: the first section, or the next when the first is called "Metadata"."""
    sections = [heading for heading in document.headings if heading.level > 1]
    if sections and _ABOUT.match(sections[0].title):
        return sections[1].line if len(sections) > 1 else document.length
    return document.first_section


def _said_below(document: Document) -> bool:
    """May one of the headers that count anywhere stand below the first section? Far cheaper than looking for them."""
    below = document.below.lower()
    return any(word in below for word in _ANYWHERE_WORDS)


def _front_matter(document: Document) -> dict[str, str]:
    if (
        not document.body.lstrip().startswith("---")
        or document.lines[0].strip() != "---"
        or "---" not in (line.strip() for line in document.lines[1:100])
    ):
        return {}
    import yaml  # only files with front matter pay for it

    end = next(n for n, line in enumerate(document.lines[1:100], 1) if line.strip() == "---")
    try:
        text = "\n".join(document.lines[1:end])
        # Every value stays the text it is: tags, dates and numbers make nothing, so they cannot fail either.
        small = len(text) <= _FRONT and text.count("[") + text.count("{") <= 100  # nested ones cost the square
        data = yaml.load(text, Loader=yaml.BaseLoader) if small else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}  # the header lines are still read one by one
    if not isinstance(data, dict):
        return {}
    found: dict[str, str] = {}
    for key, value in data.items():
        spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", str(key))  # assignedTo
        name = _WANTED.get(re.sub(r"[\s_-]+", " ", spaced).strip().lower())
        if name and name not in found:
            # What is nested deeper is no header; aliases could make it endless.
            words = [word for word in (value if isinstance(value, list) else [value]) if isinstance(word, str)]
            found[name] = one_line(fields.optional(", ".join(words)) or "")
    return found
