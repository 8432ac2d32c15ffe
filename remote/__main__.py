"""`python -m remote`: pods without the rest of the product. Data is JSON on stdout, narration and errors on stderr."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from remote.costs import Ledger
from remote.errors import ConfigError, RemoteError
from remote.pods import lifecycle, registry
from remote.pods.model import Pod


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit codes: 0 ok, 1 failed, 2 usage, 3 refused by a guard, 4 unreachable."""
    options = _parser().parse_args(argv)
    try:
        answer, code = asyncio.run(_perform(options))
    except RemoteError as exc:
        if options.debug:
            raise
        print(f"error: {exc}" + (f"\n  {exc.hint}" if exc.hint else ""), file=sys.stderr)
        return exc.exit_code
    except KeyboardInterrupt:
        return 130
    print(json.dumps(answer))
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m remote", description="Pods, and commands on them, over SSH.")
    parser.add_argument("--state-dir", type=Path, default=Path(".maxcai"), help="where keys, pins and ledger are kept")
    parser.add_argument("--provider", default="local", help=f"one of: {', '.join(registry.names())}")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("pods", help="list pods")
    for name in ("start", "stop"):
        commands.add_parser(name, help=f"{name} a pod").add_argument("pod", nargs="?", default="local")
    run = commands.add_parser("run", help="run a command on a running pod")
    run.add_argument("--pod", default="local")
    run.add_argument("--deadline", type=float, default=60.0, metavar="SECONDS")
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="ARGV")
    return parser


async def _perform(options: argparse.Namespace) -> tuple[Any, int]:
    state_dir: Path = options.state_dir
    provider = registry.provider(options.provider, state_dir, time.time)
    if options.command == "pods":
        pods = await lifecycle.recover(provider, state_dir, time.time)
        return [as_json(pod, state_dir) for pod in pods], 0
    if options.command == "start":
        return as_json(await lifecycle.start(provider, options.pod, state_dir, time.time), state_dir), 0
    if options.command == "stop":
        return as_json(await lifecycle.stop(provider, options.pod, state_dir, time.time), state_dir), 0
    command = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if not command:
        raise ConfigError("No command was given.", "Write it after `run`, for example: python -m remote run nvidia-smi")
    from remote import ssh  # asyncssh: 0.3 s

    async with ssh.connect(await provider.get(options.pod), provider, state_dir) as connection:
        done = await connection.run(command, deadline_s=options.deadline)
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    return {"exit_code": done.exit_code, "stdout": out, "stderr": err}, 0 if done.exit_code == 0 else 1


def as_json(pod: Pod, state_dir: Path) -> dict[str, Any]:
    """A pod as printed; money as text, so that no digit is lost, and null for what is unknown."""
    cost = Ledger(state_dir).session_cost(pod, time.time())
    return {
        "id": pod.id,
        "name": pod.name,
        "provider": pod.provider,
        "status": pod.status.value,
        "gpu": pod.gpu,
        "gpu_count": pod.gpu_count,
        "cost_per_hour": None if pod.price_per_hour is None else f"{pod.price_per_hour:f}",
        "session_cost": None if cost is None else f"{cost:f}",
        "ssh": None if pod.endpoint is None else {"host": pod.endpoint.host, "port": pod.endpoint.port},
        "started_at": pod.started_at,
        "detail": pod.detail,
    }


if __name__ == "__main__":
    sys.exit(main())
