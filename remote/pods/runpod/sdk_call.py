"""One call of RunPod's own library: off the event loop, one at a time, its process-wide state put back afterwards.

The library keeps its key and its address in process-wide places, tells little of a reply, and its errors hold the whole
request. So each call borrows those places, looks at the reply on its way, and makes errors that hold no secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.metadata
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from remote.errors import ConfigError, ProviderError, ProviderUnavailable, RuleBroken
from remote.pods.runpod import errors
from remote.pods.runpod.client import DEFAULT_URL, MAX_REPLY, SDK_URL, Failure
from remote.pods.runpod.decode import decode, items, mapping, text
from remote.pods.runpod.errors import Op, Problem
from remote.pods.runpod.hiding import Hiding
from remote.pods.runpod.rate import RateBudget, retry_after
from remote.secrets import Secret

_SERIES = "1.12"
_DEADLINE_S = 60.0  # for a whole reply, however slowly it drips
_ONE_AT_A_TIME = threading.Lock()  # for the process, as the library's state is


class Sdk:
    """The library, as it speaks to the API at `origin`. It is imported at the first call (1 to 2 s).

    `budget` learns what replies say of the quota, `hide` redacts what they say, `clock` gives unix seconds.
    """

    def __init__(self, origin: str, budget: RateBudget, hide: Hiding, clock: Callable[[], float]) -> None:
        self._origin, self._budget, self._hide, self._clock = origin, budget, hide, clock

    async def call(self, op: Op, key: Secret, function: str, arguments: Mapping[str, Any]) -> Any:
        """What the library's `function` returns for `arguments`, or a Failure when that is no usable answer.

        Cancelling does not take back what was sent. Raises ConfigError when the library is not to be used, and
        ProviderError when RunPod refuses.
        """
        value, error = await asyncio.to_thread(self._perform, op, key, function, dict(arguments))
        if error is not None:  # raised here, so that no library error, which holds the request, hangs on to it
            raise error
        return value

    def _perform(
        self, op: Op, key: Secret, function: str, arguments: dict[str, Any]
    ) -> tuple[Any, ProviderError | ConfigError | None]:
        with _ONE_AT_A_TIME:
            library, refusal = _load()
            if library is None:
                return None, refusal
            wire = _Wire(self._budget, self._clock)
            with _borrowed(library, self._origin, key.value, wire):
                try:
                    return getattr(library, function)(**arguments), None
                except Exception as exc:  # every kind: what it means is decided by the reply that was seen
                    error = _translate(op, exc, wire, self._hide, key.source)
        if isinstance(error, ProviderUnavailable):
            return Failure(error, left=wire.left), None
        return None, error


class _Reply(Struct, frozen=True):
    """What the library reads of a reply. `retry_after` is in seconds, None when not told."""

    status_code: int
    body: bytes
    retry_after: float | None

    def json(self) -> Any:
        return decode(self.body)


class _Wire:
    """Stands in for the module `requests` inside the library: it sends the same request and notes the reply.

    `left` is True from the moment at which a request that changes something may have reached RunPod. Redirects are not
    followed, as the request holds secrets, and replies have a size and a time limit.
    """

    def __init__(self, budget: RateBudget, clock: Callable[[], float]) -> None:
        self.reply: _Reply | None = None
        self.left = False
        self._budget = budget
        self._clock = clock

    def post(self, url: str, *, data: str, **options: Any) -> _Reply:
        requests = importlib.import_module("requests")
        self.reply = None
        acting = str(json.loads(data)["query"]).lstrip().startswith("mutation")
        try:
            with requests.post(
                url, data=data, **options, auth=_as_it_is, stream=True, allow_redirects=False
            ) as response:
                self.left = self.left or acting
                end, body = time.monotonic() + _DEADLINE_S, bytearray()
                for part in response.iter_content(1 << 16):
                    body += part
                    if len(body) > MAX_REPLY or time.monotonic() > end:
                        raise _Oversized
        except Exception as exc:
            self.left = self.left or (acting and not _never_left(exc))
            raise
        self.reply = self._noted(response.status_code, bytes(body), response.headers)
        return self.reply

    def _noted(self, status: int, body: bytes, headers: Mapping[str, str]) -> _Reply:
        now = self._clock()
        self._budget.read(headers, now)
        pause = retry_after(headers.get("Retry-After"), now)
        if status == 429 or (status == 503 and pause is not None):
            pause = self._budget.refused(pause, now)
        return _Reply(status, body, pause)


def _as_it_is(request: Any) -> Any:
    """An authentication that changes nothing: without one a line of `~/.netrc` would take the key's place."""
    return request


class _Oversized(Exception):
    """A reply larger or slower than any that could be meant."""


