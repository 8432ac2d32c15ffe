"""The run directory as a place: `run.json`, whose run it is, and getting a step's directory ready for a key."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import artifacts
from pipeline.errors import UsageError
from pipeline.plan import difference
from pipeline.protocol import RunPaths
from pipeline.recipe import RUNTIME_FIELDS, Recipe


def read_run(root: Path) -> dict[str, Any] | None:
    """`run.json`, or None when there is none. Raises UsageError when it is there and cannot be read."""
    path = RunPaths(root).run_json
    try:
        raw = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read ({error}). Restore it or choose another run directory.") from None
    if not isinstance(raw, dict) or not {"run_id", "recipe", "recipe_sha256"} <= raw.keys():
        raise UsageError(f"{path} is not the record of a run. Choose another run directory.")
    return raw


def write_run(root: Path, record: Mapping[str, Any]) -> None:
    text = json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    artifacts.write_atomic(RunPaths(root).run_json, text.encode() + b"\n")


def note_recipe(
    root: Path,
    record: Mapping[str, Any] | None,
    recipe: Recipe,
    overlays: Sequence[str],
    facts: Callable[[], Mapping[str, Any]],
) -> None:
    """Say in `run.json` by which recipe the run goes on. Another one takes the old one's place, and the `facts` of this
    session go with it; of the same one at most what cannot change a result is noted anew: another budget, say.

    Args:
        record: what `run.json` says so far; None in a new run.
    """
    earlier, digest, body = record or {}, recipe.digest(), recipe.model_dump(mode="json")
    asked = {"recipe": body, "set": list(overlays)}
    if earlier.get("recipe_sha256") == digest:
        if earlier["recipe"] != body:
            write_run(root, {**earlier, **asked})
        return
    before = [*earlier.get("superseded_recipes", []), *filter(None, [earlier.get("recipe_sha256")])]
    own = {"v": 1, "recipe_sha256": digest, "superseded_recipes": before, "seed": recipe.seed}
    write_run(root, {**own, **asked, **facts()})


def note_overrides(root: Path, overrides: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Say in `run.json` which gates were passed over; returns what was said."""
    record = read_run(root) or {}
    if record.get("overrides", []) != overrides:
        write_run(root, {**record, "overrides": overrides})
    return overrides


def check_owner(root: Path, record: Mapping[str, Any], recipe: Recipe, supersede: bool) -> None:
    """Raises UsageError when the directory holds the run of another recipe, naming both and what differs."""
    ours, theirs = recipe.digest(), record["recipe_sha256"]
    if supersede:
        return
    limits = {name: limit for name, limit in (record["recipe"].get("budget") or {}).items() if limit is not None}
    lost = [name for name in limits if getattr(recipe.budget, name, None) is None]
    if lost:
        raise UsageError(
            f"{root} was begun with a budget ({', '.join(f'{name} {limits[name]:g}' for name in lost)}) that this call "
            "does not give. Give one again with --set budget…, or lift it with --supersede."
        )
    if ours == theirs:
        return
    then = {name: value for name, value in record["recipe"].items() if name not in RUNTIME_FIELDS}
    now = recipe.model_dump(mode="json", exclude=set(RUNTIME_FIELDS))
    changed = "; ".join(difference(then, now)[:4]) or "fields unknown to this version"
    raise UsageError(
        f"{root} belongs to recipe {then.get('name')!r} ({theirs[:12]}), not to {recipe.name!r} ({ours[:12]}): "
        f"{changed}. Choose another --run-dir, or pass --supersede to redo the steps that read the changed fields "
        "(their old results are kept in .superseded)."
    )


def ready(root: Path, step: str, key: str) -> list[str]:
    """Make the step's directory ready for `key`: kept when it holds unfinished work of this key, else moved aside.

    Returns warnings worth telling (damage found, old result moved).
    """
    out = root / step
    told = []
    if out.exists() and any(out.iterdir()):
        done = artifacts.read_done(out)
        held = done.key if done else _held_key(out)
        problems = artifacts.verify(out) if done and held == key else []
        if done is not None or (out / artifacts.DONE).exists() or held != key:
            moved = artifacts.supersede(root, step, held or "unknown")
            why = "; ".join(problems[:2]) or "something it depends on changed"
            told.append(f"{step}: the earlier result was moved to {moved.relative_to(root)} and is redone ({why})")
    out.mkdir(parents=True, exist_ok=True)
    if _held_key(out) != key:
        artifacts.write_atomic(out / artifacts.KEY, key.encode())
    return told


def set_aside_stale(root: Path, planned: Sequence[str], warn: Callable[[str, str, str], None]) -> None:
    """Move aside the finished results that the run as it is now cannot have: of steps that are not planned (another
    recipe's), and of those made from results that have changed since. A report must not show them beside the new ones.

    They lie behind where a session ended: what it passed by was redone. An input that is merely missing (a damaged
    directory) makes nothing stale: it is made again as it was.

    Args:
        planned: every step of the plan, in its order.
        warn: told of each, as (code, text, remedy).
    """
    gone: set[str] = set()
    there = (done.parent for done in root.glob(f"stage-*/*/{artifacts.DONE}") if done.parent.name[0] != ".")
    strange = sorted({out.relative_to(root).as_posix() for out in there} - set(planned))
    for step in (*strange, *planned):
        done, manifest = artifacts.read_done(root / step), artifacts.read_manifest(root / step)
        if done is None or manifest is None:
            continue
        made_from = manifest.get("inputs") or {}
        if step in planned and not any(n in gone or _differs(root / n, made) for n, made in made_from.items()):
            continue
        moved = artifacts.supersede(root, step, done.key)
        gone.add(step)
        stage, _, kind = step.partition("/")
        if kind == "gate":
            (root / stage / "gate.json").unlink(missing_ok=True)
        text = f"{step}: the result of an earlier recipe or attempt was moved to {moved.relative_to(root)}"
        warn("superseded", text, "none needed")


def _differs(out: Path, outputs: str) -> bool:
    """Whether a step's present result is another than the one of these outputs."""
    done = artifacts.read_done(out)
    return done is not None and done.outputs != outputs


def stale_reason(root: Path, step: str, material: Mapping[str, Any]) -> str:
    """Why a step is not reused, in a few words, by comparing its manifest with what its key would be now."""
    manifest = artifacts.read_manifest(root / step)
    if manifest is None:
        return "resumes" if (root / step).exists() else "never ran"
    found = difference(manifest.get("material", {}), material)
    return "; ".join(found[:4]) if found else "forced, or its files are damaged"


def _held_key(out: Path) -> str | None:
    try:
        return (out / artifacts.KEY).read_text()
    except (OSError, UnicodeDecodeError):
        return None
