"""Writes the lines a filter shows to a file, as they are seen: without escapes and rewritten progress."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from app.tui.lines import parse
from app.tui.search import Pattern
from app.tui.spool import Spool


def save(spool: Spool, only: Pattern | None, path: Path) -> int:
    """Write the matching lines, or all; returns how many. Works beside the screen; the file appears when it is whole.

    Raises OSError; RuntimeError when the log was replaced meanwhile."""
    generation = spool.generation
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    count = 0
    try:
        with part.open("w", encoding="utf-8", errors="replace") as out:
            for line in _lines(spool, only):
                out.write(line + "\n")
                count += 1
        if spool.generation != generation:
            raise RuntimeError("the log was replaced while it was saved")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return count


def name_for(stream: str, stamp: str) -> str:
    """`stage-1.sft-20270115-084911.log`, of any stream name."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", stream.removeprefix("logs/").removesuffix(".log")).strip(".-")
    return f"{stem[:80] or 'log'}-{stamp}.log"


def _lines(spool: Spool, only: Pattern | None) -> Iterator[str]:
    at = 0
    while (slab := spool.after(at)) is not None:
        begins = only.hits(slab.data).tolist() if only is not None else None
        if begins is None:
            yield from (parse(raw).text for raw in slab.data.split(b"\n")[:-1])
        else:
            yield from (parse(slab.data[begin : slab.data.index(b"\n", begin)]).text for begin in begins)
        at = slab.end
    last = parse(spool.read(at, 1 << 16)).text if spool.index.size > at else None
    if last is not None and (only is None or only.matches(last)):
        yield last
