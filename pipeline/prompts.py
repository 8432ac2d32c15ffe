"""The one grammar of prompts: what is stored with a record is what the model saw, byte for byte.

Completion mode throughout: no chat template, no role markers. Which examples to show is the steps' choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TERMINATOR = "\n\n"
"""Closes every few-shot example, and so ends every few-shot answer."""

TURNS = ("\nInstruction:", "\nResponse:", "\nQ:", "\nHuman:")
"""A new turn: whoever writes one of these has run on past the answer."""


class PromptError(ValueError):
    """A prompt that must not be built."""


@dataclass(frozen=True, slots=True)
class Example:
    """A worked example for a few-shot prompt."""

    instruction: str
    response: str


def raw(instruction: str) -> str:
    """Condition `base-raw`: the instruction alone."""
    return instruction


def bare(instruction: str) -> str:
    """The training format, zero-shot; the completion begins with one space."""
    return f"Instruction: {instruction}\nResponse:"


def completion(response: str) -> str:
    """What follows `bare` in training: one space, the answer; the end-of-text id is added by `tokenise`."""
    return f" {response.strip()}"


def few_shot(examples: Sequence[Example], instruction: str) -> str:
    """Worked examples, each closed by the terminator, then the instruction.

    Raises:
        PromptError: an example is empty or itself holds a terminator or a turn.
    """
    return "".join(_closed(e) for e in examples) + bare(instruction)


def numbered(examples: Sequence[str]) -> str:
    """A list of existing instructions that the model goes on with (Self-Instruct, arXiv 2212.10560, as a numbered
    list); the continuation ends at the line's end."""
    lines = "".join(f"{i}. {text}\n" for i, text in enumerate(examples, 1))
    return f"Different tasks of the same kind, one on each line:\n{lines}{len(examples) + 1}."


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A worked example of critique and revision."""

    instruction: str
    response: str
    principle: str
    critique: str
    revision: str


def critique_request(examples: Sequence[Dialogue], instruction: str, response: str, principle: str) -> str:
    """Running text that asks for what a response falls short of under one principle, and then for a better response
    (critique and revision, arXiv 2212.08073); complete dialogues stand before it, each closed by the terminator. The
    critique ends with its line."""
    told = "".join(
        f"{_case(d.instruction, d.response, d.principle)} {one_line(d.critique)}"
        f"{revision_request()} {one_line(d.revision)}{TERMINATOR}"
        for d in examples
    )
    return told + _case(instruction, response, principle)


def revision_request() -> str:
    """What follows a critique: the next words are the better response."""
    return "\nBetter response:"


def _case(instruction: str, response: str, principle: str) -> str:
    shown = one_line(response) or "(nothing)"
    return (
        f"Instruction: {instruction}\nResponse: {shown}\nPrinciple: {principle}\n"
        "What in the response falls short of the principle?"
    )


def by_principle(principle: str) -> str:
    """The critics' question: whether a response does its task as one principle says."""
    return f"Principle: {principle}\nDoes the response do what the instruction asks, as the principle says?"


def judgement_prefix(question: str, examples: Sequence[tuple[Example, bool]], good: str, bad: str) -> str:
    """The shared part of a judgement by label: the question, the meaning of the letters (`good` says yes) and labelled
    examples. Options stand in alphabetical order."""
    options = ", ".join(f"{letter} = {meaning}" for letter, meaning in sorted([(good, "yes"), (bad, "no")]))
    return f"{question} {options}\n\n" + "".join(
        f"{judgement_tail(e.instruction, e.response)} {good if ok else bad}\n\n" for e, ok in examples
    )


def judgement_tail(instruction: str, response: str) -> str:
    """The judged answer; the next token is the label."""
    return f"Instruction: {instruction}\nResponse: {one_line(response)}\nJudgement:"


def one_line(text: str) -> str:
    """An answer on one line, for showing inside another prompt."""
    return " / ".join(part.strip() for part in text.strip().splitlines() if part.strip())


def _closed(example: Example) -> str:
    text = f"{bare(example.instruction)}{completion(example.response)}{TERMINATOR}"
    if (
        not example.response.strip()
        or TERMINATOR in text.removesuffix(TERMINATOR)
        or any(turn in completion(example.response) for turn in TURNS)
    ):
        raise PromptError(f"not usable as an example: {example.instruction!r} -> {example.response!r}")
    return text
