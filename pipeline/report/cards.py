"""Data cards and model cards in Markdown, with the front matter that model hubs read. They state what the run's files
say; the licence of the base model is for the person who publishes to look up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from pipeline import artifacts, records
from pipeline.gates import Decision
from pipeline.report.answer import answer
from pipeline.report.pages import markdown_environment
from pipeline.report.reading import RunFiles
from pipeline.report.sections import known_truth, pairs
from pipeline.report.wording import Markdown, one_line

_KINDS: Mapping[str, tuple[type[records.Record], str, str]] = {
    "sft": (records.SftRow, "filter/sft.jsonl", "supervised examples: a prompt and the completion to learn"),
    "pairs": (records.Pair, "pairs/pairs.jsonl", "preferences: a prompt with a chosen and a rejected completion"),
}


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What every card of a run repeats. None where the run does not say."""

    run_id: str
    recipe: str
    recipe_sha256: str | None
    stage: int
    base_model: str
    base_revision: str | None
    seed: int | None
    code: str | None
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DataFile:
    """One data file as published: path in the run directory, rows, sha256."""

    path: str
    rows: int
    sha256: str


def dataset_card(
    facts: CardFacts,
    kind: Literal["sft", "pairs"],
    file: DataFile,
    families: Mapping[str, int],
    filtering: str,
    quality: Mapping[str, Any],
) -> str:
    """Card of one data file. `families`: rows a family; `filtering`: the recipe's data.filter; `quality`: measured
    facts (name -> value), shown as they are."""
    model, _, what = _KINDS[kind]
    front = {
        "pretty_name": f"{facts.run_id} stage {facts.stage} {kind}",
        "language": ["en"],
        "tags": ["synthetic", "constitutional-ai", kind],
        "size_categories": [_size(file.rows)],
        "configs": [{"config_name": kind, "data_files": file.path}],
    }
    return _render("data_card.md.j2", front, facts=facts, kind=kind, what=what, file=file, families=families,
                   filtering=filtering, quality=quality, fields=list(model.model_fields))  # fmt: skip


def model_card(
    facts: CardFacts,
    kind: Literal["sft", "dpo"],
    adapter: Sequence[DataFile],
    settings: Mapping[str, Any],
    data_rows: int | None,
    decision: Decision | None,
) -> str:
    """Card of one adapter. `adapter`: its files (rows unused); `settings`: hyperparameters as trained; `decision`: the
    gate's verdict on the stage's *final* adapter, None when no gate has judged this one."""
    front = {
        "base_model": facts.base_model,
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["lora", "constitutional-ai", kind],
    }
    told = answer(facts.stage, decision) if decision else None
    return _render("model_card.md.j2", front, facts=facts, kind=kind, adapter=adapter, settings=settings,
                   data_rows=data_rows, decision=decision, answer=told)  # fmt: skip


def write_cards(files: RunFiles) -> list[Path]:
    """Cards of every data file and adapter found, under `cards/` of the run directory."""
    written = []
    for stage in files.stages():
        facts = card_facts(files, stage)
        cards = {
            **{f"stage-{stage}-{k}-data.md": _data_card(files, facts, k) for k in ("sft", "pairs")},
            **{f"stage-{stage}-{k}-adapter.md": _adapter_card(files, facts, k) for k in ("sft", "dpo")},
        }
        for name, text in cards.items():
            if text is not None:
                path = files.root / "cards" / name
                artifacts.write_atomic(path, text.encode("utf-8", "replace"))
                written.append(path)
    return written


def card_facts(files: RunFiles, stage: int) -> CardFacts:
    run = files.json("run.json") or {}
    recipe = run.get("recipe") or {}
    model, git = recipe.get("model") or {}, run.get("git") or {}
    code = git.get("commit")
    return CardFacts(
        run_id=str(run.get("run_id") or files.root.name),
        recipe=str(recipe.get("name") or "unknown"),
        recipe_sha256=run.get("recipe_sha256"),
        stage=stage,
        base_model=str(model.get("id") or "unknown"),
        base_revision=model.get("revision"),
        seed=run.get("seed", recipe.get("seed")),
        code=f"{code}{' with uncommitted changes' if git.get('dirty') else ''}" if code else None,
        versions={str(k): str(v) for k, v in (run.get("versions") or {}).items()},
    )


def _data_card(files: RunFiles, facts: CardFacts, kind: Literal["sft", "pairs"]) -> str | None:
    relative = f"stage-{facts.stage}/{_KINDS[kind][1]}"
    if not files.has(relative):
        return None
    families: dict[str, int] = {}
    for row in files.rows(relative):
        families[str(row.get("family"))] = families.get(str(row.get("family")), 0) + 1
    file = DataFile(relative, sum(families.values()), artifacts.sha256_file(files.root / relative))
    recipe = (files.json("run.json") or {}).get("recipe") or {}
    filtering = str((recipe.get("data") or {}).get("filter") or "not recorded")
    return dataset_card(
        facts, kind, file, dict(sorted(families.items())), filtering, _quality(files, facts.stage, kind)
    )


def _quality(files: RunFiles, stage: int, kind: str) -> dict[str, Any]:
    if kind == "sft":
        kept = (known_truth(files, stage) or {}).get("kept")
        return {"rows whose truth a program knows": kept["known"], "of these wrong": kept["wrong"]} if kept else {}
    found = pairs(files, stage)
    if found is None:
        return {}
    return {
        **{f"source {source}": count for source, count in found["sources"]},
        "mean tokens chosen": found["chosen_tokens"],
        "mean tokens rejected": found["rejected_tokens"],
        "chosen sides wrong, where a program knows": "{wrong} of {known}".format(**found["chosen_wrong"]),
    }


def _adapter_card(files: RunFiles, facts: CardFacts, kind: Literal["sft", "dpo"]) -> str | None:
    step = f"stage-{facts.stage}/{kind}"
    manifest = files.manifest(step)
    if manifest is None or not (files.root / step / "adapter").is_dir():
        return None
    listed = [row for row in manifest.get("outputs") or [] if str(row.get("path", "")).startswith("adapter/")]
    adapter = [DataFile(f"{step}/{row['path']}", 0, str(row.get("sha256"))) for row in listed]
    train = ((files.json("run.json") or {}).get("recipe") or {}).get("train") or {}
    settings = {f"lora.{k}": v for k, v in (train.get("lora") or {}).items()} | (train.get(kind) or {})
    rows = (manifest.get("summary") or {}).get("rows")
    last = kind == "dpo" or not (files.root / f"stage-{facts.stage}" / "dpo" / "adapter").is_dir()
    return model_card(facts, kind, adapter, settings, rows, files.gate(facts.stage) if last else None)


def _render(template: str, front: Mapping[str, Any], **values: Any) -> str:
    flat = {name: one_line(value, 400) if isinstance(value, str) else value for name, value in front.items()}
    header = Markdown(yaml.safe_dump(flat, sort_keys=False, allow_unicode=True, width=10_000).rstrip())
    return markdown_environment().get_template(template).render(front=header, **values)


def _size(rows: int) -> str:
    for limit, name in ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K")):
        if rows < limit:
            return name
    return "100K<n<1M"
