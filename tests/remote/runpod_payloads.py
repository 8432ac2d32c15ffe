"""RunPod's replies as recorded from live accounts or given in its documentation, and a scripted server to send them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx

from remote.pods.runpod.client import Timing
from remote.pods.runpod.decode import decode
from remote.pods.runpod.provider import RunPodProvider

KEY = "rpa_" + "K3Y0" * 6
NOW = 1_787_206_600.0  # a little after the recorded pod's start

RUNNING: dict[str, Any] = json.loads("""
{"actions":["stop","restart","terminate"],"args":"","cloud":"SECURE","cost":0.72,"createdAt":"2026-08-20T06:16:19.436Z",
 "cudaVersion":"13.0","dataCenterId":"EU-RO-1","disk":30,"env":{"PUBLIC_KEY":"ssh-ed25519 ..."},
 "globalNetworking":{"enabled":false},"gpu":{"count":1,"id":"NVIDIA RTX PRO 4500 Blackwell"},"id":"5xpma5eg46tqjq",
 "image":"runpod/pytorch:1.0.7-cu1281-torch291-ubuntu2204","locked":false,
 "mounts":{"network":[{"path":"/workspace","volumeId":"grvtso8ftn"}]},"name":"probe","ports":["22/tcp"],"registry":null,
 "runtime":{"cpu":{"util":0},"gpus":[{"memoryUtil":0,"util":0}],"memory":{"util":0},"uptime":3,
   "ports":[{"ip":"213.173.104.74","private":22,"public":35558,"type":"tcp"},
            {"ip":"100.65.14.155","private":19123,"public":60821,"type":"http"}]},
 "ssh":{"direct":{"command":"ssh root@213.173.104.74 -p 35558","host":"213.173.104.74","port":35558,"username":"root"},
        "proxy":{"command":"ssh 5xpma5eg46tqjq-64411eb2@ssh.runpod.io","host":"ssh.runpod.io","port":22,
                 "username":"5xpma5eg46tqjq-64411eb2"}},
 "startedAt":"2026-08-20T06:16:19.43Z","status":"RUNNING","template":null}
