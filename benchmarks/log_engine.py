"""The log view under load, beside Textual's Log and RichLog and toolong's way: `python -m benchmarks.log_engine`.

Each is a process of its own on a real pseudo-terminal of 160×45, drawing what it would draw for a person. `burst`: a
second process appends `--rate` lines a second for `--seconds`; how late the event loop wakes (every 10 ms it should),
processor time, and whether the last line stands at the bottom afterwards. `big`: a file of `--lines` lines is opened;
when its end is seen, when all lines are known, when a pattern's first match and all of them are, and memory. A
contestant that is not done `GRACE_S` after it should be is stopped, and what it had done is told; one whose event loop
hangs so that it cannot even stop itself is ended from outside: `stopped_after_s`.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import platform
import pty
import resource
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "log_engine.json"
GRACE_S = 30.0
SLACK_S = 60.0
"""Seconds on top of all its own limits after which a contestant's process is ended."""

BEAT_S = 0.01
OTHERS_S = 20.0
"""The others' burst lasts no longer: what they can do is plain by then."""

OTHERS_BIG_S = 75.0
"""Nor does their process with the big file: RichLog and Log hold the event loop for minutes while they read it."""

SIZE = (160, 45)
NAMES = ("ours", "Log", "RichLog", "toolong's way")
SEARCHES = {
    "word, near": ("step=9999 ", True),
    "word, far": ("the very first", True),
    "regex": (r"loss=0\.00[0-3]\d* grad_norm", False),
    "regex, no word in it": (r"(CRITICAL|FATAL) \d+", False),
}


def line(number: int) -> bytes:
    """A training log's line of about 105 bytes; one in 20,000 is a warning."""
    level = b"WARN" if number % 20_000 == 19_999 else b"INFO"
    return b"%010d 18:48:25 %s train step=%d loss=%.6f grad_norm=0.87 lr=8.12e-5 tok/s=%d mem=61.4/80G\n" % (
        *(number, level, number % 10_000, 2.5 / (1 + number % 7_919), 700 + number % 97),
    )


def write_burst(path: Path, rate: int, seconds: float) -> None:
    """Append lines at a steady rate, a hundredth of a second's worth at a time."""
    count, begun = 0, time.monotonic()
    with path.open("ab", buffering=0) as log:
        while (elapsed := time.monotonic() - begun) < seconds:
            due = int(elapsed * rate)
            log.write(b"".join(line(n) for n in range(count, due)))
            count = max(count, due)
            time.sleep(0.01)
        log.write(b"".join(line(n) for n in range(count, int(rate * seconds))))
        log.write(b"the very last line\n")


def write_big(path: Path, lines: int) -> None:
    """A whole log at once."""
    with path.open("wb") as log:
        log.write(b"the very first line\n")
        for first in range(1, lines - 1, 50_000):
            log.write(b"".join(line(n) for n in range(first, min(lines - 1, first + 50_000))))
        log.write(b"the very last line\n")


class Lag:
    """How late the event loop wakes a task that asked for every 10 ms."""

    def __init__(self) -> None:
        self.late: list[float] = []

    async def run(self) -> None:
        while True:
            asked = time.perf_counter()
            await asyncio.sleep(BEAT_S)
            self.late.append(max(0.0, time.perf_counter() - asked - BEAT_S) * 1000)

    def told(self) -> dict[str, float]:
        late = sorted(self.late) or [0.0]
        at = [late[min(len(late) - 1, int(len(late) * part))] for part in (0.5, 0.99, 1)]
        return dict(zip(("lag_p50_ms", "lag_p99_ms", "lag_max_ms"), (round(ms, 1) for ms in at), strict=True))


