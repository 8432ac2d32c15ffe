"""Where RunPod departs from its own specification, each a switch. The defaults are what was seen live."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass
class Quirks:
    """One field a quirk, in the order: observed always (default on), then observed now and then (default off)."""

    create_replies_running: bool = True
    """A create or start replies RUNNING at once, with `runtime` null; otherwise PROVISIONING, STARTING, RUNNING."""
    cost_when_stopped: bool = True
    """A stopped pod keeps its `cost`; otherwise it is 0.0."""
    proxy_always_filled: bool = True
    """`ssh.proxy` is there from the create on; otherwise only once the container runs."""
    disk_compulsory: bool = True
    """A create without `disk` is refused with 400, after a machine was found."""
    data_centers_enforced: bool = True
    """`dataCenterIds` limits the placement; otherwise it is a preference."""
    bill_after_pull: bool = True
    """Billing starts when the container starts; otherwise at the create."""
    list_uptime_zero: bool = True
    """GraphQL's `uptimeSeconds` is 0 whatever the pod's age."""
    pagination: bool = True
    """Lists carry `pagination` and obey `limit` and `cursor`; otherwise there is neither."""
    spend_includes_storage: bool = True
    """`currentSpendPerHr` includes network volumes and disks that no running pod shows."""
    blocks_bare_agents: bool = True
    """A missing or urllib User-Agent gets 403 with the CDN's `error code: 1010`."""
    logs_before_ssh: bool = True
    """Container logs are served before the SSH port is there."""
    logs_keep_earlier_starts: bool = True
    """The container log still holds the lines of earlier starts."""
    stop_after_ignored: bool = True
    """`stopAfter` and `terminateAfter` are accepted and do nothing."""
    null_docker_args_fail: bool = True
    """GraphQL: `dockerArgs: null` gives "Something went wrong"."""

    provisioning_example: bool = False
    """The specification's example object: PROVISIONING offers start and terminate, `runtime` is {}."""
    runtime_missing: bool = False
    """`runtime` is left out where it would be null."""
    listed_refuses: bool = False
    """The catalogue shows stock and a create is refused all the same."""
    no_port: bool = False
    """A pod started now runs for 19 minutes before it gets a public port."""
    gpu_gone_after_stop: bool = False
    """Five minutes after a stop somebody else has the GPU."""
    zero_gpu_start: bool = False
    """A start on a host without free GPUs succeeds with none of them."""
    zero_gpu_shown: bool = False
    """A pod started without GPUs says `gpu.count` 0; otherwise the API keeps the number that was asked for."""
    terminated_lingers: bool = False
    """A terminated pod is listed as TERMINATED for a minute before it is a 404."""
    last_event_id_repeats: bool = False
    """A log stream resumed with Last-Event-ID repeats the line of that id."""
    watchdog_key_refused: bool = False
    """The pod-scoped key is good for nothing: 401."""
    watchdog_v2_refused: bool = False
    """The pod-scoped key is refused by REST v2 with 403 and accepted by GraphQL."""
    watchdog_stop_refused: bool = False
    """The pod-scoped key may read its pod and not stop it."""

    @classmethod
    def specification(cls) -> Quirks:
        """Every switch off: the API as its documents describe it."""
        return cls(**{field.name: False for field in fields(cls)})

    def set(self, **switches: bool) -> None:
        """Turn switches on and off. Raises ValueError for one that does not exist."""
        unknown = set(switches) - {field.name for field in fields(self)}
        if unknown:
            raise ValueError(f"No such quirk: {', '.join(sorted(unknown))}.")
        for name, value in switches.items():
            setattr(self, name, bool(value))

    def as_dict(self) -> dict[str, Any]:
        """Every switch by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