""")
POD = RUNNING["id"]


def pod(**changes: Any) -> dict[str, Any]:
    """The recorded running pod with other values; a value of `...` takes the field away."""
    found = {**copy.deepcopy(RUNNING), **changes}
    return {key: value for key, value in found.items() if value is not ...}


PULLING = pod(runtime=None, ssh={"direct": None, "proxy": RUNNING["ssh"]["proxy"]})
PROVISIONING = pod(
    status="PROVISIONING",
    actions=["start", "terminate"],
    runtime={},
    startedAt=None,
    ssh={"direct": None, "proxy": None},
)
BOOTING = pod(ssh={"direct": None, "proxy": RUNNING["ssh"]["proxy"]})
STOPPED = pod(status="EXITED", actions=["start", "terminate"], runtime=None, ssh={"direct": None, "proxy": None})

GPUS: dict[str, Any] = {
    "gpus": [
        {"id": "NVIDIA GeForce RTX 4090", "name": "RTX 4090", "pool": "ADA_24", "manufacturer": "NVIDIA", "memory": 24,
         "secure": True, "community": True, "price": {"secure": 0.44, "community": 0.31, "serverless": 1.1},
         "maxCount": {"secure": 8, "community": 4}, "availability": "HIGH",
         "dataCenters": [{"id": "US-KS-2", "name": "US Kansas 2", "availability": "HIGH"}],
         "cudaVersions": [{"version": "12.8", "available": True}]}
    ]
}  # fmt: skip
VOLUMES = {
    "networkVolumes": [
        {"id": "grvtso8ftn", "name": "models", "size": 50, "dataCenter": "EU-RO-1", "type": "STANDARD"},
    ]
}
BILLING: dict[str, Any] = {
    "records": [
        {"startTime": "2026-06-01T00:00:00Z", "endTime": "2026-06-02T00:00:00Z", "podId": "7h9k2m4n6p",
         "totalAmount": 12.34, "gpuAmount": 11.1, "cpuAmount": 0, "diskAmount": 1.24}
    ],
    "metadata": {"query": {}, "recordCount": 1, "uniquePodCount": 1, "totals": {"totalAmount": 12.34}},
}  # fmt: skip
LOG = (
    b": hello\n\nid: 2026-06-01T12:02:03Z/000000000001\n"
    b'data: {"ts":"2026-06-01T12:02:03Z","source":"container","line":"Model loaded."}\n\n'
    b"id: 2026-06-01T12:02:04Z/000000000002\r\n"
    b'data: {"ts":"2026-06-01T12:02:04Z","source":"container","line":"\xc3\xa9t\xc3\xa9"}\r\n\r\n'
)
ME = {
    "data": {
        "myself": {"id": "user_x", "clientBalance": 10.07, "currentSpendPerHr": 0.005, "spendLimit": 80}
    }
}  # fmt: skip

NO_INSTANCES = (
    "There are no longer any instances available with the requested specifications. Please refresh and try again."
)
NO_RESOURCES = "this machine does not have the resources to deploy this pod"
NO_FREE_GPU = "There are not enough free GPUs on the host machine to start this pod."
NO_RESUME = "Failed to resume pod."
WENT_WRONG = "Something went wrong. Please try again later or contact support."
RATE_HEADERS = {
    "RateLimit": '"minute";r=58;t=12, "hour";r=2800;t=1812, "day";r=49500;t=45012',
    "RateLimit-Policy": '"minute";q=60;w=60, "hour";q=3000;w=3600, "day";q=50000;w=86400',
}


def as_read(data: Any) -> Any:
    """A payload as our reader gives it: fractions exact."""
    return decode(json.dumps(data).encode())


Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


def ok(data: Any, status: int = 200, headers: dict[str, str] | None = None) -> httpx.Response:
    """A reply in JSON."""
    return httpx.Response(status, json=data, headers=headers)


def problem(status: int, detail: str = "", errors: list[str] | None = None, **headers: str) -> httpx.Response:
    """An error in the form of RFC 9457."""
    told: dict[str, Any] = {"title": "title", "status": status, "detail": detail}
    if errors is not None:
        told["errors"] = errors
    head = {"Content-Type": "application/problem+json"} | {k.replace("_", "-"): v for k, v in headers.items()}
    return httpx.Response(status, content=json.dumps(told).encode(), headers=head)


def page(status: int) -> httpx.Response:
    """What a proxy in between says."""
    return httpx.Response(status, text=f"<html><h1>{status}</h1></html>", headers={"Content-Type": "text/html"})


class Time:
    """A clock that moves only when somebody sleeps."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Script:
    """A server that gives prepared answers in turn and keeps the requests; more requests than answers fail the test."""

    def __init__(self, answers: Iterable[Answer], time: Time) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.at: list[float] = []
        self._time = time

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.at.append(self._time.now)
        assert self.answers, f"an unexpected request: {request.method} {request.url}"
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer

    @property
    def sent(self) -> list[str]:
        """Method and path of each request."""
        return [f"{request.method} {request.url.path}" for request in self.requests]

    def body(self, number: int = -1) -> Any:
        """What request `number` carried, decoded."""
        return json.loads(self.requests[number].content)


def provider(
    *answers: Answer, key: str = KEY, environ: dict[str, str] | None = None
) -> tuple[RunPodProvider, Script, Time]:
    """A provider before a scripted server, with a clock that only sleeping moves."""
    time = Time()
    script = Script(answers, time)
    made = RunPodProvider(
        Path("/nowhere/.maxcai"),
        time,
        {"RUNPOD_API_KEY": key} if environ is None else environ,
        timing=Timing(first_line_s=0.2, quiet_s=0.05),
        sleep=time.sleep,
        chance=lambda: 1.0,
        transport=httpx.MockTransport(script),
    )
    return made, script, time
