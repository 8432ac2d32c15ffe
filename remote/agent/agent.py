"""The agent of a pod: starts jobs exactly once, tells their state, moves their bytes. It knows no job's purpose.

Packed by the client with the modules it needs into one file, standard library only, Python 3.9 and later, run as
`python3 -I -S agent-<sha12>.pyz VERB --root ROOT`. One JSON object comes in on stdin, one JSON line goes out:
{"v":1,"ok":true,...} or {"v":1,"ok":false,"code","detail"}. `read` is followed by frames (a JSON line with "n", then n
raw bytes); `blobs` takes content after the request; `push` and a serving `read` are conversations.

    <root>/.maxcai/cas/<sha256>                   content that arrived and is not in a tree yet
    <root>/.maxcai/trees/<tree id>/ and .json     code as pushed, immutable; its manifest and where it came from
    <root>/.maxcai/runs/<run id>/                 run directory of the job
    <root>/.maxcai/runs/<run id>/.agent/          console.log and {spec,start,hb,cancel,exit}-<attempt>.json; start.json
                                                  repeats the newest attempt's
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import BinaryIO

from . import reading, runs
from .disk import PROTOCOL, Json, Refused, free_bytes, os_refusal
from .kernel import command_output
from .reading import Out
from .runs import Pod

REQUEST_LIMIT = 64 << 20


def hello(_request: Json, pod: Pod, _stream: BinaryIO) -> Json:
    query = "--query-gpu=index,uuid,name,memory.total"
    listing = command_output(["nvidia-smi", query, "--format=csv,noheader,nounits"])
    rows = [[cell.strip() for cell in line.split(",")] for line in (listing or "").strip().split("\n") if line.strip()]
    return {
        "protocol": PROTOCOL,
        "incarnation": pod.incarnation,
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "platform": sys.platform,
        "clock": time.time(),
        "root": pod.root,
        "free_root": free_bytes(pod.root),
        "free_system": free_bytes("/"),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpus": [dict(zip(("index", "uuid", "name", "memory_mib"), row)) for row in rows],  # noqa: B905
    }


def parse_arguments(argv: list[str]) -> Json:
    args: Json = {"root": None, "locks": None, "incarnation_file": None}
    verb, rest = (argv[0], argv[1:]) if argv else ("", [])
    for flag, value in zip(rest[::2], rest[1::2]):  # noqa: B905
        name = flag[2:].replace("-", "_")
        if not flag.startswith("--") or name not in args:
            raise Refused("bad_request", f"unknown argument {flag}")
        args[name] = value
    if args["root"] is None or len(rest) % 2:
        raise Refused("bad_request", "usage: VERB --root ROOT [--locks DIR] [--incarnation-file FILE]")
    return {"verb": verb, **args}


def read_request(stream: BinaryIO) -> Json:
    line = stream.readline(REQUEST_LIMIT)
    try:
        request = json.loads(line or b"{}")
    except (ValueError, RecursionError):
        raise Refused("bad_request", "the request is not one line of JSON") from None
    if not isinstance(request, dict):
        raise Refused("bad_request", "the request is not a JSON object")
    return request


def verb_of(name: str) -> Callable[[Json, Pod, BinaryIO], Json]:
    """What does a verb; its module is loaded only then, since an agent lives for a few milliseconds."""
    if name in ("launch", "cancel"):
        from . import launch

        return launch.launch if name == "launch" else launch.cancel
    if name in ("manifest", "gc"):
        from . import content

        return {"manifest": content.manifest, "gc": content.gc}[name]
    if name == "blobs":
        from .receive import blobs

        return blobs
    if name == "shells":
        from .host import tell_shells

        return tell_shells
    if name == "watchdog":
        from .watchdog import watchdog

        return watchdog
    if name in ("status", "runs", "hello"):
        return {"status": runs.status, "runs": runs.list_runs, "hello": hello}[name]
    raise Refused("bad_request", f"unknown verb {name!r}")


def answer(args: Json, stream: BinaryIO, out: Out) -> None:
    request, pod = read_request(stream), Pod(args)
    if args["verb"] == "read":
        reading.read(request, pod, out, stream)
    elif args["verb"] == "push":
        from .receive import push

        push(request, pod, stream, out)
    elif args["verb"] == "host":
        from .host import host

        host(request, pod, out)
    else:
        out.line({"v": PROTOCOL, "ok": True, **verb_of(args["verb"])(request, pod, stream)})


def main() -> int:
    out = Out(sys.stdout.buffer)
    try:
        answer(parse_arguments(sys.argv[1:]), sys.stdin.buffer, out)
    except BrokenPipeError:
        os._exit(1)  # the link is gone; leave without flushing into it
    except Refused as refusal:
        out.line({"v": PROTOCOL, "ok": False, "code": refusal.code, "detail": refusal.detail, **refusal.more})
        return 1
    except OSError as error:
        out.line({"v": PROTOCOL, "ok": False, **os_refusal(error)})
        return 1
    return 0
