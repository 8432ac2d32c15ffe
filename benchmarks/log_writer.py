"""A job that writes one log as fast as it is told to and rotates it: what `benchmarks.follow` follows.

Lines of about 100 bytes, with bars that redraw themselves and bytes that are no UTF-8. In turn the log is renamed (a
new one is begun) and copied and emptied; `KEEP` files that were rotated away stay, the oldest is removed. What was
written in all goes to `written.json` of the run directory.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import time
from pathlib import Path

KEEP = 30
STROKE_S = 0.02
FILLER = b"loss 0.7312 lr 2.0e-04 tok/s 18231 | \x1b[32mok\x1b[0m \xff\xfe eta 00:12:31"


def strokes(rate: int, seconds: float) -> list[range]:
    """The numbers of the lines of each stroke."""
    size = max(1, int(rate * STROKE_S))
    return [range(begin, begin + size) for begin in range(0, int(rate * seconds), size)]


def lines(numbers: range) -> bytes:
    return b"".join(b"%09d step %d\r%09d " % (n, n, n) + FILLER + b"\n" for n in numbers)


def rotate(log: Path, copy: bool) -> None:
    """As logrotate does, with or without `copytruncate`; the oldest file goes."""
    for number in range(KEEP, 0, -1):
        if (old := log.with_name(f"{log.name}.{number}")).exists():
            old.replace(log.with_name(f"{log.name}.{number + 1}")) if number < KEEP else old.unlink()
    first = log.with_name(f"{log.name}.1")
    if copy:
        shutil.copyfile(log, first)
        os.truncate(log, 0)
    else:
        log.rename(first)


def write(log: Path, rate: int, seconds: float, rotate_s: float) -> dict[str, float | int | str]:
    """Write, and say what was written: lines, bytes, sha256, seconds, and rotations of either kind."""
    digest, size, count, rotations, begin = hashlib.sha256(), 0, 0, 0, time.monotonic()
    for number, numbers in enumerate(strokes(rate, seconds)):
        data = lines(numbers)
        with log.open("ab", buffering=0) as out:
            view = memoryview(data)
            while view:
                view = view[out.write(view) :]
        digest.update(data)
        size, count = size + len(data), count + len(numbers)
        if (now := time.monotonic() - begin) > (rotations + 1) * rotate_s:
            rotate(log, copy=rotations % 2 == 1)
            rotations += 1
        time.sleep(max(0.0, (number + 1) * STROKE_S - now))
    return {
        "lines": count, "bytes": size, "sha256": digest.hexdigest(), "seconds": round(time.monotonic() - begin, 2),
        "renamed": (rotations + 1) // 2, "copied_and_emptied": rotations // 2,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, required=True, help="lines a second")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rotate-s", type=float, required=True)
    given = parser.parse_args()
    run = Path(os.environ["MAXCAI_RUN_DIR"])
    (run / "logs").mkdir(parents=True, exist_ok=True)
    told = write(run / "logs" / "train.log", given.rate, given.seconds, given.rotate_s)
    (run / "written.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
