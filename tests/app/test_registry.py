"""The registry: every action has its doors, and a reason when it cannot be done."""

from __future__ import annotations

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


@pytest.mark.parametrize("action", registry.ACTIONS, ids=lambda a: a.id)
def test_every_action_has_title_help_and_every_door_it_promises(action: Action) -> None:
    assert action.title
    assert action.help
    assert bool(action.cli) != action.view, "an act has a command, a view act has none"
    if action.view:
        assert action.keys, "a view act without a key could only be found in the palette"
    if action.cli:
        words = [word for word in action.cli if not word.startswith("-")]
        options = parser().parse_args(list(action.cli))
        if words[0] in packages.GROUPS:  # the package's own verb, which has more to it than the palette's
            assert [options.group, options.verb] == words
            return
        owner = registry.by_id(options.action)
        assert list(owner.cli) == words
        for flag in set(action.cli) - set(words):
            assert flag.lstrip("-") in {param.name for param in owner.params}


def test_ids_and_commands_are_unique_and_no_key_is_asked_for_twice() -> None:
    ids = [action.id for action in registry.ACTIONS]
    commands = [action.cli for action in registry.ACTIONS if action.cli]
    assert len(set(ids)) == len(ids)
    assert len(set(commands)) == len(commands)
    assert registry.collision(registry.ACTIONS) is None


def test_the_keys_of_the_design_are_there() -> None:
    keys = {key: action.id for action in registry.ACTIONS for key in action.keys.split(",") if key}
    wanted = {"s": "pod.start", "x": "pod.stop", "r": "run.start", "P": "push", "p": "pull", "F": "view.follow"}
    wanted |= {
        "/": "view.find",
        "colon": "view.palette",
        "?": "view.help",
        "q": "view.quit",
        "c": "run.resume",
        "ampersand": "view.filter",
    }
    assert {key: keys.get(key) for key in wanted} == wanted


@pytest.mark.parametrize("action", registry.ACTIONS, ids=lambda a: a.id)
@pytest.mark.parametrize("state", [EMPTY, RUNNING], ids=["empty", "running"])
def test_what_cannot_be_done_says_why(action: Action, state: AppState) -> None:
    reason = action.enabled(state)
    assert reason is None or len(str(reason)) > 10
    action.confirm(state)


def test_stopping_a_pod_with_a_live_run_asks_with_the_numbers() -> None:
    confirm = registry.by_id("pod.stop").confirm(RUNNING)
    assert confirm is not None
    assert "run R is running" in confirm.lines[0]
    assert "saves $1.50/h" in confirm.lines[-1]
    assert dict(confirm.args) == {"force": True}


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
