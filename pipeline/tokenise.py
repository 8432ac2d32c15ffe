"""Ids and labels made by us: the boundary between prompt and response is a position, never a search for text.

Every trained row ends in exactly one end-of-text id and is never cut: a row that is too long is dropped and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.models import guard

if TYPE_CHECKING:
    from pipeline.models.load import Tokens

IGNORE = -100
"""Label of a position that bears no loss."""


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One training row, right-aligned nowhere and padded nowhere: `input_ids` and `labels` are of one length [seq]."""

    input_ids: list[int]
    labels: list[int]

    @property
    def trained(self) -> int:
        return sum(label != IGNORE for label in self.labels)


def row(tokens: Tokens, prompt: str, completion: str, max_length: int) -> TokenRow | str:
    """Ids with labels on the response and its end-of-text id alone, or the reason why the row must be dropped.

    The boundary must be invariant: ids(prompt) + ids(completion) == ids(prompt + completion).
    """
    pair = split(tokens, prompt, completion)
    if isinstance(pair, str):
        return pair
    head, tail = pair
    if len(head) + len(tail) > max_length:
        return "too_long"
    return TokenRow(head + tail, [IGNORE] * len(head) + tail)


def split(tokens: Tokens, prompt: str, completion: str) -> tuple[list[int], list[int]] | str:
    """(prompt ids with BOS where wanted, response ids with EOS), or why not."""
    try:
        head, tail = tokens.prompt(prompt), tokens.encode(completion)
        whole = tokens.prompt(prompt + completion)
    except guard.MarkerError:
        return "special_token"
    if not tail:
        return "empty"
    if head + tail != whole:
        return "boundary"
    return head, [*tail, tokens.eos]


def rows(tokens: Tokens, pairs: Iterable[tuple[str, str]], max_length: int) -> tuple[list[TokenRow], Counter[str]]:
    """All usable rows, and how many were dropped for which reason."""
    kept: list[TokenRow] = []
    dropped: Counter[str] = Counter()
    for prompt, completion in pairs:
        made = row(tokens, prompt, completion, max_length)
        if isinstance(made, str):
            dropped[made] += 1
        else:
            kept.append(made)
    return kept, dropped


def dump(tokens: Tokens, example: TokenRow) -> str:
    """One line a token: `·` masked, `█` trained, id and text. The best single aid for a wrong loss mask."""
    marks = ("·" if label == IGNORE else "█" for label in example.labels)
    return "\n".join(f"{mark} {i:>7} {tokens.decode([i])!r}" for mark, i in zip(marks, example.input_ids, strict=True))
