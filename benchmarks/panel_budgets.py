"""Every budget of the panel in one command: `python -m benchmarks.panel_budgets` (about ten minutes; `--quick`: two).

Each part is a process of its own, on a real pseudo-terminal of 160×45 where it draws. The log parts are those of
`benchmarks.log_engine`, ours and three other ways. What is written says how loaded the machine was: a number that
misses its budget while the process stood waiting for a processor says more about the machine than about the panel.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.log_engine import SIZE, on_a_terminal, resident, starved

RESULTS = Path(__file__).parent / "results" / "panel_budgets.json"
TABLE = RESULTS.with_suffix(".md")
RUNS = 40
IDLE_S = 20.0
MOVES = 3
CARDS = 600
LIMIT_S = 60.0
SETTLE_S = 2.0
"""Seconds after the first frame at which somebody may reach for the board."""

BUDGETS: tuple[tuple[str, str, float, bool], ...] = (
    ("burst.ours.lag_p99_ms", "50,000 lines/s: p99 lag of the event loop, ms", 100, True),
    ("burst.ours.cpu_share", "50,000 lines/s: share of a core", 0.40, True),
    ("burst.ours.lines_exact", "50,000 lines/s: every line, the last one shown", 1, False),
    ("big.ours.tail_visible_ms", "1 GB log: its end is seen, ms", 300, True),
    ("big.ours.indexed_s", "1 GB log: index, s", 3, True),
    ("big.ours.searches.regex.first_ms", "1 GB log: regex, first hits, ms", 200, True),
    ("big.ours.rss_after_index_mb", "10 M lines: memory, MB", 250, True),
    ("board.first_paint_ms", f"board of {CARDS} cards, panel up for {SETTLE_S:g} s: first paint, ms", 500, True),
    ("board_at_once.first_paint_ms", f"board of {CARDS} cards, asked for in the first frame: paint, ms", 500, True),
    ("board.move_ms", "a card is moved by its key: seen in the other lane, ms", 200, True),
    ("board.edit_seen_ms", "a task edited outside is seen on the board, ms", 1500, True),
    ("idle.cpu_percent", "idle, a quiet log followed: % of a core", 3, True),
    ("panel.first_paint_ms", "panel: first paint, ms (400 on a Mac)", 900, True),
    ("status.wall_ms", "`maxcai status`, ms", 120, True),
    ("status.times_asyncio", "`maxcai status`, times `python -c 'import asyncio'`", round(120 / 64, 3), True),
)
"""(number, what it is, budget, True: at most, False: at least). That of `maxcai status` was set on a machine where
Python with asyncio takes 64 ms: what it is of that compares machines."""


def panel_on(folder: Path, view: str, seconds: float, settle: float = 0.0) -> dict[str, Any]:
    """In the child: open a panel over a workspace, look at a view `settle` seconds after its first frame, stay for a
    while; what it took."""
    began = time.perf_counter()
    from app.controller import Controller
    from app.settings import Settings
    from app.tui.app import PanelApp
    from app.workspace import find

    took: dict[str, Any] = {}
    workspace = find(folder)

    async def look(app: PanelApp) -> None:
        while "first_paint_ms" not in took:
            await asyncio.sleep(0.005)
        if view != "overview":
            await asyncio.sleep(settle)
            began_view = time.perf_counter()
            app.do(f"view.{view}")
            while app.bridge.boards.cards is None:
                await asyncio.sleep(0.005)
            while app.view != view or app.query_one("#lane-pending") not in app.screen._compositor.visible_widgets:
                app.shown.clear()  # type: ignore[attr-defined]
                await app.shown.wait()  # type: ignore[attr-defined]
            await _until_drawn(app, f"PENDING {len(app.bridge.boards.column('pending'))} ")
            took["first_paint_ms"] = round((time.perf_counter() - began_view) * 1000)
            took["edit_seen_ms"] = await _edit_seen(app, folder)
            took["moves_ms"] = [await _move_seen(app) for _ in range(MOVES if settle else 1)]
            took["move_ms"] = statistics.median(took["moves_ms"])
        await asyncio.sleep(min(3.0, seconds))
        cpu, wall, waited = time.process_time(), time.perf_counter(), starved()
        await asyncio.sleep(seconds)
        wall = time.perf_counter() - wall
        took["cpu_percent"] = round(100 * (time.process_time() - cpu) / wall, 2)
        took["waited_for_cpu_percent"] = round(100 * (starved() - waited) / wall, 2)
        took["rss_mb"] = round(resident() / 1e6, 1)
        app.exit(0)

    async def run() -> None:
        app = PanelApp(Controller(workspace, Settings(), readonly=view != "board"))
        app.shown = asyncio.Event()  # type: ignore[attr-defined]
        paint, display = app.paint, app._display

        def displayed(*what: Any) -> None:
            display(*what)
            app.shown.set()  # type: ignore[attr-defined]

        def measured(picture: Any) -> None:
            paint(picture)
            took.setdefault("first_paint_ms", round((time.perf_counter() - began) * 1000))

        app.paint = measured  # type: ignore[method-assign]
        app._display = displayed  # type: ignore[method-assign]
        with app._context():  # what is drawn asks for its app
            task = asyncio.create_task(look(app))
        task.add_done_callback(lambda _: app.exit(0))
        await app.run_async()
        if task.done():
            await task
        task.cancel()

    asyncio.run(run())
    return took


async def _edit_seen(app: Any, folder: Path) -> int:
    """Milliseconds from an edit of the first card's file by somebody else until its new title stands on the screen."""
    path, word = sorted((folder / "task_board" / "pending").iterdir())[0], f"now {time.time_ns() % 10**6}"
    await asyncio.sleep(3.0)
    began = time.perf_counter()
    path.write_text(path.read_text().replace("# card number", f"# card number {word}", 1))
    await _until_drawn(app, word)
    return round((time.perf_counter() - began) * 1000)


