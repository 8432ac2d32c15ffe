"""What the panel reads of a run's directory at home: tolerant, read-only, nothing guessed. No screen, no state.

Files are those of `docs/run-directory.md`. An absent file is None, a damaged row is passed over and counted.
"""

from __future__ import annotations

import json
import os
from array import array
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

from msgspec import Struct

from pipeline.protocol import QUALITY, RunPaths

Row = Mapping[str, Any]
CACHED = 256
"""Parsed rows kept of one file."""

FUNNEL = (
    ("instructions kept", "generate/records.jsonl"),
    ("instructions dropped", "generate/rejected.jsonl"),
    ("answers sampled", "answer/records.jsonl"),
    ("revisions written", "revise/records.jsonl"),
    ("answers judged", "critique/records.jsonl"),
    ("examples accepted", "filter/sft.jsonl"),
    ("answers dropped", "filter/rejected.jsonl"),
    ("rows rehearsed", "filter/rehearsal.jsonl"),
    ("preference pairs", "pairs/pairs.jsonl"),
)
"""Files whose rows are counted, in the order in which a stage writes them."""


def json_file(path: Path) -> Any:
    """The JSON value of a file, or None when it is absent or damaged."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def mapping(value: Any) -> Mapping[str, Any]:
    """The object itself, or an empty one of anything else."""
    return value if isinstance(value, Mapping) else {}


def parsed(line: bytes) -> Row | None:
    """The object on one line, None when it is none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


class RowFile(Sequence[Row]):
    """A JSON Lines file as a sequence of rows, read where it is looked at. A damaged row is `{}`.

    Holds eight bytes a row and the last few rows that were looked at. Raises OSError when the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._starts = array("Q", [0])
        self._rows: OrderedDict[int, Row] = OrderedDict()
        with path.open("rb") as file:
            at = 0
            for line in file:
                at += len(line)
                self._starts.append(at)

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        if isinstance(place, slice):
            return [self[at] for at in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(place)
        row = self._rows.get(place)
        if row is None:
            row = self._rows[place] = parsed(self._line(place)) or {}
            if len(self._rows) > CACHED:
                self._rows.popitem(last=False)
        return row

    def __iter__(self) -> Iterator[Row]:
        """Every row in order, in one pass over the file; rows that came after it was counted are left out."""
        with self.path.open("rb") as file:
            for _place, line in zip(range(len(self)), file, strict=False):
                yield parsed(line) or {}

    def _line(self, place: int) -> bytes:
        try:
            with self.path.open("rb") as file:
                start = self._starts[place]
                return os.pread(file.fileno(), self._starts[place + 1] - start, start)
        except OSError:  # moved or replaced since it was counted
            return b""


def rows_of(path: Path) -> RowFile | None:
    """The rows of a file; None when it is not here."""
    try:
        return RowFile(path)
    except FileNotFoundError:
        return None


def lines_in(path: Path) -> int | None:
    """Lines of a file, None when it is not here."""
    try:
        with path.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    except OSError:
        return None


class Limit(Struct, frozen=True):
    """One number of data quality beside its limit. `held` is None where either is unknown."""

    name: str
    value: float | None
    bound: float | None
    at_least: bool

    @property
    def share(self) -> bool:
        return self.name.endswith("rate") or self.name == "acceptance"

    @property
    def held(self) -> bool | None:
        if self.value is None or self.bound is None:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound


class Quality(Struct, frozen=True):
    """A stage's data in numbers. None: the file that says it is not here."""

    limits: tuple[Limit, ...] | None
    breaches: tuple[str, ...]
    funnel: tuple[tuple[str, int], ...]
    coverage: tuple[tuple[str, int], ...] | None
    unused: tuple[str, ...] = ()


