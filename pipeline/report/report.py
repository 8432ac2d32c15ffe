"""Renders one run directory, finished or not, as `report.md`, `report.html` and cards. Everything shown comes from the
run's own files; what is not there is said to be missing."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline import artifacts
from pipeline.report import cards, wording
from pipeline.report.answer import answer
from pipeline.report.overview import overview
from pipeline.report.pages import html_environment, markdown_environment
from pipeline.report.reading import RunFiles
from pipeline.report.sections import stage_view
from pipeline.report.timeline import timeline


def render(run_dir: Path) -> tuple[Path, Path]:
    """Write the report and the cards of a run; returns (report.md, report.html).

    Works on any state of the directory. Raises FileNotFoundError when there is no such directory, OSError when it
    cannot be written.
    """
    if not run_dir.is_dir():
        raise FileNotFoundError(f"{run_dir} is no run directory; name one that `run` has made")
    files = RunFiles(run_dir)
    view = report_view(files)
    for environment, template, path in (
        (markdown_environment(), "report.md.j2", files.paths.report_md),
        (html_environment(), "report.html.j2", files.paths.report_html),
    ):
        text = environment.get_template(template).render(view)
        artifacts.write_atomic(path, text.encode("utf-8", "replace"))
    cards.write_cards(files)
    return files.paths.report_md, files.paths.report_html


def report_view(files: RunFiles) -> dict[str, Any]:
    """All values of both templates."""
    run = files.json("run.json") or {}
    recipe = run.get("recipe") or {}
    decisions = {stage: files.gate(stage) for stage in files.stages()}
    stages = [stage_view(files, stage, decision) for stage, decision in decisions.items()]
    for view in stages:
        view["answer"] = answer(view["number"], view["decision"])
    return {
        "run_id": str(run.get("run_id") or files.root.name),
        "recipe_name": str(recipe.get("name") or wording.UNKNOWN),
        "model": str((recipe.get("model") or {}).get("id") or wording.UNKNOWN),
        "overview": overview(files, decisions),
        "stages": stages,
        "timeline": timeline(files),
        "provenance": provenance(files, run),
        "fingerprints": fingerprints(files),
        "filtering": (recipe.get("data") or {}).get("filter"),
        "command": _command(run),
        "problems": files.problems,
    }


def provenance(files: RunFiles, run: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    """Versions, hashes and machine as (name, value); None where unknown."""
    recipe, git, hardware = run.get("recipe") or {}, run.get("git") or {}, run.get("hardware") or {}
    rows: list[tuple[str, Any]] = [
        ("started", run.get("started")),
        ("seed", run.get("seed", recipe.get("seed"))),
        ("recipe sha256", run.get("recipe_sha256")),
        ("code", _flat(git)),
        ("environment sha256", run.get("freeze_sha256")),
        ("hardware", _flat(hardware)),
        ("precision", _flat(recipe.get("precision"))),
        ("packages", _flat(run.get("versions"))),
    ]
    rows.append(("digest of the finished data files", artifacts.digest(files.root)))
    return [(name, None if value is None else str(value)) for name, value in rows]


def fingerprints(files: RunFiles) -> list[tuple[str, str | None]]:
    """Of every evaluation: what two of them must have in common to be compared."""
    rows = []
    for stage in (0, *files.stages()):
        held_out = files.summary(stage).get("sets")
        for held in held_out if isinstance(held_out, dict) else ():
            for condition, row in files.measured(stage, held).items():
                name = f"fingerprint of {condition} on set {held}" + (f" after stage {stage}" if stage else "")
                rows.append((name, _flat(row.get("fingerprint") if isinstance(row, dict) else None)))
    return rows


def _command(run: Mapping[str, Any]) -> str:
    name = str((run.get("recipe") or {}).get("name") or "RECIPE")
    words = ["python", "-m", "pipeline", "run", "--recipe", name]
    for overlay in run.get("set") or []:
        words += ["--set", str(overlay)]
    return shlex.join(words)


def _flat(raw: Any) -> str | None:
    """A JSON object on one line, its unknown values left out; None when nothing is known."""
    if not isinstance(raw, Mapping):
        return None
    return ", ".join(f"{name} {_inner(value)}" for name, value in raw.items() if value not in (None, [], {})) or None


def _inner(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({_flat(value) or 'empty'})"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
