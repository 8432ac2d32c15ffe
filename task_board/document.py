"""A Markdown file as lines, headings, headers and checkboxes; its bytes are never changed here.

Reading never fails: bytes that are no UTF-8 survive as surrogates, and `raw` is always what the file held. Lines
inside code fences and comments are no headers, headings or checkboxes; one that is never closed is none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

_FENCE = re.compile(r"[ \t>]*(`{3,}|~{3,})(.*)$")
# Each begins with the newline before its line: a literal that is searched for far faster than an anchor is tried.
_HEADING = re.compile(r"\n[ \t>]{0,3}(#{1,6})[ \t]++(.*)$", re.MULTILINE)
_BOX = re.compile(r"\n[ \t>]*+(?:[-*+]|\d+[.)])[ \t]++\[([ xX])\][ \t]*+(.*)$", re.MULTILINE)
# Most lines are prose: only those with an early colon, or of a table, can be headers.
_PERHAPS_HEADER = re.compile(r"\n(\|.*|[^\n:：]{0,59}+[:：].*)$", re.MULTILINE)
_PERHAPS_DASHED = re.compile(
    _PERHAPS_HEADER.pattern[:-2] + r"|[^\n:：*]{0,5}\*\*[^\n:：*]{2,32}\*\* [–—-] .*)$", re.MULTILINE
)
_DECORATION = " \t>*_#+|-`\f\v"
_JOINTS = dict.fromkeys(map(ord, " /_-"))
_BLANKS = {ord("_"): " ", ord("-"): " "}
_PARTS = re.compile(r"(?<!\s)\s++[|·•]\s++(?=[*_]*+[A-Za-z][A-Za-z /_-]{1,30}+[*_]*+:)")
_BOLD_PARTS = re.compile(r"(?<=[^\s,])[,;]?\s++(?=\*\*[A-Za-z][A-Za-z /_-]{1,30}+(?::\*\*|\*\*:))")
_DASHED = re.compile(r"[^\w*]{0,5}\*\*([^*:：]{2,32})\*\*\s[–—-]\s")
_AROUND = re.compile(r"^[\W_]+|[\W_]+$")
_REMARK = re.compile(r"(?<!\s)\s++#\s.*$")
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Heading:
    """`line` is counted from 0; `level` is 1 to 6."""

    line: int
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class Box:
    """A checkbox of a list."""

    line: int
    done: bool
    text: str


@dataclass(frozen=True)
class Document:
    """One file's bytes and what they say."""

    raw: bytes

    @cached_property
    def text(self) -> str:
        return self.raw.decode("utf-8", "surrogateescape")

    @cached_property
    def body(self) -> str:
        """The text with plain line ends and without a byte order mark: what is searched."""
        text = self.text.removeprefix("\ufeff")
        return "\n".join(line.rstrip("\r") for line in text.split("\n")) if "\r" in text else text

    @cached_property
    def lines(self) -> list[str]:
        """Without line ends; a carriage return at the end is cut off too."""
        return self.body.split("\n")

    @cached_property
    def fenced(self) -> list[bool]:
        """For each line: is it a fence, inside one, or inside a comment?"""
        if not self._has_fences:
            return [False] * len(self.lines)
        fenced = _fenced(self.lines)
        return _commented(self.lines, fenced) if "<!--" in self.body else fenced

    @cached_property
    def headings(self) -> list[Heading]:
        return [Heading(line, len(match[1]), _closed(match[2])) for line, match in self._heading_matches]

    @cached_property
    def _heading_matches(self) -> list[tuple[int, re.Match[str]]]:
        return self.outside_fences(_HEADING)

    @cached_property
    def length(self) -> int:
        """Number of lines."""
        return self.body.count("\n") + 1

    @cached_property
    def headers(self) -> list[tuple[int, str, str]]:
        """(line, key in small letters, value) of every line that looks like a header, in order."""
        return self._headers(len(self._searched))

    @cached_property
    def front_headers(self) -> list[tuple[int, str, str]]:
        """Those above the first section."""
        return self._headers(self._front)

    def _headers(self, end: int) -> list[tuple[int, str, str]]:
        found = []
        dashed = any(mark in self.body for mark in ("** - ", "** – ", "** — "))
        for number, match in self.outside_fences(_PERHAPS_DASHED if dashed else _PERHAPS_HEADER, end):
            line = match[1]
            if len(line) > 2000:
                continue
            for part in _parts(line):
                if pair := _header(part):
                    found.append((number, *pair))
        return found

    @cached_property
    def boxes(self) -> list[Box]:
        return [Box(line, match[1] != " ", match[2].strip()) for line, match in self.outside_fences(_BOX)]

    @cached_property
    def first_section(self) -> int:
        """Line of the first heading below the title; the number of lines when there is none."""
        return next((h.line for h in self.headings if h.level > 1), self.length)

    def section(self, pattern: re.Pattern[str]) -> range | None:
        """Lines after the first heading whose title `pattern` matches, up to the next of its level or above."""
        for index, heading in enumerate(self.headings):
            if pattern.match(heading.title):
                later = self.headings[index + 1 :]
                end = next((h.line for h in later if h.level <= heading.level), self.length)
                return range(heading.line + 1, end)
        return None

    @cached_property
    def below(self) -> str:
        """What follows the first heading below the title."""
        return self._searched[self._front :]

    @cached_property
    def _searched(self) -> str:
        """Each line with the newline before it, as the patterns want it."""
        return "\n" + self.body

    @cached_property
    def _front(self) -> int:
        """Character of `_searched` at which the first section begins."""
        below = (match.start() for _, match in self._heading_matches if len(match[1]) > 1)
        return next(below, len(self._searched))

    @cached_property
    def _has_fences(self) -> bool:
        return "```" in self.body or "~~~" in self.body or "<!--" in self.body

    def outside_fences(self, pattern: re.Pattern[str], end: int | None = None) -> list[tuple[int, re.Match[str]]]:
        """(line, match) of every line outside fences that `pattern` matches, up to a character; one search for all."""
        text = self._searched
        fenced = self.fenced if self._has_fences else None
        found = []
        line = start = 0
        for match in pattern.finditer(text) if end is None else pattern.finditer(text, 0, end):
            begin = match.start()
            line += text.count("\n", start, begin)
            start = begin
            if fenced is None or not fenced[line]:
                found.append((line, match))
        return found

    def offset(self, line: int) -> int:
        """Byte at which `line` begins; the length of the file for the line after the last."""
        start = 0
        for _ in range(line):
            end = self.raw.find(b"\n", start)
            if end < 0:
                return len(self.raw)
            start = end + 1
        return start

    @property
    def newline(self) -> bytes:
        """The file's own line end: that of its first line."""
        first = self.raw.find(b"\n")
        return b"\r\n" if first > 0 and self.raw[first - 1 : first] == b"\r" else b"\n"

    @property
    def is_text(self) -> bool:
        """False for bytes that are no UTF-8, or hold a NUL."""
        if b"\0" in self.raw:
            return False
        try:
            self.raw.decode()
        except UnicodeDecodeError:
            return False
        return True


