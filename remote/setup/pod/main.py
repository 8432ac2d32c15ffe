"""The set-up's side on the pod: `look` at what is there, `check` its fitness, `work` detached, write the `session`.

Packed by `remote.setup.script` with what it needs of the agent into one file, and spoken to as the agent is: one JSON
object on stdin, one JSON line back. `work` alone is started as a detached job, takes its request as an argument, and
tells its progress in `<run directory>/setup-<attempt>.jsonl`.

    <root>/.maxcai/env/<lock hash>/     an environment; whole when complete.json is in it
    <root>/.maxcai/models/<key>.json    a model that was fetched
    <root>/.maxcai/session.json         what this session of the pod works with
    <root>/.maxcai/pip-cache/           what pip downloaded
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time

from remote.agent.disk import PROTOCOL, Json, Refused, canonical, os_refusal, read_json, write_json
from remote.agent.kernel import pod_environment
from remote.agent.runs import Pod, run_ids, summary

from . import checks, environment, model, pythons
from .lock import hash_of, lock
from .notes import Notes


def session_path(pod: Pod) -> str:
    return os.path.join(pod.base, "session.json")


def wish_of(request: Json, pod: Pod) -> tuple[Json, str]:
    """The wish of a request, checked, and its tree's folder."""
    wish = request.get("wish")
    if not isinstance(wish, dict):
        raise Refused("bad_request", "no wish")
    folder = pod.tree_dir(wish.get("tree"))
    if not os.path.isdir(folder):
        raise Refused("no_tree", f"tree {wish['tree'][:12]} is not on this pod")
    return wish, folder


def look(request: Json, pod: Pod) -> Json:
    """What is there and what is missing. Writes nothing."""
    wish, folder = wish_of(request, pod)
    made_of, base = lock(folder, wish)
    digest = hash_of(made_of)
    marker = environment.complete(pod, digest)
    where = environment.folder(pod, digest)
    wheels = os.listdir(os.path.dirname(where)) if os.path.isdir(os.path.dirname(where)) else []
    has_pip = bool(base["pip_wheel"] or any(name.endswith(".whl") for name in wheels))
    found: Json = {
        "incarnation": pod.incarnation,
        "clock": time.time(),
        "hash": digest,
        "lock": made_of,
        "environment": {"path": where, "complete": marker, "half_built": marker is None and os.path.isdir(where)},
        "has_pip": has_pip,
        "session": read_json(session_path(pod)),
        "model": None,
    }
    if wish["recipe"] is not None:
        key = model.key_of(folder, wish, digest)
        found["model"] = {"key": key, "complete": model.complete(pod, key)}
    asked = {**wish, "hash": digest, "model": found["model"] and found["model"]["key"]}
    found["wish"] = hashlib.sha256(canonical([asked])).hexdigest()[:16]
    return found


def check(request: Json, pod: Pod) -> Json:
    """The preflight; it also runs, and says so, where no interpreter is new enough."""
    base, seen = None, "no Python 3.11 or later"
    wants_torch = False
    try:
        wish, folder = wish_of(request, pod)
        made_of, base = lock(folder, wish)
        wants_torch = made_of["torch"] is not None
    except Refused as refusal:
        if refusal.code not in ("no_python", "no_torch"):
            raise
        seen = refusal.detail
    rows = checks.examine({**request, "wants_torch": wants_torch}, pod.root, base, seen)
    return {"clock": time.time(), "checks": rows}


