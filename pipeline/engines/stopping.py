"""When a row has ended, looked at closely only where a token makes it possible.

A stop string can only be complete at a token that holds its last character; `Request.over` is asked every few tokens,
and then for every token since. So the ends are those of a look at each token, for a hundredth of the work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from pipeline.engines.base import FinishReason, Request
from pipeline.engines.decode import find_stop
from pipeline.models.load import Tokens

TAIL = 12
"""Stop strings are looked for in the text of this many last tokens."""
INTERVAL = 8
"""New tokens between two questions whether a row is over."""
_UNKNOWN, _NEVER, _MAYBE = 0, 1, 2


class Ends:
    """Finds finished rows for one set of requests."""

    def __init__(self, tokens: Tokens, requests: Sequence[Request], vocabulary: int, device: torch.device) -> None:
        self.tokens = tokens
        self._last = {stop[-1] for request in requests for stop in request.stops}
        spaces = any(char.isspace() and char not in "\r\n" for char in self._last)  # decoders may drop lone ones
        kind = _NEVER if not self._last else _MAYBE if spaces else _UNKNOWN
        self._kind = torch.full((vocabulary,), kind, dtype=torch.int8, device=device)
        self._ids = torch.tensor(sorted({tokens.eos, *tokens.ends}), device=device)

    def is_end(self, ids: torch.Tensor) -> torch.Tensor:
        """Which of these tokens end their text; [rows]."""
        return torch.isin(ids, self._ids)

    def may_stop(self, ids: torch.Tensor) -> torch.Tensor:
        """Which of these tokens may complete a stop string; [rows]."""
        kinds = self._kind[ids]
        for i in set(ids[kinds == _UNKNOWN].tolist()):  # each token is spelt once
            spelt = self.tokens.decode([i])
            possible = "\ufffd" in spelt or any(char in spelt for char in self._last)
            self._kind[i] = _MAYBE if possible else _NEVER
        return self._kind[ids] == _MAYBE

    def of(self, request: Request, ids: list[int], asked: int) -> tuple[int, FinishReason | None]:
        """How many of the tokens count, and why no more; (all, None) while the row goes on. `asked`: for so many
        tokens `over` has said no."""
        finish = self._plain(request, ids)
        if request.over is not None:
            until = len(ids) - (finish in ("eos", "stop"))
            found = first_over(request.over, self.tokens, ids, asked, until)
            if found is not None:
                return found, "stop"
        if finish is None and len(ids) >= request.max_new_tokens:
            return len(ids), "length"
        return len(ids), finish

    def _plain(self, request: Request, ids: list[int]) -> FinishReason | None:
        if self.tokens.is_end(ids[-1]):
            return "eos"
        if request.stops and find_stop(self.tokens.decode(ids[-TAIL:]), request.stops):
            return "stop"
        return None


def first_over(over: Callable[[str], bool], tokens: Tokens, ids: list[int], asked: int, until: int) -> int | None:
    """The first length in (asked, until] at which a text is over; None where it is not over at its end."""
    if until <= asked or not over(tokens.decode(ids[:until])):
        return None
    return next((k for k in range(asked + 1, until) if over(tokens.decode(ids[:k]))), until)