def show(kind: str, path: Path, part: str, args: argparse.Namespace) -> dict[str, Any]:
    """In the child: show the file in the terminal and measure."""
    from textual.app import App, ComposeResult

    from benchmarks.log_contestants import CONTESTANTS, Contestant

    contestant: Contestant = CONTESTANTS[kind](path)
    outcome: dict[str, Any] = {}

    class Shown(App[None]):
        def compose(self) -> ComposeResult:
            yield contestant.widget

        def on_mount(self) -> None:
            self.lag = Lag()
            self.run_worker(self.lag.run())
            self.run_worker(self.measure())
            self.set_interval(0.1, contestant.tick)
            contestant.tick()

        async def measure(self) -> None:
            work = burst if part == "burst" else big
            outcome.update(await work(contestant, args))
            outcome.update(self.lag.told())
            self.exit()

    Shown().run()
    contestant.close()
    outcome["rss_mb"] = round(resident() / 1e6, 1)
    outcome["peak_rss_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    return outcome


async def burst(contestant: Any, args: argparse.Namespace) -> dict[str, Any]:
    """Until the last line is seen, or the time is up."""
    numbers = ["--rate", str(args.rate), "--seconds", str(args.seconds)]
    writer = subprocess.Popen([sys.executable, "-m", "benchmarks.log_engine", "--write", str(args.file), *numbers])
    begun, cpu, waited = time.perf_counter(), time.process_time(), starved()
    seen = await until(lambda: "the very last line" in bottom(contestant), args.seconds + GRACE_S)
    elapsed = time.perf_counter() - begun
    writer.wait()
    return {
        "last_line_seen": seen is not None,
        "lines": contestant.lines(),
        "lines_exact": contestant.lines() == int(args.rate * args.seconds) + 1,
        "seconds": round(elapsed, 1),
        "cpu_share": round((time.process_time() - cpu) / elapsed, 2),
        "waited_for_cpu_share": round((starved() - waited) / elapsed, 2),
    }


async def big(contestant: Any, args: argparse.Namespace) -> dict[str, Any]:
    """A whole file: its end, its index, searches (only ours has them), memory."""
    begun = time.perf_counter()
    tail = await until(lambda: "the very last line" in bottom(contestant), GRACE_S)
    whole = await until(contestant.indexed, GRACE_S)
    done: dict[str, Any] = {
        "tail_visible_ms": tail and round(tail * 1000),
        "indexed_s": whole and round(time.perf_counter() - begun, 2),
        "lines": contestant.lines(),
        "lines_exact": contestant.lines() == args.lines,
        "rss_after_index_mb": round(resident() / 1e6, 1),
    }
    if hasattr(contestant, "spool"):
        done["levels_s"] = await until(lambda: not contestant.spool.tally.behind(contestant.spool), GRACE_S)
        done["warnings"] = contestant.spool.tally.warnings
        done["searches"] = {name: await search(contestant, *asked) for name, asked in SEARCHES.items()}
    return done


async def search(contestant: Any, asked: str, literal: bool) -> dict[str, Any]:
    """Times of a filter's first match taken in by the view, and of all."""
    from app.tui.search import Pattern

    view = contestant.view
    begun = time.perf_counter()
    view.show_only(Pattern(asked, literal=literal))
    first = time.perf_counter() - begun
    if not len(view.filter.lines):
        waited = await until(lambda: len(view.filter.lines) or not view.searching, GRACE_S)
        first = time.perf_counter() - begun if waited is not None and len(view.filter.lines) else float("nan")
    await until(lambda: not view.searching, GRACE_S)
    whole = time.perf_counter() - begun
    found = len(view.filter.lines)
    view.show_only(None)
    return {"first_ms": round(first * 1000, 1) if found else None, "all_s": round(whole, 2), "matches": found}


async def until(true: Callable[[], Any], seconds: float) -> float | None:
    """Seconds until it came true, or None."""
    begun = time.perf_counter()
    while not true():
        if time.perf_counter() - begun > seconds:
            return None
        await asyncio.sleep(0.02)
    return round(time.perf_counter() - begun, 3)


def bottom(contestant: Any) -> str:
    """The lowest row with text in it, as it is drawn."""
    widget = contestant.widget
    for y in range(widget.scrollable_content_region.height - 1, -1, -1):
        if text := widget.render_line(y).text.strip():
            return str(text)
    return ""


def resident() -> int:
    """Bytes of memory this process holds; without /proc the most it ever held."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def starved() -> float:
    """Seconds this process stood ready while others had the processors (Linux; else 0)."""
    try:
        return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def on_a_terminal(words: list[str], limit_s: float) -> None:
    """Run a command on a pseudo-terminal that somebody reads; it is ended after `limit_s` seconds."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
    environ = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    child = subprocess.Popen(
        words, stdin=follower, stdout=follower, stderr=follower, env=environ, start_new_session=True
    )
    os.close(follower)

    def drain() -> None:
        try:
            while os.read(leader, 65_536):
                pass
        except OSError:  # the child closed it
            pass

    reader = threading.Thread(target=drain, daemon=True)
    reader.start()
    try:
        child.wait(limit_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    os.close(leader)


def contest(kind: str, part: str, path: Path, args: argparse.Namespace) -> dict[str, Any]:
    """One contestant, in a process of its own."""
    out = path.with_name("outcome.json")
    out.unlink(missing_ok=True)
    seconds = args.seconds if kind == "ours" else min(args.seconds, OTHERS_S)
    numbers = ["--rate", str(args.rate), "--seconds", str(seconds), "--lines", str(args.lines)]
    if part == "burst":
        path.write_bytes(b"")
    child = ["--child", kind, "--part", part, "--file", str(path), "--out", str(out)]
    limit = SLACK_S + GRACE_S * 5 + (seconds if part == "burst" else 0.0)
    if part == "big" and kind != "ours":
        limit = OTHERS_BIG_S
    on_a_terminal([sys.executable, "-m", "benchmarks.log_engine", *child, *numbers], limit)
    done: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {"stopped_after_s": limit}
    return done


def table(results: dict[str, dict[str, Any]]) -> str:
    """One row a contestant and part."""
    rows = []
    for part, contestants in results.items():
        for kind, numbers in contestants.items():
            flat = {key: value for key, value in numbers.items() if not isinstance(value, dict)}
            rows.append(f"{part:<6} {kind:<14} " + "  ".join(f"{key} {value}" for key, value in flat.items()))
            rows += [f"{'':<21} search {name}: {told}" for name, told in numbers.get("searches", {}).items()]
    return "\n".join(rows)


def main() -> int:
    """Write a burst, be a contestant, or hold the contest."""
    args = _arguments()
    if args.write:
        write_burst(args.write, args.rate, args.seconds)
        return 0
    if args.child:
        args.out.write_text(json.dumps(show(args.child, args.file, args.part, args)))
        return 0
    results: dict[str, dict[str, Any]] = {"burst": {}, "big": {}}
    with tempfile.TemporaryDirectory(prefix="log-engine-") as folder:
        path = Path(folder) / "big.log"
        if "big" in args.parts:
            write_big(path, args.lines)
        size = path.stat().st_size if path.exists() else 0
        for kind in args.only or NAMES:
            if "burst" in args.parts:
                results["burst"][kind] = contest(kind, "burst", Path(folder) / "burst.log", args)
            if "big" in args.parts:
                path.read_bytes() if size < 2e8 else subprocess.run(
                    ["cat", path], stdout=subprocess.DEVNULL, check=True
                )
                results["big"][kind] = contest(kind, "big", path, args)
    asked = {"rate": args.rate, "seconds": args.seconds, "lines": args.lines, "bytes": size, "terminal": SIZE}
    machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"asked": asked, "machine": machine, **results}, indent=2) + "\n")
    print(table(results))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.log_engine", description=__doc__)
    parser.add_argument("--rate", type=int, default=50_000, help="lines a second")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--lines", type=int, default=10_000_000, help="of the big file: about a gigabyte")
    parser.add_argument("--parts", nargs="+", choices=("burst", "big"), default=["burst", "big"])
    parser.add_argument("--only", nargs="+", choices=NAMES)
    parser.add_argument("--out", type=Path, default=RESULTS)
    for inner in ("--write", "--file"):
        parser.add_argument(inner, type=Path, help=argparse.SUPPRESS)
    for inner in ("--child", "--part"):
        parser.add_argument(inner, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
