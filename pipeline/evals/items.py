"""Item sets of a stage: built by construction, and the frozen held-out set that a run loads and never rebuilds.

`python -m pipeline.evals.items freeze` writes the frozen blocks once; they are kept with the code, hash and all.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pipeline.recipe import Recipe
from pipeline.stages.base import Family, Item, Namespace, Stage
from pipeline.stages.registry import STAGES, all_families, stage

FROZEN_DIR = Path(__file__).parent.parent / "stages" / "frozen"
FROZEN_SEED = 2026
FROZEN_PER_FAMILY = 100
"""Items of one family in one block. Blocks are disjoint: each new attempt at a gate takes the next one."""

_FRESH_DRAWS = 40  # draws spent on looking for facts not used yet
_PATIENCE = 400  # draws without a new instruction after which a pool counts as exhausted


class ItemsError(Exception):
    """An item set cannot be built or cannot be believed: what, cause, remedy."""


def split(count: int, parts: int) -> list[int]:
    """`count` as `parts` whole numbers that add up exactly; the remainder goes to the first ones."""
    if count < 0 or parts < 1:
        raise ValueError(f"cannot split {count} into {parts} parts")
    base, rest = divmod(count, parts)
    return [base + (index < rest) for index in range(parts)]


def build(stage: Stage, namespace: Namespace, count: int, seed: int, block: int = 0) -> list[Item]:
    """`count` different items over the stage's families, in one fixed random order.

    Every family's wordings are used about equally, and facts repeat only when a pool has no fresh ones left. Block `b`
    skips what blocks 0 to b-1 of the same size hold. The same arguments give the same items, always.

    Raises ItemsError when a family has not enough different items.
    """
    chosen: list[Item] = []
    for family, wanted in zip(stage.families, split(count, len(stage.families)), strict=True):
        size = max(wanted, FROZEN_PER_FAMILY) if block else wanted
        stream = _stream(family, namespace, seed)
        items = [item for _, item in zip(range(size * block + wanted), stream, strict=False)][size * block :]
        if len(items) < wanted:
            raise ItemsError(
                f"family {family.name} has no {wanted} further {namespace} items in block {block}; "
                "ask for fewer items or an earlier block"
            )
        chosen += items
    random.Random(f"{seed}/{block}/order").shuffle(chosen)
    return chosen


def _stream(family: Family, namespace: Namespace, seed: int) -> Iterator[Item]:
    """Different items of one family without end, or until the pool is exhausted."""
    rng = random.Random(f"{seed}/{family.name}/{namespace}")
    templates = list(family.templates(namespace))
    rng.shuffle(templates)
    instructions: set[str] = set()
    facts: set[str] = set()
    made = 0
    while True:
        item = _fresh(family, namespace, rng, templates[made % len(templates)], instructions, facts)
        if item is None:
            return
        instructions.add(item.instruction)
        facts.add(_facts(item))
        made += 1
        yield item


def _fresh(
    family: Family, namespace: Namespace, rng: random.Random, template: str, instructions: set[str], facts: set[str]
) -> Item | None:
    """An item with facts not used yet, else with an instruction not used yet, else None."""
    spare: Item | None = None
    for draws in range(_PATIENCE):
        if spare and draws >= _FRESH_DRAWS:
            break
        item = family.build(namespace, rng, template)
        if item.instruction in instructions:
            continue
        if _facts(item) not in facts:
            return item
        spare = spare or item
    return spare


def _facts(item: Item) -> str:
    return json.dumps(dict(item.truth), sort_keys=True)


def frozen_path(stage_number: int, block: int = 0) -> Path:
    """Where the frozen block of a stage is kept."""
    return FROZEN_DIR / f"stage-{stage_number}.block-{block}.jsonl"


def frozen_blocks(stage_number: int) -> list[Item]:
    """All items of every frozen block of a stage; ItemsError as for `load`."""
    paths = sorted(FROZEN_DIR.glob(f"stage-{stage_number}.block-*.jsonl"))
    return [item for path in paths for item in load(path)]


def frozen_set(recipe: Recipe, stage_number: int = 1, block: int = 0) -> list[Item]:
    """The held-out items a recipe asks for, in the block's frozen order.

    Of each chosen family the first item of every wording comes first, then the second of every wording, and so on: a
    small set still has as many wordings as it can, and a larger one contains every smaller one.

    Raises ItemsError for a missing or altered block, an unknown family, or more items than the block holds.
    """
    families = chosen_families(stage(stage_number), recipe.data.families)
    counts = dict(zip((f.name for f in families), split(recipe.evaluation.items, len(families)), strict=True))
    items = load(frozen_path(stage_number, block))
    chosen: set[int] = set()
    for name, wanted in counts.items():
        ranked = _by_wording(items, [k for k, item in enumerate(items) if item.family == name])
        if len(ranked) < wanted:
            raise ItemsError(
                f"evaluation.items asks for {wanted} held-out items of family {name}, the frozen block {block} holds "
                f"{len(ranked)}; lower evaluation.items or choose more families"
            )
        chosen.update(ranked[:wanted])
    return [item for k, item in enumerate(items) if k in chosen]


def _by_wording(items: Sequence[Item], positions: Sequence[int]) -> list[int]:
    """Positions so ordered that every wording has come once before any comes twice; otherwise as they were."""
    seen: Counter[str] = Counter()
    rounds = []
    for position in positions:
        wording = items[position].template
        rounds.append((seen[wording], position))
        seen[wording] += 1
    return [position for _, position in sorted(rounds)]


def chosen_families(stage: Stage, names: Sequence[str]) -> tuple[Family, ...]:
    """The stage's families among `names`, in the stage's order; all of them where none of its own is named.

    Raises ItemsError for a name that no stage knows.
    """
    known = {family.name for family in (*all_families(), *stage.families)}
    for name in names:
        if name not in known:
            raise ItemsError(f"no stage has a family {name!r} (data.families); known: {', '.join(sorted(known))}")
    return tuple(family for family in stage.families if family.name in names) or stage.families


def opinion_families(stage: Stage, names: Sequence[str]) -> tuple[Family, ...]:
    """Those of the chosen families on whose answers the stage wants a second opinion; none where it wants none."""
    wanted = stage.second_opinion.families if stage.second_opinion else ()
    return tuple(family for family in chosen_families(stage, names) if family.name in wanted)


def set_hash(items: Iterable[Item]) -> str:
    """sha256 over the items in their order: two evaluations are compared only when it is equal."""
    return hashlib.sha256(dump(items)).hexdigest()


def dump(items: Iterable[Item]) -> bytes:
    """Items as JSONL bytes, one canonical line each."""
    return "".join(json.dumps(to_row(item), sort_keys=True, ensure_ascii=False) + "\n" for item in items).encode()


def to_row(item: Item) -> dict[str, object]:
    """The item as a flat JSON object, with its id."""
    return {
        "id": item.id,
        "family": item.family,
        "template": item.template,
        "instruction": item.instruction,
        "answer": item.answer,
        "truth": dict(item.truth),
    }


def write(path: Path, items: Sequence[Item]) -> str:
    """Write items and, beside them, `<name>.sha256`; both atomically. Returns the sha256."""
    body = dump(items)
    digest = hashlib.sha256(body).hexdigest()
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, body)
    _replace(_hash_path(path), f"{digest}  {path.name}\n".encode())
    return digest


def load(path: Path) -> list[Item]:
    """Read a set written by `write`; every hash is checked.

    Raises ItemsError when the file or its hash is missing, or either the file or an item was altered.
    """
    try:
        body, noted = path.read_bytes(), _hash_path(path).read_text().split()
    except FileNotFoundError as error:
        raise ItemsError(
            f"held-out set not found: {error.filename}; restore it from the code's own tree, or freeze a further block"
        ) from None
    if not noted or hashlib.sha256(body).hexdigest() != noted[0]:
        raise ItemsError(f"held-out set {path} was altered: its sha256 is not the noted one; restore both files")
    return [_from_row(json.loads(line), path) for line in body.decode().splitlines()]


def _from_row(row: dict[str, object], path: Path) -> Item:
    noted = row.pop("id", None)
    item = Item(**row)  # type: ignore[arg-type]
    if item.id != noted:
        raise ItemsError(f"item {noted} of {path} does not have the content its id says; restore the file")
    return item


def _hash_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _replace(path: Path, body: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def build_frozen(declared: Stage, block: int) -> list[Item]:
    """The items of a frozen block, as `freeze` writes them."""
    return build(declared, Namespace.EVAL, FROZEN_PER_FAMILY * len(declared.families), FROZEN_SEED, block)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: `freeze [--block B] [--replace]`. Existing blocks are kept unless told otherwise."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.evals.items", description="Held-out sets.")
    freeze = parser.add_subparsers(dest="command", required=True).add_parser(
        "freeze", help="write a block of every stage"
    )
    freeze.add_argument("--block", type=int, default=0)
    freeze.add_argument("--replace", action="store_true", help="overwrite: earlier results are then not comparable")
    options = parser.parse_args(arguments)
    for declared in STAGES:
        path = frozen_path(declared.number, options.block)
        if path.exists() and not options.replace:
            print(f"{path} exists and is kept; --replace overwrites it", file=sys.stderr)
            continue
        print(write(path, build_frozen(declared, options.block)), path.name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
