"""What names and headers mean: priorities, dates, references to other tasks. Pure functions on strings."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

_NAME = re.compile(
    r"^(?:\[?[Pp](?P<before>\d)\]?[_. -]+(?=\d{4}-?\d{2}-?\d{2}))?"
    r"(?:(?P<date>\d{4}-?\d{2}-?\d{2})(?:[_T-](?P<time>\d{6}|\d{4}|\d{2}[-:]\d{2}(?:[-:]\d{2})?)Z?)?(?=[_. -]|$))?"
    r"[_. -]*+(?:\[?[Pp](?P<level>\d)\]?(?=[_. -]|$))?[_. -]*(?P<slug>.*)\Z",
    re.DOTALL,
)
_SUFFIX = re.compile(
    r"(?:\.(?:md|markdown|mdown|txt|text))(?:\.[A-Za-z_]+)?$|\.(?:COMPLETED|DONE|BLOCKED)$", re.IGNORECASE
)
_LEVEL = re.compile(r"\bP[ -]?([0-9])\b|^\W*(?:priority\W*)?([0-9])\b(?!\s*[/%.\d])", re.IGNORECASE)
_FORMER = re.compile(
    r"~~.*?~~|[(\[](?:was|were|formerly|previously|originally|before|old)\b[^)\]]*[)\]]", re.IGNORECASE
)
_WORD = re.compile(r"\b(?:(?:not|non|no|un)[\s-]+)?[a-z]+")
_WORDS = {
    "critical": 0, "urgent": 0, "blocker": 0, "blocking": 0, "showstopper": 0, "immediate": 0, "asap": 0, "fatal": 0,
    "highest": 0, "high": 1, "major": 1, "important": 1,
    "medium": 2, "normal": 2, "moderate": 2, "low": 3, "minor": 3, "lowest": 3, "trivial": 3, "nice": 3,
}  # fmt: skip
_NOTHING = {"", "-", "–", "—", "none", "n/a", "na", "nothing", "null", "no", "tbd", "~"}
_ISO = re.compile(
    r"(?<!\d)(\d{4})(?:[-/._](\d{1,2})[-/._](\d{1,2})|(\d{2})(\d{2}))(?!\d)"
    r"(?:(?:[ ]*[T_,]|[ ]+at|[ ])[ ]*(\d{1,2})[:-]?(\d{2})(?:[:-]?(\d{2})(?:[.,]\d+)?)?(?!\d)[ ]*([ap]\.?m\b)?"
    r"[ ]*(Z|[+-]\d{2}:?\d{2})?)?",
    re.IGNORECASE,
)
"""Year, month and day twice (with and without marks between them), hour, minute, second, AM or PM, zone."""
_WRITTEN = ("%B %d %Y", "%d %B %Y", "%Y %B %d", "%b %d %Y", "%d %b %Y", "%Y %b %d")
_DAY_FIRST = re.compile(r"(?<!\d)(\d{1,2})([./])(\d{1,2})\2(\d{4})(?!\d)")
_NO_DATE = re.compile(
    r"(?<=\d)(?:st|nd|rd|th)\b|\b(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\b|\b(?:of|the|on)\b|[,.]"
    r"|\b\d{1,2}:\d{2}(?::\d{2})?\b|\b(?:UTC|GMT)\b",
    re.IGNORECASE,
)
_PATH = re.compile(r"[\w./-]++")
_REFERENCE = re.compile(r"(?:\d{8}[\w-]*_|[Pp][0-3]_)[\w-]+")
_BETWEEN = re.compile(r"[,;\n|→]|(?<!\s)\s++(?:and|\+|&)\s++")
_STRUCK = re.compile(r"~~.*?~~")
_LINK = re.compile(r"\[\[?([^\[\]\n]{1,255})\]\]?\([^()\s]{0,500}\)")
_REMARKED = re.compile(r"(?<=\S)\s+\([^()]*\)\s*$")
_FILE = re.compile(r"[\w-]{1,250}\.md$")
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
    level = match["level"] or match["before"]
    return Name(stem, slug.strip("_-. ") or stem, int(level) if level else None, stamp)


def _stamp(date: str, time: str | None) -> str | None:
    digits, clock = date.replace("-", ""), re.sub("[-:]", "", time or "").ljust(6, "0")
    try:
        day = int(digits[:4]), int(digits[4:6]), int(digits[6:8])
        when = datetime(*day, int(clock[:2]), int(clock[2:4]), int(clock[4:6]))
    except ValueError:
        return None
    return when.isoformat() if time else when.date().isoformat()


def priority(value: str) -> int | None:
    """0 to 3 of "P1", "1", "CRITICAL (P0)", "High", "P2 → P1" (the newer); None when the words say none of these."""
    now = re.split(r"→|[-=]+>", _FORMER.sub(" ", value))[-1]
    if found := _LEVEL.search(now):
        level = int(found[1] or found[2])
        return level if level <= 3 else None
    return next((_WORDS[word] for word in _WORD.findall(now.lower()) if word in _WORDS), None)


def date(value: str) -> str | None:
    """ISO 8601 of a date written in one of the usual forms, with the time (UTC) if given; None for anything else.

    `05/06/2026` is None: it is a day in May or in June, depending on who wrote it.
    """
    if found := _ISO.search(value):
        return _iso(found)
    if found := _DAY_FIRST.search(value):
        one, mark, two, year = found.groups()
        if mark == "/" and int(one) <= 12 and int(two) <= 12 and one != two:
            return None
        day, month = (two, one) if mark == "/" and int(two) > 12 else (one, two)
        return _stamp(f"{year}{int(month):02}{int(day):02}", None)
    words = re.sub(r"\bsept\b", "Sep", re.sub(r"(?<=\w)-(?=\w)", " ", _NO_DATE.sub(" ", value)), flags=re.IGNORECASE)
    words = " ".join(words.split()[:3])
    for form in _WRITTEN:
        try:
            return datetime.strptime(words, form).strftime("%Y-%m-%d")
        except ValueError:
            continue
    return None


def _iso(found: re.Match[str]) -> str | None:
    year, month, day, month_2, day_2, hour, minute, second, half, zone = found.groups()
    try:
        when = datetime(int(year), int(month or month_2), int(day or day_2))
    except ValueError:
        return None
    try:
        clock = int(hour or 0) % 12 + 12 * (half[0] in "pP") if half else int(hour or 0)
        exact = when.replace(hour=clock, minute=int(minute or 0), second=int(second or 0))
    except ValueError:
        return when.date().isoformat()  # 24:00:00 and the like
    if zone and zone not in "Zz":
        ahead = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
        with contextlib.suppress(OverflowError):
            exact += ahead if zone[0] == "-" else -ahead
    return exact.isoformat() if hour else when.date().isoformat()


def optional(value: str | None) -> str | None:
    """The value, or None for the ways people write "nothing"."""
    return None if value is None or value.strip(" .").lower() in _NOTHING else value


def references(value: str) -> list[str]:
    """Task names in a header such as "a.md, `b` (done), [c](c.md)" or in prose; what cannot be a name is left out."""
    found: list[str] = []
    for part in _BETWEEN.split(_STRUCK.sub(" ", _LINK.sub(r"\1", value))):
        token = _REMARKED.sub("", part).strip(" \t*_`\"'[]().-")
        if optional(token) is None:
            continue
        if not _TOKEN.match(token):
            files = token.split()  # "a.md b.md"
            found += [read_name(w).id for w in files] if all(map(_FILE.match, files)) else named_tasks(part)
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
