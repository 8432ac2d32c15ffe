"""The registry: every action has its doors, and a reason when it cannot be done."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from decimal import Decimal

import pytest

from app import packages
from app.actions import registry
from app.actions.base import Action, Scope
from app.cli import parser
from app.errors import SettingsError, UsageError
from app.state import AppState, CostView, PodView, RunView

EMPTY = AppState(project="p")
RUNNING = AppState(
    project="p",
    pods_at=1.0,
    pod=PodView("local", "local", "local", "RUNNING", None, None, Decimal("1.5"), "127.0.0.1", 1, 1.0),
    run=RunView("R", state="running"),
    cost=CostView(per_hour=Decimal("1.5")),
)


def command(words: Sequence[str]) -> argparse.ArgumentParser | None:
    """The parser behind these words, or None when there is no such command."""
    found: argparse.ArgumentParser | None = parser()
    for word in words:
        branches = [a for a in found._actions if isinstance(a, argparse._SubParsersAction)] if found else []
        found = branches[0].choices.get(word) if branches else None
    return found


@pytest.mark.parametrize("action", registry.ACTIONS, ids=lambda a: a.id)
def test_every_action_has_title_help_and_every_door_it_promises(action: Action) -> None:
    assert action.title
    assert action.help
    assert bool(action.cli) != action.view, "an act has a command, a view act has none"
    if action.view:
        assert action.keys, "a view act without a key could only be found in the palette"
        return
    words = [word for word in action.cli if not word.startswith("-")]
    found = command(words)
    assert found is not None, f"there is no `maxcai {' '.join(words)}`"
    if words[0] in packages.GROUPS:  # the package's own verb, which has more to it than the palette's
        return
    owner = registry.by_id(found.get_default("action"))
    assert list(owner.cli) == words
    for flag in set(action.cli) - set(words):
        assert flag.lstrip("-") in {param.name for param in owner.params}


@pytest.mark.parametrize("action", [a for a in registry.ACTIONS if a.cli[:1] in (("task",), ("review",))],
                         ids=lambda a: a.id)  # fmt: skip
def test_what_the_panel_asks_for_is_what_the_packages_command_takes(action: Action) -> None:
    found = command(action.cli)
    assert found is not None
    known = {one.dest for one in found._actions}
    for param in action.params:
        assert param.name in known, f"`maxcai {' '.join(action.cli)}` knows no {param.name}"


def test_ids_and_commands_are_unique_and_no_key_is_asked_for_twice() -> None:
    ids = [action.id for action in registry.ACTIONS]
    commands = [action.cli for action in registry.ACTIONS if action.cli]
    assert len(set(ids)) == len(ids)
    assert len(set(commands)) == len(commands)
    assert registry.collision(registry.ACTIONS) is None


DESIGN = {
    Scope.GLOBAL: {
        "1": "view.overview", "2": "view.run", "3": "view.logs", "4": "view.gpu", "5": "view.board",
        "6": "view.reviews", "tab": "view.next_pane", "plus": "view.zoom", "underscore": "view.unzoom",
        "colon": "view.palette", "ctrl+p": "view.palette", "?": "view.help", "@": "view.journal", "s": "pod.start",
        "O": "pod.offers", "x": "pod.stop", "X": "pod.terminate", "S": "pod.ssh", "P": "push", "p": "pull",
        "r": "run.start", "c": "run.resume", "I": "run.cancel", "K": "run.kill", "v": "run.report", "$": "cost",
        "a": "alerts", "e": "view.edit", "o": "view.browse", "R": "refresh", "u": "view.undo", "q": "view.quit",
        "ctrl+z": "view.suspend",
    },
    Scope.LOGS: {
        "left_square_bracket": "view.previous_stream", "right_square_bracket": "view.next_stream", "/": "view.find",
        "n": "view.find_next", "N": "view.find_previous", "ampersand": "view.filter", "F": "view.follow",
        "G": "view.bottom", "end": "view.bottom", "w": "view.wrap", "t": "view.stamps", "m": "view.mark",
        "y": "view.copy", "Y": "view.copy_screen", "ctrl+s": "view.save", "enter": "view.detail",
        "escape": "view.clear",
    },
    Scope.RUN: {
        "left_square_bracket": "view.previous_run", "right_square_bracket": "view.next_run", "C": "run.compare",
    },
    Scope.BOARD: {
        "n": "task.new", "space": "view.advance", "b": "task.block", "m": "task.note", "full_stop": "view.next_task",
    },
    Scope.REVIEWS: {"n": "review.request", "i": "review.import", "T": "review.tasks"},
}  # fmt: skip
"""The design's table of keys, by where each is heard."""


def test_the_keys_are_those_of_the_design_and_no_others() -> None:
    found: dict[Scope, dict[str, str]] = {scope: {} for scope in DESIGN}
    for action in registry.ACTIONS:
        for key in filter(None, action.keys.split(",")):
            found[action.scope][key] = action.id
    assert found == DESIGN


COMMANDS = (
    "status", "run show", "logs", "gpu", "task list", "review list", "run list", "task show", "review show", "keys",
    "pod start", "pod offers", "pod create", "pod stop", "pod terminate", "pod ssh", "push", "pull", "run start",
    "run resume", "run cancel", "run report", "cost", "task new", "task start", "task done", "task block", "task note",
    "task next", "review request", "review import", "review tasks", "doctor", "pod list", "config schema",
    "config locate", "replay", "demo",
)  # fmt: skip
"""The commands of the design's table of keys, and those that have no key."""


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_of_the_design_is_there(words: str) -> None:
    assert command(words.split()) is not None


def test_no_key_needs_what_a_terminal_may_swallow() -> None:
    keys = {key for action in registry.ACTIONS for key in action.keys.split(",") if key}
    assert not [key for key in keys if "alt" in key or key.startswith(("shift+", "ctrl+shift"))]
    assert "d" not in keys  # it means drop in one tool and describe in another


@pytest.mark.parametrize("action", registry.ACTIONS, ids=lambda a: a.id)
@pytest.mark.parametrize("state", [EMPTY, RUNNING], ids=["empty", "running"])
def test_what_cannot_be_done_says_why(action: Action, state: AppState) -> None:
    reason = action.enabled(state)
    assert reason is None or len(str(reason)) > 10


def test_own_keys_go_by_id_and_mistakes_are_named() -> None:
    assert next(a.keys for a in registry.remapped({"pod.stop": "ctrl+x"}) if a.id == "pod.stop") == "ctrl+x"
    with pytest.raises(SettingsError, match=r"pod\.stpo"):
        registry.remapped({"pod.stpo": "ctrl+x"})
    with pytest.raises(SettingsError, match="key s"):
        registry.remapped({"pod.stop": "s"})
    with pytest.raises(UsageError, match="no action"):
        registry.by_id("pod.stpo")


def test_scoped_keys_do_not_hide_global_ones() -> None:
    assert any(action.scope is Scope.LOGS for action in registry.ACTIONS)
