"""Whose weights a step works with: the base, what the chain has left so far, or a role of the stage.

The merged weights of a stage are scratch: they lie under `scratch/`, are never published, and are merged again from the
published adapters wherever they are missing. Merging is deterministic, so that changes nothing.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pipeline.protocol import RunPaths
from pipeline.recipe import Model, Precision
from pipeline.stages.base import Role
from pipeline.steps.base import StepContext
from pipeline.times import TimedEngine

if TYPE_CHECKING:
    from pipeline.engines.base import Engine
    from pipeline.models.load import Tokens


@dataclass(frozen=True)
class Opened:
    """The model of this step. `digest` names its weights, adapters included; `base` those without any."""

    engine: Engine
    tokens: Tokens
    digest: str
    base: str

    @contextlib.contextmanager
    def without_adapter(self) -> Iterator[Opened]:
        """The same weights with the adapter switched off: equal in everything else by construction."""
        if self.digest == self.base:
            yield self
            return
        with self.engine.without_adapter():
            yield Opened(self.engine, self.tokens, self.base, self.base)


def open_engine(ctx: StepContext, precision: Precision, adapter: Path | None = None) -> Opened:
    """Load the weights that this stage starts from, with an adapter on top where one is named."""
    from pipeline.models.load import attach_adapter

    with ctx.times.count("loading"):
        if ctx.recipe.hardware.engine == "vllm":
            return _served(ctx, precision, adapter)
        model, tokens, base = load_base(ctx, precision)
        if adapter is None:
            return _opened(ctx, model, tokens, base, base)
        return _opened(ctx, attach_adapter(model, adapter), tokens, adapter_digest(base, adapter), base)


def open_role(ctx: StepContext, role: Role, precision: Precision) -> Opened:
    """Load the model that plays a role in this stage's data (`pipeline.stages.base.Role`)."""
    if role in ("previous", f"stage-{ctx.previous}"):
        return open_engine(ctx, precision)
    return open_model(ctx, ctx.recipe.model, precision, _adapters(ctx, _up_to(ctx, role)))


def open_model(
    ctx: StepContext,
    wanted: Model,
    precision: Precision,
    adapters: list[tuple[str, Path]] | None = None,
    chat: bool = False,
) -> Opened:
    """Load a model by its id, with adapters of the chain stacked on it; `chat` as in `load_tokens`."""
    from pipeline.models.load import attach_adapters, device_of, load_model, load_tokens
    from pipeline.models.resolve import resolve

    with ctx.times.count("loading"):
        found = resolve(wanted)
        model = load_model(found.path, precision, device_of(ctx.recipe.hardware.device))
        digest = found.digest
        for _, path in adapters or ():
            digest = adapter_digest(digest, path)
        if adapters:
            model = attach_adapters(model, adapters)
        return _opened(ctx, model, load_tokens(found.path, chat), digest, found.digest)


def load_base(ctx: StepContext, precision: Precision) -> tuple[Any, Tokens, str]:
    """(model, tokens, digest) of the weights that this stage starts from."""
    from pipeline.models.load import device_of, load_model, load_tokens

    path, digest = start_weights(ctx)
    return load_model(path, precision, device_of(ctx.recipe.hardware.device)), load_tokens(path), digest


def start_weights(ctx: StepContext) -> tuple[Path, str]:
    """Directory and digest of what this stage starts from: the merged model of the stage before, else the base."""
    return weights_after(ctx, ctx.previous)


def stage_base(ctx: StepContext) -> Path:
    """Directory of the weights under this stage's adapter."""
    return start_weights(ctx)[0]


def merged_path(ctx: StepContext, stage: int) -> Path:
    """Where the merged weights of a stage lie while they are needed."""
    return RunPaths(ctx.run_dir).merged(stage)


