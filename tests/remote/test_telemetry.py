"""What a pod's machine did is kept in bounded memory, is as fresh as it says, and survives a trip through a file."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from subprocess_connection import SubprocessConnection

from remote.agent.client import Agent
from remote.agent.daemon import Probe
from remote.agent.host import Machine, connections, shells
from remote.agent.kernel import pod_environment
from remote.watch.gpu import GpuSample, GpuTrouble, parse_line
from remote.watch.telemetry import HostSample, Series, Telemetry, collect, parse_host, record, recorded
from tests.sim.pods.image import write_nvidia_smi

amounts = st.none() | st.floats(0, 1e15)


def card(at: float, index: int = 0) -> GpuSample:
    line = "t, 0, GPU-1, A100, 97, 61, 70123, 81920, 64, 391.25, 400.00, 1410, P0"
    sample = parse_line(line.replace(" 0,", f" {index},", 1), at)
    assert sample is not None
    return sample


def test_an_hour_of_seconds_and_a_day_of_means_are_kept_and_nothing_more() -> None:
    series = Series(("x",), fine=60, coarse=20)
    for second in range(1000):
        series.add(float(second), (float(second),))
    fine, coarse = series.fine(), series.coarse()
    assert [point.at for point in fine] == [float(second) for second in range(940, 1000)]
    assert len(coarse) == 20
    assert coarse[-1].at == 990.0
    assert coarse[-1].values == (994.5,)
    assert series.column("x", series.fine(2)) == [998.0, 999.0]
    assert series.fine(0) == [] and series.coarse(0) == []


@given(st.lists(st.tuples(st.floats(0, 1e6), amounts), max_size=200))
def test_a_mean_lies_within_what_it_is_of_and_an_unknown_value_is_not_zero(
    rows: list[tuple[float, float | None]],
) -> None:
    series = Series(("x",), fine=50, coarse=30)
    for at, value in rows:
        series.add(at, (value,))
    known = [value for _, value in rows if value is not None]
    assert len(series.fine()) <= 50
    assert len(series.coarse()) <= 30
    times = [point.at for point in series.fine()]
    assert times == sorted(times)
    for (mean,) in (point.values for point in series.coarse()):
        if known and mean is not None:
            assert min(known) * (1 - 1e-9) <= mean <= max(known) * (1 + 1e-9)
        if not known:
            assert mean is None


def test_a_hundred_cards_that_a_pod_claims_do_not_fill_our_memory() -> None:
    telemetry = Telemetry()
    for index in range(100):
        sample = parse_line(f"t, {index}, GPU-1, A100, 97, 61, 70123, 81920, 64, 391.25, 400.00, 1410, P0", 1.0)
        if sample is not None:
            telemetry.add(sample)
    assert len(telemetry.gpus) == 64


def test_freshness_is_told_and_trouble_named() -> None:
    telemetry = Telemetry()
    assert telemetry.staleness(5.0) == "no samples"
    telemetry.add(GpuTrouble(5.0, "this pod has no nvidia-smi"))
    assert telemetry.staleness(5.0) == "no samples: this pod has no nvidia-smi"
    telemetry.add(card(100.0))
    assert telemetry.staleness(105.0) == ""
    assert telemetry.staleness(112.0) == "stale 12 s"
    telemetry.add(GpuTrouble(110.0, "nvidia-smi has said nothing for 10 s"))
    assert telemetry.staleness(112.0) == "stale 12 s: nvidia-smi has said nothing for 10 s"
    telemetry.add(card(113.0))
    assert telemetry.staleness(113.0) == ""


@given(
    st.dictionaries(
        st.sampled_from(["t", "cpu", "cpus", "memory", "memory_limit", "free"]),
        st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.lists(st.none())
        | st.dictionaries(st.sampled_from(["root", "system", "names"]), st.floats() | st.text()),
    )
)  # fmt: skip
def test_no_frame_of_a_pod_makes_a_false_number(frame: dict[str, object]) -> None:
    sample = parse_host(frame, 1.0)
    for value in (sample.cpu, sample.cpus, sample.memory, sample.free_root, sample.free_system, sample.free_names):
        assert value is None or (math.isfinite(value) and value >= 0)


@given(st.floats(0, 1e10), amounts, amounts, st.booleans())
def test_a_sample_survives_a_trip_through_a_file(
    at: float, cpu: float | None, free: float | None, answers: bool
) -> None:
    for sample in (HostSample(at, cpu, None, free, None, free, None, None, answers), card(at), GpuTrouble(at, "why")):
        assert recorded(record(sample)) == sample


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b'{"kind":"gpu"}', b'{"kind":"what"}', b'{"kind":"trouble","at":null,"why":""}', b"null"])  # fmt: skip # noqa: E501
def test_a_line_that_is_no_sample_is_none(line: bytes) -> None:
    assert recorded(line) is None


def folder(base: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(text)
    return str(base)


MEMINFO = "MemTotal:       65536000 kB\nMemFree:         100000 kB\nMemAvailable:   32768000 kB\n"


def test_a_containers_own_numbers_come_before_its_machines(tmp_path: Path) -> None:
    proc = folder(
        tmp_path / "proc", {"self/cgroup": "0::/\n", "meminfo": MEMINFO, "stat": "cpu  1 2 3 4 5 6 7 8 9 10\n"}
    )
    group = folder(
        tmp_path / "cgroup",
        {
            "cpu.stat": "usage_usec 12500000\nuser_usec 1\n",
            "cpu.max": "800000 100000\n",
            "memory.current": "9000000000\n",
            "memory.max": "max\n",
            "memory.stat": "anon 1\ninactive_file 4000000000\n",
        },
    )
    machine = Machine(proc, group)
    assert (machine.cpu_s(), machine.cpus()) == (12.5, 8.0)
    assert machine.memory() == (5_000_000_000, 65536000 * 1024)


def test_without_a_cgroup_of_version_2_the_machines_numbers_are_told_and_without_proc_none(tmp_path: Path) -> None:
    proc = folder(tmp_path / "proc", {"meminfo": MEMINFO, "stat": "cpu  100 0 50 9999 7 0 0 50 40 40\ncpu0 1\n"})
    machine = Machine(proc, str(tmp_path / "none"))
    assert machine.cpu_s() == 200 / os.sysconf("SC_CLK_TCK")
    assert machine.memory() == (32768000 * 1024, 65536000 * 1024)
    bare = Machine(str(tmp_path / "none"), str(tmp_path / "none"))
    assert (bare.cpu_s(), bare.memory()) == (None, (None, None))


def test_only_connections_whose_other_end_answers_are_counted() -> None:
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
    row = "   1: 0100007F:{port:04X} 0100007F:D2F0 {state} 00000000:00000000 {timer}:00000000 {again:08X}     0\n"
    living = row.format(port=22, state="01", timer="02", again=0)
    silent = row.format(port=22, state="01", timer="01", again=6)  # bytes of ours were sent six times, unanswered
    listening = row.format(port=22, state="0A", timer="00", again=0)
    other = row.format(port=443, state="01", timer="00", again=0)
    assert connections(head + living + silent + listening + other + "torn 1\n", 22) == 1


def test_a_question_that_hangs_costs_its_deadline_once(tmp_path: Path) -> None:
    assert Probe(lambda: {"x": [1, None]}).value(10.0) == {"x": [1, None]}
    assert Probe(lambda: 1 / 0).value(10.0) is None
    assert Probe(lambda: object()).value(10.0) is None
    slow = Probe(lambda: time.sleep(60))
    begin = time.monotonic()
    assert slow.value(0.1) is None
    assert slow.value(0.1) is None
    assert time.monotonic() - begin < 5
    assert slow.hanging is None  # both children are gone


def test_the_containers_environment_is_taken_from_its_first_process_and_only_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURS", "1")
    first = tmp_path / "environ"
    first.write_bytes(b"RUNPOD_POD_ID=abc\0MULTI=two\nlines\0EMPTY=\0\0")
    assert pod_environment(str(first)) == {"RUNPOD_POD_ID": "abc", "MULTI": "two\nlines", "EMPTY": ""}
    first.write_bytes(b"HOME=/root\0")
    assert pod_environment(str(first))["OURS"] == "1"
    assert pod_environment(str(tmp_path / "none"))["OURS"] == "1"


async def test_the_machines_frames_come_over_a_channel_of_their_own(conn: SubprocessConnection) -> None:
    frames = []
    async with Agent(conn).frames({"interval_s": 0.05, "count": 3}, "host") as stream:
        while (frame := await stream.next()) is not None:
            frames.append(parse_host(frame[0], 1.0))
    assert len(frames) == 3
    assert all(frame.volume_answers and frame.free_root for frame in frames)
    if Path("/proc/stat").exists():
        assert all(frame.cpu is not None and frame.memory for frame in frames)


async def test_cards_and_machine_are_collected_together_and_a_hung_card_stops_neither(
    conn: SubprocessConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    write_nvidia_smi(tools / "nvidia-smi", str(tools / "control"), 1)
    (tools / "nvidia-smi").chmod(0o755)
    (tools / "control").write_text("period=0.05")
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    telemetry, heard = Telemetry(), []
    await Agent(conn).hello()
    task = asyncio.create_task(collect(Agent(conn), telemetry, time.time, heard.append, interval_s=0.05))
    async with asyncio.timeout(20):
        while not (telemetry.newest and telemetry.machine):
            await asyncio.sleep(0.01)
        (tools / "control").write_text("hang")
        await asyncio.sleep(0.3)
        before = len(telemetry.host.fine()), telemetry.machine
        while telemetry.machine == before[1]:
            await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert telemetry.newest[0].util == 87
    assert {type(sample) for sample in heard} >= {GpuSample, HostSample}


def test_shells_are_the_terminals_that_ssh_opened(tmp_path: Path) -> None:
    def process(pid: int, name: str, parent: int, terminal: int = 0) -> None:
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} ({name}) S {parent} {pid} {pid} {terminal} 0 0")

    assert shells(str(tmp_path)) is None, "no process table"
    (tmp_path / "self").mkdir()
    assert shells(str(tmp_path)) == []
    pts = [136 << 8 | number for number in range(4)]
    process(1, "start.sh", 0)
    process(10, "sshd: /usr/sbin (x", 1)
    process(11, "sshd", 10)
    process(12, "bash", 11, pts[0])
    process(13, "vim", 12, pts[0])
    process(14, "sshd-session", 10)
    process(15, "tmux: client", 14, pts[2])
    process(16, "tmux: server", 1)
    process(17, "bash", 16, pts[3])
    process(18, "python3", 11)
    assert shells(str(tmp_path)) == ["0", "2"]
