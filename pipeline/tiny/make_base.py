"""Makes the tiny base model: tokenizer, pretraining on the synthetic corpus, choice of the checkpoint by criterion.

`python -m pipeline.tiny.make_base --out DIR` takes minutes on one thread. The result is shipped, since retraining on
another machine gives another model.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from pipeline.evals.items import build_frozen
from pipeline.stages.base import Gate, Stage
from pipeline.stages.registry import by_name
from pipeline.tiny.acceptance import accepted, measure
from pipeline.tiny.corpus import Corpus, Document, weights_of
from pipeline.tiny.muon import Muon
from pipeline.tiny.spec import Course, Spec

EOS = "<|endoftext|>"
BLOCKS, REPORT_EVERY = (0, 1), 100
_SPLIT = r"\n+| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+"


@dataclass(frozen=True, slots=True)
class Batch:
    """Right-padded ids [rows, width], the ids to predict and their weights; weight 0 bears no loss."""

    ids: Any
    targets: Any
    weights: Any


def corpus_of(spec: Spec, course: Course | None = None) -> Corpus:
    """The corpus without any instruction of the held-out blocks, with what a course lays stress on."""
    alone = (Stage(0, name, (by_name(name),), Gate(0.0)) for name in spec.families)
    held_out = (item for family in alone for block in BLOCKS for item in build_frozen(family, block))
    stress = course.emphasis if course else {}
    return Corpus(spec.families, spec.unruly, frozenset(item.instruction for item in held_out), spec.shares, stress)


def make_tokenizer(spec: Spec, corpus: Corpus, documents: int = 12_000) -> Tokenizer:
    """Byte-level BPE; newlines, words with their blank, single digits and marks are never merged with each other."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=spec.vocabulary,
        special_tokens=[EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (d.text for d in islice(corpus.documents(spec.seed + 1), documents))
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def end_of_text(tokenizer: Tokenizer) -> int:
    """Its id; 0, since special tokens come first."""
    found = tokenizer.token_to_id(EOS)
    if found is None:
        raise ValueError(f"the tokenizer has no {EOS}")
    return int(found)


def make_model(spec: Spec, eos: int) -> Any:
    """A Qwen2 model with random weights, embeddings tied."""
    torch.manual_seed(spec.seed)
    config = Qwen2Config(
        vocab_size=spec.vocabulary,
        hidden_size=spec.hidden,
        intermediate_size=spec.feed_forward,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.heads,
        num_key_value_heads=spec.kv_heads,
        max_position_embeddings=spec.positions,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=eos,
        pad_token_id=eos,
        initializer_range=0.05,
    )
    return Qwen2ForCausalLM(config)


def batches(spec: Spec, seed: int, corpus: Corpus, tokenizer: Tokenizer, eos: int) -> Iterator[Batch]:
    """Batches of about `batch_tokens` tokens, each of documents of similar length, in shuffled order."""
    rng = random.Random(seed + 2)
    stream = corpus.documents(seed + 3)
    while True:
        rows = sorted(_rows(list(islice(stream, 1600)), tokenizer, eos, rng), key=lambda row: len(row[0]))
        groups: list[list[tuple[list[int], list[float]]]] = [[]]
        for row in rows:
            if len(row[0]) * (len(groups[-1]) + 1) > spec.batch_tokens:
                groups.append([])
            groups[-1].append(row)
        rng.shuffle(groups)
        yield from (_batch(group, eos) for group in groups if group)


def _rows(
    documents: list[Document], tokenizer: Tokenizer, eos: int, rng: random.Random
) -> Iterator[tuple[list[int], list[float]]]:
    """Ids and weights. A weight below 1 is the chance to bear loss at all: the same mean for fewer logits."""
    for document, encoded in zip(documents, tokenizer.encode_batch([d.text for d in documents]), strict=True):
        ids, weights = list(encoded.ids), weights_of(document, encoded.offsets)
        if document.closed:
            ids, weights = [*ids, eos], [*weights, 1.0]
        yield ids, [w if w >= 1 else float(rng.random() < w) for w in weights]


def _batch(rows: list[tuple[list[int], list[float]]], pad: int) -> Batch:
    width = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([r + [pad] * (width - len(r)) for r, _ in rows])
    weights = torch.tensor([w + [0.0] * (width - len(w)) for _, w in rows])
    return Batch(ids[:, :-1], ids[:, 1:], weights[:, 1:])


def loss_of(model: Any, batch: Batch) -> Any:
    """Weighted mean cross-entropy in nats. Causal attention needs no mask for padding on the right."""
    hidden = model.model(input_ids=batch.ids).last_hidden_state
    bears = batch.weights > 0
    logits = model.lm_head(hidden[bears])
    weights = batch.weights[bears]
    return (cross_entropy(logits, batch.targets[bears], reduction="none") * weights).sum() / weights.sum()


def pretrain(spec: Spec, course: Course, model: Any, stream: Iterator[Batch]) -> Iterator[tuple[int, float]]:
    """Train step by step; yields (step, loss). `model` is changed in place."""
    inner = {id(p) for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name}
    muon = Muon(p for p in model.parameters() if id(p) in inner)
    others = [p for p in model.parameters() if id(p) not in inner]
    adam = torch.optim.AdamW(others, lr=spec.learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    for step, batch in enumerate(islice(stream, course.steps), 1):
        rate = min(1.0, step / spec.warmup, (course.planned - step + 1) / course.decay)
        adam.param_groups[0]["lr"] = spec.learning_rate * rate
        model.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        adam.step()
        muon.step(spec.matrix_rate * rate)
        yield step, float(loss.detach())


class Average:
    """Exponential moving average of the weights."""

    def __init__(self, model: Any, decay: float) -> None:
        self.decay = decay
        self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}

    def update(self, model: Any) -> None:
        for name, value in model.state_dict().items():
            self.state[name].lerp_(value.detach(), 1 - self.decay)


def save(folder: Path, spec: Spec, tokenizer: Tokenizer, state: Mapping[str, Any]) -> None:
    """Model directory in bf16 as any loader expects it."""
    eos = end_of_text(tokenizer)
    model = make_model(spec, eos)
    model.load_state_dict(state)
    model.to(torch.bfloat16).save_pretrained(folder)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=EOS, pad_token=EOS, model_max_length=spec.positions,
        clean_up_tokenization_spaces=False,
    )  # fmt: skip
    wrapped.save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)


