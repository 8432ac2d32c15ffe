"""How a pod stops itself: through its provider's API with its own key, by the provider's tool, or by a file that its
server watches for. It can stop and nothing else. When to stop is left to `watchdog`."""

from __future__ import annotations

import glob
import json
import os
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .disk import Json
from .kernel import PLAIN

if TYPE_CHECKING:
    import urllib.request

ORIGIN = "https://api.runpod.io"
STOP_FILE = "MAXCAI_POD_STOP"
"""Environment variable of a pod whose server stops it when the file of this name appears."""
ANSWER_LIMIT = 1 << 20
CALL_S, TOOL_S = 20.0, 60.0
_READ = "query pod($podId: String!) { pod(input: {podId: $podId}) { id desiredStatus } }"
_STOP = "mutation stopPod($podId: String!) { podStop(input: {podId: $podId}) { id desiredStatus } }"


class Way:
    """One way to stop: its name, and what does it. `stop(why)` returns {"ok", "detail"} and more, or raises nothing."""

    def __init__(self, name: str, stop: Callable[[str], Json]) -> None:
        self.name, self.stop = name, stop


class Exit:
    """What this pod can do to stop itself, by its environment."""

    def __init__(self, env: dict[str, str]) -> None:
        self.env = env
        self.pod = env.get("RUNPOD_POD_ID", "")
        self.key = env.get("RUNPOD_API_KEY", "")
        self.origin = (env.get("RUNPOD_API_BASE_URL") or ORIGIN).rstrip("/")
        self.file = env.get(STOP_FILE, "")

    def ways(self) -> list[Way]:
        """In the order in which they are tried."""
        if re.match(r"[A-Za-z0-9_-]{1,64}\Z", self.pod):
            return [
                Way("v2", self.stop_v2),
                Way("graphql", self.stop_graphql),
                Way("runpodctl", lambda _: self.tool(["runpodctl", "pod", "stop", self.pod])),
                Way("runpodctl-old", lambda _: self.tool(["runpodctl", "stop", "pod", self.pod])),
            ]
        return [Way("file", self.stop_file)] if self.file else []

    def access(self) -> Json:
        """Whether the pod can read itself, which is as much as can be tried without stopping it.

        {"ok", "paths": names of the ways whose access was seen to work, "detail"}.
        """
        ways = self.ways()
        if not ways:
            return {"ok": False, "paths": [], "detail": "this pod was given no means to stop itself"}
        if ways[0].name == "file":
            return self.access_file()
        if not self.key:
            return {"ok": False, "paths": [], "detail": "this pod has no API key (RUNPOD_API_KEY)"}
        v2 = self.call("GET", f"/v2/pods/{self.pod}")
        graphql = self.call("POST", "/graphql", {"query": _READ, "variables": {"podId": self.pod}})
        seen = {
            "v2": v2["ok"] and v2["body"].get("id") == self.pod,
            "graphql": graphql["ok"] and (_data(graphql, "pod") or {}).get("id") == self.pod,
        }
        paths = [name for name, works in seen.items() if works]
        detail = "" if paths else f"v2: {v2['detail']}; GraphQL: {graphql['detail']}"
        return {"ok": bool(paths), "paths": paths, "detail": detail}

    def access_file(self) -> Json:
        ok = os.access(os.path.dirname(self.file), os.W_OK)
        return {"ok": ok, "paths": ["file"] if ok else [], "detail": "" if ok else f"{self.file} cannot be written"}

    def stop_v2(self, _why: str) -> Json:
        return _short(self.call("POST", f"/v2/pods/{self.pod}/action", {"action": "stop"}))

    def stop_graphql(self, _why: str) -> Json:
        reply = self.call("POST", "/graphql", {"query": _STOP, "variables": {"podId": self.pod}})
        if reply["ok"] and not _data(reply, "podStop"):
            reply.update(ok=False, detail=f"no pod was stopped: {reply['detail']}")
        return _short(reply)

    def stop_file(self, why: str) -> Json:
        try:
            with open(f"{self.file}.new", "w", encoding="utf-8") as out:
                out.write(why)
            os.replace(f"{self.file}.new", self.file)
        except OSError as error:
            return {"ok": False, "detail": str(error)}
        return {"ok": True, "detail": "asked the pod's server"}

    def tool(self, argv: list[str]) -> Json:
        """The provider's own program; the key travels in its environment, never in its arguments."""
        import subprocess

        env = {**PLAIN, "RUNPOD_API_KEY": self.key, "RUNPOD_API_BASE_URL": self.origin}
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=TOOL_S, env=env)
        except (OSError, subprocess.SubprocessError) as error:
            return {"ok": False, "detail": self.clean(str(error))}
        words = (done.stdout + done.stderr).decode("utf-8", "replace").strip()
        return {"ok": done.returncode == 0, "status": done.returncode, "detail": self.clean(words[-300:])}

    def call(self, method: str, path: str, body: Json | None = None) -> Json:
        """{"ok", "status", "detail", "body", "retry_after"} of one request; raises nothing."""
        import urllib.error  # slow to load, and most verbs ask nobody
        import urllib.request

        request = urllib.request.Request(self.origin + path, method=method)
        request.add_header("Authorization", f"Bearer {self.key}")
        request.add_header("User-Agent", "maxcai-watchdog/1")
        request.add_header("Accept", "application/json")
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with opener().open(request, timeout=CALL_S) as reply:
                return self.understood(reply.status, reply.read(ANSWER_LIMIT), None)
        except urllib.error.HTTPError as error:
            with error:
                return self.understood(error.code, error.read(ANSWER_LIMIT), error.headers.get("Retry-After"))
        except (OSError, ValueError, urllib.error.URLError) as error:
            why = getattr(error, "reason", None) or error
            return {"ok": False, "status": None, "detail": self.clean(str(why)), "body": {}, "retry_after": None}

    def understood(self, status: int, raw: bytes, wait: Any) -> Json:
        try:
            body = json.loads(raw or b"{}")
        except (ValueError, RecursionError):
            body = None
        good = 200 <= status < 300 and isinstance(body, dict) and not body.get("errors")
        words = _words(body) if isinstance(body, dict) else "the answer is not JSON"
        seconds = float(wait) if wait is not None and re.match(r"\d{1,6}\Z", str(wait)) else None
        return {
            "ok": good,
            "status": status,
            "detail": self.clean(f"{status} {words}".strip()),
            "body": body if isinstance(body, dict) else {},
            "retry_after": seconds,
        }

    def clean(self, text: str) -> str:
        """One line without control characters, without the key."""
        text = text.replace(self.key, "***") if self.key else text
        return "".join(char if char.isprintable() else " " for char in text)[:400]


