"""What a report shows of critique and revision: how much each round changed, what came of it, and whole examples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.constitution import ConstitutionError, load
from pipeline.report.reading import RunFiles

EXAMPLES = 3

Row = Mapping[str, Any]


def revision_view(files: RunFiles, stage: int) -> dict[str, Any] | None:
    """Rounds, shares and examples; None where the stage revises nothing or has not got there."""
    base = f"stage-{stage}"
    revisions = list(files.rows(f"{base}/revise/records.jsonl"))
    if not revisions:
        return None
    judged = {
        parent: bool(row.get("accepted"))
        for row in files.rows(f"{base}/critique/records.jsonl")
        for parent in (row.get("parents") or [])[1:]
    }
    kept = {parent for row in files.rows(f"{base}/filter/sft.jsonl") for parent in (row.get("parents") or [])[2:]}
    rounds: dict[int, list[Row]] = defaultdict(list)
    for row in revisions:
        rounds[int(row.get("round") or 1)].append(row)
    return {
        "rounds": [_round(number, rows, judged, kept) for number, rows in sorted(rounds.items())],
        "judged": files.has(f"{base}/critique/records.jsonl"),
        "examples": examples(files, stage, revisions, kept),
    }


def _round(number: int, rows: Sequence[Row], judged: Mapping[str, bool], kept: set[str]) -> dict[str, Any]:
    """`new`: revisions that said something not said before and so went to the critics."""
    changed = sum(row.get("text") != row.get("response") for row in rows)
    new = [row for row in rows if row.get("id") in judged]
    accepted = sum(judged[str(row["id"])] for row in new)
    return {
        "round": number,
        "revisions": len(rows),
        "changed": changed,
        "changed_share": changed / len(rows),
        "new": len(new),
        "accepted": accepted,
        "accepted_share": accepted / len(new) if new else None,
        "kept": sum(row.get("id") in kept for row in rows),
    }


def examples(files: RunFiles, stage: int, revisions: Sequence[Row], kept: set[str]) -> list[dict[str, Any]]:
    """Some revisions whole, with the critique before them: first those that became training data, then other changed
    ones, from different families where that can be."""
    critiques = {row.get("id"): row for row in files.rows(f"stage-{stage}/revise/critiques.jsonl")}
    texts = principles()
    changed = [row for row in revisions if row.get("text") != row.get("response")]
    ranked = sorted(changed, key=lambda row: row.get("id") not in kept)
    found: list[Row] = []
    for only_new in (True, False):
        for row in ranked:
            told = {one.get("family") for one in found}
            if len(found) < EXAMPLES and row not in found and not (only_new and row.get("family") in told):
                found.append(row)
    return [
        {
            "family": row.get("family"),
            "round": row.get("round"),
            "principle": texts.get(str(row.get("principle")), row.get("principle")),
            "instruction": row.get("instruction"),
            "before": row.get("response"),
            "critique": _critique(row, critiques),
            "after": row.get("text"),
            "kept": row.get("id") in kept,
        }
        for row in found
    ]


def principles() -> dict[str, str]:
    """Id -> id and text of every principle of the constitution; empty where it cannot be read."""
    try:
        return {p.id: f"{p.id}: {p.text}" for p in load().principles}
    except (OSError, ConstitutionError):
        return {}


def _critique(row: Row, critiques: Mapping[Any, Row]) -> str | None:
    """The critique that a revision names among its parents."""
    named = [critiques[parent] for parent in row.get("parents") or () if parent in critiques]
    return str(named[-1].get("text")) if named else None
