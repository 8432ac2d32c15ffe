"""Continuous batches: a row that has ended makes room for the next one at once, and its tokens are read in the very
pass in which the others write theirs.

What a newcomer's prompt shares with a row in a slot is copied from there; where several newcomers share what no slot
holds, one goes first. Which rows meet in a pass is a function of the requests and of what they write alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from pipeline.engines.base import Completion, FinishReason, Request, Tell
from pipeline.engines.decode import choose, find_stop, signed, uniforms
from pipeline.engines.slots import Block, Slots, blocks_of
from pipeline.engines.stopping import INTERVAL, Ends

if TYPE_CHECKING:
    from pipeline.engines.transformers_engine import TransformersEngine

SHARED = 16
"""Tokens from which on a common prefix is copied instead of computed again."""

READ, READ_CPU = 8192, 2.8e11
"""Tokens of newcomers' prompts that one pass reads (one prompt may have more); on a CPU, that number times the model's
weights, a few seconds' work. So many keep the machine busy, memory stays bounded while those at work write on, and a
long batch of prompts is seen to advance."""


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A request on its way into a slot, and where the first `shared` positions of its prompt can be copied from."""

    request: int
    source: int
    shared: int


@dataclass
class _Settings:
    """One value a slot, [slots]."""

    seeds: torch.Tensor
    heat: torch.Tensor
    mass: torch.Tensor
    limit: torch.Tensor
    over: torch.Tensor
    scored: torch.Tensor

    @staticmethod
    def of(requests: Sequence[Request], device: torch.device) -> _Settings:
        return _Settings(
            signed([r.seed for r in requests]).to(device),
            torch.tensor([r.temperature for r in requests], device=device),
            torch.tensor([r.top_p for r in requests], device=device),
            torch.tensor([r.max_new_tokens for r in requests], device=device),
            torch.tensor([r.over is not None for r in requests], device=device),
            torch.tensor([r.logprobs for r in requests], device=device),
        )