def quality(root: Path, stage: int) -> Quality:
    """Limits and breaches of the filter, rows per step, how often each principle was dealt."""
    base = root / f"stage-{stage}"
    qc, cover = json_file(base / "filter" / "qc.json"), json_file(base / "filter" / "coverage.json")
    found = mapping(qc)
    bounds = mapping(found.get("limits"))
    limits = tuple(
        Limit(name, _number(found.get(name)), _number(bounds.get(bound)), bound.startswith("min"))
        for name, bound in QUALITY
    )
    counted = ((name, lines_in(base / path)) for name, path in FUNNEL)
    counts = mapping(mapping(cover).get("counts"))
    breaches, unused = found.get("breaches"), mapping(cover).get("unused")
    return Quality(
        limits if qc is not None else None,
        tuple(map(str, breaches)) if isinstance(breaches, list) else (),
        tuple((name, count) for name, count in counted if count is not None),
        tuple((str(name), n) for name, n in counts.items() if isinstance(n, int)) if cover is not None else None,
        tuple(map(str, unused)) if isinstance(unused, list) else (),
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


class Family(Struct, frozen=True):
    """Everything that was made of one instruction: rows of the steps, each with the file it lies in."""

    instruction: Row
    answers: tuple[Row, ...] = ()
    critiques: tuple[Row, ...] = ()
    revisions: tuple[Row, ...] = ()
    judgements: tuple[Row, ...] = ()
    trained: tuple[Row, ...] = ()
    dropped: tuple[Row, ...] = ()
    pairs: tuple[Row, ...] = ()


_CHILDREN = {
    "answers": "answer/records.jsonl",
    "critiques": "revise/critiques.jsonl",
    "revisions": "revise/records.jsonl",
    "judgements": "critique/records.jsonl",
    "trained": "filter/sft.jsonl",
    "dropped": "filter/rejected.jsonl",
    "pairs": "pairs/pairs.jsonl",
}


@dataclass
class Samples:
    """A stage's instructions and where the rows lie that descend from them."""

    instructions: RowFile
    files: dict[str, RowFile] = field(default_factory=dict)
    below: dict[str, list[tuple[str, int]]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.instructions)

    def family(self, place: int) -> Family:
        """One instruction with all that was made of it."""
        row = self.instructions[place]
        found: dict[str, list[Row]] = {}
        for kind, at in self.below.get(str(row.get("id")), ()):
            found.setdefault(kind, []).append(self.files[kind][at])
        return Family(row, **{kind: tuple(rows) for kind, rows in found.items()})


def samples(root: Path, stage: int) -> Samples | None:
    """A stage's self-written instructions with their descendants; None when there are none at home."""
    base = root / f"stage-{stage}"
    instructions = rows_of(base / "generate" / "records.jsonl")
    if instructions is None:
        return None
    found = Samples(instructions)
    known = {str(row.get("id")) for row in instructions}
    for kind, path in _CHILDREN.items():
        rows = rows_of(base / path)
        if rows is None:
            continue
        found.files[kind] = rows
        for place, row in enumerate(rows):
            parents = row.get("parents")
            for parent in known.intersection(map(str, parents)) if isinstance(parents, list) else ():
                found.below.setdefault(parent, []).append((kind, place))
    return found


class Item(Struct, frozen=True):
    """One held-out item that two conditions answered differently. `gained`: only the first was right."""

    id: str
    gained: bool
    instruction: str
    first: Row | None
    second: Row | None


class Discordant(Struct, frozen=True):
    """The items of a gate's comparison on which its two sides differ."""

    a: str
    b: str
    p: float | None
    items: tuple[Item, ...]


def discordant(root: Path, stage: int) -> tuple[Discordant, ...] | None:
    """Every comparison of a stage's gate; None when its decision is not at home."""
    gate = json_file(RunPaths(root).gate(stage))
    if not isinstance(gate, dict):
        return None
    compared = mapping(gate.get("detail")).get("comparisons")
    held: dict[str, dict[str, Row]] = {}

    def answers(side: str) -> dict[str, Row]:
        condition = side.partition(" ")[0]
        if condition not in held:
            held[condition] = _answers(root, stage, condition)
        return held[condition]

    found = []
    for one in compared if isinstance(compared, list) else ():
        one = mapping(one)
        a, b = str(one.get("a") or ""), str(one.get("b") or "")
        items = [
            _item(str(name), gained, answers(a), answers(b))
            for gained, side in ((False, "only_b"), (True, "only_a"))
            for name in _names(one.get(side))
        ]
        found.append(Discordant(a, b, _number(one.get("p")), tuple(items)))
    return tuple(found)


def _names(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _item(name: str, gained: bool, first: Mapping[str, Row], second: Mapping[str, Row]) -> Item:
    a, b = first.get(name), second.get(name)
    said = next((row["instruction"] for row in (a, b) if row and isinstance(row.get("instruction"), str)), "")
    return Item(name, gained, said, a, b)


def _answers(root: Path, stage: int, condition: str) -> dict[str, Row]:
    """Held-out answers by item: those of the stage's own evaluation, of a fresh block, or the first of the base."""
    for step in (f"stage-{stage}/evaluate", f"stage-{stage}/baseline", "stage-0/evaluate"):
        rows = rows_of(root / step / f"set-{stage}" / f"{condition}.jsonl")
        if rows is not None:
            return {str(row.get("item")): row for row in rows}
    return {}


class Difference(Struct, frozen=True):
    """One setting of the recipe in two runs; None stands for absent."""

    name: str
    old: str | None
    new: str | None


class Config(Struct, frozen=True):
    """What a run was made with: facts of its own, and how its recipe differs from an earlier run's."""

    facts: tuple[tuple[str, str], ...]
    earlier: str | None
    differences: tuple[Difference, ...]


def config(root: Path, others: tuple[Path, ...]) -> Config | None:
    """A run's configuration against the first of `others` that has one; None when this run's is not at home."""
    mine = json_file(RunPaths(root).run_json)
    if not isinstance(mine, dict):
        return None
    for other in others:
        theirs = json_file(RunPaths(other).run_json)
        if isinstance(theirs, dict):
            return Config(_facts(mine), other.name, tuple(differences(theirs.get("recipe"), mine.get("recipe"))))
    return Config(_facts(mine), None, ())


def differences(old: Any, new: Any) -> Iterator[Difference]:
    """Settings whose values differ, by dotted name."""
    before, after = dict(_flat(old)), dict(_flat(new))
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield Difference(name, before.get(name), after.get(name))


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif name:
        yield name, json.dumps(value, ensure_ascii=False)


def _facts(run: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    recipe, git, machine = (mapping(run.get(name)) for name in ("recipe", "git", "hardware"))
    overrides = run.get("overrides")
    found = {
        "recipe": recipe.get("name"),
        "recipe sha256": str(run.get("recipe_sha256") or "")[:16] or None,
        "model": mapping(recipe.get("model")).get("id"),
        "seed": recipe.get("seed"),
        "code": str(git.get("commit") or git.get("tree") or "")[:12] + (" and changes" if git.get("dirty") else ""),
        "machine": machine.get("gpu") or machine.get("cpu"),
        "gates passed over": ", ".join(map(str, overrides)) if isinstance(overrides, list) and overrides else "none",
    }
    return tuple((name, str(value)) for name, value in found.items() if value not in (None, ""))


class Kept(Struct, frozen=True):
    """A checkpoint or adapter at home."""

    path: str
    size: int
    at: float


def kept_files(root: Path) -> tuple[Kept, ...]:
    """Checkpoints and adapters, newest first, as folders with the bytes of all their files."""
    folders = [*root.glob("stage-*/*/checkpoints/*"), *root.glob("stage-*/*/adapter")]
    found = []
    for folder in folders:
        stats = [path.stat() for path in ([folder] if folder.is_file() else folder.rglob("*")) if path.is_file()]
        if stats:
            newest = max(stat.st_mtime for stat in stats)
            found.append(Kept(str(folder.relative_to(root)), sum(stat.st_size for stat in stats), newest))
    return tuple(sorted(found, key=lambda kept: kept.at, reverse=True))


def mark(root: Path) -> tuple[int, ...]:
    """Changes when a step of the run has gained or lost a file here; cheap."""
    marks = []
    for folder in (root, *sorted(root.glob("stage-*")), *sorted(root.glob("stage-*/*"))):
        try:
            marks.append(folder.stat().st_mtime_ns)
        except OSError:
            continue
    return tuple(marks)
