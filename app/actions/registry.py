"""The table of all actions, and the check that no key is asked for twice."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from app.actions import board, info, meters, pod, rent, run, sync, tools, view
from app.actions.base import Action, Args, Scope
from app.errors import SettingsError, UsageError, nearest
from app.state import AppState

ACTIONS: tuple[Action, ...] = (
    *info.ACTIONS,
    *pod.ACTIONS,
    *rent.ACTIONS,
    *meters.ACTIONS,
    *sync.ACTIONS,
    *run.ACTIONS,
    *board.ACTIONS,
    *tools.ACTIONS,
    *view.ACTIONS,
)


def by_id(action_id: str) -> Action:
    """The action of this id. Raises UsageError naming the nearest one."""
    for action in ACTIONS:
        if action.id == action_id:
            return action
    near = nearest(action_id, (a.id for a in ACTIONS))
    raise UsageError(f"no action {action_id}", f"Did you mean {near}?" if near else "See `maxcai --help`.")


def refusal(action_id: str, state: AppState, args: Args | None = None) -> str | None:
    """Why this action is refused in this state, with these arguments (None: their defaults), or None."""
    action = by_id(action_id)
    given = {param.name: param.default for param in action.params} | dict(args or {})
    if action.writes and state.readonly and not action.looks(given):
        return "read-only: started with --readonly"
    reason = action.enabled(state)
    return None if reason is None else str(reason)


def remapped(keys: Mapping[str, str]) -> tuple[Action, ...]:
    """All actions with a person's own keys (action id -> key; "" takes the key away).

    Raises SettingsError for an unknown id and for two actions on one key.
    """
    for action_id in keys:
        if action_id not in {a.id for a in ACTIONS}:
            near = nearest(action_id, (a.id for a in ACTIONS))
            remedy = f"Did you mean {near}?" if near else "The ids are in `maxcai --help`."
            raise SettingsError(f"[keys] names the unknown action {action_id}", remedy)
    actions = tuple(replace(a, keys=keys.get(a.id, a.keys)) for a in ACTIONS)
    clash = collision(actions)
    if clash is not None:
        raise SettingsError(f"[keys] {clash}", "Give one of them another key.")
    return actions


def collision(actions: tuple[Action, ...]) -> str | None:
    """A sentence naming two actions that would hear one key, or None. Global keys are heard everywhere."""
    heard: dict[tuple[str, Scope], str] = {}
    for action in actions:
        for key in filter(None, action.keys.split(",")):
            for scope in Scope if action.scope is Scope.GLOBAL else (action.scope, Scope.GLOBAL):
                other = heard.get((key, scope))
                if other is not None and other != action.id:
                    return f"key {key} is asked for by {other} and {action.id}"
            for scope in Scope if action.scope is Scope.GLOBAL else (action.scope,):
                heard[key, scope] = action.id
    return None
