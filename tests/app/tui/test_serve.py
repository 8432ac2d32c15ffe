"""The panel in a browser: of this machine only, read-only, and not for other pages."""

from __future__ import annotations

import asyncio
import base64
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSServerHandshakeError

from app.cli import main

pytest.importorskip("textual_serve", reason="the extra `serve` is not installed: the panel in a browser is not tried")

from app.tui import serve  # needs that extra


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def served(tmp_path: Path, port: int) -> Iterator[str]:
    """Address of a served workspace with one task."""
    (tmp_path / "task_board" / "pending").mkdir(parents=True)
    (tmp_path / "task_board" / "pending" / "P0_one.md").write_text("# A task to be seen\n")
    words = [sys.executable, "-m", "app.tui.serve", "--port", str(port), "-C", str(tmp_path)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        assert f"http://127.0.0.1:{port}" in process.stdout.readline()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        assert process.wait(20) == 0


async def test_only_this_machines_own_page_is_answered(served: str, port: int) -> None:
    async with httpx.AsyncClient() as client:
        good = await client.get(served)
        assert good.status_code == 200
        assert "default-src 'none'" in good.headers["Content-Security-Policy"]
        for headers in ({"Host": "evil.example"}, {"Host": f"evil.example:{port}"}, {"Origin": "http://evil.example"}):
            refused = await client.get(served, headers=headers)
            assert (refused.status_code, "maxcai" in refused.text) == (403, False)
    async with ClientSession() as session:
        for headers in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
            with pytest.raises(WSServerHandshakeError, match="403"):
                await session.ws_connect(f"{served}/ws", headers=headers)


def test_the_panel_of_a_tab_is_read_only_whatever_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    monkeypatch.setattr("app.tui.app.run_panel", lambda _workspace, *, controller: opened.append(controller) or 0)
    monkeypatch.setattr("app.tui.serve.leave_with", lambda _parent: None)
    monkeypatch.setenv("MAXCAI_READONLY", "")
    assert serve.main(["--tab", "-C", str(tmp_path)]) == 0
    (controller,) = opened
    assert controller.state.readonly
    assert "read-only" in str(controller.reason("pod.stop"))


@pytest.mark.slow
async def test_a_tab_gets_a_read_only_panel(served: str) -> None:
    seen = b""
    async with ClientSession() as session:
        ws = await session.ws_connect(f"{served}/ws?width=120&height=35", headers={"Origin": served})
        async with asyncio.timeout(60):
            while b"read-only" not in seen:
                message = await ws.receive()
                seen += message.data if isinstance(message.data, bytes) else b""
        await ws.close()


def test_a_port_that_is_taken_or_impossible_is_told(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert main(["serve", "--port", str(port)]) == 2
    assert f"{port} is in use" in capsys.readouterr().err
    assert main(["serve", "--port", "80"]) == 2


class Tab:
    """A page in headless Chromium, over its debugging protocol. `heard` is what its web sockets were sent so far."""

    def __init__(self, ws: ClientWebSocketResponse) -> None:
        self._ws, self._asked = ws, 0
        self.heard = b""

    async def __call__(self, method: str, **params: Any) -> Any:
        self._asked += 1
        await self._ws.send_json({"id": self._asked, "method": method, "params": params})
        while (answer := await self._next()).get("id") != self._asked:
            continue
        return answer["result"]

    async def _next(self) -> Any:
        message = await self._ws.receive_json()
        if message.get("method") == "Network.webSocketFrameReceived":
            frame = message["params"]["response"]
            self.heard += base64.b64decode(frame["payloadData"]) if frame["opcode"] == 2 else b""
        return message

    async def hears(self, words: bytes) -> None:
        """Wait until the page was sent these words, from now on."""
        self.heard = b""
        while words not in self.heard:
            await self._next()

    async def drawn(self, least: int) -> bytes:
        """A picture of the page once it holds something: an empty one takes few bytes."""
        while len(picture := base64.b64decode((await self("Page.captureScreenshot"))["data"])) < least:
            await asyncio.sleep(0.5)
        return picture


@asynccontextmanager
async def chromium(page: str, folder: Path, port: int) -> AsyncIterator[Tab]:
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next((found for name in names if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip("NO CHROMIUM HERE: the panel in a browser was not looked at")
    words = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
        "--window-size=1400,900", f"--remote-debugging-port={port}", page,
    ]  # fmt: skip
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        async with ClientSession() as session, asyncio.timeout(240):
            yield Tab(await session.ws_connect(await debugger(port, page), max_msg_size=0))
    finally:
        process.terminate()
        process.wait(20)


async def debugger(port: int, page: str) -> str:
    """Address of the page's debugger, once the browser has opened it."""
    async with httpx.AsyncClient() as client:
        while True:
            try:
                pages = (await client.get(f"http://127.0.0.1:{port}/json")).json()
                return next(one["webSocketDebuggerUrl"] for one in pages if one["url"].startswith(page))
            except (httpx.HTTPError, StopIteration):
                await asyncio.sleep(0.2)


@pytest.mark.slow
async def test_chromium_shows_the_panel_and_its_keys_are_heard(served: str, tmp_path: Path) -> None:
    async with chromium("about:blank", tmp_path, free_port()) as tab:
        empty = await tab.drawn(1)
        await tab("Network.enable")
        await tab("Page.navigate", url=served)
        await tab.hears(b"read-only")
        await tab.drawn(10 * len(empty))
        assert b"[5 Board" not in tab.heard
        for kind in ("mousePressed", "mouseReleased"):  # on the header: the terminal has the keys now
            await tab("Input.dispatchMouseEvent", type=kind, x=900, y=8, button="left", clickCount=1)
        for kind in ("keyDown", "keyUp"):
            await tab("Input.dispatchKeyEvent", type=kind, key="5", code="Digit5", text="5" * (kind == "keyDown"))
        await tab.hears(b"[5 Board")