def session(request: Json, pod: Pod) -> Json:
    """Write the session's manifest: what the laptop knows of the pod, and what is here."""
    wish, _ = wish_of(request, pod)
    found = look(request, pod)
    marker = found["environment"]["complete"]
    fetched = found["model"] and found["model"]["complete"]
    if marker is None or (found["model"] and not fetched):
        raise Refused("incomplete", "the set-up is not complete")
    cards, _ = checks.gpus()
    body: Json = {
        "v": 1,
        "pod": request.get("pod") or {},
        "incarnation": pod.incarnation,
        "tree": wish["tree"],
        "wish": found["wish"],
        "environment": found["hash"],
        "interpreter": environment.python_of(pod, found["hash"]),
        "python": marker["python"],
        "torch": marker["torch"],
        "cuda": marker["cuda"],
        "gpus": [card["name"] for card in cards],
        "driver": cards[0]["driver"] if cards else None,
        "recipe": wish["recipe"],
        "model": {name: fetched.get(name) for name in ("path", "sha256")} if fetched else None,
        "variables": model.homes(pod.root, pod_environment()),
        "checks": request.get("checks") or [],
        "written": time.time(),
    }
    write_json(session_path(pod), body)
    return {"session": body}


def prune(_request: Json, pod: Pod) -> Json:
    """Remove the environments that the session does not use. Never while a run is alive: it may use one of them."""
    keep = (read_json(session_path(pod)) or {}).get("environment")
    if keep is None:
        raise Refused("incomplete", "there is no session here that says which environment is used")
    for run_id in run_ids(pod):
        if summary(pod, run_id)["state"] in ("running", "orphaned"):
            raise Refused("alive", f"run {run_id} is alive on this pod")
    base = os.path.join(pod.base, "env")
    removed = [name for name in sorted(os.listdir(base)) if name != keep and os.path.isdir(os.path.join(base, name))]
    for name in removed:
        shutil.rmtree(os.path.join(base, name))
    return {"removed": removed}


def work(args: Json, pod: Pod) -> int:
    """Environment and model, as a job. Exit code 0 when both are complete; the reason else is in the progress file."""
    request = json.loads(args["request"])
    run_dir = os.environ["MAXCAI_RUN_DIR"]
    notes = Notes(os.path.join(run_dir, f"setup-{args['attempt']}.jsonl"))
    log = os.path.join(run_dir, "logs", "setup.log")
    try:
        notes.begin("environment", "looking at the pod's Python")
        wish, folder = wish_of(request, pod)
        made_of, base = lock(folder, wish)
        marker = environment.build(pod, made_of, base, log, notes)
        if wish["recipe"] is not None:
            notes.begin("model", f"model of recipe {wish['recipe']}")
            model.fetch(pod, wish, marker["hash"], log, notes)
    except Refused as refusal:
        notes.failed(refusal)
        return 1
    except OSError as error:
        told = os_refusal(error)
        notes.failed(Refused(told["code"], told["detail"]))
        return 1
    return 0


def parse(argv: list[str]) -> Json:
    args: Json = {"root": None, "locks": None, "incarnation_file": None, "request": None, "attempt": None}
    for flag, value in zip(argv[1::2], argv[2::2]):  # noqa: B905
        name = flag[2:].replace("-", "_")
        if not flag.startswith("--") or name not in args:
            raise Refused("bad_request", f"unknown argument {flag}")
        args[name] = value
    if args["root"] is None or len(argv) % 2 == 0:
        raise Refused("bad_request", "usage: VERB --root ROOT …")
    return {"verb": argv[0], **args}


def modernise() -> None:
    """Go on with a newer interpreter of the image when this one is too old for the pipeline."""
    if sys.version_info[:2] < pythons.OLDEST and (better := pythons.modern()) is not None:
        os.execv(better, [better, "-I", "-S", *sys.argv])


def main() -> int:
    modernise()
    try:
        args = parse(sys.argv[1:])
        if args["verb"] == "work":
            return work(args, Pod(args))
        verbs = {"look": look, "check": check, "session": session, "prune": prune}
        if args["verb"] not in verbs:
            raise Refused("bad_request", f"unknown verb {args['verb']!r}")
        answer = {"ok": True, **verbs[args["verb"]](json.loads(sys.stdin.buffer.readline() or b"{}"), Pod(args))}
    except Refused as refusal:
        answer = {"ok": False, "code": refusal.code, "detail": refusal.detail, **refusal.more}
    except OSError as error:
        answer = {"ok": False, **os_refusal(error)}
    print(json.dumps({"v": PROTOCOL, **answer}, separators=(",", ":")))
    return 0 if answer["ok"] else 1
