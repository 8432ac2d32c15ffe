"""The once-a-second stream of card samples: nothing the driver says or leaves unsaid is a crash or a false number."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from subprocess_connection import SubprocessConnection

from remote.errors import ConnectionLost
from remote.watch.gpu import FIELDS, GpuSample, GpuTrouble, Lines, parse_line, parse_processes, samples
from tests.sim.pods.image import write_nvidia_smi

LINE = "2026/11/22 03:10:11.123, 1, GPU-5f1c, NVIDIA A100-SXM4-80GB, 97, 61, 70123, 81920, 64, 391.25, 400.00, 1410, P0"


def test_a_full_line_is_read_with_its_units() -> None:
    assert parse_line(LINE, 5.0) == GpuSample(
        5.0, 1, "GPU-5f1c", "NVIDIA A100-SXM4-80GB", 97, 61, 70123, 81920, 64, 391.25, 400.0, 1410, "P0"
    )


@pytest.mark.parametrize(
    "word", ["[N/A]", "[Not Supported]", "[Unknown Error]", "ERR!", "[GPU is lost]", "", "nan", "-1"]
)
def test_what_the_driver_does_not_tell_is_none_and_never_zero(word: str) -> None:
    cells = LINE.split(", ")
    for place in range(4, 13):
        sample = parse_line(", ".join([*cells[:place], word, *cells[place + 1 :]]), 5.0)
        assert sample is not None
        known = [sample.util, sample.memory_util, sample.memory_used, sample.memory_total, sample.temperature,
                 sample.power, sample.power_limit, sample.clock, sample.pstate]  # fmt: skip
        if place < 12 or word.startswith(("[", "E")) or not word:
            assert known[place - 4] is None
        assert sum(value is None for value in known) <= 1


@pytest.mark.parametrize(
    "line",
    [
        "",
        "No devices were found",
        "Failed to initialize NVML: Unknown Error",
        "a, b, c, d, e, f, g, h, i, j, k, l, m",
        LINE.replace(", 1,", ", 640,", 1),
        LINE.replace(", 1,", ", ²,", 1),
        LINE[:40],
    ],
)
def test_a_line_that_is_no_sample_is_none(line: str) -> None:
    assert parse_line(line, 5.0) is None


def test_a_use_beyond_a_hundred_percent_is_not_believed() -> None:
    sample = parse_line(LINE.replace(" 97,", " 4294967295,"), 5.0)
    assert sample is not None
    assert sample.util is None


def test_a_comma_in_a_cards_name_moves_no_number() -> None:
    sample = parse_line(LINE.replace("NVIDIA A100", "NVIDIA, A100"), 5.0)
    assert sample is not None
    assert (sample.name, sample.util) == ("NVIDIA, A100-SXM4-80GB", 97)


@given(st.text())
def test_no_text_makes_the_parser_fail(text: str) -> None:
    parse_line(text, 0.0)
    parse_line(",".join([text] * len(FIELDS)), 0.0)
    parse_processes(text)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=80)), st.data())
def test_lines_are_the_same_however_the_bytes_arrive(lines: list[str], data: st.DataObject) -> None:
    raw = "".join(line + "\n" for line in lines).encode()
    feed, found = Lines(), []
    while raw:
        size = data.draw(st.integers(1, len(raw)))
        found += feed.feed(raw[:size])
        raw = raw[size:]
    assert found == [line.strip() for line in lines if line.strip()]


def test_a_line_without_end_is_not_kept_for_ever() -> None:
    feed = Lines()
    for _ in range(1000):
        assert feed.feed(b"x" * 1000) == []
    assert len(feed._rest) <= 4096


def test_processes_on_a_card_are_listed() -> None:
    first, second = parse_processes(
        "4242, GPU-5f1c, 70000, python3, with a comma\n99, GPU-5f1c, [N/A], [Not Found]\njunk"
    )
    assert (first.pid, first.uuid, first.memory, first.name) == (4242, "GPU-5f1c", 70000.0, "python3, with a comma")
    assert (second.memory, second.name) == (None, "unknown")


class Card:
    """The stand-in for nvidia-smi, on PATH, with the file that steers it."""

    def __init__(self, folder: Path, count: int = 2) -> None:
        folder.mkdir()
        self._control = folder / "control"
        write_nvidia_smi(folder / "nvidia-smi", str(self._control), count)
        (folder / "nvidia-smi").chmod(0o755)
        self.say("period=0.05")

    def say(self, words: str) -> None:
        self._control.write_text(words)


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Card:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return Card(tmp_path / "bin")


async def next_of(stream: AsyncIterator[GpuSample | GpuTrouble], kind: type) -> GpuSample | GpuTrouble:
    async with asyncio.timeout(20):
        async for item in stream:
            if isinstance(item, kind):
                return item
    raise AssertionError("the stream ended")


async def test_samples_of_every_card_come_and_go_on_through_hang_loss_and_absence(card: Card, tmp_path: Path) -> None:
    conn = SubprocessConnection(tmp_path)
    async with aclosing(samples(conn, time.time, silence_s=2.0, pauses_s=(0.05,))) as stream:
        first = await next_of(stream, GpuSample)
        second = await next_of(stream, GpuSample)
        assert isinstance(first, GpuSample)
        assert isinstance(second, GpuSample)
        assert {first.index, second.index} == {0, 1}
        assert (first.util, first.power) == (87, 287.31)
        for mode, why in (
            ("hang", "has said nothing for 2 s"),
            ("vanish", "Failed to initialize NVML: Unknown Error"),
            ("absent", "this pod has no nvidia-smi"),
        ):
            card.say(mode)
            trouble = await next_of(stream, GpuTrouble)
            assert isinstance(trouble, GpuTrouble)
            assert why in trouble.why
            card.say("period=0.05")
            await next_of(stream, GpuSample)


async def test_figures_that_are_not_told_pass_through_as_none(card: Card, tmp_path: Path) -> None:
    card.say("n/a period=0.05")
    async with aclosing(samples(SubprocessConnection(tmp_path), time.time)) as stream:
        sample = await next_of(stream, GpuSample)
    assert isinstance(sample, GpuSample)
    assert (sample.util, sample.memory_used, sample.power, sample.pstate) == (None, None, None, None)


async def test_a_broken_link_is_an_error_and_not_a_card_without_samples(card: Card, tmp_path: Path) -> None:
    conn = SubprocessConnection(tmp_path)
    conn.cut_after = 300
    async with aclosing(samples(conn, time.time)) as stream:
        with pytest.raises(ConnectionLost):
            async for _ in stream:
                pass
