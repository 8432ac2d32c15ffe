"""Brings a recipe's model to the volume: runs the pushed pipeline's own `fetch` and notes what came.

What a model is, where it comes from and whether its bytes are right is the pipeline's to say; here is the waiting.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator

from remote.agent.disk import Json, Refused, canonical, read_json, walk, write_json
from remote.agent.runs import Pod

from .children import ask, logged
from .environment import python_of, variables
from .notes import Notes

_FULL = re.compile(r"No space left on device|Disk quota exceeded|\[Errno (28|122)\]")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+\Z")
_SIZES = """\
import fnmatch, json, sys
from huggingface_hub import HfApi
total = 0
for name, revision in json.loads(sys.argv[1]):
    files = HfApi().model_info(name, revision=revision, files_metadata=True).siblings
    total += sum(f.size or 0 for f in files if any(fnmatch.fnmatch(f.rfilename, p) for p in ("*.json", "*.safetensors", "*.model", "*.txt")))
print(total)
"""  # noqa: E501
"""Bytes to be downloaded, asked of the hub in the environment's Python. Progress only: without an answer, unknown."""


def homes(root: str, environ: dict[str, str]) -> dict[str, str]:
    """Where models lie: on the volume, unless the pod's own settings say otherwise."""
    found = {"HF_HOME": environ.get("HF_HOME") or os.path.join(root, "models")}
    if environ.get("MAXCAI_CACHE_DIR"):
        found["MAXCAI_CACHE_DIR"] = environ["MAXCAI_CACHE_DIR"]
    elif not environ.get("XDG_CACHE_HOME"):
        found["MAXCAI_CACHE_DIR"] = os.path.join(root, "models", "maxcai")
    return found


def key_of(tree: str, wish: Json, environment: str) -> str:
    """Names what is to be fetched: the recipe, everything it may extend, the code that fetches, the environment."""
    files = [os.path.join("pipeline", "recipes"), os.path.join("pipeline", "models"), wish["recipe"]]
    digest = hashlib.sha256(canonical([{"recipe": wish["recipe"], "set": wish["set"], "environment": environment}]))
    for path in sorted(_files(tree, files)):
        with open(os.path.join(tree, path), "rb") as file:
            digest.update(f"\0{path}\0".encode() + hashlib.sha256(file.read()).digest())
    return digest.hexdigest()[:24]


def _files(tree: str, names: list[str]) -> Iterator[str]:
    inside = os.path.realpath(tree) + os.sep
    for name in names:
        path = os.path.realpath(os.path.join(tree, name))
        if not path.startswith(inside):
            continue
        if os.path.isdir(path):
            found = [
                os.path.join(path, below) for below, _info in walk(path) if below.endswith((".py", ".yaml", ".yml"))
            ]
            yield from (os.path.relpath(one, inside) for one in found)
        elif os.path.isfile(path):
            yield os.path.relpath(path, inside)


def marker_path(pod: Pod, key: str) -> str:
    return os.path.join(pod.base, "models", f"{key}.json")


def complete(pod: Pod, key: str) -> Json | None:
    """The note of a fetched model whose files are all there with their sizes, else None."""
    marker = read_json(marker_path(pod, key))
    if marker is None:
        return None
    try:
        same = files_of(str(marker["path"])) == marker["files"]
    except (OSError, KeyError):
        return None
    return marker if same and marker["files"] else None


def files_of(path: str) -> list[list[object]]:
    """[name, bytes] of every file of a model directory, through the symlinks of the hub's cache."""
    names = sorted(os.listdir(path))
    return [
        [name, os.stat(os.path.join(path, name)).st_size] for name in names if os.path.isfile(os.path.join(path, name))
    ]


