"""What the environment of a pushed tree shall hold, and the hash that names it. Installing it is left to others."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from typing import Any

from remote.agent.disk import Json, Refused, canonical

from .pythons import OLDEST, choose, suits
from .versions import name_of

FORMAT = 1  # goes up when an environment is built differently
_WITH_TORCH = re.compile(r"(torch|triton|pytorch-triton|nvidia-.*)\Z")  # what an image's torch brings along


def requirements(folder: str, extras: list[str]) -> list[str]:
    """The requirements of a tree: its pyproject.toml with these extras, else its requirements.txt; sorted.

    Raises Refused("no_requirements") when there is neither, Refused("bad_request") for an extra it does not have.
    """
    project = os.path.join(folder, "pyproject.toml")
    if os.path.exists(project):
        import tomllib  # Python 3.11; an older one never comes here

        with open(project, "rb") as file:
            try:
                body = tomllib.load(file).get("project", {})
            except tomllib.TOMLDecodeError as error:
                raise Refused("no_requirements", f"pyproject.toml of the tree cannot be read: {error}") from None
        return sorted(set(_expanded(body, extras)))
    lines = _lines(os.path.join(folder, "requirements.txt"))
    if lines is None:
        raise Refused("no_requirements", "the tree has neither pyproject.toml nor requirements.txt")
    if extras:
        raise Refused("bad_request", "a tree with a requirements.txt alone has no extras")
    if options := [line for line in lines if line.startswith("-")]:
        raise Refused("no_requirements", f"requirements.txt holds an option, which is not supported: {options[0]}")
    return sorted(set(lines))


def _expanded(project: dict[str, Any], extras: list[str]) -> list[str]:
    """Dependencies and extras, with the project's references to its own extras followed."""
    known, me = project.get("optional-dependencies", {}), name_of(project.get("name", ""))
    found, todo, done = list(project.get("dependencies", [])), list(extras), set()
    while todo:
        extra = todo.pop()
        if extra in done:
            continue
        done.add(extra)
        if extra not in known:
            raise Refused(
                "bad_request", f"the tree has no extra {extra!r}; it has {', '.join(sorted(known)) or 'none'}"
            )
        for line in known[extra]:
            own = re.match(r"[A-Za-z0-9._-]+\s*\[([^]]*)\]\s*\Z", line)
            if own and name_of(line) == me:
                todo += [part.strip() for part in own.group(1).split(",")]
            else:
                found.append(line)
    return found


def _lines(path: str) -> list[str] | None:
    try:
        with open(path, encoding="utf-8") as text:
            rows = [line.partition(" #")[0].strip() for line in text]
    except FileNotFoundError:
        return None
    return [row for row in rows if row and not row.startswith("#")]


def lock(folder: str, wish: Json) -> tuple[Json, Json]:
    """What an environment is made of, all that its name depends on; and the facts of its base interpreter.

    Raises Refused: "no_python", "no_requirements", "no_torch" (torch="image" and the image has none), "bad_request".
    """
    if sys.version_info[:2] < OLDEST:
        choose(None, "auto")  # which raises: had there been another interpreter, it would run this
    wanted, pinned = requirements(folder, wish["extras"]), _lines(os.path.join(folder, "constraints.txt")) or []
    torch = next((line for line in wanted if name_of(line) == "torch"), None)
    mode = wish["torch"]
    python = choose(torch, mode)
    reused = torch is not None and suits(python, torch, mode)
    if torch is not None and mode == "image" and not reused:
        raise Refused("no_torch", "no Python of the image has torch")
    if reused:
        wanted = ["torch" if line == torch else line for line in wanted] if mode == "image" else wanted
        pinned = [line for line in pinned if not _WITH_TORCH.match(name_of(line))] + [f"torch=={python['torch']}"]
    made_of = {
        "format": FORMAT,
        "python": python["version"],
        "machine": python["machine"],
        "base": python["executable"],
        "requirements": wanted,
        "constraints": pinned,
        "torch": _torch(torch, python, reused),
        "torch_args": [] if reused else wish["torch_args"],
        "pip_args": wish["pip_args"],
    }
    return made_of, python


def _torch(required: str | None, python: Json, reused: bool) -> Json | None:
    """Where torch comes from; an image with other packages of the same torch counts as the same."""
    if required is None:
        return None
    if reused:
        return {"from": "image", "required": required, "version": python["torch"], "cuda": python["cuda"]}
    return {"from": "index", "required": required}


def hash_of(made_of: Json) -> str:
    """The name of the environment."""
    return hashlib.sha256(canonical([made_of])).hexdigest()[:24]
