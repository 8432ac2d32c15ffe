"""Keys and commands as lists: `maxcai keys`, and the page `docs/keys.md` that is made of the same table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.actions.base import Action, Scope
from app.text import table

TYPED = {
    "question_mark": "?",
    "slash": "/",
    "colon": ":",
    "at": "@",
    "ampersand": "&",
    "dollar_sign": "$",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "left_parenthesis": "(",
    "right_parenthesis": ")",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "plus": "+",
    "underscore": "_",
    "full_stop": ".",
    "comma": ",",
    "end": "End",
}
"""Keys by the name that the terminal library has for them, as a person types them."""

HEARD = {
    Scope.GLOBAL: "everywhere",
    Scope.POD: "everywhere: the pod",
    Scope.RUN: "everywhere: the run",
    Scope.LOGS: "where a log is shown (Overview, Logs)",
    Scope.BOARD: "on the board",
    Scope.REVIEWS: "among the reviews",
}

INTRODUCTION = """\
# Keys and commands

This page is made by `maxcai keys --markdown`; a test fails when it is not current. `maxcai keys` prints what holds in a
workspace with keys of its own. Keys are changed by the id of their action in `maxcai.toml`:

```toml
[keys]
"pod.stop" = "ctrl+x"    # "" takes the key away
```

An action without a key is in the palette (`:`) and on the command line. An action without a command is one of the
screen alone. What cannot be done now says why, in the panel and with exit code 3 on the command line.
"""


def typed(keys: str) -> tuple[str, ...]:
    """`colon,ctrl+p` as a person types it: `:` and `ctrl+p`."""
    return tuple(TYPED.get(key, key) for key in keys.split(",") if key)


def command(action: Action) -> str:
    """`maxcai pod stop`, or "" of an act of the screen."""
    return " ".join(("maxcai", *action.cli)) if action.cli else ""


def data(actions: Iterable[Action]) -> list[dict[str, Any]]:
    """One object an action, for programs."""
    return [
        {
            "id": action.id,
            "keys": list(typed(action.keys)),
            "scope": str(action.scope),
            "command": command(action) or None,
            "title": action.title,
            "help": action.help,
            "writes": action.writes,
        }
        for action in actions
    ]


def rows(actions: Iterable[Action]) -> list[tuple[str, str, str, str, str]]:
    """(keys, title, help, command, id) of each."""
    return [(" ".join(typed(a.keys)), a.title, a.help, command(a), a.id) for a in actions]


def text(actions: Iterable[Action]) -> str:
    """For a terminal."""
    return table(("key", "action", "what it does", "command", "id"), rows(actions))


def markdown(actions: Iterable[Action], replay: Iterable[Action] = ()) -> str:
    """The page of the documentation, one section for each place in which keys are heard."""
    parts = [INTRODUCTION]
    all_of_them = tuple(actions)
    for scope, where in HEARD.items():
        found = [action for action in all_of_them if action.scope is scope]
        if found:
            parts.append(_section(f"Heard {where}", found))
    parts.append(_section("In a replay (`maxcai replay`), which has no others but those of the screen", tuple(replay)))
    return "\n".join(parts)


def _section(title: str, actions: Iterable[Action]) -> str:
    lines = [f"## {title}", "", "| key | action | what it does | command | id |", "|---|---|---|---|---|"]
    for keys, name, said, done, action_id in rows(actions):
        shown = " ".join(f"`{_cell(key)}`" for key in keys.split(" ")) if keys else ""
        lines.append(f"| {shown} | {_cell(name)} | {_cell(said)} | {f'`{done}`' if done else ''} | `{action_id}` |")
    return "\n".join([*lines, ""])


def _cell(words: str) -> str:
    return words.replace("|", "\\|")
