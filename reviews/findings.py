"""Findings of a response: severity, title, place. "None." is no finding.

Read from sections named after a severity (list items, sub-headings, or its paragraphs where it has neither), from
items, headings and lines that carry one ("[CRITICAL] …", "… (HIGH)", a line `Severity: HIGH` below), and from rows of a
table with a cell that is one. A number alone counts findings and is none.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass
from typing import Any

from reviews.verdicts import unwrapped
from task_board.document import Document, one_line

_LONGEST = 300
"""Characters of a title, or of its end, in which a severity is looked for."""
SEVERITIES = ("critical", "high", "medium", "low")
_WORDS = {
    "critical": "critical", "fatal": "critical", "blocker": "critical", "blocking": "critical", "p0": "critical",
    "high": "high", "major": "high", "important": "high", "p1": "high",
    "medium": "medium", "moderate": "medium", "warning": "medium", "warnings": "medium", "p2": "medium",
    "low": "low", "minor": "low", "suggestion": "low", "suggestions": "low", "nit": "low", "nits": "low",
    "nitpick": "low", "nitpicks": "low", "info": "low", "p3": "low",
}  # fmt: skip
_NAMES = "|".join(sorted(_WORDS, key=len, reverse=True))
_SECTION = re.compile(
    rf"\W*(?:severity\W+)?({_NAMES})(?![\w-])(?:[\s/&,]*(?:{_NAMES}|and|or))*[\s-]*"
    r"(?:priority|severity|issues?|findings?|problems?|bugs?|items?|concerns?)*\s*(?:\d+)?\s*"
    r"(?:\W*$|\W*[(\[].*$|\s*[:–—-]\s*\W*$|\s+[–—-]\s.*$)",
    re.IGNORECASE,
)
_INLINE = re.compile(
    rf"^\W*[\[(]?\s*(?:severity\s*:\s*)?({_NAMES})(?:[ -]?#?\d+)?\s*(?:\*\*)?\s*"
    r"(?:[\])]+[*:\s]*|:[*\s]*|\s[–—-]+\s+)(?=\S)",
    re.IGNORECASE,
)
_BOLD = re.compile(r"^[^\w*`]*\*\*(critical|high|medium|low|blocker|p[0-3])\*\*[:\s]+(?=\S)", re.IGNORECASE)
_LABEL = re.compile(
    r"^(?:[^\w*`]*\*\*(?i:(critical|high|medium|low|blocker|p[0-3]))\b[^*]{0,8}\*\*|[^\w*`]*(CRITICAL|HIGH|MEDIUM|LOW|P[0-3])\b)"
    r"\s*(?:[:\])]+|[–—-]+\s)[*:\s]*(?=\S)"
)
"""At the beginning of a line that is in no list: only what cannot be prose ("Important: …", "Low memory …")."""
_SAID = re.compile(rf"^\W*severity\W*[:|]\W*({_NAMES})\b", re.IGNORECASE)
_COUNT = re.compile(
    r"^\W*+\d++\W*+(?:(?:critical|high|medium|low|open|new|total|issues?|findings?|problems?|items?|found|each|\d++)\W*+)*+$",
    re.IGNORECASE,
)
_MENDED = re.compile(r"~~.*~~\W*(?:fixed|resolved|done|mended|withdrawn|no longer\b.*)?\W*$", re.IGNORECASE)
_MIDDLE = re.compile(rf"^.{{0,60}}?[\[(]({_NAMES})[\])]\s*(?::\s*|[–—-]+\s+)", re.IGNORECASE)
_TRAILING = re.compile(
    rf"[\[(](?:severity\s*:\s*)?({_NAMES})(?:\s+(?:severity|priority|issue))?[\])]\W*$|\s[–—-]\s*\**({_NAMES})\**\W*$",
    re.IGNORECASE,
)
_ITEM = re.compile(r"^( {0,3})(?:[-*+]|\d+[.)])\s+(.*)$")
_NOTHING = re.compile(
    r"^\W*(?:none|no (?:\w+ ){0,3}(?:issues?|findings?|problems?|concerns?|blockers?|suggestions?)"
    r"|n/?a|nothing|nil|not applicable|empty|not found)\b"
    r"(?:[^\w`]*(?:so far|found|identified|at this (?:time|level)|remaining|noted|detected|to report|here|"
    r"(?:was|were|have been|has been)\b|"
    r"(?:in|of|for|with) (?:this|the) (?:review|code|change|diff|category|severity)))*\W*$",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r"`?((?<![\w.:/])/?(?:[\w.~-]+/)*(?:[\w-][\w.-]*\.[A-Za-z][A-Za-z0-9]{0,5}|(?:Make|Docker)file))`?"
    r"(?::L?(\d+)|#L(\d+)|[`*]*(?:,|:| at)?\s+[(\[]?L(?:ines?|\.)?:?\s*(\d+)|\s?[(\[](\d+)[)\]])?",
    re.IGNORECASE,
)
_LINE_OF = re.compile(r"\blines?\s+(\d+)(?:\s*[-–]\s*\d+)?\s+(?:of|in)\s+$", re.IGNORECASE)
_ADDRESS = re.compile(r"\bhttps?://\S+")
_ENDLESS = re.compile(r"[\w./~-]{201,}")
"""No path, and slow to look for one in."""
_CLOSED = re.compile(
    r"\W*(?:verified|recommendations?|positive|strengths|what (?:is|works)|next steps|questions|resolved|fixed)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """`path` and `line` are the first place it cites, None when it cites none; `text` is the whole item."""

    severity: str
    title: str
    path: str | None
    line: int | None
    text: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_findings(document: Document) -> tuple[Finding, ...]:
    """In the order of the file."""
    document = unwrapped(document)
    reader = _Reader()
    heads = {heading.line: heading for heading in document.headings}
    for number, line in enumerate(document.lines):
        if number in heads:
            reader.heading(heads[number].level, heads[number].title)
        elif document.fenced[number]:
            reader.quoted(line)
        elif line.lstrip().startswith("|"):
            reader.row(line, "".join(document.lines[number + 1 : number + 2]))
        else:
            reader.line(line)
    return reader.finished()


def key(review: str, reviewer: str, finding: Finding) -> str:
    """Name of a finding: the same when its answer is moved, renamed or handed in again; another at another place."""
    words = " ".join(re.findall(r"\w+", finding.title.lower()))
    said = "\n".join(map(str, (review, reviewer, finding.severity, words, finding.path, finding.line)))
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:12]


class _Reader:
    """Walks a file once: knows the severity of the section it is in and the item it is reading."""

    def __init__(self) -> None:
        self.found: list[tuple[str, list[str]]] = []
        self.section: tuple[int, str] | None = None
        self.item: list[str] | None = None
        self.untold: list[str] | None = None
        """An item or heading without a severity, which a line below it may still name."""
        self.prose: list[list[str]] | None = None
        """Paragraphs of the section, until it has an item."""
        self.columns: list[str] = []
        self.under_heading = False
        self.indent = 0
        self.closed: int | None = None

    def heading(self, level: int, title: str) -> None:
        self.item, self.untold, self.under_heading, title = None, None, False, _blanks(title)
        if self.closed is not None and level <= self.closed:
            self.closed = None
        if self.section and level <= self.section[0]:
            self._enter(None)
        if self.closed is not None:
            return
        if _CLOSED.match(title):
            self.closed = level
        elif match := _section(title):
            self._enter((level, _WORDS[match[1].lower()]))
        elif severity := _tag(title):
            self._start(severity, _untagged(title))
            self.under_heading = True
        elif self.section:
            self._start(self.section[1], title)
            self.under_heading = True
        elif level > 1:
            self.untold = [title]

    def line(self, line: str) -> None:
        if self.closed is not None:
            return
        self.columns = []
        match = _ITEM.match(line)
        text = _blanks(match[2]) if match else ""
        if self.untold is not None and (said := _SAID.match(line)):
            title, *body = self.untold
            self._start(_WORDS[said[1].lower()], title)
            self.under_heading = True
            for part in [*body, line]:
                self.body(part)
            return
        if match and self.item is not None and len(match[1]) >= self.indent + 2:
            self.body(line)  # an item inside the item
            return
        if not match and (label := _label(line)):
            self._enter((7, label))
        elif not match and not self.under_heading and (mark := _LABEL.match(line)):
            self._start(_WORDS[(mark[1] or mark[2]).lower()], _blanks(line[mark.end() :]))
            self.indent = 0
        elif match and not self.under_heading and (severity := _tag(text) or (self.section and self.section[1])):
            self._start(severity, _untagged(text) if _tag(text) else text)
            self.indent = len(match[1])
        elif match and not self.under_heading:
            self.item, self.untold = None, [text]
        else:
            self.body(line)

    def body(self, line: str) -> None:
        if self.item is not None:
            self.item.append(line)
        elif self.untold is not None:
            self.untold.append(line)
        elif self.prose is not None:
            self._tell(self.prose, line)

    def quoted(self, line: str) -> None:
        """A line of a code fence belongs to what it stands in, and begins nothing."""
        if self.item is not None or self.untold is not None:
            self.body(line)

    def row(self, line: str, below: str) -> None:
        """A row of a table; `below` is the line after it, which makes it the head of its columns."""
        cells = [cell.strip(" *`_") for cell in line.strip().strip("|").split("|")]
        if re.fullmatch(r"[\s|:-]*-[\s|:-]*", below):
            self.columns = [cell.lower() for cell in cells]
            return
        words = [re.sub(r"^\W+|\W+$", "", cell).lower() for cell in cells]
        named = [n for n, word in enumerate(words) if word in _WORDS]
        at = next((n for n in named if self._column(n) == "severity"), named[0] if named else 0)
        rest = [cell for n, cell in enumerate(cells) if n not in named and re.search(r"[A-Za-z]{3}", cell)]
        if self.closed is None and named and (rest or (len(named) > 1 and "severity" in self.columns)):
            self._start(_WORDS[words[at]], max(rest or [cells[n] for n in named if n != at], key=len))
            self.body(line)
            files = [cell for n, cell in enumerate(cells) if self._column(n) in ("file", "path", "location")]
            lines = [
                cell for n, cell in enumerate(cells) if self._column(n) in ("line", "lines") and cell[:1].isdigit()
            ]
            if files and lines:
                self.body(f"{files[0]}:{lines[0]}")
            self.item = None
        elif self.item is not None or self.untold is not None:
            self.body(line)

    def finished(self) -> tuple[Finding, ...]:
        self._enter(None)
        return tuple(_finding(severity, lines) for severity, lines in self.found)

    def _column(self, number: int) -> str:
        return self.columns[number] if number < len(self.columns) else ""

    def _enter(self, section: tuple[int, str] | None) -> None:
        """Leave a section, whose paragraphs are its findings when it had no items, for the next."""
        if self.section and self.prose:
            told = [paragraph for paragraph in self.prose if paragraph]
            leading = [paragraph for paragraph in told if paragraph[0].startswith("**")]
            self.found += [(self.section[1], paragraph) for paragraph in leading or told]
        self.section, self.prose = section, [] if section else None
        self.item, self.untold, self.under_heading = None, None, False

    def _tell(self, prose: list[list[str]], line: str) -> None:
        text = line.strip()
        if not re.search(r"\w", text):
            prose.append([])
        elif prose and prose[-1]:
            prose[-1].append(text)
        elif not _COUNT.match(text) and not re.match(r"\W*(?:no|none|nothing|n/?a|not|empty)\b", text, re.IGNORECASE):
            prose.append([text])

    def _start(self, severity: str, title: str) -> None:
        self.item = self.untold = self.prose = None
        if len(title) <= _LONGEST and (_NOTHING.match(title) or _COUNT.match(title) or _MENDED.match(title)):
            return
        title = re.sub(r"^\[[ xX]?\]\s+", "", title)
        if not re.search(r"\w", title):
            return
        self.item = [title]
        self.found.append((severity, self.item))


def _blanks(text: str) -> str:
    """Runs of blanks as one: what a pattern may try in many ways is short."""
    return " ".join(text.split())


def _section(title: str) -> re.Match[str] | None:
    title = _blanks(title)
    return _SECTION.match(title) if len(title) <= _LONGEST else None


def _trailing(text: str) -> re.Match[str] | None:
    return _TRAILING.search(text, max(0, len(text) - _LONGEST))


def _label(line: str) -> str | None:
    """Severity of a line that heads a list: "**Minor issues:**", "Critical issues:"."""
    text = _blanks(line)[:_LONGEST]
    bold = re.match(r"\*\*(.+?)\*\*:? ?$", text)
    match = _section(bold[1] if bold else text) if bold or text.endswith(":") else None
    plain = match is not None and re.fullmatch(r"critical|high|medium|low|p[0-3]", match[1], re.IGNORECASE)
    return _WORDS[match[1].lower()] if match and (bold or plain) else None


def _tag(text: str) -> str | None:
    found = _INLINE.match(text) or _BOLD.match(text) or _trailing(text) or _MIDDLE.match(text)
    return _WORDS[next(word for word in found.groups() if word).lower()] if found else None


def _untagged(text: str) -> str:
    rest = _BOLD.sub("", _INLINE.sub("", text))
    tail = _trailing(rest)
    return _MIDDLE.sub("", rest[: tail.start()] if tail else rest) or text


def _finding(severity: str, lines: list[str]) -> Finding:
    text = "\n".join(lines).rstrip()
    path, line = _place(text)
    title = re.sub(r"[*`]+", "", one_line(lines[0]))
    title = re.sub(r"^(?:issue|finding)?\s*#?\d+\s*[.:)–-]\s*", "", title, flags=re.IGNORECASE).strip(" :-–")
    return Finding(severity, title[:200] or severity, path, line, text)


def _place(text: str) -> tuple[str | None, int | None]:
    """The first `path:line`; else the first path with a folder or in code marks."""
    first: str | None = None
    text = _ENDLESS.sub(" ", _ADDRESS.sub(" ", text))
    for match in _PLACE.finditer(text):
        before = _LINE_OF.search(text, max(0, match.start() - 40), match.start())
        line = next((n for n in (*match.groups()[1:], before and before[1]) if n), None)
        if line:
            return match[1], int(line[:9])
        if first is None and ("/" in match[1] or match[0].startswith("`")):
            first = match[1]
    return first, None
