"""The constitution: loading with exact complaints, uniform reproducible draws, and which principles were never used."""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pipeline import yaml_text
from pipeline.recipe import RecipeError

Category = Literal["helpful", "harmless", "honest"]
FILE_NAME = "constitution.yaml"


class ConstitutionError(RecipeError):
    """The constitution cannot be used: file, line, field, remedy. A usage error (exit code 2)."""


class Principle(BaseModel):
    """One principle. `text` is shown to the model as it stands."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    id: str = Field(pattern=r"^[a-z0-9]+(?:-[a-z0-9]+)*$")
    category: Category
    text: str = Field(min_length=1)

    @field_validator("text")
    @classmethod
    def _one_line(cls, text: str) -> str:
        return " ".join(text.split())


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = Field(ge=1)
    principles: tuple[Principle, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Constitution:
    """Validated principles in the order of the file; `digest` is the sha256 of what can change a result."""

    version: int
    principles: tuple[Principle, ...]
    digest: str

    def deal(self, seed: int, position: int, round: int = 0, categories: Sequence[str] = ()) -> Principle:
        """The principle for one item and revision round, dealt from shuffled decks: uniform over `categories` (empty:
        all), each used once before any comes twice, and a function of the arguments alone."""
        deck = [p for p in self.principles if not categories or p.category in categories]
        turn, place = divmod(position, len(deck))
        random.Random(f"principles/{seed}/{round}/{turn}").shuffle(deck)
        return deck[place]

    def coverage(self, counts: Mapping[str, int]) -> tuple[str, ...]:
        """Ids never used, given how often each id was; KeyError for an id that is not of this constitution."""
        known = {principle.id for principle in self.principles}
        for name in counts:
            if name not in known:
                raise KeyError(f"principle {name!r} is not in this constitution")
        return tuple(p.id for p in self.principles if not counts.get(p.id))


def default_path() -> Path:
    """`constitution.yaml` in the current directory, else in the folder that holds this package (a checkout or a pushed
    tree), else where an installed wheel puts its data. Where there is none, the first of them.
    """
    folders = (Path.cwd(), Path(__file__).resolve().parent.parent, Path(sys.prefix) / "share" / "maximalcai")
    return next((folder / FILE_NAME for folder in folders if (folder / FILE_NAME).exists()), folders[0] / FILE_NAME)


def load(path: Path | None = None) -> Constitution:
    """Read and validate a constitution. Raises ConstitutionError naming file, line, field and remedy."""
    path = path or default_path()
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConstitutionError(f"{path}: not found; give the path of a constitution or restore {FILE_NAME}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConstitutionError(f"{path}: cannot be read ({error}); it must be a UTF-8 text file") from None
    return _parsed(path, text)


@lru_cache(maxsize=4)
def _parsed(path: Path, text: str) -> Constitution:
    """A run asks for the same file dozens of times."""
    try:
        root, data = yaml_text.parse(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or "not YAML"
        raise ConstitutionError(
            f"{path}:{line}: not valid YAML ({problem}); check quotes, colons and indentation"
        ) from None
    if not isinstance(data, dict):
        raise ConstitutionError(
            f"{path}:1: must hold `version:` and `principles:`; see the {FILE_NAME} that comes along"
        )
    return _validated(path, data, root)


def _validated(path: Path, data: object, root: yaml.Node | None) -> Constitution:
    try:
        document = _Document.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise _complaint(path, root, first["loc"], first["msg"], _remedy(first)) from None
    seen: dict[str, int] = {}
    for place, principle in enumerate(document.principles):
        if principle.id in seen:
            message = f"id {principle.id!r} is already used by principle {seen[principle.id] + 1}"
            raise _complaint(path, root, ("principles", place, "id"), message, "give each principle an id of its own")
        seen[principle.id] = place
    for category in get_args(Category):
        if all(principle.category != category for principle in document.principles):
            message = f"no principle of category {category!r}"
            raise _complaint(path, root, ("principles",), message, f"add one with `category: {category}`")
    digest = hashlib.sha256(document.model_dump_json().encode()).hexdigest()
    return Constitution(document.version, document.principles, digest)


def _remedy(error: Mapping[str, object] | object) -> str:
    kind = error.get("type") if isinstance(error, Mapping) else None
    return {
        "missing": "add the field",
        "extra_forbidden": "remove it, or correct its spelling: a principle has id, category and text",
        "literal_error": "use helpful, harmless or honest",
        "string_pattern_mismatch": "use lower-case letters, digits and single hyphens",
        "string_too_short": "write the principle's text",
        "too_short": "write at least one principle of each category",
    }.get(str(kind), "correct the value")


def _complaint(
    path: Path, root: yaml.Node | None, where: tuple[object, ...], what: str, remedy: str
) -> ConstitutionError:
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")
    return ConstitutionError(f"{path}:{_line(root, where)}: {field}: {what}; {remedy}")


def _line(node: yaml.Node | None, where: tuple[object, ...]) -> int:
    """Line (from 1) of the deepest node on the way to `where`."""
    line = node.start_mark.line + 1 if node else 1
    for part in where:
        child: yaml.Node | None = None
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            child = node.value[part]
            line = child.start_mark.line + 1
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == part:
                    child, line = value, key.start_mark.line + 1
        if child is None:
            return line
        node = child
    return line