@contextlib.contextmanager
def _borrowed(library: Any, origin: str, key: str, wire: _Wire) -> Iterator[None]:
    """Put key, address and wire where the library looks for them; afterwards what was there is there again."""
    graphql: Any = importlib.import_module("runpod.api.graphql")
    key_before, requests_before, origin_before = library.api_key, graphql.requests, os.environ.get(SDK_URL)
    library.api_key, graphql.requests = key, wire
    if (origin_before or DEFAULT_URL) != origin:
        os.environ[SDK_URL] = origin
    try:
        yield
    finally:
        library.api_key, graphql.requests = key_before, requests_before
        if origin_before is None:
            os.environ.pop(SDK_URL, None)
        else:
            os.environ[SDK_URL] = origin_before


def _load() -> tuple[Any, ConfigError | None]:
    """The library, or None and why it is not to be used."""
    try:
        version = importlib.metadata.version("runpod")
    except importlib.metadata.PackageNotFoundError:
        return None, ConfigError(
            "RunPod's own library is not installed.", "Install the extra `runpod`, or use the transport v2."
        )
    if version.split(".")[:2] != _SERIES.split("."):
        return None, ConfigError(
            f"RunPod's own library is of version {version}; only {_SERIES} is understood, others answer differently.",
            f'Run: pip install "runpod>={_SERIES},<1.13", or use the transport v2.',
        )
    if "runpod" in sys.modules:
        return sys.modules["runpod"], None
    try:
        with _logging_kept():
            return importlib.import_module("runpod"), None
    except Exception as exc:  # it reads its own configuration file while it is imported
        return None, ConfigError(
            f"RunPod's own library cannot be loaded: {type(exc).__name__}.",
            "Look at ~/.runpod/config.toml, or use the transport v2.",
        )


@contextlib.contextmanager
def _logging_kept() -> Iterator[None]:
    """The library sends every program's log to the terminal when it is imported; that is undone."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        for handler in [handler for handler in root.handlers if handler not in handlers]:
            root.removeHandler(handler)
        root.setLevel(level)


def _translate(op: Op, exc: Exception, wire: _Wire, hide: Hiding, key_source: str) -> ProviderError:
    """Our exception for what the library raised, by the reply that it raised it for."""
    reply = wire.reply
    if reply is None:
        return _unanswered(op, exc)
    if 300 <= reply.status_code < 400:
        return errors.not_understood(op, "it sends us elsewhere", reply.status_code)
    if reply.status_code != 200:
        return errors.from_problem(op, _problem(reply, hide), key_source)
    if type(exc).__name__ == "QueryError":
        return _refused(op, errors.clean(hide(str(exc))), reply)
    if isinstance(exc, ValueError) and "No GPU found" in str(exc):
        return RuleBroken(
            f"RunPod did not {op.doing}: it has no GPU type of that name.", "Choose one of its catalogue.", op=op.name
        )
    return errors.not_understood(op, "it lacks what was asked for")


def _refused(op: Op, said: str, reply: _Reply) -> ProviderError:
    """What the first error in a reply of status 200 means; with data beside it, the act may have happened."""
    data = mapping(mapping(reply.json()).get("data"))
    if any(value is not None for value in data.values()):
        return errors.not_understood(op, f"it holds an error and data: {said}", reply.status_code)
    if "access denied" in said.lower():
        return errors.from_problem(op, Problem(403, detail=said))
    return errors.from_text(op, [said]) or RuleBroken(
        f"RunPod refused to {op.doing}: {said}", "Change what was asked for.", op=op.name, detail=said
    )


def _unanswered(op: Op, exc: Exception) -> ProviderError:
    """The error when no reply came, or not the whole of one. The library's words name the request: they stay out."""
    exceptions = importlib.import_module("requests").exceptions
    if isinstance(exc, _Oversized):
        return errors.not_understood(op, "it has no end")
    if _never_left(exc):
        return errors.unreachable(op, "no connection could be made")
    if isinstance(exc, exceptions.Timeout):
        return errors.unreachable(op, "no answer in time")
    return errors.unreachable(op, "the connection broke")


def _never_left(exc: Exception) -> bool:
    """Whether the request certainly was not sent: there was never a connection."""
    requests, urllib3 = importlib.import_module("requests"), importlib.import_module("urllib3")
    if isinstance(exc, requests.exceptions.ConnectTimeout):
        return True
    reason = getattr(exc.args[0], "reason", None) if exc.args else None
    if isinstance(reason, urllib3.exceptions.SSLError):  # may come later too, but not for the certificate
        return "CERTIFICATE_VERIFY_FAILED" in str(reason)
    return isinstance(reason, urllib3.exceptions.NewConnectionError)


def _problem(reply: _Reply, hide: Hiding) -> Problem:
    """The words of an error reply: problem+json, GraphQL errors, or none."""
    try:
        body = decode(reply.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        return Problem(reply.status_code, structured=False, retry_after=reply.retry_after)
    said = [item.get("message") if isinstance(item, dict) else item for item in items(body.get("errors"))[:20]]
    return Problem(
        reply.status_code,
        hide(text(body.get("title")) or ""),
        hide(text(body.get("detail")) or ""),
        tuple(hide(words) for item in said if (words := text(item))),
        retry_after=reply.retry_after,
    )