class Decoding:
    """One planned batch on its way. Slots 0 … live-1 are at work, in that order; all tensors begin with the slot."""

    def __init__(self, engine: TransformersEngine, requests: Sequence[Request], slots: int) -> None:
        self.engine, self.requests = engine, requests
        device = engine.model.device
        self.device = device
        longest = max(r.max_new_tokens for r in requests)
        self.cache = Slots(slots, max(len(r.prompt_ids) + r.max_new_tokens for r in requests))
        self.queue = list(range(len(requests)))
        self.rows: list[int] = []  # the request in each live slot
        self.held: list[tuple[int, ...]] = [() for _ in range(slots)]  # prompts whose keys lie in the slots
        self.settings = _Settings.of(requests, device)
        self.request = torch.zeros(slots, dtype=torch.long, device=device)
        self.last = torch.zeros(slots, dtype=torch.long, device=device)
        self.position = torch.zeros(slots, dtype=torch.long, device=device)
        self.count = torch.zeros(slots, dtype=torch.long, device=device)
        self.written = torch.zeros(slots, longest, dtype=torch.long, device=device)
        self.logps = torch.zeros(slots, longest, device=device)
        self.ends = Ends(engine.tokens, requests, engine.vocabulary, device)
        self.done: dict[int, Completion] = {}
        self.readable = int(READ_CPU / engine.weights) if device.type == "cpu" else READ

    def run(self, tell: Tell) -> list[Completion]:
        while len(self.done) < len(self.requests):
            tell(len(self.done), len(self.done) + len(self.rows))
            self._advance(self._pass(self._admit()))
        return [self.done[i] for i in range(len(self.requests))]

    # rows come
    def _admit(self) -> list[Newcomer]:
        """Who joins the next pass, in the order of their slots: as many as it may read. Those who wait for a prefix
        keep their room."""
        room, left = self.cache.slots - len(self.rows), self.readable
        came: list[Newcomer] = []
        waiting: list[int] = []
        while self.queue and len(came) + len(waiting) < room:
            i = self.queue[0]
            source, shared = self._best(self.requests[i].prompt_ids)
            beside = max(
                (common(self.requests[i].prompt_ids, self.requests[c.request].prompt_ids) for c in came), default=0
            )
            if beside > shared:
                waiting.append(i)
            elif came and len(self.requests[i].prompt_ids) - shared > left:
                break
            else:
                came.append(Newcomer(i, source, shared))
                left -= len(self.requests[i].prompt_ids) - shared
            self.queue.pop(0)
        self.queue[:0] = waiting
        return came

    def _best(self, prompt: tuple[int, ...]) -> tuple[int, int]:
        """The slot that holds most of a prompt's beginning, and how many tokens; at least one is left to compute."""
        best = (0, 0)
        for slot, held in enumerate(self.held):
            shared = common(prompt, held)
            if shared > best[1]:
                best = slot, shared
        return best

    def _pass(self, came: Sequence[Newcomer]) -> torch.Tensor:
        """Logits of every live row and every newcomer, [rows, vocabulary]."""
        live = len(self.rows)
        copies = [(c.source, live + k) for k, c in enumerate(came) if c.shared]
        self.cache.rearrange(copies, max((c.shared for c in came), default=0))
        tails = [list(self.requests[c.request].prompt_ids[c.shared :]) for c in came]
        slots = list(range(live, live + len(came)))
        begins = [c.shared for c in came]
        ends = [begin + len(tail) for begin, tail in zip(begins, tails, strict=True)]
        blocks = blocks_of(live, slots, begins, ends, self.device)
        if live:
            every = torch.arange(live, device=self.device)[:, None]
            now = self.position[:live, None]
            blocks.append(Block(every, now, slice(0, live), int(now.max()) + 1))
        ids, slot, position, last = packed(tails, slots, begins, self.device)
        for k, c in enumerate(came):
            self._seat(live + k, c.request, ends[k])
        logits = self.engine.forward(
            self.cache,
            torch.cat([self.last[:live], ids]),
            torch.cat([torch.arange(live, device=self.device), slot]),
            torch.cat([self.position[:live], position]),
            blocks,
            torch.cat([torch.arange(live, device=self.device), live + last]),
        )
        self.position[:live] += 1
        return logits

    def _seat(self, slot: int, request: int, length: int) -> None:
        self.rows.append(request)
        self.held[slot] = self.requests[request].prompt_ids
        self.request[slot], self.position[slot], self.count[slot] = request, length, 0

    # rows write and go
    def _advance(self, logits: torch.Tensor) -> None:
        live = len(self.rows)
        every, which = torch.arange(live, device=self.device), self.request[:live]
        s, count = self.settings, self.count[:live]
        draws = uniforms(s.seeds[which], count)
        scored = bool(s.scored[which].any())
        ids, logps = choose(logits, s.heat[which], s.mass[which], draws, scored)
        self.written[every, count], self.logps[every, count] = ids, logps
        self.last[:live] = ids
        count += 1
        look = self.ends.is_end(ids) | self.ends.may_stop(ids) | (count >= s.limit[which])
        look |= s.over[which] & (count % INTERVAL == 0)
        gone = [slot for slot in look.nonzero()[:, 0].tolist() if self._finished(slot)]
        self._leave(gone)

    def _finished(self, slot: int) -> bool:
        i = self.rows[slot]
        count = int(self.count[slot])
        ids = self.written[slot, :count].tolist()
        kept, finish = self.ends.of(self.requests[i], ids, (count - 1) // INTERVAL * INTERVAL)
        if finish is None:
            return False
        self.done[i] = self._completion(i, ids[:kept], finish, self.logps[slot, :kept])
        return True

    def _leave(self, gone: Sequence[int]) -> None:
        """Live rows move up into the slots of those that ended; the ended rows' keys go to where they came from, since
        others of the same prompt may still wait."""
        live = len(self.rows)
        left = live - len(gone)
        holes = [slot for slot in gone if slot < left]
        movers = [slot for slot in range(left, live) if slot not in set(gone)]
        pairs = list(zip(movers, holes, strict=True))
        self.cache.rearrange([*pairs, *((b, a) for a, b in pairs)], int(self.position[:live].max()))
        for a, b in pairs:
            self.rows[b] = self.rows[a]
            self.held[a], self.held[b] = self.held[b], self.held[a]
            for state in (self.request, self.last, self.position, self.count, self.written, self.logps):
                state[b] = state[a]
        del self.rows[left:]

    def _completion(self, i: int, ids: list[int], finish: FinishReason, logps: torch.Tensor) -> Completion:
        request = self.requests[i]
        raw = self.engine.tokens.decode(ids[:-1] if finish == "eos" else ids)
        hit = find_stop(raw, request.stops) if finish == "stop" else None
        text = raw[: hit[0]] if hit else raw
        mean = float(logps.double().mean()) if request.logprobs else None
        return Completion(text, raw, finish, hit[1] if hit else None, len(ids), mean)


def packed(
    tails: Sequence[Sequence[int]], slots: Sequence[int], begins: Sequence[int], device: Any
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tails one after the other: ids, slots and positions, all [tokens], and the place of each tail's last, [tails]."""
    ids = [token for tail in tails for token in tail]
    slot = [s for s, tail in zip(slots, tails, strict=True) for _ in tail]
    position = [begin + k for begin, tail in zip(begins, tails, strict=True) for k in range(len(tail))]
    last = torch.tensor([len(tail) for tail in tails], dtype=torch.long).cumsum(0) - 1
    made = (torch.tensor(values, dtype=torch.long, device=device) for values in (ids, slot, position))
    return (*made, last.to(device))  # type: ignore[return-value]


def common(prompt: Sequence[int], other: Sequence[int]) -> int:
    """Tokens at the beginning of a prompt, but for its last, that another begins with too; 0 below `SHARED`."""
    most = min(len(prompt) - 1, len(other))
    if most < SHARED or prompt[:SHARED] != other[:SHARED]:
        return 0
    low, high = SHARED, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if prompt[:middle] == other[:middle] else (low, middle - 1)
    return low
