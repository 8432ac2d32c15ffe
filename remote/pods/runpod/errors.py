"""What RunPod's refusals mean, whichever of its APIs said so: status codes and texts to our exceptions.

Nothing here talks to anybody. Texts must be redacted before they come in.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct

from remote.errors import (
    AccessDenied,
    ApiRetired,
    AuthError,
    Conflict,
    InsufficientFunds,
    InvalidBody,
    NoCapacity,
    NoCapacityOnHost,
    NotFound,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RuleBroken,
)


class Meaning(StrEnum):
    """What a known text says, whatever status code it came with."""

    NO_CAPACITY = "no capacity"
    TRANSIENT = "transient"


TEXTS: tuple[tuple[str, Meaning], ...] = (
    ("there are no longer any instances available", Meaning.NO_CAPACITY),
    ("does not have the resources to deploy this pod", Meaning.NO_CAPACITY),
    ("not enough free gpus on the host machine", Meaning.NO_CAPACITY),
    ("failed to resume pod", Meaning.NO_CAPACITY),
    ("something went wrong. please try again later", Meaning.TRANSIENT),
)
"""Parts of RunPod's answers, in lower case, all recorded: it has no machine-readable codes."""

_TAKES_MACHINES = frozenset({"create", "start", "restart"})
_OWN_MEANING = frozenset({401, 402, 403, 405, 410, 422, 429})  # these statuses mean the same whatever the text
_MALFORMED = frozenset({405, 406, 413, 414, 415, 422})
_NOT_NOW = frozenset({408, 425})  # asks to be tried again although it is a 4xx
_LIMIT = 300  # characters of a stranger's text that a message repeats


class Unanswered(OutcomeUnknown, ProviderUnavailable):
    """An act that may be repeated without harm was sent, also repeatedly, and never answered: it may have happened."""


class Op(Struct, frozen=True):
    """One operation: its `name` for programs ("start") and what it does, for people ("start pod abc")."""

    name: str
    doing: str


class Problem(Struct, frozen=True):
    """What an error reply said. `structured` is False when it has not RunPod's form, so came from something in between.

    `retry_after` is in seconds, None when not told.
    """

    status: int
    title: str = ""
    detail: str = ""
    errors: tuple[str, ...] = ()
    structured: bool = True
    retry_after: float | None = None

    @property
    def text(self) -> str:
        """The most telling words of it, for a message."""
        said = self.detail or self.title or f"HTTP {self.status}"
        return said + "".join(f" {error}" for error in self.errors[:3])