async def _move_seen(app: Any) -> int:
    """Milliseconds from the key that starts the task under the cursor until its lane says that it has one less."""
    await asyncio.sleep(1.5)
    left = len(app.bridge.boards.column("pending"))
    assert _drawn(app, f"PENDING {left} ")
    began = time.perf_counter()
    app.simulate_key("space")
    await _until_drawn(app, f"PENDING {left - 1} ")
    return round((time.perf_counter() - began) * 1000)


async def _until_drawn(app: Any, words: str) -> None:
    """Wait until these words stand on the screen, looked at after every time something was drawn."""
    while not _drawn(app, words):
        app.shown.clear()
        await app.shown.wait()


def _drawn(app: Any, words: str) -> bool:
    """Whether these words stand on the screen."""
    strips = app.screen._compositor.render_strips()
    return any(words in "".join(segment.text for segment in strip) for strip in strips)


def workspace_with_cards(folder: Path) -> Path:
    """A workspace whose board has many cards, and a run whose log is followed and quiet."""
    for number in range(CARDS):
        lane = ("pending", "in_progress", "blocked", "completed")[number % 4]
        path = folder / "task_board" / lane / f"20260101_{number:06d}_P{number % 4}_card_{number}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# card number {number}\n\n**Priority**: P{number % 4}\n\n## Success Criteria\n- [ ] one\n")
    return folder


def in_a_child(folder: Path, view: str, seconds: float, settle: float = 0.0) -> dict[str, Any]:
    """`panel_on` in a process of its own on a terminal."""
    out = folder / "outcome.json"
    out.unlink(missing_ok=True)
    words = ["--child", view, "--folder", str(folder), "--seconds", str(seconds)]
    words += ["--settle", str(settle), "--out", str(out)]
    on_a_terminal([sys.executable, "-m", "benchmarks.panel_budgets", *words], LIMIT_S + seconds)
    found: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {"stopped_after_s": LIMIT_S + seconds}
    return found


