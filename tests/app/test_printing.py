"""What a command prints: data on stdout, as JSON where that is asked for, and nothing else beside it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from app import cli
from app.actions import registry
from app.cli import parser

NO_JSON = {
    "logs": "bytes, as the run's processes wrote them",
    "pod.logs": "bytes, as the pod wrote them",
    "completion": "a script for a shell",
    "refresh": "prints nothing",
    "pod.ssh": "takes the terminal",
    "serve": "prints nothing until it ends",
}
"""Commands that take no --json, and what they print instead."""

LOOKS = (
    "status", "brief", "alerts", "doctor", "cost", "keys", "config show", "config locate", "config schema", "pod list",
    "run list", "task list", "review list",
)  # fmt: skip
"""Commands that only look and need neither a run nor a pod that answers."""


def commands(found: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> dict[tuple[str, ...], set[str]]:
    """Options of every command below a parser, by its words."""
    branches = [action for action in found._actions if isinstance(action, argparse._SubParsersAction)]
    if not branches:
        return {words: {name for action in found._actions for name in action.option_strings}}
    return {
        place: options
        for name, below in branches[0].choices.items()
        for place, options in commands(below, (*words, name)).items()
    }


def test_every_command_has_json_or_prints_no_data() -> None:
    without = {words for words, options in commands(parser()).items() if "--json" not in options}
    assert without == {registry.by_id(name).cli for name in NO_JSON}


@pytest.mark.parametrize("command", LOOKS)
def test_stdout_of_a_look_is_one_json_document(
    workspace_dir: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    cli.main(["-C", str(workspace_dir), *command.split(), "--json"])
    assert json.loads(capfd.readouterr().out) is not None


def test_what_an_act_tells_meanwhile_goes_to_stderr_and_its_outcome_alone_to_stdout(
    workspace_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for words, key in (
        (["init"], "made"),
        (["pod", "start"], "status"),
        (["push"], "tree_id"),
        (["pod", "stop"], "id"),
    ):
        assert cli.main(["-C", str(workspace_dir), *words, "--json"]) == 0
        out, err = capfd.readouterr()
        assert key in json.loads(out)
        assert err.strip()
