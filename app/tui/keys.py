"""Keys as Textual names them and as people read them. Pure."""

from __future__ import annotations

from app.actions.base import Action

_SHOWN = {
    "question_mark": "?",
    "slash": "/",
    "colon": ":",
    "at": "@",
    "ampersand": "&",
    "dollar_sign": "$",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "plus": "+",
    "underscore": "_",
    "full_stop": ".",
    "end": "End",
    "space": "space",
    "greater_than_sign": ">",
    "less_than_sign": "<",
    "left_parenthesis": "(",
    "right_parenthesis": ")",
}
_NAMED = {shown: name for name, shown in _SHOWN.items() if len(shown) == 1}


def textual_keys(keys: str) -> str:
    """`?,ctrl+p` as Textual writes it: `question_mark,ctrl+p`; a capital stays one."""
    return ",".join(_NAMED.get(key, key) for key in keys.split(",") if key)


def shown_key(action: Action, every: bool = False) -> str:
    """The action's first key as a person types it, or all of them."""
    keys = [_SHOWN.get(key, key) for key in action.keys.split(",") if key]
    return " ".join(keys) if every else (keys[0] if keys else "")