def fetch(pod: Pod, wish: Json, environment: str, log: str, notes: Notes) -> Json:
    """Fetch unless complete. Returns the marker. Raises Refused: "fetch", "disk_full"."""
    tree = pod.tree_dir(wish["tree"])
    key = key_of(tree, wish, environment)
    marker = complete(pod, key)
    if marker is not None:
        notes.end("complete already")
        return marker
    python, env = python_of(pod, environment), variables(pod)
    env.update(homes(pod.root, env), PYTHONPATH=tree, PYTHONDONTWRITEBYTECODE="1", MAXCAI_ONLINE="1", TQDM_DISABLE="1")
    begin = time.monotonic()
    gauge = Gauge(env["HF_HOME"], hub_bytes(python, tree, wish, env), notes)
    words: list[str] = []
    argv = [python, "-m", "pipeline", "fetch", "--recipe", wish["recipe"]]
    argv += [part for setting in wish["set"] for part in ("--set", setting)]
    code, last = logged(argv, env, tree, log, lambda line: _heard(line, words, notes), gauge.tick)
    if code != 0:
        full = any(_FULL.search(line) for line in last)
        raise Refused("disk_full" if full else "fetch", env["HF_HOME"] if full else _reason(last, code, log), last=last)
    marker = {
        "key": key,
        "recipe": wish["recipe"],
        "seconds": round(time.monotonic() - begin, 1),
        "fetched": time.time(),
    }
    marker.update(_found(words, last))
    os.makedirs(os.path.dirname(marker_path(pod, key)), exist_ok=True)
    write_json(marker_path(pod, key), marker)
    notes.end(f"fetched in {marker['seconds']:.0f} s: {marker['path']}")
    return marker


def _heard(line: str, words: list[str], notes: Notes) -> None:
    words.append(line)
    del words[:-50]
    notes.brief(line)


def _reason(last: list[str], code: int, log: str) -> str:
    told = [line for line in last if line.startswith("error: ")]
    return f"{told[-1][7:] if told else f'fetching ended with code {code}'} (the whole output is in {log})"


def _found(words: list[str], last: list[str]) -> Json:
    """The directory that `fetch` printed, its digest, and its files."""
    path = next((line for line in reversed([*words, *last]) if os.path.isabs(line) and os.path.isdir(line)), None)
    if path is None:
        raise Refused("fetch", "the pipeline said that the model is there, and not where", last=last)
    digests = [hit.group(1) for hit in (re.search(r"\bsha256 ([0-9a-f]{64})", line) for line in words) if hit]
    return {"path": path, "sha256": digests[-1] if digests else None, "files": files_of(path)}


def hub_bytes(python: str, tree: str, wish: Json, env: dict[str, str]) -> int | None:
    """Bytes that the recipe's hub models have altogether; None when they come from elsewhere or nobody says."""
    answer = ask([python, "-m", "pipeline", "recipes", wish["recipe"], "--json"], 120.0, env, tree)
    try:
        models = sorted(set(_hub_models(json.loads(answer.out)))) if answer.code == 0 else []
    except ValueError:
        return None
    if not models:
        return None
    told = ask([python, "-I", "-c", _SIZES, json.dumps(models)], 30.0, env)
    word = told.out.strip()
    return int(word) if told.code == 0 and word.isdigit() and int(word) else None


def _hub_models(body: object) -> Iterator[tuple[str, str]]:
    """(id, revision) of what looks like a hub model anywhere in a recipe."""
    values = body.values() if isinstance(body, dict) else body if isinstance(body, list) else ()
    if isinstance(body, dict) and "revision" in body and _HUB_ID.match(str(body.get("id"))):
        yield body["id"], body["revision"] or "main"
    for value in values:
        yield from _hub_models(value)


class Gauge:
    """How far a download is, by what lies in the cache."""

    def __init__(self, home: str, total: int | None, notes: Notes) -> None:
        self.home, self.total, self.notes = home, total, notes

    def tick(self) -> None:
        size = sum(info.st_blocks * 512 for _name, info in walk(self.home)) if os.path.isdir(self.home) else 0
        if size:
            self.notes.brief("downloading", size, self.total)
