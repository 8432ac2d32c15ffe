"""Makes the tiny base model: tokenizer, pretraining on the synthetic corpus, choice of the checkpoint by criterion.

`python -m pipeline.tiny.make_base --out DIR` takes minutes on one thread. The result is shipped, since retraining on
another machine gives another model.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from pipeline import prompts
from pipeline.engines.base import Request
from pipeline.engines.transformers_engine import TransformersEngine
from pipeline.evals import scorers
from pipeline.evals.items import build, frozen_path, load
from pipeline.models.load import Tokens, load_model, load_tokens
from pipeline.recipe import Precision
from pipeline.stages.base import Gate, Item, Namespace, Stage
from pipeline.stages.families import by_name
from pipeline.steps.common import draw
from pipeline.tiny.corpus import Corpus, Document, weights_of

EOS = "<|endoftext|>"
FOLDER = Path(__file__).parent
_SPLIT = r"\n+| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+"


@dataclass(frozen=True)
class Spec:
    """Every number that makes the model what it is."""

    families: tuple[str, ...] = ("capitals", "opposites", "plurals", "past_tense", "copy", "uppercase")
    shares: Mapping[str, float] = field(
        default_factory=lambda: {
            "few_shot": 0.42, "alone": 0.40, "numbered": 0.06, "judgement": 0.04, "raw": 0.05, "prose": 0.03,
        }
    )  # fmt: skip
    seed: int = 20260
    vocabulary: int = 2048
    hidden: int = 96
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 256
    positions: int = 1024
    batch_tokens: int = 2560
    learning_rate: float = 4e-3
    warmup: int = 60
    steps: int = 3000
    average: float = 0.99  # decay of the averaged weights, which are what is kept
    check_every: int = 200
    few_shot_at_least: float = 0.9
    formatted_at_most: float = 0.3
    check_items: int = 72

    def digest(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Batch:
    """Right-padded ids [rows, width], the ids to predict and their weights; weight 0 bears no loss."""

    ids: Any
    targets: Any
    weights: Any


def corpus_of(spec: Spec) -> Corpus:
    """The corpus without any instruction of the frozen held-out block."""
    held_out = frozenset(item.instruction for item in load(frozen_path(1)))
    return Corpus(spec.families, held_out, spec.shares)


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


def batches(spec: Spec, corpus: Corpus, tokenizer: Tokenizer, eos: int) -> Iterator[Batch]:
    """Batches of about `batch_tokens` tokens, each of documents of similar length, in shuffled order."""
    rng = random.Random(spec.seed + 2)
    stream = corpus.documents(spec.seed + 3)
    while True:
        rows = sorted(_rows(list(islice(stream, 1600)), tokenizer, eos, spec.positions), key=lambda row: len(row[0]))
        groups: list[list[tuple[list[int], list[float]]]] = [[]]
        for row in rows:
            if len(row[0]) * (len(groups[-1]) + 1) > spec.batch_tokens:
                groups.append([])
            groups[-1].append(row)
        rng.shuffle(groups)
        yield from (_batch(group, eos) for group in groups if group)


def _rows(
    documents: list[Document], tokenizer: Tokenizer, eos: int, longest: int
) -> Iterator[tuple[list[int], list[float]]]:
    for document, encoded in zip(documents, tokenizer.encode_batch([d.text for d in documents]), strict=True):
        ids, weights = list(encoded.ids), weights_of(document, encoded.offsets)
        if document.closed:
            ids, weights = [*ids, eos], [*weights, 1.0]
        yield ids[:longest], weights[:longest]


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


def pretrain(spec: Spec, model: Any, stream: Iterator[Batch]) -> Iterator[tuple[int, float]]:
    """Train step by step; yields (step, loss). `model` is changed in place."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=spec.learning_rate, betas=(0.9, 0.98), weight_decay=0.05)
    for step, batch in enumerate(islice(stream, spec.steps), 1):
        rate = min(1.0, step / spec.warmup) * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / spec.steps)))
        for group in optimizer.param_groups:
            group["lr"] = spec.learning_rate * rate
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
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
    eos = tokenizer.token_to_id(EOS)
    model = make_model(spec, eos)
    model.load_state_dict(state)
    model.to(torch.bfloat16).save_pretrained(folder)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=EOS, pad_token=EOS, model_max_length=spec.positions,
        clean_up_tokenization_spaces=False,
    )  # fmt: skip
    wrapped.save_pretrained(folder)


