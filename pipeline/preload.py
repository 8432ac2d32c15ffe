"""The heavy imports, paid once in the fork server, and the two things a worker asks of torch: threads and seeds.

Importing this runs no kernel and touches no GPU, so that children may be forked from it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import random
import statistics
import threading
import time
from pathlib import Path

import numpy as np
import peft  # noqa: F401
import torch
import transformers
import trl  # noqa: F401
from tqdm import tqdm
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.conversion_mapping import get_model_conversion_mapping
from trl import DPOTrainer, SFTTrainer  # noqa: F401  (lazy modules: the import happens here, not in each child)

from pipeline.models.load import load_tokens
from pipeline.steps.common import held_out_index
from pipeline.threads import candidates

transformers.logging.set_verbosity_error()

_TURNS = 5


def keep(told: str) -> None:
    """Read what every step of a run would read again (`Options.keep`, as JSON): tokenizer and code of its model, the
    index of its held-out items. What fails here fails again in the step, which can say so."""
    shared = json.loads(told)
    if shared["model"]:
        with contextlib.suppress(Exception):
            load_tokens(Path(shared["model"]))
            learn_model(Path(shared["model"]))
    with contextlib.suppress(Exception):
        held_out_index(tuple(shared["stages"]), Path(shared["scratch"]))


def learn_model(path: Path) -> None:
    """Import a model's code and let transformers look up how its weights are named, without a weight or a kernel."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(path))
    get_model_conversion_mapping(model)
    model._can_set_attn_implementation()


if "MAXCAI_PRELOAD" in os.environ:
    keep(os.environ["MAXCAI_PRELOAD"])
gc.collect()
gc.freeze()  # a million objects that no child's collector need ever visit: their pages stay shared


def prepare(threads: int | None, seed: int) -> None:
    """Fix the CPU threads (None: leave torch's own) and every global random state of this process."""
    tqdm.set_lock(threading.RLock())  # its own lock is a named semaphore that a worker's quick exit would leave behind
    if threads is not None:
        torch.set_num_threads(threads)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def measure_threads(cores: int, seconds: float = 0.2) -> dict[str, float]:
    """GFLOP/s of fp32 products of the size that decoding makes, at 1, 2, 4 … `cores` threads, keyed by the count.

    Small products meet at a barrier each, which is where threads on busy cores lose; the counts take turns, and the
    median of the turns is kept, so that a moment's load does not decide.
    """
    a, b = torch.randn(32, 640), torch.randn(640, 2048)
    turns: dict[int, list[float]] = {threads: [] for threads in candidates(cores)}
    for _ in range(_TURNS):
        for threads, speeds in turns.items():
            torch.set_num_threads(threads)
            a @ b
            count, start = 0, time.perf_counter()
            while time.perf_counter() - start < seconds / _TURNS:
                a @ b
                count += 1
            speeds.append(count * 2 * 32 * 640 * 2048 / (time.perf_counter() - start) / 1e9)
    return {str(threads): statistics.median(speeds) for threads, speeds in turns.items()}


def facts(cores: int) -> dict[str, object]:
    """What `doctor` reports of torch."""
    cuda = torch.cuda.is_available()
    return {
        "torch": torch.__version__,
        "cuda_build": torch.version.cuda,
        "cuda_available": cuda,
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if cuda else [],
        "matmul_gflops_by_threads": measure_threads(cores),
    }


if __name__ == "__main__":
    import sys

    print(json.dumps(facts(int(sys.argv[1]))))
