"""Keys as Textual names them and as people read them. Pure."""

from __future__ import annotations

from app.actions.base import Action
from app.keymap import TYPED, typed

_NAMED = {shown: name for name, shown in TYPED.items() if len(shown) == 1}


def textual_keys(keys: str) -> str:
    """`?,ctrl+p` as Textual writes it: `question_mark,ctrl+p`; a capital stays one."""
    return ",".join(_NAMED.get(key, key) for key in keys.split(",") if key)


def shown_key(action: Action, every: bool = False) -> str:
    """The action's first key as a person types it, or all of them."""
    keys = typed(action.keys)
    return " ".join(keys) if every else (keys[0] if keys else "")
