"""Data cards and model cards in Markdown, with the front matter that model hubs read. They state what the run's files
say; whether the base model's licence allows what is planned is for the person who publishes to judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from pipeline import artifacts, records
from pipeline.gates import Decision
from pipeline.models.resolve import licence_of
from pipeline.report import failing, rates
from pipeline.report.answer import answer
from pipeline.report.data_view import known_truth, pairs, spread, wrong
from pipeline.report.overview import overrides, retries
from pipeline.report.pages import markdown_environment
from pipeline.report.reading import RunFiles
from pipeline.report.sections import training
from pipeline.report.wording import Markdown, one_line, percent

DataKind = Literal["sft", "rehearsal", "pairs"]
AdapterKind = Literal["sft", "dpo"]

_KINDS: Mapping[str, tuple[type[records.Record], str, str]] = {
    "sft": (records.SftRow, "filter/sft.jsonl", "supervised examples: a prompt and the completion to learn"),
    "rehearsal": (
        records.SftRow,
        "filter/rehearsal.jsonl",
        "supervised examples of earlier stages, trained on again so that they are not forgotten",
    ),
    "pairs": (records.Pair, "pairs/pairs.jsonl", "preferences: a prompt with a chosen and a rejected completion"),
}


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What every card of a run repeats. None where the run does not say. `chain`: the stages whose adapters lie under
    this one's, in order."""

    run_id: str
    recipe: str
    recipe_sha256: str | None
    stage: int
    base_model: str
    base_revision: str | None
    seed: int | None
    code: str | None
    versions: Mapping[str, str]
    chain: Sequence[int] = ()
    overrides: Sequence[Mapping[str, Any]] = ()

    @property
    def licence(self) -> str | None:
        return licence_of(self.base_model)


@dataclass(frozen=True, slots=True)
class DataFile:
    """One data file as published: path in the run directory, rows, sha256."""

    path: str
    rows: int
    sha256: str


@dataclass(frozen=True)
class Outcome:
    """What the gate of a stage says of an adapter, and everything measured of it. `earlier`: its strict and lenient
    counts on the sets of earlier stages."""

    decision: Decision | None
    measured: Mapping[str, rates.Measured | None]
    earlier: Mapping[int, rates.Measured | None]
    why: str


