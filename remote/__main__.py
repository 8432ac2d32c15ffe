"""`python -m remote`: pods without the rest of the product. Data is JSON on stdout, narration and errors on stderr."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from remote import verbs
from remote.errors import ConfigError, RemoteError
from remote.pods import registry
from remote.pods.provider import Provider

PROVIDER = "MAXCAI_PROVIDER"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit codes: 0 ok, 1 failed, 2 usage, 3 refused by a guard, 4 unreachable."""
    options = _parser().parse_args(argv)
    try:
        answer, code = asyncio.run(_perform(options))
    except RemoteError as exc:
        if options.debug:
            traceback.print_exc()  # and the same exit code
        print(f"error: {exc}" + (f"\n  {exc.hint}" if exc.hint else ""), file=sys.stderr)
        return exc.exit_code
    except KeyboardInterrupt:
        return 130
    print(json.dumps(answer))
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m remote", description="Pods and money, and commands over SSH.")
    parser.add_argument("--state-dir", type=Path, default=Path(".maxcai"), help="where keys, pins and ledger are kept")
    parser.add_argument(
        "--provider",
        default=os.environ.get(PROVIDER) or "local",
        help=f"one of: {', '.join(registry.names())} (default: {PROVIDER}, else local)",
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("pods", help="list pods")
    commands.add_parser("start", help="start a pod").add_argument("pod", nargs="?", default="local")
    stop = commands.add_parser("stop", help="stop a pod")
    stop.add_argument("pod", nargs="?", default="local")
    stop.add_argument("--lose-unpulled", action="store_true", help="although files may be lost")
    verbs.add_parsers(commands)
    run = commands.add_parser("run", help="run a command on a running pod")
    run.add_argument("--pod", default="local")
    run.add_argument("--deadline", type=float, default=60.0, metavar="SECONDS")
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="ARGV")
    return parser


async def _perform(options: argparse.Namespace) -> tuple[Any, int]:
    provider = registry.provider(options.provider, options.state_dir, time.time)
    try:
        await verbs.find(options, provider)
        if options.command == "run":
            return await _run(options, provider)
        return await verbs.VERBS[options.command](options, provider)
    finally:
        await provider.aclose()


async def _run(options: argparse.Namespace, provider: Provider) -> tuple[Any, int]:
    command = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if not command:
        raise ConfigError("No command was given.", "Write it after `run`, for example: python -m remote run nvidia-smi")
    from remote.link import ssh  # asyncssh: 0.3 s

    async with ssh.connect(await provider.get(options.pod), provider, options.state_dir) as connection:
        done = await connection.run(command, deadline_s=options.deadline)
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    return {"exit_code": done.exit_code, "stdout": out, "stderr": err}, 0 if done.exit_code == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
