"""Runs the fake steps as a command of its own, so that tests can kill it: `python -m tests.pipeline.fake_run ROOT`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.plan import PlannedStep
from pipeline.recipe import Recipe
from pipeline.runner import Options, run
from tests.pipeline.fake_steps import MODULE, run_dir_of

PLAN = (
    PlannedStep(0, "evaluate"),
    *(PlannedStep(1, kind) for kind in ("generate", "filter", "sft", "evaluate", "gate")),
)


def recipe(**changes: Any) -> Recipe:
    body = {
        "name": "fake",
        "description": "steps without a model",
        "model": {"id": "none"},
        "data": {"instructions": 9},
        "hardware": {"device": "cpu", "threads": 1},
    }
    return Recipe.model_validate({**body, **changes})


def options(root: Path, **changes: Any) -> Options:
    settings: dict[str, Any] = {
        "recipe": recipe(),
        "run_dir": run_dir_of(root),
        "run_id": "fake-1",
        "registry": MODULE,
        "steps": PLAN,
        "preload": ("pipeline.worker",),
        "prepare": "",
        "say": lambda line: print(line, file=sys.stderr),
        "heartbeat_s": 0.1,
        "env": {},
    }
    return Options(**{**settings, **changes})


def main() -> int:
    root = Path(sys.argv[1])
    try:
        return run(options(root))
    except PipelineError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
