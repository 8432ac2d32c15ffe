"""Faults to order: what goes wrong with the next requests of one operation, and whether its effect happens."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = (
    "latency",  # the reply comes after `seconds`
    "429",  # quota used up; Retry-After: `retry_after`
    "error",  # a problem document with `status` and `detail`, before any effect
    "error-after",  # the same, after the effect
    "html-502",  # a proxy's page, before any effect
    "html-502-after",  # a proxy's page, after the effect
    "truncated",  # the true reply, cut in the middle of its JSON, after the effect
    "garbage",  # 200 with something that is no JSON, before any effect
    "empty",  # 200 without a body, before any effect
    "drop-sse",  # the log stream breaks after `events` events
    "timeout-before",  # no effect, no reply: the connection is held for `seconds`, then cut
    "timeout-after",  # the effect happens, no reply: held for `seconds`, then cut
    "retired",  # 410
)


@dataclass(frozen=True)
class Fault:
    """One fault. `seconds` are real ones: how long to hold the request; a client that gives up ends the wait."""

    kind: str
    seconds: float = 0.0
    status: int = 500
    detail: str = "Something went wrong. Please try again later or contact support."
    retry_after: int = 1
    events: int = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"No fault {self.kind!r}; there are {', '.join(KINDS)}.")

    @classmethod
    def named(cls, name: str) -> Fault:
        """A fault by its kind, or an HTTP status ("503") as short for that error."""
        if name not in KINDS and name.isdigit():
            return cls("error", status=int(name))
        return cls(name)

    @property
    def before(self) -> bool:
        """True when the operation must not take effect."""
        return self.kind in ("429", "error", "html-502", "garbage", "empty", "timeout-before", "retired")


@dataclass
class _Order:
    operation: str
    fault: Fault
    left: int | None


class FaultBook:
    """Faults waiting for their requests, first ordered first served."""

    def __init__(self) -> None:
        self._orders: list[_Order] = []

    def inject(self, operation: str, fault: Fault | str, times: int | None = 1) -> None:
        """Let the next `times` requests (None: all) of `operation` meet `fault`.

        `operation` is "create", "list", "get", "start", "stop", "restart", "terminate", "patch", "logs", "catalog",
        "datacenters", "volumes", "volume_create", "volume_get", "volume_patch", "volume_delete", "ssh_keys",
        "billing", "balance" or "gpus", on either API; "v2" or "graphql" for one whole API; "v2:create" or
        "graphql:podStop" for one operation of one; "*" for everything.
        """
        self._orders.append(_Order(operation, Fault.named(fault) if isinstance(fault, str) else fault, times))

    def clear(self) -> None:
        """Forget every fault."""
        self._orders.clear()

    def take(self, names: frozenset[str]) -> Fault | None:
        """The fault for a request with these names, None for none."""
        for order in self._orders:
            if order.operation == "*" or order.operation in names:
                if order.left is not None:
                    order.left -= 1
                    if order.left <= 0:
                        self._orders.remove(order)
                return order.fault
        return None