def clean(text: str, limit: int = _LIMIT) -> str:
    """A stranger's text as part of one line: no control characters, single spaces, at most `limit` characters."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def from_text(op: Op, texts: Sequence[str], status: int | None = None) -> ProviderError | None:
    """The exception for texts known by heart; None when none of them is."""
    lowered = " ".join(texts).lower()
    said = clean(" ".join(texts))
    for part, meaning in TEXTS:
        if part not in lowered:
            continue
        if meaning is Meaning.TRANSIENT:
            return _unavailable(op, said, status)
        if op.name in _TAKES_MACHINES:
            return _no_capacity(op, said, status)
    return None


def from_problem(op: Op, problem: Problem, key_source: str = "") -> ProviderError:
    """The exception for an error reply. `key_source` says where the API key came from, for the one it concerns."""
    status = problem.status
    if status not in _OWN_MEANING and (known := from_text(op, [problem.detail, *problem.errors], status)):
        return _with_words(known, problem)
    return _with_words(_by_status(op, problem, key_source), problem)


def _by_status(op: Op, problem: Problem, key_source: str) -> ProviderError:
    status, said = problem.status, clean(problem.text)
    if status == 401:
        return auth(op, key_source)
    if status == 402:
        return InsufficientFunds(
            f"RunPod did not {op.doing}: the balance is too low ({said}).",
            "Add credit in RunPod's console.",
            op=op.name,
            status=status,
        )
    if status == 403:
        return _denied(op, problem)
    if status == 410:
        return retired(op, status)
    if status == 429:
        return rate_limited(op, problem.retry_after)
    if status in (404, 409):
        return _of_the_pod(op, problem, said)
    if status in _MALFORMED:
        return InvalidBody(
            f"RunPod did not understand the request to {op.doing}: {said}",
            "This is a fault of maxcai, or its version is too old.",
            op=op.name,
            status=status,
        )
    if 400 <= status < 500 and status not in _NOT_NOW:
        return RuleBroken(
            f"RunPod refused to {op.doing}: {said}", "Change what was asked for.", op=op.name, status=status
        )
    return _unavailable(op, said, status)


def _of_the_pod(op: Op, problem: Problem, said: str) -> ProviderError:
    """404 and 409 speak of the thing that was asked for, when it is RunPod that speaks."""
    status = problem.status
    if not problem.structured:
        return not_understood(op, f"HTTP {status} without a reason in JSON", status)
    if status == 404:
        return NotFound(
            f"RunPod could not {op.doing}: there is no such thing, or it is not ours ({said}).",
            op=op.name,
            status=status,
        )
    return Conflict(
        f"RunPod did not {op.doing}: its present state forbids it ({said}).",
        "Look at the pod again.",
        op=op.name,
        status=status,
    )


def auth(op: Op, key_source: str = "", status: int = 401) -> AuthError:
    """The key is not accepted."""
    where = f" from {key_source}" if key_source else ""
    return AuthError(
        f"RunPod does not accept the API key{where}: it could not {op.doing}.",
        "Make a key in RunPod's console and put it there.",
        op=op.name,
        status=status,
    )


def retired(op: Op, status: int = 410) -> ApiRetired:
    """This version of the API is out of service."""
    return ApiRetired(
        f"RunPod has taken the API that we use to {op.doing} out of service: update maxcai.",
        "Pods go on running; RunPod's console shows and stops them.",
        op=op.name,
        status=status,
    )


def rate_limited(op: Op, retry_after: float | None) -> RateLimited:
    """The quota of requests is used up."""
    wait = "" if retry_after is None else f"; it takes the next request in {retry_after:.0f} s"
    return RateLimited(
        f"RunPod takes no more requests for now to {op.doing}{wait}.",
        "Wait, then try again.",
        retry_after=retry_after,
        op=op.name,
    )


def unreachable(op: Op, why: str) -> ProviderUnavailable:
    """No answer came. `why` names the failure, not the request."""
    return ProviderUnavailable(
        f"RunPod cannot be reached to {op.doing}: {clean(why)}.", "Check the network, then try again.", op=op.name
    )


def not_understood(op: Op, why: str, status: int | None = None) -> ProviderUnavailable:
    """An answer came that is not in the provider's language, perhaps from something in between."""
    return ProviderUnavailable(
        f"RunPod's answer to the request to {op.doing} makes no sense: {clean(why)}.",
        "Try again; a proxy or portal may be in between.",
        op=op.name,
        status=status,
    )


def outcome_unknown(error: ProviderError, op: Op, *, repeatable: bool) -> OutcomeUnknown:
    """`error` when the request may have taken effect all the same.

    `repeatable`: sending it again does no harm (stop, terminate); else it must never be sent again unseen (create).
    """
    kind = Unanswered if repeatable else OutcomeUnknown
    hint = (
        error.hint or "Try again."
        if repeatable
        else "Look at the list of pods before anything else: it may exist and cost money."
    )
    return kind(
        f"Nobody knows whether RunPod did {op.doing}: {error.message}",
        hint,
        op=op.name,
        status=error.status,
        title=error.title,
        detail=error.detail,
        errors=error.errors,
    )


def _denied(op: Op, problem: Problem) -> AccessDenied:
    if problem.structured:
        return AccessDenied(
            f"RunPod's API key may not {op.doing} ({clean(problem.text)}).",
            "Give the key more rights in RunPod's console.",
            op=op.name,
            status=403,
        )
    return AccessDenied(
        f"What stands before RunPod refused to {op.doing}: {clean(problem.text)}.",
        "A proxy, or RunPod's gateway, does not let this machine or program through.",
        op=op.name,
        status=403,
    )


def _no_capacity(op: Op, said: str, status: int | None) -> NoCapacity:
    if op.name == "create":
        return NoCapacity(
            f"RunPod has no free machine to {op.doing}: {said}",
            "Try another GPU type, or later.",
            op=op.name,
            status=status,
            detail=said,
        )
    return NoCapacityOnHost(
        f"RunPod could not {op.doing}: its machine has no free GPU ({said}).",
        "Wait and try again, or rent another pod.",
        op=op.name,
        status=status,
        detail=said,
    )


def _unavailable(op: Op, said: str, status: int | None) -> ProviderUnavailable:
    return ProviderUnavailable(
        f"RunPod failed to {op.doing}: {said}", "Try again later.", op=op.name, status=status, detail=said
    )


def _with_words(error: ProviderError, problem: Problem) -> ProviderError:
    error.title, error.errors = clean(problem.title), tuple(clean(text) for text in problem.errors)
    error.detail = clean(problem.detail)
    error.status = problem.status
    return error
