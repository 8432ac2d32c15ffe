"""Files of the state folder that somebody truncated or overwrote: one sentence at most, and nothing is lost by it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from app_samples import end_pod, make_workspace

from app import cli
from app.controller import Controller
from app.settings import Settings
from app.workspace import find

Run = Callable[..., tuple[int, str, str]]

STATUS, SHOW, LOGS, PULL, PUSH = ("status",), ("run", "show"), ("logs",), ("pull",), ("push",)
FILES: dict[str, tuple[tuple[str, ...], ...]] = {
    "journal.jsonl": (STATUS, PUSH),
    "ledger.jsonl": (STATUS, PUSH),
    "runs.jsonl": (STATUS, SHOW, PULL),
    "pins.json": (STATUS, PUSH),
    "last_push.json": (PUSH,),
    "scan.json": (PUSH,),
    "pods/local/state.json": (STATUS, PUSH),
    "pods/local/server.pid": (STATUS, PUSH),
    "pods/local/container.log": (STATUS, PUSH),
    "spool/*/meta.json": (SHOW, LOGS),
    "spool/*/events.jsonl": (STATUS, SHOW, LOGS),
    "spool/*/.agent/console.log": (SHOW, LOGS),
    "home/*": (STATUS, SHOW, PULL),
    "ends/*": (STATUS, SHOW),
    "ssh/id_ed25519": (STATUS, PUSH),
}
"""Each file of a state folder, and the commands that read it."""

RECORDS = ("journal.jsonl", "ledger.jsonl", "runs.jsonl")

MAY_REFUSE = {
    "pins.json": "Delete the file",
    "pods/local/state.json": "the pod writes it anew",
    "ssh/id_ed25519": "Move it away",
    "runs.jsonl": "no run",
}
"""Where a damaged file leaves nothing to go by, the sentence must hold this."""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace whose pod is up, whose run is over and home, and whose code has been pushed once more since."""
    root = make_workspace(tmp_path_factory.mktemp("damage"))
    assert cli.main(["-C", str(root), "run", "start", "-f"]) == 0
    time.sleep(2.1)  # a file that changed within two seconds is not yet in scan.json
    assert cli.main(["-C", str(root), "push"]) == 0
    yield root
    asyncio.run(end_pod(root / ".maxcai/pods/local"))


@pytest.fixture
def maxcai(ran: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> tuple[int, str, str]:
        code = cli.main(["-C", str(ran), *words])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        assert "fault of maxcai" not in err, err
        return code, out, err

    return run


def garbled(content: bytes) -> bytes:
    return random.Random(len(content)).randbytes(max(64, len(content)))


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "half of it": lambda content: content[: len(content) // 2],
    "nothing": lambda _content: b"",
    "noise": garbled,
    "another JSON": lambda _content: b'[{"v": 1}]\n',
}


CASES = [(name, kind) for name in FILES for kind in DAMAGES if kind != "another JSON" or name.endswith(".json")]


@pytest.mark.parametrize(("name", "damage"), CASES)
def test_a_damaged_file_costs_a_sentence_at_most(ran: Path, maxcai: Run, name: str, damage: str) -> None:
    (path,) = (ran / ".maxcai").glob(name)
    results = sorted(p for p in (ran / "runs").rglob("*") if p.is_file())
    before = {p: p.read_bytes() for p in results}
    kept = path.read_bytes()
    path.write_bytes(DAMAGES[damage](kept))
    try:
        for words in FILES[name]:
            code, _out, err = maxcai(*words)
            if words == STATUS and name in RECORDS and damage == "noise":
                assert "cannot be read" in err
            if code:
                assert name in MAY_REFUSE, (words, err)
                assert MAY_REFUSE[name] in err, (words, err)
    finally:
        path.write_bytes(kept)
    assert {p: p.read_bytes() for p in results} == before


async def test_a_damaged_spool_of_a_living_run_is_brought_anew(workspace_dir: Path) -> None:
    controller = Controller(find(workspace_dir), Settings())
    async for _ in controller.stream("run.start", {"recipe": "long"}):
        pass
    entry = controller.supervisor.book.find(None)
    assert entry is not None
    on_pod = workspace_dir / ".maxcai/pods/local/workspace/.maxcai/runs" / entry.run_id
    spool = controller.workspace.spool_dir(entry.run_id)
    async with asyncio.timeout(60):
        while not all((spool / name).exists() for name in ("events.jsonl", ".agent/console.log")):  # it has just begun
            await controller.supervisor.catch_up(entry)
    for name in ("meta.json", "events.jsonl", ".agent/console.log"):
        for kind, damage in DAMAGES.items():
            if kind == "noise" and name != "meta.json":
                continue  # of the same size: seen when the run is followed on, or brought home
            (spool / name).write_bytes(damage((spool / name).read_bytes()))
            await controller.supervisor.catch_up(entry)
            for stream in ("events.jsonl", ".agent/console.log"):
                assert (spool / stream).read_bytes() == (on_pod / stream).read_bytes(), (name, damage)
    await controller.close()
