"""Pins come from the container log of the present start, belong to one pod session, and are never guessed."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote.errors import ConfigError, HostKeyMismatch, HostKeyUnverified
from remote.link.hostkeys import HostKey, Pins, PinStore, algorithms, parse, pins_for
from remote.pods.model import Pod, PodSession, PodStatus
from remote.pods.provider import Capability

A, B = "SHA256:" + "a" * 43, "SHA256:" + "b" * 43
ED_A, RSA_B = HostKey(A, "ED25519"), HostKey(B, "RSA")
BOOT = ["Pod Started", "Setting up SSH...", "ED25519 key fingerprint:", f"256 {B} root@0a1b (ED25519)"]
SESSION = PodSession("p1", 1_700_000_000.0)


def block(*keys: HostKey) -> list[str]:
    lines = ["SSH host keys:"]
    for key in keys:
        lines += [f"Key: /etc/ssh/ssh_host_{key.kind.lower()}_key.pub", f"256 {key.fingerprint} root@0a1b ({key.kind})"]
    return lines


def test_every_key_of_the_official_block_is_pinned() -> None:
    assert parse([*BOOT, *block(ED_A, RSA_B), "Start script(s) finished, Pod is ready to use."]) == (ED_A, RSA_B)


def test_only_the_last_start_counts() -> None:
    assert parse([*block(RSA_B), "Pod Started", *block(ED_A), "ready"]) == (ED_A,)


def test_a_block_of_an_earlier_start_is_refused_by_its_time() -> None:
    stamped = [f"2023-11-14T22:13:14.500Z {line}" for line in block(ED_A)]  # 1_699_999_994.5
    assert parse(stamped, not_before=1_699_999_994.0) == (ED_A,)
    assert parse(stamped, not_before=1_699_999_995.0) == ()


def test_an_unfinished_block_is_waited_for() -> None:
    lines = block(ED_A, RSA_B)
    assert [parse(lines[:count]) for count in range(5)] == [(), (), (), (ED_A,), ()]
    assert parse([*block(RSA_B), *lines[:2]]) == ()
    assert parse([*lines[:2], f"256 {A[:-1]} root@0a1b (ED25519)"]) == ()


def test_a_log_without_a_block_pins_nothing() -> None:
    assert parse(BOOT) == ()
    assert parse([]) == ()


@given(st.lists(st.text()))
def test_any_log_is_read_without_error(lines: list[str]) -> None:
    assert parse(lines) == () or "SSH host keys:" in " ".join(lines)


def test_only_algorithms_of_pinned_keys_are_offered() -> None:
    assert algorithms([ED_A]) == ["ssh-ed25519"]
    assert algorithms([RSA_B, ED_A])[0] == "ssh-ed25519"
    assert "ecdsa-sha2-nistp256" not in algorithms([RSA_B, ED_A])


async def test_a_pin_belongs_to_one_session_and_is_not_inherited(tmp_path: Path) -> None:
    store = PinStore(tmp_path)
    await store.put(SESSION, [ED_A])
    assert PinStore(tmp_path).get(SESSION) == (ED_A,)
    assert store.get(PodSession("p1", SESSION.started_at + 1)) == ()
    assert store.get(PodSession("p2", SESSION.started_at)) == ()
    assert (tmp_path / "pins.json").stat().st_mode & 0o777 == 0o600


async def test_another_key_in_the_same_session_is_a_hard_stop(tmp_path: Path) -> None:
    store = PinStore(tmp_path)
    await store.put(SESSION, [ED_A])
    await store.put(SESSION, [ED_A])
    with pytest.raises(HostKeyMismatch):
        await store.put(SESSION, [RSA_B])
    assert store.get(SESSION) == (ED_A,)


async def test_pins_written_at_once_are_all_kept(tmp_path: Path) -> None:
    sessions = [PodSession("p1", float(number)) for number in range(20)]
    await asyncio.gather(*(PinStore(tmp_path).put(session, [ED_A]) for session in sessions))
    assert all(PinStore(tmp_path).get(session) == (ED_A,) for session in sessions)


def test_damaged_pins_are_never_taken_for_no_pins(tmp_path: Path) -> None:
    (tmp_path / "pins.json").write_text('{"p1@17')
    with pytest.raises(ConfigError, match="damaged"):
        PinStore(tmp_path).get(SESSION)


class Logs:
    """A provider that has nothing but a log, which grows at each look."""

    name = "logs"
    capabilities = frozenset({Capability.LOGS})

    def __init__(self, *looks: list[str]) -> None:
        self.looks = list(looks)

    async def logs(self, _pod_id: str) -> list[str]:
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]


async def no_wait(_seconds: float) -> None:
    return


def pod(started_at: float | None) -> Pod:
    return Pod("p1", "p1", "logs", PodStatus.RUNNING, "/workspace", "python3", started_at=started_at)


async def test_the_log_is_asked_until_the_pod_has_printed_its_keys(tmp_path: Path) -> None:
    provider = Logs([], BOOT, [*BOOT, *block(ED_A), "ready"])
    pins = await pins_for(pod(1.0), provider, PinStore(tmp_path), sleep=no_wait)  # type: ignore[arg-type]
    assert pins == Pins((ED_A,), verified=True)
    silent, hours = Logs(BOOT), itertools.count(step=3600.0)
    assert await pins_for(pod(1.0), silent, PinStore(tmp_path), sleep=no_wait) == pins  # type: ignore[arg-type]
    with pytest.raises(HostKeyUnverified, match="shows no SSH host keys"):
        await pins_for(pod(2.0), silent, PinStore(tmp_path), sleep=no_wait, clock=lambda: next(hours))  # type: ignore[arg-type]
    with pytest.raises(HostKeyUnverified, match="never started"):
        await pins_for(pod(None), silent, PinStore(tmp_path), sleep=no_wait)  # type: ignore[arg-type]