def measure(folder: Path, spec: Spec) -> dict[str, dict[str, float]]:
    """Lenient and strict rates of a saved model on held-out items, few-shot and in the training format."""
    tokens, model = load_tokens(folder), load_model(folder, Precision.FP32, "cpu")
    engine = TransformersEngine(model, tokens, 8192)
    return {name: _rates(engine, tokens, spec, name) for name in ("base-formatted", "base-few-shot")}


def _rates(engine: TransformersEngine, tokens: Tokens, spec: Spec, condition: str) -> dict[str, float]:
    items = held_out(spec)
    families = {name: by_name(name) for name in spec.families}
    pools = {n: build(Stage(0, "pool", (f,), Gate(0.0)), Namespace.TRAIN, 48, 0) for n, f in families.items()}
    few = condition == "base-few-shot"
    requests = []
    for place, item in enumerate(items):
        shown = draw(pools[item.family], 4 if few else 0, place)
        text = prompts.few_shot([prompts.Example(i.instruction, i.answer) for i in shown], item.instruction)
        stops = (prompts.TERMINATOR,) if few else ()
        requests.append(Request(tuple(tokens.prompt(text)), families[item.family].max_new_tokens, stops))
    rates = dict.fromkeys(("strict", "lenient", *(f"lenient/{n}" for n in families)), 0.0)
    share = {n: sum(i.family == n for i in items) for n in families}
    for batch in engine.plan(requests):
        for i, done in zip(batch, engine.generate([requests[i] for i in batch]), strict=True):
            item = items[i]
            strict, lenient = scorers.score(families[item.family], item, done.text, done.finish, done.finish != "length")
            rates["strict"] += strict.passed / len(items)
            rates["lenient"] += lenient.passed / len(items)
            rates[f"lenient/{item.family}"] += lenient.passed / share[item.family]
    return {name: round(value, 4) for name, value in rates.items()}


def held_out(spec: Spec) -> list[Item]:
    """The first `check_items` frozen items of the families, equally many of each."""
    left = dict.fromkeys(spec.families, -(-spec.check_items // len(spec.families)))
    chosen = []
    for item in load(frozen_path(1)):
        if left.get(item.family, 0):
            left[item.family] -= 1
            chosen.append(item)
    return chosen


def make(out: Path, spec: Spec) -> dict[str, Any]:
    """Train until a checkpoint meets the criterion and write it to `out/base`, with `out/manifest.json` beside it.

    Raises:
        RuntimeError: no checkpoint met it.
    """
    torch.set_num_threads(1)
    corpus = corpus_of(spec)
    tokenizer = make_tokenizer(spec, corpus)
    eos = tokenizer.token_to_id(EOS)
    model = make_model(spec, eos)
    average, began = Average(model, spec.average), time.process_time()
    losses: list[float] = []
    for step, loss in pretrain(spec, model, batches(spec, corpus, tokenizer, eos)):
        losses.append(loss)
        average.update(model)
        if step % spec.check_every:
            continue
        save(out / "base", spec, tokenizer, average.state)
        load_tokens.cache_clear()
        rates = measure(out / "base", spec)
        seconds = time.process_time() - began
        print(step, f"{seconds:.0f} s", f"loss {sum(losses[-50:]) / 50:.3f}", json.dumps(rates), flush=True)
        few, formatted = rates["base-few-shot"]["lenient"], rates["base-formatted"]["lenient"]
        if few >= spec.few_shot_at_least and formatted <= spec.formatted_at_most:
            return _manifest(out, spec, model, {"step": step, "loss": sum(losses[-50:]) / 50, "rates": rates})
    raise RuntimeError("no checkpoint met the criterion; train longer or change the corpus")


def _manifest(out: Path, spec: Spec, model: Any, accepted: Mapping[str, Any]) -> dict[str, Any]:
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted((out / "base").iterdir())}
    made = {
        "recipe": asdict(spec),
        "recipe_sha256": spec.digest(),
        "parameters": sum(p.numel() for p in model.parameters()),
        "accepted": dict(accepted),
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
