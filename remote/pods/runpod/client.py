"""RunPod over HTTP: one client, its key, its quota, its retries. What a reply means is for `wire` and `errors` to say.

A request is repeated only as its `Repeat` allows, and none leaves while the provider asked for silence.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from contextlib import asynccontextmanager, suppress
from email.utils import parsedate_to_datetime
from enum import Enum
from importlib import metadata
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from msgspec import Struct

from remote.errors import (
    AccessDenied,
    ApiRetired,
    AuthError,
    ConfigError,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
)
from remote.pods.runpod import rate
from remote.pods.runpod.decode import decode, host, items, mapping
from remote.pods.runpod.errors import (
    Op,
    Problem,
    from_problem,
    not_understood,
    outcome_unknown,
    rate_limited,
    unreachable,
)
from remote.pods.runpod.hiding import Hiding
from remote.secrets import KEY_NAME, Secret

URL, SDK_URL = "MAXCAI_RUNPOD_URL", "RUNPOD_API_BASE_URL"
DEFAULT_URL = "https://api.runpod.io"
MAX_REPLY = 16 << 20
"""Bytes of one reply."""

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_WORDS = ("title", "detail")
_ROUNDS = 3  # of waiting for one's turn
_NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Repeat(Enum):
    """How often a request may be sent."""

    FREELY = "a read: until it is answered"
    SAFELY = "an act that may be repeated without harm: until it is answered"
    NEVER = "once: what buys something, and what does harm twice"


class Timing(Struct, frozen=True):
    """Tries and seconds. `patience_s` is the longest Retry-After that is waited out rather than reported."""

    tries: int = 4
    first_pause_s: float = 0.5
    longest_pause_s: float = 8.0
    patience_s: float = 60.0
    connect_s: float = 5.0
    read_s: float = 30.0
    create_s: float = 60.0
    stream_idle_s: float = 45.0
    first_line_s: float = 5.0
    quiet_s: float = 1.0


class Failure(Struct, frozen=True):
    """A request without a usable answer. `left` is False when it certainly never reached the provider."""

    error: ProviderUnavailable
    left: bool


class Client:
    """One connection pool to one origin. `key` is asked for the API key at the first request and after a refusal.

    `clock` gives unix seconds; `sleep`, `chance` (0 to 1) and `transport` are there for tests.
    """

    def __init__(
        self,
        origin: str,
        key: Callable[[], Secret | None],
        hide: Hiding,
        clock: Callable[[], float],
        *,
        timing: Timing | None = None,
        sleep: Sleep = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.timing = timing or Timing()
        self.budget = rate.RateBudget()
        self.sleep = sleep
        self._origin, self._key, self._hide, self._clock, self._chance = origin, key, hide, clock, chance
        self._transport = transport
        self._http: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._secret: Secret | None = None
        self.clock_offset_s: float | None = None
        """The provider's clock less ours, by the last reply's Date, to within a second or two; None before one came."""

    async def aclose(self) -> None:
        """Close every connection; the next request opens new ones."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def ask(
        self,
        op: Op,
        method: str,
        path: str,
        read: Callable[[bytes], T],
        *,
        repeat: Repeat = Repeat.FREELY,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        again: Callable[[], Awaitable[T | None]] | None = None,
        read_s: float | None = None,
        only: int | None = None,
    ) -> T:
        """Send a request and return what `read` makes of the reply's body.

        `read` raises ValueError for a body that is broken, which counts as no answer, or a ProviderError. `again` is
        asked before a request without an answer is sent once more: what it returns, unless None, is the result.
        `only` is the one status of success where the body does not prove it.
        Raises ProviderError: Unanswered or OutcomeUnknown when an act may have taken effect.
        """

        async def once() -> T | Failure:
            return await self.exchange(op, method, path, read, params=params, json=json, read_s=read_s, only=only)

        return await self.repeating(op, repeat, once, again)

    async def repeating(
        self,
        op: Op,
        repeat: Repeat,
        once: Callable[[], Awaitable[T | Failure]],
        again: Callable[[], Awaitable[T | None]] | None = None,
    ) -> T:
        """`once`, and once more while it fails, as often as `repeat` allows and never within a Retry-After."""
        failed: Failure | None = None
        left = False
        for number in range(1 if repeat is Repeat.NEVER else self.timing.tries):
            refused: RateLimited | None = None
            try:
                if failed is not None:
                    await self.sleep(self.pause_s(number - 1))
                await self.turn(op)
                result = await once()
            except RateLimited as error:
                refused = error
                continue
            except (AuthError, AccessDenied, ApiRetired) as error:
                if repeat is Repeat.SAFELY and left:  # this one is refused, the one before may have taken effect
                    raise outcome_unknown(error, op, repeatable=True) from None
                raise
            if not isinstance(result, Failure):
                return result
            failed, left = result, left or result.left
            if again is not None and left:
                try:
                    if (found := await again()) is not None:
                        return found
                except (ProviderUnavailable, RateLimited):
                    break  # what cannot be looked at is not sent again either
        if refused is not None and not left:
            raise refused
        assert failed is not None
        raise self._given_up(failed, op, repeat, left)

    def pause_s(self, number: int) -> float:
        """Seconds before try `number` + 2: a random share of a bound that grows fourfold."""
        return self._chance() * min(self.timing.first_pause_s * 4.0**number, self.timing.longest_pause_s)

    @asynccontextmanager
    async def stream(
        self, op: Op, path: str, params: Mapping[str, str], headers: Mapping[str, str]
    ) -> AsyncIterator[httpx.Response]:
        """A reply to be read as it comes, once its head says that it is an event stream.

        Raises ProviderError; failures of the connection are ProviderUnavailable, also within the context, which is left
        without an error when the provider falls silent for long.
        """
        opened = False
        await self.turn(op)
        timeout = httpx.Timeout(self.timing.read_s, connect=self.timing.connect_s, read=self.timing.stream_idle_s)
        try:
            async with self._open().stream(
                "GET",
                self._origin + path,
                params=dict(params),
                headers={"Accept": "text/event-stream", **headers},
                timeout=timeout,
                auth=await self._authorisation(),
            ) as response:
                self.budget.read(response.headers, self._clock())
                if response.status_code != 200:
                    raise self._refusal(op, response, await _body(response, cut=True), self.budget)
                if not response.headers.get("content-type", "").startswith("text/event-stream"):
                    raise not_understood(op, "it is no event stream", response.status_code)
                opened = True
                yield response
        except httpx.HTTPError as exc:
            if opened and isinstance(exc, httpx.ReadTimeout):
                return
            raise unreachable(op, self._hide(_why(exc))) from None

    async def exchange(
        self,
        op: Op,
        method: str,
        path: str,
        read: Callable[[bytes], T],
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        read_s: float | None = None,
        only: int | None = None,
        budget: rate.RateBudget | None = None,
    ) -> T | Failure:
        """One request and its reply, at once. Raises ProviderError for what the provider refuses.

        `budget` keeps count of the quota when it is not the one of this client.
        """
        read_s, budget = read_s or self.timing.read_s, budget or self.budget
        http, auth = self._open(), await self._authorisation()
        timeout = httpx.Timeout(read_s, connect=self.timing.connect_s, pool=self.timing.connect_s)
        try:
            async with (
                asyncio.timeout(self.timing.connect_s + 2 * read_s),  # also for a reply that trickles
                http.stream(method, self._origin + path, params=params, json=json, timeout=timeout, auth=auth) as reply,
            ):
                budget.read(reply.headers, self._clock())
                self._read_date(reply.headers)
                raw = await _body(reply)
        except (httpx.HTTPError, TimeoutError) as exc:
            return Failure(unreachable(op, self._hide(_why(exc))), not isinstance(exc, _NEVER_LEFT))
        except ValueError as exc:
            return Failure(not_understood(op, str(exc)), left=True)
        try:
            if not 200 <= reply.status_code < 300:
                raise self._refusal(op, reply, raw, budget)
            if only not in (None, reply.status_code):
                return Failure(not_understood(op, "it confirms nothing", reply.status_code), left=True)
            return read(raw)
        except ProviderUnavailable as error:
            return Failure(error, left=True)
        except ValueError as exc:
            return Failure(not_understood(op, self._hide(str(exc)), reply.status_code), left=True)

    def _read_date(self, headers: httpx.Headers) -> None:
        with suppress(KeyError, ValueError, TypeError, OverflowError):
            self.clock_offset_s = parsedate_to_datetime(headers["Date"]).timestamp() - self._clock()

    def _refusal(self, op: Op, reply: httpx.Response, raw: bytes, budget: rate.RateBudget) -> ProviderError:
        """What an error reply means; the quota and the key are treated accordingly."""
        if 300 <= reply.status_code < 400:
            return not_understood(op, "it sends us elsewhere", reply.status_code)
        now = self._clock()
        wait = rate.retry_after(reply.headers.get("Retry-After"), now)
        if reply.status_code == 429 or (reply.status_code == 503 and wait is not None):
            wait = budget.refused(wait, now)
        source = self._secret.source if self._secret else ""
        error = from_problem(op, self._problem(reply.status_code, raw, wait), source)
        if isinstance(error, AuthError):
            self._secret = None  # it may be put right meanwhile
        return error

    def _problem(self, status: int, raw: bytes, wait: float | None) -> Problem:
        try:
            data = decode(raw)
        except ValueError:
            data = None
        if not isinstance(data, dict):
            page = b"<" in raw[:200]
            text = "a web page instead of an answer" if page else self._hide(raw[:2000].decode("utf-8", "replace"))
            return Problem(status, "", text, structured=False, retry_after=wait)
        title, detail = (self._hide(value) if isinstance(value := data.get(key), str) else "" for key in _WORDS)
        errors = tuple(self._hide(text) for item in items(data.get("errors"))[:20] if (text := _message(item)))
        ours = bool(title or detail or errors) or data.get("status") == status
        return Problem(status, title, detail, errors, structured=ours, retry_after=wait)

    def _given_up(self, failed: Failure, op: Op, repeat: Repeat, left: bool) -> ProviderError:
        if repeat is Repeat.FREELY or not left:
            return failed.error
        return outcome_unknown(failed.error, op, repeatable=repeat is Repeat.SAFELY)

    async def turn(self, op: Op) -> None:
        """Wait until a request may leave. Raises RateLimited when that is too long."""
        for _ in range(_ROUNDS):
            wait = self.budget.wait(self._clock())
            if wait == 0:
                return
            if wait > self.timing.patience_s:
                break
            await self.sleep(wait)
        if (wait := self.budget.wait(self._clock())) > 0:  # others were refused meanwhile
            raise rate_limited(op, wait)

    def _open(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if self._http is None or self._loop is not loop:  # connections belong to the loop that made them
            self._loop = loop
            self._http = httpx.AsyncClient(
                transport=self._transport,
                headers={"User-Agent": f"maxcai/{_version()}", "Accept": "application/json"},
                follow_redirects=False,
                trust_env=not self._origin.startswith("http://"),  # no proxy stands before this machine itself
                limits=httpx.Limits(max_connections=16, max_keepalive_connections=4),
            )
        return self._http

    async def _authorisation(self) -> _Bearer:
        if self._secret is None:
            secret = await asyncio.to_thread(self._key)
            if secret is None:
                raise ConfigError(
                    "There is no RunPod API key.", f"Set {KEY_NAME}, or put it into .env.runpod in the workspace."
                )
            self._hide.learn([secret.value])
            if not (secret.value.isascii() and secret.value.isprintable()) or " " in secret.value:
                raise ConfigError(f"The RunPod API key from {secret.source} has characters that no key has.")
            self._secret = secret
        return _Bearer(self._secret)


class _Bearer(httpx.Auth):
    """Puts the key into the header of each request, and into nothing that could be printed."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._secret.value}"
        yield request


def origin(environ: Mapping[str, str]) -> str:
    """Where RunPod's API is: ours, else what its library reads, else the public address; without a final slash.

    Raises ConfigError for what is no address, and for one that would carry the key in the clear beyond this machine.
    """
    name = next((name for name in (URL, SDK_URL) if environ.get(name, "").strip()), None)
    if name is None:
        return DEFAULT_URL
    address = environ[name].strip().rstrip("/")
    with suppress(ValueError, httpx.InvalidURL):
        httpx.URL(address)
        parts = urlsplit(address)
        plain = parts.scheme == "http" and parts.hostname in _LOOPBACK and (parts.port or 80)
        if (plain or parts.scheme == "https") and host(parts.hostname) and not (parts.username or parts.query):
            return address
    raise ConfigError(f"{name} is no address of an API.", "Give https://HOST, or http:// on this machine.")


def _message(item: Any) -> str:
    """The text of one entry of `errors`: bare, or in GraphQL's form."""
    found = mapping(item).get("message") if isinstance(item, dict) else item
    return found if isinstance(found, str) else ""


def _why(exc: Exception) -> str:
    """Why no answer came, in words."""
    if isinstance(exc, httpx.ConnectTimeout):
        return "no connection in time"
    if isinstance(exc, (TimeoutError, httpx.TimeoutException)):
        return "no answer in time"
    return str(exc) or type(exc).__name__


def _version() -> str:
    try:
        return metadata.version("maximalcai")
    except metadata.PackageNotFoundError:  # run from a plain copy of the sources
        return "0"


async def _body(reply: httpx.Response, *, cut: bool = False) -> bytes:
    """The reply's bytes. Raises ValueError when they are too many, unless the rest may be `cut` off."""
    raw = bytearray()
    async for chunk in reply.aiter_bytes():
        raw += chunk
        if len(raw) > MAX_REPLY:
            if cut:
                break
            raise ValueError(f"it is larger than {MAX_REPLY >> 20} MB")
    return bytes(raw)
