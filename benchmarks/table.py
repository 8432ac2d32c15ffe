"""Puts what `results/*.json` hold into `docs/performance.md`: `python -m benchmarks.table [--check]`.

The page's own words stay; between `<!-- results: NAME -->` and `<!-- end -->` stands what NAME.json says. Whatever its
keys are: an object of objects becomes a table, its numbers columns; what lies deeper gets a heading. A result that has
no place on the page yet is added at its end, and one that was never measured is said to be missing.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE, RESULTS = ROOT / "docs" / "performance.md", ROOT / "benchmarks" / "results"
BLOCK = re.compile(r"(<!-- results: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
SHOWN = ("training", "generation", "starts", "conversion")
"""Results that belong on this page; others have pages of their own."""


def shown(value: Any) -> str:
    """A cell: three significant digits, lists in short, nothing known as a dash."""
    if value is None:
        return "–"
    if isinstance(value, bool | str):
        return str(value).replace("|", "\\|")
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    if isinstance(value, list):
        return ", ".join(map(shown, value[:6])) + (" …" if len(value) > 6 else "")
    return f"{len(value)} entries"


def is_table(value: Any) -> bool:
    """An object of objects of which at least one has no further object inside."""
    rows = value.values() if isinstance(value, Mapping) else ()
    return bool(rows) and all(
        isinstance(r, Mapping) and not any(isinstance(v, Mapping) for v in r.values()) for r in rows
    )


def lines(name: str, value: Any, level: int) -> Iterator[str]:
    """Markdown for one value under its name."""
    if not isinstance(value, Mapping):
        yield f"- {name.replace('_', ' ')}: {shown(value)}"
        return
    yield from ("", f"{'#' * min(level, 6)} {name.replace('_', ' ')}", "")
    if is_table(value):
        yield from table(value)
        return
    inner = [(k, v) for k, v in value.items() if isinstance(v, Mapping)]
    plain = [(k, v) for k, v in value.items() if not isinstance(v, Mapping)]
    for key, each in (*plain, *inner):
        yield from lines(str(key), each, level + 1)


def table(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    yield "| | " + " | ".join(column.replace("_", " ") for column in columns) + " |"
    yield "|---|" + "---:|" * len(columns)
    for name, row in rows.items():
        yield f"| {name} | " + " | ".join(shown(row.get(column)) for column in columns) + " |"


def rendered(name: str) -> str:
    """What a results file says, or that it is not there."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return f"Not measured yet: `python -m benchmarks.{name}`.\n"
    found = json.loads(path.read_text())
    inner = {k: v for k, v in found.items() if isinstance(v, Mapping)}
    plain = {k: v for k, v in found.items() if k not in inner}
    text = [line for k, v in (*plain.items(), *inner.items()) for line in lines(str(k), v, 3)]
    return "\n".join(text).strip("\n") + "\n"


def page(before: str) -> str:
    """The page with every block brought up to date."""
    there = {match[2] for match in BLOCK.finditer(before)}
    for name in SHOWN:
        if name not in there:
            before += f"\n## {name}\n<!-- results: {name} -->\n<!-- end -->\n"
    return BLOCK.sub(lambda match: f"{match[1]}{rendered(match[2])}{match[3]}", before)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--check", action="store_true", help="only say whether the page is up to date (exit code 1: no)"
    )
    args = parser.parse_args()
    before = PAGE.read_text()
    after = page(before)
    if args.check:
        return int(after != before)
    PAGE.write_text(after)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
