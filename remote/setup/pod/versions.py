"""As much of PEP 440 as it takes to ask whether an installed torch is the one that is required."""

from __future__ import annotations

import re

_CLAUSE = re.compile(r"(===|==|!=|~=|<=|>=|<|>)\s*([0-9][^\s,;]*)\Z")


def name_of(requirement: str) -> str:
    """The normalised distribution name of a requirement ("Foo_Bar[x]>=1" -> "foo-bar")."""
    hit = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", requirement)
    return re.sub(r"[-_.]+", "-", hit.group(1)).lower().strip("-") if hit else ""


def numbers(version: str) -> tuple[int, ...] | None:
    """The release numbers, without trailing zeros and the local part; None for pre-releases and other shapes."""
    public = version.partition("+")[0]
    if not re.match(r"[0-9]+(\.[0-9]+)*\Z", public):
        return None
    parts = [int(part) for part in public.split(".")]
    while parts and not parts[-1]:
        parts.pop()
    return tuple(parts)


def satisfies(version: str, requirement: str) -> bool:
    """Whether a version fulfils a requirement. What is not understood is not fulfilled."""
    spec = re.sub(r"\A\s*[A-Za-z0-9._-]+(\s*\[[^]]*\])?", "", requirement.partition(";")[0]).strip(" ()")
    have = numbers(version)
    return have is not None and all(_clause(version, have, part.strip()) for part in spec.split(",") if part.strip())


def _clause(version: str, have: tuple[int, ...], text: str) -> bool:
    hit = _CLAUSE.match(text)
    if hit is None:
        return False
    operator, wanted = hit.groups()
    if wanted.endswith(".*"):
        head = wanted[:-2].split(".")
        same = _padded(version, len(head)) == [int(part) for part in head if part.isdigit()]
        return same if operator == "==" else operator == "!=" and not same
    want = numbers(wanted)
    if want is None or ("+" in wanted and version != wanted):
        return False
    if operator == "~=":
        head = wanted.split(".")[:-1]
        return have >= want and _padded(version, len(head)) == [int(part) for part in head]
    results = {"==": have == want, "===": version == wanted, "!=": have != want, "<": have < want, ">": have > want}
    return {**results, "<=": have <= want, ">=": have >= want}[operator]


def _padded(version: str, length: int) -> list[int]:
    parts = [int(part) for part in version.partition("+")[0].split(".")]
    return (parts + [0] * length)[:length]
