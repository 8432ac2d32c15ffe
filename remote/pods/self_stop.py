"""The embedded pod stops itself when a process on it asks, as a rented pod can through its API.

Asking is writing the file that `MAXCAI_POD_STOP` names, with the reason in it. The pod's server sees it within seconds
and starts this program, which outlives the server and does exactly what `stop` does from outside.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from remote.pods.local import NAME, LocalProvider
from remote.pods.sandbox import Sandbox

_REASON_LIMIT = 300


def heed(sandbox: Sandbox, offset: float) -> None:
    """Start the stop that was asked for, if it was; once for each time the file is written.

    `offset` is what the provider's clock shows more than this machine's, in seconds.
    """
    taken = sandbox.stop_file.with_suffix(".taken")
    with contextlib.suppress(FileNotFoundError):
        os.replace(sandbox.stop_file, taken)
        command = [sys.executable, "-m", __name__, "--dir", str(sandbox.folder), "--offset", repr(offset)]
        command += ["--why", _reason(taken)]
        with sandbox.server_log.open("ab") as errors:
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, start_new_session=True)


def _reason(path: Path) -> str:
    text = path.read_text(errors="replace")[:_REASON_LIMIT]
    return "".join(char if char.isprintable() else " " for char in text).strip() or "something on it asked for that"


def main(argv: list[str] | None = None) -> None:
    """Entry point: stop the pod in `--dir` and write down why."""
    parser = argparse.ArgumentParser(prog="python -m remote.pods.self_stop", description="Stop the embedded pod.")
    parser.add_argument("--dir", type=Path, required=True, help="the pod's folder")
    parser.add_argument("--offset", type=float, default=0.0, help="seconds")
    parser.add_argument("--why", required=True)
    options = parser.parse_args(argv)
    provider = LocalProvider(options.dir.parent.parent, lambda: time.time() + options.offset)
    asyncio.run(provider.stop(NAME, options.why))


if __name__ == "__main__":
    main()