def weights_after(ctx: StepContext, stage: int | None) -> tuple[Path, str]:
    """Directory and digest of the chain's weights after `stage`; the base's for None.

    Missing merged weights are made again from the stages' adapters.
    """
    from pipeline.models.merge import merge_adapter
    from pipeline.models.resolve import resolve

    trained = [k for k in _chain_to(ctx, stage) if adapter_of(ctx, k)]
    if not trained:
        found = resolve(ctx.recipe.model)
        return found.path, found.digest
    last = trained[-1]
    folder = merged_path(ctx, last)
    noted = merge_note(ctx, last)
    if not folder.is_dir():
        before = weights_after(ctx, trained[-2] if len(trained) > 1 else None)[0]
        adapter = adapter_of(ctx, last)
        assert adapter is not None
        report = merge_adapter(before, adapter, folder)
        if noted is not None and report.digest != noted["digest"]:
            raise ValueError(f"stage {last} merged anew to {report.digest[:12]}, noted was {noted['digest'][:12]}")
        return folder, report.digest
    if noted is None:
        raise ValueError(f"{folder} is there, but stage-{last}/merge says nothing about it; remove the folder")
    return folder, str(noted["digest"])


def merge_note(ctx: StepContext, stage: int) -> dict[str, Any] | None:
    """What the merge step of a stage published; None before it has."""
    try:
        body = json.loads((ctx.input(f"stage-{stage}/merge") / "merge.json").read_text())
    except FileNotFoundError:
        return None
    return body if isinstance(body, dict) else None


def adapter_of(ctx: StepContext, stage: int) -> Path | None:
    """The adapter that a stage ended with: DPO's, else SFT's, else None where nothing was trained."""
    for step in ("dpo", "sft"):
        folder = ctx.input(f"stage-{stage}/{step}") / "adapter"
        if (folder / "adapter_model.safetensors").exists():
            return folder
    return None


def tuned_adapter(ctx: StepContext) -> Path | None:
    """The adapter that this stage's SFT left; None where the recipe switches it off."""
    return ctx.input(f"stage-{ctx.stage}/sft") / "adapter" if ctx.recipe.train.sft.enabled else None


def last_adapter(ctx: StepContext) -> Path | None:
    """The adapter of this stage's candidate; None where nothing was trained."""
    return adapter_of(ctx, ctx.stage)


def adapter_digest(base: str, adapter: Path) -> str:
    """One digest for base plus adapter."""
    from pipeline.artifacts import sha256_file, sha256_json

    return sha256_json([base, sha256_file(adapter / "adapter_model.safetensors")])


def _opened(ctx: StepContext, model: Any, tokens: Tokens, digest: str, base: str) -> Opened:
    from pipeline.engines.transformers_engine import TransformersEngine

    engine = TransformersEngine(model, tokens, _batch_tokens(ctx))
    return Opened(cast("Engine", TimedEngine(engine, ctx.times)), tokens, digest, base)


def _served(ctx: StepContext, precision: Precision, adapter: Path | None) -> Opened:
    """As `open_engine`, on vLLM; other models and stacked adapters stay with transformers."""
    from pipeline.engines.vllm_engine import VllmEngine
    from pipeline.models.load import load_tokens

    path, base = start_weights(ctx)
    tokens = load_tokens(path)
    engine = VllmEngine.load(path, tokens, precision, _batch_tokens(ctx), adapter, ctx.recipe.hardware.gpus)
    digest = base if adapter is None else adapter_digest(base, adapter)
    return Opened(cast("Engine", TimedEngine(engine, ctx.times)), tokens, digest, base)


def _batch_tokens(ctx: StepContext) -> int:
    """The batch size this step began with: a resumed step must plan the very batches that it began."""
    from pipeline.artifacts import write_atomic

    note = ctx.out / ".batch_tokens"
    if not note.exists():
        write_atomic(note, str(ctx.recipe.runtime.generate_tokens).encode())
    return int(note.read_text())


def _chain_to(ctx: StepContext, stage: int | None) -> tuple[int, ...]:
    chain = ctx.recipe.stages
    return () if stage is None else chain[: chain.index(stage) + 1]


def _up_to(ctx: StepContext, role: Role) -> int | None:
    """The last stage whose adapter a role carries; one that the recipe leaves out is played by the one before."""
    if role == "base":
        return None
    wanted = int(role.removeprefix("stage-"))
    return next((k for k in reversed(ctx.earlier) if k <= wanted), None)


def _adapters(ctx: StepContext, stage: int | None) -> list[tuple[str, Path]]:
    return list(_trained(ctx, stage))


def _trained(ctx: StepContext, stage: int | None) -> Iterator[tuple[str, Path]]:
    for k in _chain_to(ctx, stage):
        adapter = adapter_of(ctx, k)
        if adapter is not None:
            yield f"stage-{k}", adapter
