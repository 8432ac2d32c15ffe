"""Reads YAML that a person wrote: what cannot be read is one kind of error, and no file takes memory without end."""

from __future__ import annotations

from typing import Any

import yaml

MAX_FIELDS = 100_000
"""Values of a file, aliases written out: ten nested aliases of ten values each stand for ten thousand million."""


def parse(text: str) -> tuple[yaml.Node | None, Any]:
    """The nodes, which know their lines, and the values. Raises yaml.YAMLError for anything that cannot be read."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None and _size(node, {}) > MAX_FIELDS:
            raise yaml.YAMLError(f"its aliases stand for more than {MAX_FIELDS} values")
        return node, yaml.safe_load(text)
    except RecursionError:
        raise yaml.YAMLError("its fields are nested without end, or an alias holds itself") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # PyYAML lets these out for a value that is not what its tag says, as in `!!bool maybe`
        raise yaml.YAMLError(f"a value is not of the type it is said to be ({error})") from None


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for; RecursionError when it holds itself."""
    if id(node) not in known:
        known[id(node)] = -1
        inner = node.value if isinstance(node, yaml.SequenceNode) else []
        if isinstance(node, yaml.MappingNode):
            inner = [part for pair in node.value for part in pair]
        known[id(node)] = 1 + sum(_size(child, known) for child in inner)
    if known[id(node)] < 0:
        raise RecursionError
    return known[id(node)]
