"""What names and headers mean: priorities, dates, references to other tasks. Pure functions on strings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

_NAME = re.compile(
    r"^(?:(?P<date>\d{4}-?\d{2}-?\d{2})(?:[_T-](?P<time>\d{6}|\d{4}|\d{2}-\d{2}(?:-\d{2})?))?(?=[_. -]|$))?"
    r"[_. -]*+(?:[Pp](?P<level>\d)(?=[_. -]|$))?[_. -]*(?P<slug>.*)\Z",
    re.DOTALL,
)
_SUFFIX = re.compile(
    r"(?:\.(?:md|markdown|mdown|txt|text))(?:\.[A-Za-z_]+)?$|\.(?:COMPLETED|DONE|BLOCKED)$", re.IGNORECASE
)
_LEVEL = re.compile(r"\bP([0-9])\b", re.IGNORECASE)
_WORDS = {
    "critical": 0, "urgent": 0, "blocker": 0, "fatal": 0, "highest": 0, "high": 1, "major": 1, "important": 1,
    "medium": 2, "normal": 2, "moderate": 2, "low": 3, "minor": 3, "lowest": 3,
}  # fmt: skip
_NOTHING = {"", "-", "–", "—", "none", "n/a", "na", "nothing", "null", "no", "tbd", "~"}
_ISO = re.compile(r"(\d{4})[-/.]?(\d{2})[-/.]?(\d{2})(?:[ T_]+(\d{2}):?(\d{2})(?::?(\d{2}))?)?")
_WRITTEN = ("%B %d %Y", "%b %d %Y", "%d %B %Y", "%d %b %Y", "%d.%m.%Y")
_PATH = re.compile(r"[\w./-]++")
_REFERENCE = re.compile(r"(?:\d{8}[\w-]*_|[Pp][0-3]_)[\w-]+")
_BETWEEN = re.compile(r"[,;\n]|(?<!\s)\s++(?:and|\+)\s++")
LONGEST = 255
"""Characters that a file name may have: longer words name no task, and are not searched."""
_TOKEN = re.compile(r"^[\w./-]+$")


@dataclass(frozen=True, slots=True)
class Name:
    """What a file name says. `stamp` is ISO 8601, with the time if the name has one."""

    id: str
    slug: str
    level: int | None
    stamp: str | None


def read_name(name: str) -> Name:
    """Parts of a task's file name; any name has an id and a slug."""
    stem = name.removesuffix(".md") or name
    while "." in stem and (cut := _SUFFIX.sub("", stem)) not in (stem, ""):
        stem = cut
    match = _NAME.match(stem)
    assert match is not None  # every part is optional
    stamp = _stamp(match["date"], match["time"]) if match["date"] else None
    # Digits that are no date belong to the slug.
    slug = match["slug"] if stamp or not match["date"] else stem
    level = int(match["level"]) if match["level"] else None
    return Name(stem, slug.strip("_-. ") or stem, level, stamp)


def _stamp(date: str, time: str | None) -> str | None:
    digits, clock = date.replace("-", ""), (time or "").replace("-", "").ljust(6, "0")
    try:
        day = int(digits[:4]), int(digits[4:6]), int(digits[6:8])
        when = datetime(*day, int(clock[:2]), int(clock[2:4]), int(clock[4:6]))
    except ValueError:
        return None
    return when.isoformat() if time else when.date().isoformat()


def priority(value: str) -> int | None:
    """0 to 3 of "P1", "CRITICAL (P0)", "High"; None when the words say none of these."""
    if found := _LEVEL.search(value):
        return int(found[1]) if int(found[1]) <= 3 else None
    return next((_WORDS[word] for word in re.findall(r"[a-z]+", value.lower()) if word in _WORDS), None)


def date(value: str) -> str | None:
    """ISO 8601 of a date written in one of the usual forms, with the time if it is given; None for anything else."""
    if found := _ISO.search(value):
        year, month, day, hour, minute, second = found.groups()
        try:
            when = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
        except ValueError:
            return None
        return when.isoformat() if hour else when.date().isoformat()
    words = re.sub(r"(?<=\d)(?:st|nd|rd|th)\b", "", value.replace(",", " "))
    words = " ".join(words.split()[:3])
    for form in _WRITTEN:
        try:
            return datetime.strptime(words, form).strftime("%Y-%m-%d")
        except ValueError:
            continue
    return None


def optional(value: str | None) -> str | None:
    """The value, or None for the ways people write "nothing"."""
    return None if value is None or value.strip(" .").lower() in _NOTHING else value


def references(value: str) -> list[str]:
    """Task names in a header such as "a.md, `b`" or in prose; words that cannot be a name are left out."""
    found: list[str] = []
    for part in _BETWEEN.split(value):
        token = part.strip(" \t*_`\"'[]().-")
        if optional(token) is None:
            continue
        if not _TOKEN.match(token):
            found += named_tasks(part)
        elif len(word := token.rsplit("/", 1)[-1]) <= LONGEST:
            found.append(read_name(word).id)
    return list(dict.fromkeys(found))


def named_tasks(text: str) -> list[str]:
    """Only what is written like a task's file name: for free text."""
    found = {}
    for path in _PATH.findall(text):
        parts = (_REFERENCE.search(part) for part in reversed(path.split("/")) if len(part) <= LONGEST)
        if named := next((match for match in parts if match), None):
            found[read_name(named[0]).id] = True
    return list(found)


def slug(title: str, longest: int = 60) -> str:
    """A title as part of a file name: small ASCII letters, digits and underscores."""
    words = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")
    return words[:longest].rstrip("_") or "task"
