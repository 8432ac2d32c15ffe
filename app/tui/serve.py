"""The panel in a browser on this machine: loopback only, read-only, for pages that this server itself has sent.

`maxcai serve` runs this module as a process of its own. textual-serve starts one panel a tab; it knows no
authentication, so what is refused here is everything that does not come from this machine's own browser: another
address, another host name (DNS rebinding), another page's WebSocket, and anything from the net inside the page.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from aiohttp import web
from textual_serve.server import Server

HOST = "127.0.0.1"
PORT = 8377
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self' ws://{host}; frame-ancestors 'none'; base-uri 'none'"
)


class Loopback(Server):
    """textual-serve's server, for this machine's own browser alone.

    Args:
        command: what makes a panel.
        port: where to listen.
    """

    def __init__(self, command: str, port: int) -> None:
        super().__init__(command, host=HOST, port=port, title="maxcai (read-only)")
        self.own = frozenset(f"{name}:{port}" for name in (HOST, "localhost"))

    async def _make_app(self) -> web.Application:
        made = await super()._make_app()
        made.middlewares.append(self.guard)
        return made

    @web.middleware
    async def guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Refuse what another site or machine could send; 403 without a word of what lies behind."""
        origin = request.headers.get("Origin")
        own = origin is None or origin.removeprefix("http://") in self.own
        if request.host not in self.own or not own or (request.path == "/ws" and origin is None):
            raise web.HTTPForbidden(text="this panel is for the browser of its own machine")
        response: web.StreamResponse = await handler(request)
        if not response.prepared:
            response.headers["Content-Security-Policy"] = POLICY.format(host=request.host)
            response.headers["Referrer-Policy"] = "no-referrer"
            response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    async def on_startup(self, _app: web.Application) -> None:
        """Nothing: textual-serve would draw a logo here, before anything listens."""

    def told(self, *_words: object) -> None:
        """Say where it is, once it listens."""
        print(f"read-only panel at {self.public_url} (this machine only; ctrl+c ends it)", flush=True)

    def serve(self, debug: bool = False) -> None:
        """Serve until interrupted."""
        self.debug = debug
        loop = asyncio.new_event_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, self.request_exit)
        web.run_app(
            self._make_app(),
            host=HOST,
            port=self.port,
            handle_signals=False,
            loop=loop,
            print=self.told,
            access_log=None,
            shutdown_timeout=2.0,  # an open tab would hold it for a minute
        )


def taken(port: int) -> bool:
    """Whether something listens there already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def leave_with(parent: int) -> None:
    """End this process once the server that started it is gone: nobody could see it, and it would go on asking."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(0)


def panel(folder: Path) -> int:
    """One panel for one tab: always read-only. textual-serve has put its driver into the environment."""
    from app.controller import Controller
    from app.settings import load
    from app.tui.app import run_panel
    from app.workspace import find

    threading.Thread(target=leave_with, args=(os.getppid(),), daemon=True).start()
    settings = load(folder, os.environ)
    workspace = find(folder, settings.state_dir, settings.runs_dir)
    return run_panel(workspace, controller=Controller(workspace, settings, readonly=True))


def main(argv: list[str] | None = None) -> int:
    """Serve, or be the panel of one tab. Returns an exit code."""
    parser = argparse.ArgumentParser(prog="python -m app.tui.serve", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("-C", dest="folder", type=Path, default=Path.cwd(), metavar="DIR", help="the workspace")
    parser.add_argument("--tab", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args(argv)
    if asked.tab:
        return panel(asked.folder)
    if not 1024 <= asked.port <= 65535:
        parser.error(f"--port {asked.port}: a number from 1024 to 65535 is needed")
    if taken(asked.port):
        parser.error(f"--port {asked.port} is in use; name another one")
    words = [sys.executable, "-m", "app.tui.serve", "--tab", "-C", str(asked.folder.resolve())]
    Loopback(f"exec {shlex.join(words)}", asked.port).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
