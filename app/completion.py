"""Completion scripts for bash, zsh and fish, made of the command tree itself.

The tree is written into the script, so that completing a word starts no Python. Files are completed where no word fits.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from app.errors import UsageError

SHELLS = ("bash", "zsh", "fish")


@dataclass
class Node:
    """One command: its subcommands and options with their help, and the options that take a value."""

    path: tuple[str, ...]
    commands: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    valued: set[str] = field(default_factory=set)
    choices: dict[str, tuple[str, ...]] = field(default_factory=dict)
    words: tuple[str, ...] = ()  # what a positional may be


def nodes(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[Node]:
    """Every command of the tree, the root first."""
    node = Node(path)
    below: list[argparse._SubParsersAction[argparse.ArgumentParser]] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            below.append(action)
            node.commands |= {one.dest: _line(one.help) for one in action._choices_actions}
        elif action.option_strings and action.help is not argparse.SUPPRESS:
            for name in action.option_strings:
                node.options[name] = _line(action.help)
                if action.nargs != 0:
                    node.valued.add(name)
                if action.choices:
                    node.choices[name] = tuple(map(str, action.choices))
        elif action.choices:
            node.words += tuple(map(str, action.choices))
    yield node
    for action in below:
        for name, child in action.choices.items():
            yield from nodes(child, (*path, name))


def script(shell: str, parser: argparse.ArgumentParser) -> str:
    """The script for a shell. Raises UsageError naming those there are."""
    makers: Mapping[str, Callable[[list[Node]], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
    if shell not in makers:
        raise UsageError(f"no completion for {shell}", f"There is one for {', '.join(SHELLS)}.")
    return makers[shell](list(nodes(parser)))


def bash(tree: list[Node]) -> str:
    """For bash 3.2 and later: `eval "$(maxcai completion bash)"`."""
    cases = "\n".join(
        f"    {_quoted(' '.join(node.path))})\n"
        f"      commands={_quoted(' '.join((*node.commands, *node.words)))}\n"
        f"      options={_quoted(' '.join(node.options))}\n"
        f"      valued={_quoted(' '.join(sorted(node.valued)))} ;;"
        for node in tree
    )
    chosen = "\n".join(
        f"    {_quoted(' '.join((*node.path, name)))}) picks={_quoted(' '.join(words))} ;;"
        for node in tree
        for name, words in node.choices.items()
    )
    return BASH.format(cases=cases, chosen=chosen or "    *) ;;")


def zsh(tree: list[Node]) -> str:
    """For zsh: bash's function through bashcompinit, which zsh brings along."""
    return f"autoload -Uz compinit bashcompinit\n(( $+functions[compdef] )) || compinit -u\nbashcompinit\n{bash(tree)}"


def fish(tree: list[Node]) -> str:
    """For fish: `maxcai completion fish | source`."""
    valued = sorted({name for node in tree for name in node.valued})
    lines = ["complete -c maxcai -e", f"set -g __maxcai_valued {' '.join(valued)}", FISH]
    for node in tree:
        at = f"__maxcai_{'is' if node.commands else 'below'} {' '.join(node.path)}".rstrip()
        when = f"-n {_quoted(at)}"
        lines += [
            f"complete -c maxcai {when} -f -a {_quoted(name)} -d {_quoted(said)}"
            for name, said in node.commands.items()
        ]
        lines += [f"complete -c maxcai {when} -a {_quoted(word)}" for word in node.words]
        for name, said in node.options.items():
            kind = f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
            values = f" -x -a {_quoted(' '.join(node.choices[name]))}" if name in node.choices else ""
            needs = " -r" if name in node.valued and not values else ""
            lines.append(f"complete -c maxcai {when} {kind}{needs}{values} -d {_quoted(said)}")
    return "\n".join(lines) + "\n"


def _line(words: str | None) -> str:
    """The first sentence of a help text, without what argparse would fill in."""
    return re.sub(r"%\(.*?\)s", "", (words or "").replace("%%", "%")).strip()


def _quoted(words: str) -> str:
    """In single quotes, for all three shells. Fish reads a backslash before a quote inside them, the others do not."""
    return "'" + words.replace("\\", "").replace("'", "’") + "'"


BASH = """\
_maxcai() {{
  local at='' word commands options valued picks='' skip='' i
  COMPREPLY=()
  _maxcai_node ''
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="${{COMP_WORDS[i]}}"
    if [[ -n $skip ]]; then skip=''; continue; fi
    if [[ $word == -* ]]; then
      [[ " $valued " == *" $word "* ]] && skip=1
    elif [[ " $commands " == *" $word "* ]]; then
      at="${{at:+$at }}$word"
      _maxcai_node "$at"
    fi
  done
  word="${{COMP_WORDS[COMP_CWORD]}}"
  if [[ -n $skip ]]; then
    _maxcai_picks "$at ${{COMP_WORDS[COMP_CWORD-1]}}"
    [[ -n $picks ]] && COMPREPLY=($(compgen -W "$picks" -- "$word"))
  elif [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$word"))
  else
    COMPREPLY=($(compgen -W "$commands" -- "$word"))
  fi
}}
_maxcai_node() {{
  commands='' options='' valued=''
  case "$1" in
{cases}
  esac
}}
_maxcai_picks() {{
  case "${{1# }}" in
{chosen}
  esac
}}
complete -o default -F _maxcai maxcai
"""

FISH = """\
function __maxcai_words
    set -l skip ''
    for word in (commandline -opc)[2..-1]
        if test -n "$skip"
            set skip ''
        else if string match -q -- '-*' $word
            contains -- $word $__maxcai_valued; and set skip 1
        else
            echo $word
        end
    end
end
function __maxcai_is
    set -l found (string join ' ' -- (__maxcai_words))
    test "$found" = "$argv"
end
function __maxcai_below
    set -l found (string join ' ' -- (__maxcai_words))
    string match -q -- "$argv *" "$found "
end"""