def commands(folder: Path) -> dict[str, Any]:
    """`maxcai status` from start to end, beside Python alone and with asyncio, in turn: the best and the median."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    contestants = {
        "python": [sys.executable, "-c", ""],
        "asyncio": [sys.executable, "-c", "import asyncio"],
        "status": [str(Path(sys.executable).with_name("maxcai")), "-C", str(folder), "status"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(RUNS):
        for name, words in contestants.items():
            began = time.perf_counter()
            subprocess.run(words, env=env, check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - began)
    took: dict[str, dict[str, Any]] = {
        name: {"wall_ms": round(1000 * min(s)), "median_ms": round(1000 * statistics.median(s))}
        for name, s in seconds.items()
    }
    pairs = zip(seconds["status"], seconds["asyncio"], strict=True)  # neighbours in time: the machine's mood cancels
    took["status"]["times_asyncio"] = round(statistics.median(status / alone for status, alone in pairs), 2)
    return took


def logs(quick: bool, folder: Path) -> dict[str, Any]:
    """The contest of `benchmarks.log_engine`."""
    out = folder / "logs.json"
    size = ["--seconds", "5", "--lines", "1000000"] if quick else []
    subprocess.run([sys.executable, "-m", "benchmarks.log_engine", "--out", str(out), *size], check=True)
    found: dict[str, Any] = json.loads(out.read_text())
    return {name: found[name] for name in ("asked", "burst", "big")}


def number(results: dict[str, Any], path: str) -> float | None:
    """A number of the results by its path; None where it was not measured."""
    value: Any = results
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return float(value) if isinstance(value, int | float) else None


def verdicts(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Each budget with what was measured."""
    rows = []
    for path, what, budget, most in BUDGETS:
        found = number(results, path)
        held = None if found is None else (found <= budget if most else found >= budget)
        rows.append({"what": what, "budget": budget, "measured": found, "held": held})
    return rows


def table(results: dict[str, Any]) -> str:
    """For people, in Markdown."""
    load = results["machine"]["load"]
    lines = [
        "# Budgets of the panel", "",
        f"`python -m benchmarks.panel_budgets`, {results['machine']['cpus']} processors, Python "
        f"{results['machine']['python']}; load average {load['before']} before and {load['after']} after.", "",
        "| what | budget | measured | |", "|---|---|---|---|",
    ]  # fmt: skip
    words = {True: "held", False: "**missed**", None: "not measured"}
    lines += [f"| {r['what']} | {r['budget']:g} | {r['measured']} | {words[r['held']]} |" for r in results["budgets"]]
    lines += ["", "Beside other ways of showing a log (`stopped_after_s`: ended by its time limit):", ""]
    keys = {
        "burst": (
            "lines",
            "last_line_seen",
            "seconds",
            "cpu_share",
            "waited_for_cpu_share",
            "lag_p99_ms",
            "peak_rss_mb",
        ),
        "big": ("tail_visible_ms", "indexed_s", "lines", "lag_max_ms", "peak_rss_mb"),
    }
    for part, names in keys.items():
        lines += [f"| {part} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
        for kind, found in results.get(part, {}).items():
            lines.append(f"| {kind} | {' | '.join(str(found.get(name, '')) for name in names)} |")
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    """Measure everything, or be one panel. Exit code 0: everything was measured, whatever came out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.panel_budgets", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller logs, shorter times")
    parser.add_argument("--no-logs", action="store_true", help="leave the log parts out")
    parser.add_argument("--out", type=Path, default=RESULTS)
    for inner in ("--child", "--folder"):
        parser.add_argument(inner, help=argparse.SUPPRESS)
    for inner in ("--seconds", "--settle"):
        parser.add_argument(inner, type=float, default=0.0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        args.out.write_text(json.dumps(panel_on(Path(args.folder), args.child, args.seconds, args.settle)))
        return 0
    before = os.getloadavg()
    idle = 5.0 if args.quick else IDLE_S
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="panel-budgets-") as name:
        folder = workspace_with_cards(Path(name))
        results |= commands(folder)
        results["panel"] = min((in_a_child(folder, "overview", 0.0) for _ in range(3)), key=_first_paint)
        results["board"] = min((in_a_child(folder, "board", 0.0, SETTLE_S) for _ in range(3)), key=_first_paint)
        results["board_at_once"] = min((in_a_child(folder, "board", 0.0) for _ in range(3)), key=_first_paint)
        results["idle"] = in_a_child(folder, "overview", idle)
        if not args.no_logs:
            results |= logs(args.quick, Path(name))
    load = {"before": [round(x, 1) for x in before], "after": [round(x, 1) for x in os.getloadavg()]}
    machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version(), "load": load}
    results = {"machine": machine, "terminal": SIZE, "budgets": verdicts(results), **results}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(results, indent=2) + "\n")
    args.out.with_suffix(".md").write_text(table(results))
    print(table(results))
    return 0


def _first_paint(found: dict[str, Any]) -> float:
    return float(found.get("first_paint_ms", float("inf")))


if __name__ == "__main__":
    sys.exit(main())
