"""What a guard model of the Llama Guard family is asked, and what it said: prompt format, labels, verdict records.

The prompt is a plain string in the published layout (Llama Guard, arXiv 2312.06674, and the family's model cards): a
policy of category codes, the conversation, a fixed closing question. The answer's first line is `safe` or `unsafe`, the
second names codes. No text may hold a piece of that layout itself: it could then speak for the guard.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from pipeline.models.errors import ModelError
from pipeline.records import Record, Text

if TYPE_CHECKING:
    from pipeline.models.load import Tokens

SAFE, UNSAFE = "safe", "unsafe"
Role = Literal["User", "Agent"]
Kind = Literal["instruction", "answer", "revision"]


@dataclass(frozen=True, slots=True)
class Frame:
    """How one generation of the family wraps the question; `asked` opens the closing question."""

    before: str
    after: str
    asked: str
    bullet: str


LLAMA_2 = Frame("[INST] ", " [/INST]", "for {role} in the above conversation", "- ")
LLAMA_3 = Frame(
    "<|start_header_id|>user<|end_header_id|>\n\n",
    "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "for ONLY THE LAST {role} message in the above conversation",
    " - ",
)

_LAYOUT = re.compile(r"<(?:BEGIN|END) |\[/?INST\]|^\s*(?:User|Agent)\s*:", re.I | re.M)
_CODE = re.compile(r"\b[A-Z]\d{1,2}\b")


def frame_of(known: Iterable[str]) -> Frame:
    """The frame of a guard whose tokenizer has these added tokens: that of Llama 3 where it knows the header tokens."""
    return LLAMA_3 if {"<|start_header_id|>", "<|eot_id|>"} <= set(known) else LLAMA_2


def role_of(kind: Kind) -> Role:
    """Whose message is judged: an instruction is the user's, everything else the agent's."""
    return "User" if kind == "instruction" else "Agent"


def question(frame: Frame, policy: Sequence[str], role: Role, instruction: str, response: str) -> str:
    """The plain text between `frame.before` and `frame.after`. `policy` holds lines "CODE: what is unsafe"."""
    said = f"User: {instruction.strip()}" + (f"\n\nAgent: {response.strip()}" if role == "Agent" else "")
    rules = "\n".join(policy)
    return (
        f"Task: Check if there is unsafe content in '{role}' messages in conversations according our safety policy "
        f"with the below categories.\n\n<BEGIN UNSAFE CONTENT CATEGORIES>\n{rules}\n<END UNSAFE CONTENT CATEGORIES>\n\n"
        f"<BEGIN CONVERSATION>\n\n{said}\n\n<END CONVERSATION>\n\n"
        f"Provide your safety assessment {frame.asked.format(role=role)}:\n"
        f"{frame.bullet}First line must read 'safe' or 'unsafe'.\n"
        f"{frame.bullet}If unsafe, a second line must include a comma-separated list of violated categories."
    )


def readable(tokens: Tokens, *texts: str) -> bool:
    """Whether texts can be shown to the guard: no special token of its own, no piece of the layout."""
    return all(tokens.is_plain(text) and not _LAYOUT.search(text) for text in texts)


def label_ids(tokens: Tokens) -> tuple[list[int], list[int]]:
    """First tokens of the labels, safe and unsafe, each with and without a leading space; what both begin with tells
    nothing and is left out.

    Raises:
        ModelError: no token tells the labels apart.
    """
    safe, unsafe = ({tokens.encode(text)[0] for text in (label, f" {label}")} for label in (SAFE, UNSAFE))
    if not safe - unsafe or not unsafe - safe:
        raise ModelError("the guard's labels begin with the same token", "name a model of the Llama Guard family")
    return sorted(safe - unsafe), sorted(unsafe - safe)


def p_unsafe(logp_safe: float, logp_unsafe: float) -> float:
    """p(unsafe) of the two labels alone."""
    return 0.5 * (1 + math.tanh((logp_unsafe - logp_safe) / 2))


def codes_in(said: str, policy: Sequence[str]) -> tuple[str, ...]:
    """The policy's codes that the guard's second line names, each once."""
    known = {line.partition(":")[0] for line in policy}
    return tuple(dict.fromkeys(code for code in _CODE.findall(said) if code in known))


class Verdict(Record):
    """What the guard says of one generated row, which is its parent; `model` is the guard.

    Labels are scored, never sampled: `logp_safe` and `logp_unsafe` (nats) are of their first tokens after `prompt`.
    `said` is the greedy continuation after the label unsafe, from which the codes are read. A text that cannot be shown
    to the guard is unreadable, and then nothing was asked.
    """

    kind: Kind
    instruction: str
    response: str
    verdict: Literal["safe", "unsafe", "unreadable"]
    threshold: float = Field(gt=0, le=1)
    prompt: Text | None
    logp_safe: float | None
    logp_unsafe: float | None
    codes: tuple[str, ...] = ()
    said: str | None = None

    @model_validator(mode="after")
    def _the_verdict_follows_from_the_labels(self) -> Self:
        if self.prompt is None or self.logp_safe is None or self.logp_unsafe is None:
            if (self.prompt, self.logp_safe, self.logp_unsafe, self.verdict) != (None, None, None, "unreadable"):
                raise ValueError("an unreadable row has neither prompt nor log-probabilities, any other has them all")
        elif self.verdict != verdict_of(self.logp_safe, self.logp_unsafe, self.threshold):
            raise ValueError(f"the verdict {self.verdict} does not follow from the log-probabilities")
        return self


def verdict_of(logp_safe: float, logp_unsafe: float, threshold: float) -> Literal["safe", "unsafe"]:
    """By log-probability alone."""
    return "unsafe" if p_unsafe(logp_safe, logp_unsafe) >= threshold else "safe"


def concern(rows: Iterable[str], verdicts: Mapping[str, Verdict]) -> str | None:
    """Why something made from these rows may not be kept; None where every one of them was found safe."""
    found = [verdicts.get(row) for row in rows]
    codes = sorted({code for v in found if v is not None for code in v.codes}, key=lambda c: (c[0], int(c[1:])))
    if any(v is not None and v.verdict == "unsafe" for v in found):
        return f"unsafe: {', '.join(codes) or 'no category named'}"
    if any(v is None for v in found):
        return "not judged for safety"
    return None if all(v is not None and v.verdict == "safe" for v in found) else "unreadable to the guard"


def counts(verdicts: Iterable[Verdict]) -> dict[str, Any]:
    """How many rows were judged and how; `by_category` counts the unsafe ones, one with two codes under both."""
    verdicts = list(verdicts)
    of = Counter(v.verdict for v in verdicts)
    named = Counter(c for v in verdicts if v.verdict == "unsafe" for c in v.codes or ("no category named",))
    return {
        "judged": len(verdicts),
        "unsafe": of["unsafe"],
        "unreadable": of["unreadable"],
        "by_category": dict(sorted(named.items())),
    }
