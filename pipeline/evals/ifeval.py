"""A check beside the gates, which decides nothing: are verifiable instructions followed, strictly and loosely, in the
sense of IFEval (Zhou et al. 2023, arXiv 2311.07911)? Prompts, code and wordings are our own.

Rates are not comparable with published IFEval numbers, whose prompts are others; between our own models they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline import stats
from pipeline.evals.ifeval_checks import follows
from pipeline.evals.items import FROZEN_DIR, ItemsError, load
from pipeline.stages.base import Item

FAMILY = "ifeval"
VERSION = 1


@dataclass(frozen=True, slots=True)
class IfevalScore:
    """One answer: for each instruction of its prompt, in their order, whether it was followed."""

    instruction_strict: tuple[bool, ...]
    instruction_loose: tuple[bool, ...]

    @property
    def prompt_strict(self) -> bool:
        """Every instruction was followed, by the text as it stands."""
        return all(self.instruction_strict)

    @property
    def prompt_loose(self) -> bool:
        """Every instruction was followed by some variant of the text, each perhaps by another."""
        return all(self.instruction_loose)


def frozen_path(block: int = 0) -> Path:
    """Where a frozen block of prompts is kept."""
    return FROZEN_DIR / f"ifeval.block-{block}.jsonl"


def ifeval_items(count: int, block: int = 0) -> list[Item]:
    """The first `count` frozen prompts. `instruction` is the prompt, `truth["instructions"]` its instructions (each
    {"kind": ..., arguments}), `template` the wording of its task, `answer` a text that follows them all (a witness that
    the prompt can be fulfilled, no example to learn from).

    Raises ItemsError for a missing or altered block, or when it holds fewer."""
    items = load(frozen_path(block))
    if not 0 <= count <= len(items):
        raise ItemsError(
            f"evaluation.ifeval_items asks for {count} prompts, block {block} holds {len(items)}; ask for fewer"
        )
    return items[:count]


def check(item: Item, text: str) -> IfevalScore:
    """Score one answer; `text` as the model left it, without prompt and end-of-text marker."""
    stated = instructions(item)
    loose = list(variants(text))
    return IfevalScore(
        tuple(follows(kind, arguments, text) for kind, arguments in stated),
        tuple(any(follows(kind, arguments, variant) for variant in loose) for kind, arguments in stated),
    )


def instructions(item: Item) -> list[tuple[str, dict[str, Any]]]:
    """(kind, arguments) of each instruction of a prompt."""
    return [
        (str(stated["kind"]), {name: value for name, value in stated.items() if name != "kind"})
        for stated in item.truth["instructions"]
    ]


def variants(text: str) -> Iterator[str]:
    """The eight texts of the loose reading: as it stands, without its first line, without its last, without both, and
    each of these without asterisks."""
    lines = text.strip().split("\n")
    for cut in (text, "\n".join(lines[1:]), "\n".join(lines[:-1]), "\n".join(lines[1:-1])):
        yield cut.strip()
        yield cut.replace("*", "").strip()


@dataclass(frozen=True, slots=True)
class Share:
    """Followed strictly, loosely, and asked. Bounds: Wilson 95 % of the strict rate, by design effect of wordings."""

    strict: int
    loose: int
    asked: int
    low: float
    high: float

    @staticmethod
    def of(strict: Sequence[bool], loose: Sequence[bool], templates: Sequence[str]) -> Share:
        effect = stats.design_effect(strict, templates)
        low, high = stats.effective_wilson(sum(strict), len(strict), effect)
        return Share(sum(strict), sum(loose), len(strict), low, high)

    def as_dict(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in Share.__slots__}


@dataclass(frozen=True, slots=True)
class IfevalRates:
    """Of a set of answers: by prompt, by instruction, and by kind of instruction."""

    prompts: Share
    instructions: Share
    kinds: Mapping[str, Share]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form for a step's summary."""
        kinds = {kind: share.as_dict() for kind, share in self.kinds.items()}
        return {"prompts": self.prompts.as_dict(), "instructions": self.instructions.as_dict(), "kinds": kinds}


def rates(scored: Iterable[tuple[Item, IfevalScore]]) -> IfevalRates:
    """Rates over any number of scored answers; without answers every count is 0 and every interval is (0, 1)."""
    pairs = list(scored)
    single = [
        (kind, strict, loose, item.template)
        for item, score in pairs
        for (kind, _), strict, loose in zip(
            instructions(item), score.instruction_strict, score.instruction_loose, strict=True
        )
    ]
    kinds = {kind: _share([row for row in single if row[0] == kind]) for kind in sorted({row[0] for row in single})}
    prompts = [("", score.prompt_strict, score.prompt_loose, item.template) for item, score in pairs]
    return IfevalRates(_share(prompts), _share(single), kinds)


def _share(rows: Sequence[tuple[str, bool, bool, str]]) -> Share:
    return Share.of([row[1] for row in rows], [row[2] for row in rows], [row[3] for row in rows])


@lru_cache(maxsize=1)
def fingerprint() -> str:
    """`VERSION:sha256` over the files that decide what follows an instruction."""
    digest = hashlib.sha256()
    for name in ("ifeval.py", "ifeval_checks.py"):
        digest.update(f"{name}\x1f".encode())
        digest.update((Path(__file__).parent / name).read_bytes().replace(b"\r\n", b"\n"))
    return f"{VERSION}:{digest.hexdigest()}"