def plain(value: str) -> str:
    """A value without emphasis, code marks, brackets of a whole list, and a trailing `# remark`."""
    if " #" in value or "\t#" in value:
        value = _REMARK.sub("", value)
    value = value.strip(" \t*_`\"'")
    if value.startswith("[") and value.endswith("]"):
        value = value[1:-1].strip()
    return value


def one_line(text: str) -> str:
    """Safe to print: no control characters, no surrogates."""
    return text.strip() if text.isprintable() else "".join(c for c in text if c.isprintable()).strip()


def printable(text: str) -> str:
    """Safe to print as several lines: what would steer a terminal, turn the order of letters or is no text is `�`."""
    return _UNSAFE.sub("�", text.replace("\r\n", "\n"))


def _closed(title: str) -> str:
    """A heading's title without its closing hashes."""
    return title.rstrip(" \t").rstrip("#").rstrip(" \t")


def _parts(line: str) -> list[str]:
    """Headers that share one line."""
    if " | " in line or " · " in line or " • " in line:
        return _PARTS.split(line)
    return _BOLD_PARTS.split(line) if line.count("**") > 2 else [line]


def _header(part: str) -> tuple[str, str] | None:
    """Key in small letters and value of "**Key**: value", "| Key | value |" and the like; None for anything else."""
    table = part[:1] == "|"
    body = part.lstrip("| \t") if table else part
    cut = body.find("|" if table else ":", 0, 60)
    if cut < 0:
        cut = body.find("：", 0, 60)
    if cut < 0 and (dashed := _DASHED.match(body)):
        cut = dashed.end() - 2
    key = body[:cut].strip(_DECORATION) if cut > 0 else ""
    if not key.isascii():
        key = _AROUND.sub("", key)  # an emoji before the word
    if not 2 <= len(key) <= 32 or key.count(" ") > 3 or not key[0].isalpha() or not key.isascii():
        return None
    if not key.translate(_JOINTS).isalpha():
        return None
    value = body[cut + 1 :].strip()
    return " ".join(key.translate(_BLANKS).split()).lower(), plain(value.rstrip("|") if table else value)


def _commented(lines: list[str], fenced: list[bool]) -> list[bool]:
    """Marks the lines from one that begins a comment to the one that ends it as well."""
    opened: int | None = None
    for number, line in enumerate(lines):
        if "--" not in line or fenced[number]:
            continue
        if opened is None and line.lstrip().startswith("<!--"):
            opened = number
        if opened is not None and "-->" in line:
            fenced[opened : number + 1] = [True] * (number + 1 - opened)
            opened = None
    return fenced


def _fenced(lines: list[str]) -> list[bool]:
    inside = [False] * len(lines)
    opened: tuple[int, str] | None = None
    for number, line in enumerate(lines):
        if "```" not in line and "~~~" not in line:
            continue
        match = _FENCE.match(line)
        if match is None:
            continue
        mark, rest = match[1], match[2]
        if opened is None:
            if not (mark[0] == "`" and "`" in rest):  # inline code, as CommonMark has it
                opened = (number, mark)
        elif mark[0] == opened[1][0] and len(mark) >= len(opened[1]) and not rest.strip():
            inside[opened[0] : number + 1] = [True] * (number + 1 - opened[0])
            opened = None
    return inside
