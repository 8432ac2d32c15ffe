"""Starts the process of a step: forked from a server that has imported torch (CPU), or a fresh interpreter (CUDA).

A step that needs no model is forked too once the server is warm, and gets a fresh interpreter before. The runner itself
never imports what the server does.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess, SpawnContext, SpawnProcess
from typing import Any

from pipeline.environment import child_variables, environment

PRELOAD = ("pipeline.worker", "pipeline.steps", "pipeline.preload")
"""Light first, torch last. Whatever is missing here is imported again by every child."""
_GUARD = "pipeline.forkserver_guard"

Process = ForkServerProcess | SpawnProcess


class Launcher:
    """Makes processes with the environment that steps need.

    `preload` names the modules the fork server imports; () or `fork=False` means a fresh interpreter every time.
    `keep` tells them what of this run to read once instead of in every step (`pipeline.preload.keep`).
    """

    def __init__(
        self,
        threads: int | None,
        preload: Sequence[str] = PRELOAD,
        fork: bool = True,
        env: Mapping[str, str] = os.environ,
        keep: Mapping[str, Any] | None = None,
    ) -> None:
        self.threads = threads
        self._preload, self._fork, self._env = tuple(preload), fork and bool(preload), env
        self._keep = {"MAXCAI_PRELOAD": json.dumps(keep)} if keep else {}
        self._warm = False
        self._forking: ForkServerContext = multiprocessing.get_context("forkserver")
        self._fresh: SpawnContext = multiprocessing.get_context("spawn")

    def warm_up(self) -> None:
        """Start the fork server and return at once; its imports (seconds) go on meanwhile. Call from the main thread:
        the server dies with the thread that made it."""
        if self._fork:
            self._forking.set_forkserver_preload([_GUARD, *self._preload])
            with environment({**child_variables(self.threads, self._env), **self._keep}):
                forkserver.ensure_running()

    def start(self, target: Callable[..., None], arg: Any, heavy: bool) -> tuple[Process, Connection]:
        """Run `target(arg, connection)`; returns the process and the end of the pipe to read from.

        `heavy`: it will import torch. Blocks until the fork server is warm where it forks.
        """
        fork = self._fork and (heavy or self._warm)
        ours, theirs = self._fresh.Pipe(duplex=False)
        process: Process
        with environment(child_variables(self.threads, self._env)):
            if fork:
                try:
                    process = self._forking.Process(target=target, args=(arg, theirs))
                    process.start()
                except (ConnectionError, EOFError, FileNotFoundError):
                    fork = False  # the server was just killed and is not reaped yet; the next start makes a new one
            if not fork:
                process = self._fresh.Process(target=target, args=(arg, theirs))
                process.start()
        theirs.close()
        self._warm = self._warm or fork
        return process, ours


def measure_threads(launcher: Launcher, module: str, cores: int) -> dict[str, float]:
    """GFLOP/s by number of threads, measured in a process of its own by the module that holds torch; empty when it
    cannot be had."""
    process, pipe = launcher.start(_measure, (module, cores), heavy=True)
    try:
        speeds: dict[str, float] = pipe.recv() if pipe.poll(300) else {}
    except EOFError:
        speeds = {}
    process.kill()
    process.join()
    pipe.close()
    return speeds


def _measure(task: tuple[str, int], pipe: Any) -> None:
    module, cores = task
    pipe.send(importlib.import_module(module).measure_threads(cores))
