"""Every row that a run keeps, one typed kind each: what was asked, what came back, from which model, seed and parents.

Rows are flat JSON, one a line, so that `datasets.load_dataset("json")` reads every file. Journals append rows, steps
decide what to keep; this module only says what a row is and refuses anything else.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

FinishReason = Literal["eos", "stop", "length"]
Text = Annotated[str, StringConstraints(min_length=1)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8,64}$")]
Source = Annotated[str, StringConstraints(pattern=r"^(best_of_n|revision|corruption:[a-z_]+)$")]


_UNNAMED = "0" * 16  # stands for the id until the content is known to be valid


class RecordError(Exception):
    """A row cannot be a record of its kind: the file, the line, the field and what is wrong with it."""


class Record(BaseModel):
    """What all rows share. `id` is the hash of everything else: equal content, equal id, and an edit is noticed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    id: Digest
    stage: int = Field(ge=0)
    family: Text
    seed: int = Field(ge=0)
    decoding: str | None  # canonical JSON of the decoding settings (`canonical`); None: nothing was generated
    model: Digest | None  # digest of the weights that wrote or judged it; None: no model took part
    parents: tuple[str, ...]  # ids of the rows or held-out items it was made from

    @classmethod
    def make(cls, **fields: Any) -> Self:
        """A new record with its id filled in; lists may stand for tuples. Raises RecordError naming the field."""
        draft = cls._validated({"id": _UNNAMED, **fields})
        return draft.model_copy(update={"id": content_id(draft.to_row())})

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The record of one parsed JSON line. Missing, unknown and wrongly typed fields and a changed content raise
        RecordError."""
        missing = [name for name in cls.model_fields if name not in row]
        if missing:
            raise RecordError(f"{cls.__name__}: field {missing[0]!r} is missing")
        record = cls._validated(row)
        record.check()
        return record

    def check(self) -> None:
        """Raise RecordError when the id is not that of the content."""
        if self.id != content_id(self.to_row()):
            raise RecordError(f"{type(self).__name__} {self.id}: the row was changed after it was written")

    @classmethod
    def _validated(cls, fields: Mapping[str, Any]) -> Self:
        try:
            return cls.model_validate_json(json.dumps(dict(fields), ensure_ascii=False))
        except ValidationError as error:
            raise RecordError(f"{cls.__name__}: {_first(error)}") from None
        except (TypeError, ValueError) as error:
            raise RecordError(f"{cls.__name__}: {error}") from None

    def to_row(self) -> dict[str, Any]:
        """Plain JSON values, every field present."""
        return self.model_dump(mode="json")


class _Generated(Record):
    """A row that a model wrote. The prompt stored is the prompt used, byte for byte."""

    prompt: Text
    text_raw: str  # as it came from the engine
    text: str  # cut at the turn boundary and trimmed
    finish_reason: FinishReason
    tokens: int = Field(ge=0)  # generated, including the end token


class Instruction(_Generated):
    """One self-written instruction. In `rejected.jsonl` `rejected` says why it was not kept."""

    instruction: str
    rejected: str | None = None


class Answer(_Generated):
    """One sampled answer; sample 0 is the greedy one."""

    instruction: Text
    sample: int = Field(ge=0)
    principles: tuple[str, ...] = ()
    mean_logprob: float | None = None  # nats a token, under the writing model


class Critique(_Generated):
    """A written critique of an answer under one principle."""

    instruction: Text
    response: str
    principle: Text
    round: int = Field(default=1, ge=1)


class Revision(_Generated):
    """An answer rewritten after a critique. Its parents: the instruction, the answer it began from, the critique."""

    instruction: Text
    response: str  # before this round
    principle: Text
    round: int = Field(default=1, ge=1)


class _Asked(Record):
    """What a model's label says of one answer. Labels are scored, never generated.

    `orders` names each asking as "<few-shot order>:<letter of good>", e.g. "0:A", "0:B", "1:A"; `logp_a` and `logp_b`
    (nats) stand beside it. `margin` is the mean over askings of log p(good) - log p(bad).
    """

    instruction: Text
    response: str
    prompts: tuple[Text, ...]  # one an asking, as used
    principle: str | None
    orders: tuple[Annotated[str, StringConstraints(pattern=r"^\d+:[AB]$")], ...]
    logp_a: tuple[float, ...]
    logp_b: tuple[float, ...]
    margin: float | None

    @model_validator(mode="after")
    def _margin_follows_from_the_askings(self) -> Self:
        if not len(self.orders) == len(self.logp_a) == len(self.logp_b) == len(self.prompts):
            raise ValueError("orders, prompts, logp_a and logp_b must be of one length")
        expected = ab_margin(self.orders, self.logp_a, self.logp_b)
        if (self.margin is None) != (expected is None):
            raise ValueError("margin must be None exactly when nothing was asked")
        if self.margin is not None and expected is not None and abs(self.margin - expected) > 1e-6:
            raise ValueError(f"margin {self.margin} is not the mean over the askings, {expected:.6f}")
        return self


class Judgement(_Asked):
    """What the critics measured on one answer."""

    mean_logprob: float | None  # of the answer itself, nats a token
    agreement: float | None = Field(ge=0, le=1)  # share of the instruction's other samples with the same answer
    score: float | None = None  # the critics combined, as used by the filter
    accepted: bool | None = None  # by the threshold chosen on the calibration block


class Opinion(_Asked):
    """What the judge says of one answer that the checker scored leniently, its parent; it decides nothing.

    `condition` is the evaluation's, or "fixture": a labelled answer of the scorers' audit, whose label stands for the
    checker and whose parent is its item. Nothing was asked of an answer that cannot be shown to the judge.
    """

    item: Text
    template: Text
    condition: Text
    checker: bool
    checker_reason: str
    right: bool | None  # by the sign of the margin; None where it has none

    @model_validator(mode="after")
    def _the_opinion_follows_from_the_margin(self) -> Self:
        if self.right is not side(self.margin):
            raise ValueError(f"the opinion {self.right} does not follow from the margin {self.margin}")
        return self


class SftRow(Record):
    """One training example. `prompt` and `completion` are the columns a trainer reads; the rest says where it is from.

    `known_right` is what programmatic truth says, None where it cannot say. It is for the report and selects nothing
    unless the recipe is marked `verified`.
    """

    prompt: Text
    completion: Text
    instruction: Text
    principles: tuple[str, ...] = ()
    score: float | None = None
    known_right: bool | None = None


class RejectedRow(Record):
    """An answer that the filter did not keep, and why."""

    instruction: Text
    response: str
    reason: Text
    score: float | None = None
    known_right: bool | None = None


class Pair(Record):
    """One preference: trainers read `prompt`, `chosen`, `rejected`."""

    prompt: Text
    chosen: Text
    rejected: Text
    instruction: Text
    source: Source
    chosen_score: float | None = None
    rejected_score: float | None = None
    margin: float | None = None  # chosen_score - rejected_score where both were scored
    chosen_tokens: int | None = Field(default=None, ge=1)
    rejected_tokens: int | None = Field(default=None, ge=1)
    chosen_known_right: bool | None = None
    rejected_known_right: bool | None = None

    @model_validator(mode="after")
    def _the_sides_differ(self) -> Self:
        if self.chosen.strip() == self.rejected.strip():
            raise ValueError("chosen and rejected are the same text")
        if not self.rejected.strip() or not self.chosen.strip():
            raise ValueError("chosen and rejected must hold text")
        return self


class EvalResult(_Generated):
    """One held-out item under one condition, scored strictly (must stop by itself) and leniently (cut first)."""

    item: Text
    template: Text
    condition: Text
    instruction: Text
    strict: bool
    strict_reason: str
    lenient: bool
    lenient_reason: str
    scorer: Text  # version and hash of the scorers


R = TypeVar("R", bound=Record)


def canonical(value: Mapping[str, Any]) -> str:
    """One text for one setting: sorted, compact JSON. For the `decoding` field."""
    return json.dumps(dict(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def content_id(body: Mapping[str, Any]) -> str:
    """16 hex digits of sha256 over all fields but `id`."""
    return hashlib.sha256(canonical({k: v for k, v in body.items() if k != "id"}).encode()).hexdigest()[:16]


def ab_margin(orders: Iterable[str], logp_a: Iterable[float], logp_b: Iterable[float]) -> float | None:
    """Mean over askings of log p(good) - log p(bad), both label orders weighing alike; None without askings."""
    gaps = [a - b if order.endswith("A") else b - a for order, a, b in zip(orders, logp_a, logp_b, strict=True)]
    return sum(gaps) / len(gaps) if gaps else None


def side(margin: float | None) -> bool | None:
    """What a margin says: right above 0, wrong below; nothing at 0 or without askings."""
    return margin > 0 if margin else None


def write_records(path: Path, records: Iterable[Record]) -> int:
    """Write rows as JSON Lines, whole or not at all; returns how many. Two rows of one id raise RecordError."""
    seen: set[str] = set()
    partial = path.with_name(f".{path.name}.tmp")
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as out:
            for record in records:
                record.check()
                if record.id in seen:
                    raise RecordError(f"{path}: the row {record.id} would be written twice")
                seen.add(record.id)
                out.write(json.dumps(record.to_row(), ensure_ascii=False, separators=(",", ":")) + "\n")
            out.flush()
            os.fsync(out.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return len(seen)


def read_records(path: Path, kind: type[R]) -> Iterator[R]:
    """Every row of a file, validated. RecordError names file, line and field."""
    with path.open(encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise RecordError(f"{path}, line {number}: not JSON ({error}); fetch or rebuild the file") from None
            if not isinstance(row, dict):
                raise RecordError(f"{path}, line {number}: not a JSON object; fetch or rebuild the file")
            try:
                yield kind.from_row(row)
            except RecordError as error:
                raise RecordError(f"{path}, line {number}: {error}") from None


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"field {where!r}: {problem['msg']}" if where else problem["msg"].removeprefix("Value error, ")
