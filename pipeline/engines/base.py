"""What an engine takes and gives: requests in, completions and choice scores out. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

FinishReason = Literal["eos", "stop", "length"]


@dataclass(frozen=True, slots=True)
class Request:
    """One text to continue. Draws depend on (`seed`, token index) alone, never on the batch around it.

    `over(text)` may say that whatever followed could change nothing any more; the row then finishes as `stop`.
    """

    prompt_ids: tuple[int, ...]
    max_new_tokens: int
    stops: tuple[str, ...] = ()
    temperature: float = 0.0  # 0 = greedy
    top_p: float = 1.0
    seed: int = 0
    over: Callable[[str], bool] | None = None
    logprobs: bool = True  # False saves a pass over the vocabulary for each token


@dataclass(frozen=True, slots=True)
class Completion:
    """A continuation. `text` is cut before the stop string; `raw` is all that was generated.

    `finish` is `eos` (ended by itself), `stop` (a stop string was written) or `length` (the limit cut it).
    `mean_logprob` is per token, in nats, over the tokens of `raw` with the end-of-text token; None unless asked for.
    """

    text: str
    raw: str
    finish: FinishReason
    stop: str | None
    tokens: int
    mean_logprob: float | None


@dataclass(frozen=True, slots=True)
class ChoiceRequest:
    """A tail after a shared prefix; asked is the log-probability of each label as the next token."""

    tail_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class IdPair:
    """A prompt and the response whose log-probability after it is asked for; ids as the model gets them."""

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """For each token of a response its log-probability (nats, temperature 1) and the token that was likeliest there."""

    values: tuple[float, ...]
    best: tuple[int, ...]


Tell = Callable[[int, int], None]


def untold(_finished: int, _read: int) -> None:
    """For who does not want to hear."""


class Engine(Protocol):
    """A loaded model. Batches are planned before the start, as a pure function of the requests, and are the unit of
    commitment: the same requests give the same bytes, whether or not a run was killed on the way."""

    def without_adapter(self) -> AbstractContextManager[None]:
        """Within this the bare base answers; only for an engine that has an adapter."""
        ...

    def plan(self, requests: Sequence[Request]) -> list[list[int]]:
        """Indices of the requests, batch by batch."""
        ...

    def rows(self, requests: Sequence[Request]) -> int:
        """How many rows of a planned batch are alive at once."""
        ...

    def generate(self, requests: Sequence[Request], tell: Tell = untold) -> list[Completion]:
        """Run one planned batch; `tell` hears before every pass how many rows are finished, and of how many the prompts
        are read."""
        ...

    def plan_choices(self, items: Sequence[ChoiceRequest]) -> list[list[int]]: ...

    def score_choices(
        self, prefix_ids: Sequence[int], items: Sequence[ChoiceRequest], labels: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        """For each item and each label the log-probability (nats) of the best of the label's token variants."""
        ...

    def logprobs(self, pairs: Sequence[IdPair]) -> list[TokenLogprobs]:
        """Teacher-forced: every response token's log-probability after the prompt and the tokens before it."""
        ...