def _words(body: Json) -> str:
    errors = body.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    if isinstance(first, dict):
        return str(first.get("message", ""))
    return str(body.get("detail") or body.get("title") or "")


def _data(reply: Json, name: str) -> Any:
    data = reply["body"].get("data")
    value = data.get(name) if isinstance(data, dict) else None
    return value if isinstance(value, dict) else None


def _short(reply: Json) -> Json:
    return {name: reply[name] for name in ("ok", "status", "detail", "retry_after")}


def opener() -> urllib.request.OpenerDirector:
    """Speaks HTTP(S) without proxies, and follows no redirect: the key must not travel to another host."""
    import ssl
    import urllib.request

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    context = ssl.create_default_context(cafile=authorities())
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context), Stay()
    )


def authorities() -> str | None:
    """A file of certificate authorities; None when Python finds its own. Minimal images often have only pip's."""
    import ssl

    where = ssl.get_default_verify_paths()
    if where.cafile or (where.capath and os.path.isdir(where.capath) and os.listdir(where.capath)):
        return None
    usual = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"]
    for base in (sys.prefix, "/usr/lib/python3", "/usr/local"):
        for package in ("certifi", "pip/_vendor/certifi"):
            usual += glob.glob(f"{glob.escape(base)}/lib/python3*/*-packages/{package}/cacert.pem")
    usual += glob.glob("/usr/lib/python3/dist-packages/**/certifi/cacert.pem", recursive=True)
    return next((path for path in usual if os.path.isfile(path)), None)
