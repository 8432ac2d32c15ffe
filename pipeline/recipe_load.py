"""Reads a recipe by name or from a file: one parent by `extends:`, overlays `path=value`, errors with file and line.

The fields, their types and defaults are `recipe`'s.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from pipeline import yaml_text
from pipeline.recipe import RECIPE_NAMES, Recipe, RecipeError

RECIPES = Path(__file__).resolve().parent / "recipes"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written: a file and line (from 1), or a `--set` (line None)."""

    source: str
    line: int | None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}, line {self.line}"


Path_ = tuple[str, ...]


def load(name_or_file: str | Path, overlays: Sequence[str] = (), recipes: Path = RECIPES) -> Recipe:
    """The recipe of that name, or in that file, with its parent below it and `path=value` overlays above it.

    Raises RecipeError naming file, line, field and remedy for anything that is not a valid recipe.
    """
    path = find(name_or_file, recipes)
    body, origins = _read(path, recipes, ())
    for overlay in overlays:
        _overlay(body, origins, overlay)
    try:
        recipe = Recipe.model_validate(body)
    except ValidationError as error:
        raise RecipeError("\n".join(_sentences(error, origins, path))) from None
    for settings in recipe.data.retries:  # a retry is spent hours later: what it changes must be valid now
        overlaid(recipe, settings)
    return recipe


def overlaid(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """The recipe with `path=value` settings above it. Raises RecipeError naming the field and the remedy."""
    body = recipe.model_dump(mode="json")
    origins: dict[Path_, Origin] = {}
    for setting in settings:
        _overlay(body, origins, setting)
    try:
        return Recipe.model_validate(body)
    except ValidationError as error:
        raise RecipeError("\n".join(_sentences(error, origins, Path(recipe.name)))) from None


def find(name_or_file: str | Path, recipes: Path = RECIPES, beside: Path | None = None) -> Path:
    """The file of a recipe: a name under `recipes`, or a path (relative to `beside`, else to the working directory)."""
    text = str(name_or_file)
    if text in names(recipes):
        return recipes / f"{text}.yaml"
    path = (beside or Path()) / Path(text).expanduser()
    if path.is_file():
        return path
    known = names(recipes)
    near = difflib.get_close_matches(text, known, 1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise RecipeError(f"no recipe named {text!r} and no such file. {hint}Recipes: {', '.join(known)}; or a YAML file.")


def names(recipes: Path = RECIPES) -> list[str]:
    """Names of the recipes in a directory, the shipped ones in their documented order."""
    there = {p.stem for p in recipes.glob("*.yaml")}
    return [n for n in RECIPE_NAMES if n in there] + sorted(there - set(RECIPE_NAMES))


def _read(path: Path, recipes: Path, above: tuple[Path, ...]) -> tuple[dict[str, Any], dict[Path_, Origin]]:
    path = path.resolve()
    if path in above:
        chain = " → ".join(p.name for p in (*above, path))
        raise RecipeError(f"{path}, field extends: recipes extend each other in a circle ({chain}). Remove one.")
    body, origins = _parse(path)
    parent = body.pop("extends", None)
    if parent is None:
        return body, origins
    if not isinstance(parent, str):
        raise RecipeError(f"{origins['extends',]}, field extends: give one recipe name or file, not {parent!r}.")
    try:
        below, old = _read(find(parent, recipes, path.parent), recipes, (*above, path))
    except RecipeError as error:
        raise RecipeError(f"{origins['extends',]}, field extends: {error}") from None
    _merge(below, body)
    return below, {**old, **origins}


def _parse(path: Path) -> tuple[dict[str, Any], dict[Path_, Origin]]:
    """The mapping in a file and where each of its fields stands."""
    try:
        text = path.read_text(encoding="utf-8")
        node, body = yaml_text.parse(text)
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read: {error}. Give a readable YAML file in UTF-8.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise RecipeError(f"{path}{at}: not valid YAML: {error.problem}. Check indentation and quotes there.") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: not valid YAML: {error}. Write it as plain values in UTF-8.") from None
    if not isinstance(node, yaml.MappingNode) or not isinstance(body, dict):
        raise RecipeError(f"{path}, line 1: a recipe is a mapping of fields, such as `name: mine`.")
    return body, {where: Origin(str(path), line) for where, line in _lines(node, str(path))}


def _lines(node: yaml.Node, source: str, prefix: Path_ = ()) -> Iterator[tuple[Path_, int]]:
    """Dotted place and line of every field. Raises RecipeError for a field written twice, which YAML lets pass."""
    if isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*prefix, str(index)), value.start_mark.line + 1
            yield from _lines(value, source, (*prefix, str(index)))
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        where = (*prefix, str(key.value))
        if key.value in seen:
            first = seen[key.value]
            raise RecipeError(f"{source}, line {line}, field {'.'.join(where)}: already set in line {first}. Keep one.")
        seen[key.value] = line
        yield where, line
        yield from _lines(value, source, where)


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    """Sections are merged field by field, anything else is replaced."""
    for name, value in above.items():
        old = below.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            _merge(old, value)
        else:
            below[name] = value


def _overlay(body: dict[str, Any], origins: dict[Path_, Origin], text: str) -> None:
    path, equals, value = text.partition("=")
    where = tuple(part.strip() for part in path.split("."))
    if not equals or not all(where):
        raise RecipeError(f"--set {text}: write it as section.field=value, for example data.instructions=200.")
    try:
        _, parsed = yaml_text.parse(value)
    except yaml.YAMLError:
        raise RecipeError(f"--set {text}: the value is not valid YAML. Quote it.") from None
    section = body
    for part in where[:-1]:
        inner = section.setdefault(part, {})
        if not isinstance(inner, dict):
            raise RecipeError(f"--set {text}: {part!r} is a value, not a section.")
        section = inner
    section[where[-1]] = parsed
    for depth in range(1, len(where)):
        origins.setdefault(where[:depth], Origin(f"--set {text}", None))
    origins[where] = Origin(f"--set {text}", None)


def _sentences(error: ValidationError, origins: Mapping[Path_, Origin], path: Path) -> Iterator[str]:
    for detail in error.errors(include_url=False):
        where = tuple(str(part) for part in detail["loc"])
        field = ".".join(where)
        origin = _nearest(where, origins) or Origin(str(path), None)
        if detail["type"] == "extra_forbidden":
            valid = list(_fields(where[:-1]))
            near = difflib.get_close_matches(where[-1], valid, 1)
            remedy = f"Did you mean {near[0]!r}?" if near else f"Valid fields: {', '.join(valid)}."
            yield f"{origin}, field {field}: unknown field. {remedy}"
        elif detail["type"] == "missing":
            yield f"{origin}, field {field}: missing. Add it."
        else:
            yield f"{origin}, field {field}: {detail['msg']}, but it is {detail['input']!r}. Correct the value."


def _nearest(where: Path_, origins: Mapping[Path_, Origin]) -> Origin | None:
    """The origin of a field, else of the section around it."""
    while where:
        if where in origins:
            return origins[where]
        where = where[:-1]
    return None


def _fields(section: Path_) -> Iterator[str]:
    """Valid field names of a section of the recipe; at the top `extends` too."""
    model: type[BaseModel] = Recipe
    for part in section:
        info = model.model_fields.get(part)
        kinds = [info.annotation, *get_args(info.annotation)] if info else []
        inner = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
        if inner is None:
            return
        model = inner
    yield from model.model_fields
    if not section:
        yield "extends"