def dataset_card(
    facts: CardFacts,
    kind: DataKind,
    file: DataFile,
    families: Mapping[str, int],
    filtering: str,
    quality: Mapping[str, Any],
    changed: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Card of one data file. `families`: rows a family; `filtering`: the recipe's data.filter; `quality`: measured
    facts (name -> value), shown as they are; `changed`: retries of the stage's data."""
    model, _, what = _KINDS[kind]
    front = {
        "pretty_name": f"{facts.run_id} stage {facts.stage} {kind}",
        "language": ["en"],
        "tags": ["synthetic", "constitutional-ai", kind],
        "size_categories": [_size(file.rows)],
        "configs": [{"config_name": kind, "data_files": file.path}],
    }
    return _render("data_card.md.j2", front, facts=facts, kind=kind, what=what, file=file, families=families,
                   filtering=filtering, quality=quality, fields=list(model.model_fields),
                   changed=changed)  # fmt: skip


def model_card(
    facts: CardFacts,
    kind: AdapterKind,
    adapter: Sequence[DataFile],
    settings: Mapping[str, Any],
    trained: Mapping[str, Any],
    data: Sequence[DataFile],
    outcome: Outcome | None,
    after_sft: bool = True,
) -> str:
    """Card of one adapter. `adapter`: its files (rows unused); `settings`: hyperparameters as trained; `trained`: what
    the training noted of itself; `data`: the files it was trained on; `outcome`: the gate's on the stage's *final*
    adapter, None for one that no gate judges; `after_sft`: whether
    preference training went on from the stage's SFT."""
    front = {
        "base_model": facts.base_model,
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["lora", "constitutional-ai", kind],
    }
    decision = outcome.decision if outcome else None
    told = answer(facts.stage, decision) if decision else None
    return _render("model_card.md.j2", front, facts=facts, kind=kind, adapter=adapter, settings=settings,
                   trained=trained, data=data, outcome=outcome, answer=told, after_sft=after_sft)  # fmt: skip


def write_cards(files: RunFiles) -> list[Path]:
    """Cards of every data file and adapter found, under `cards/` of the run directory."""
    written = []
    for stage in files.stages():
        facts = card_facts(files, stage)
        cards = {
            **{f"stage-{stage}-{k}-data.md": _data_card(files, facts, k) for k in ("sft", "rehearsal", "pairs")},
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
        chain=[n for n in files.stages() if n < stage and _final_adapter(files, n) is not None],
        overrides=overrides(files),
    )


# --- data ------------------------------------------------------------------------------------------------------------


def _data_card(files: RunFiles, facts: CardFacts, kind: DataKind) -> str | None:
    relative = f"stage-{facts.stage}/{_KINDS[kind][1]}"
    file = _data_file(files, relative)
    if file is None or (kind == "rehearsal" and not file.rows):
        return None
    families: dict[str, int] = {}
    for row in files.rows(relative):
        families[str(row.get("family"))] = families.get(str(row.get("family")), 0) + 1
    recipe = (files.json("run.json") or {}).get("recipe") or {}
    filtering = str((recipe.get("data") or {}).get("filter") or "not recorded")
    quality = _quality(files, facts.stage, kind)
    changed = retries(files, facts.stage)
    return dataset_card(facts, kind, file, dict(sorted(families.items())), filtering, quality, changed)


def _data_file(files: RunFiles, relative: str) -> DataFile | None:
    count = files.count(relative)
    return None if count is None else DataFile(relative, count, artifacts.sha256_file(files.root / relative))


def _quality(files: RunFiles, stage: int, kind: str) -> dict[str, Any]:
    if kind == "sft":
        kept = (known_truth(files, stage) or {}).get("kept")
        return _truth("rows", kept) if kept else {}
    if kind == "rehearsal":
        rows = list(files.rows(f"stage-{stage}/filter/rehearsal.jsonl"))
        stages = sorted({str(row.get("stage")) for row in rows})
        counts = {f"rows of stage {n}": sum(str(row.get("stage")) == n for row in rows) for n in stages}
        return {**counts, **_truth("rows", wrong(row.get("known_right") for row in rows))}
    found = pairs(files, stage)
    if found is None:
        return {}
    return {
        **{f"source {source}": count for source, count in found["sources"]},
        **_lengths(files, stage),
        **_truth("chosen sides", found["chosen_wrong"]),
        **_truth("rejected sides", found["rejected_wrong"]),
    }


def _lengths(files: RunFiles, stage: int) -> dict[str, str]:
    """Quartiles of the tokens of either side."""
    shown = {}
    for side in ("chosen", "rejected"):
        rows = files.rows(f"stage-{stage}/pairs/pairs.jsonl")
        one = spread(side, (row.get(f"{side}_tokens") for row in rows))
        if one is not None:
            shown[f"tokens of the {side} side: quartiles"] = f"{one.first:g}, {one.median:g}, {one.third:g}"
    return shown


def _truth(what: str, known: Mapping[str, Any]) -> dict[str, Any]:
    told = f"{known['wrong']} ({percent(known['share'])})" if known["known"] else None
    return {f"{what} whose truth a program knows": f"{known['known']} of {known['rows']}", f"{what} known wrong": told}


# --- adapters --------------------------------------------------------------------------------------------------------


def _final_adapter(files: RunFiles, stage: int) -> AdapterKind | None:
    """The training step whose adapter a stage hands on; None where it trained nothing."""
    for kind in ("dpo", "sft"):
        if _has_adapter(files, f"stage-{stage}/{kind}"):
            return "dpo" if kind == "dpo" else "sft"
    return None


def _has_adapter(files: RunFiles, step: str) -> bool:
    return files.manifest(step) is not None and (files.root / step / "adapter").is_dir()


def _adapter_card(files: RunFiles, facts: CardFacts, kind: AdapterKind) -> str | None:
    step = f"stage-{facts.stage}/{kind}"
    manifest = files.manifest(step)
    if manifest is None or not _has_adapter(files, step):
        return None
    listed = [row for row in manifest.get("outputs") or [] if str(row.get("path", "")).startswith("adapter/")]
    adapter = [DataFile(f"{step}/{row['path']}", 0, str(row.get("sha256"))) for row in listed]
    train = ((files.json("run.json") or {}).get("recipe") or {}).get("train") or {}
    chosen = {f"lora.{k}": v for k, v in (train.get("lora") or {}).items()} | (train.get(kind) or {})
    settings = {name: _setting(value) for name, value in chosen.items()}
    trained = dict((training(files, facts.stage, kind) or {}).get("facts") or ())
    names = ("filter/sft.jsonl", "filter/rehearsal.jsonl") if kind == "sft" else ("pairs/pairs.jsonl",)
    data = [one for name in names if (one := _data_file(files, f"stage-{facts.stage}/{name}")) and one.rows]
    outcome = _outcome(files, facts.stage) if _final_adapter(files, facts.stage) == kind else None
    after_sft = _has_adapter(files, f"stage-{facts.stage}/sft")
    return model_card(facts, kind, adapter, settings, trained, data, outcome, after_sft)


def _setting(value: Any) -> Any:
    """A recipe's value as a word; None is a choice there, not a gap."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else value


def _outcome(files: RunFiles, stage: int) -> Outcome:
    decision = files.gate(stage)
    earlier = {n: rates.on_set(files, stage, n).get("tuned") for n in files.stages() if n < stage}
    why = failing.why(decision, failing.families(files, stage, decision))
    return Outcome(decision, rates.conditions(files, stage, decision), earlier, why)


def _render(template: str, front: Mapping[str, Any], **values: Any) -> str:
    flat = {name: one_line(value, 400) if isinstance(value, str) else value for name, value in front.items()}
    header = Markdown(yaml.safe_dump(flat, sort_keys=False, allow_unicode=True, width=10_000).rstrip())
    return markdown_environment().get_template(template).render(front=header, **values)


def _size(rows: int) -> str:
    for limit, name in ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K")):
        if rows < limit:
            return name
    return "100K<n<1M"