def make(out: Path, spec: Spec) -> dict[str, Any]:
    """Train course after course and write the model to `out/base`, with `out/manifest.json` beside it.

    Raises:
        RuntimeError: the last course ends with a model that does not meet the criterion.
    """
    torch.set_num_threads(1)
    tokenizer = make_tokenizer(spec, corpus_of(spec))
    model = make_model(spec, end_of_text(tokenizer))
    losses: list[float] = []
    for course in spec.courses:
        losses = _take(spec, course, tokenizer, model, out / "base")
        # the averaged weights, rounded as they are stored, are what the next course starts from
        model = Qwen2ForCausalLM.from_pretrained(out / "base", dtype=torch.float32)
    rates = measure(out / "base", spec)
    print(json.dumps(rates), flush=True)
    if not accepted(rates, spec):
        raise RuntimeError("the model does not meet the criterion; train longer or change the corpus")
    return _manifest(out, spec, model, {"loss": sum(losses[-50:]) / 50, "rates": rates})


def _take(spec: Spec, course: Course, tokenizer: Tokenizer, model: Any, folder: Path) -> list[float]:
    """One course: the losses of its steps. The averaged weights are saved in `folder`."""
    eos, average, began = end_of_text(tokenizer), Average(model, spec.average), time.process_time()
    losses = []
    for step, loss in pretrain(
        spec, course, model, batches(spec, course.seed, corpus_of(spec, course), tokenizer, eos)
    ):
        losses.append(loss)
        average.update(model)
        if step % REPORT_EVERY == 0:
            print(step, f"{time.process_time() - began:.0f} s", f"loss {sum(losses[-50:]) / 50:.3f}", flush=True)
    save(folder, spec, tokenizer, average.state)
    return losses


def _manifest(out: Path, spec: Spec, model: Any, chosen: Mapping[str, Any]) -> dict[str, Any]:
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted((out / "base").iterdir())}
    made = {
        "recipe": spec.as_dict(),
        "recipe_sha256": spec.digest(),
        "parameters": sum(p.numel() for p in model.parameters()),
        "accepted": dict(chosen),
        "versions": {"torch": torch.__version__},
        "sha256": files,
    }
    (out / "manifest.json").write_text(json.dumps(made, indent=1) + "\n")
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the tiny base model.")
    parser.add_argument("--out", type=Path, required=True)
    make(parser.parse_args().out, Spec())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
