"""What names from the other side may be used as local paths, and which files of a run are worth bringing home."""

from __future__ import annotations

from collections.abc import Iterable

from remote.errors import UnsafePath

RESERVED_TOP = (".pull", ".pulled.json")
"""Names at the top of a pulled run that belong to the pull itself."""

_WINDOWS = {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(1, 10)), *(f"lpt{n}" for n in range(1, 10))}


def safe_relative(path: str) -> str:
    """`path` unchanged if it can only name something below a folder of ours; raises UnsafePath otherwise.

    Refused: absolute paths, empty, `.` and `..` parts, control characters, backslashes, device names, names of the
    pull's own files, and overlong names.
    """
    parts = path.split("/")
    for part in parts:
        bad_characters = any(not char.isprintable() for char in part) or "\\" in part
        too_long = len(part.encode("utf-8", "surrogatepass")) > 240
        if part in ("", ".", "..") or bad_characters or too_long or part.split(".")[0].lower() in _WINDOWS:
            raise UnsafePath(f"The pod offers a file named {ascii(path)[:200]}; such a name is never written.")
    if len(parts) > 64 or parts[0].lower() in RESERVED_TOP:
        raise UnsafePath(f"The pod offers a file named {ascii(path)[:200]}; such a name is never written.")
    return path


def wanted(path: str) -> bool:
    """False for the agent's notes, locks, files that are still being written under a temporary name, and `scratch/`:
    merged weights, as large as the model, that the adapters make again."""
    parts = path.split("/")
    if parts[0] == "scratch":
        return False
    if parts[0] == ".agent":
        return path == ".agent/console.log"
    temporary = any(part.startswith(".tmp") for part in parts)
    return not (temporary or parts[-1].endswith((".part", ".tmp")) or parts[-1] == ".lock")


def separate(paths: Iterable[str]) -> tuple[list[str], list[str]]:
    """(usable paths in order, refused ones). Of names that differ in case only, or of a file that is also a folder,
    the first is usable."""
    good: list[str] = []
    bad: list[str] = []
    files: set[str] = set()
    folders: set[str] = set()
    for path in paths:
        low = path.casefold()
        parents = {low[:end] for end in range(len(low)) if low[end] == "/"}
        try:
            safe_relative(path)
        except UnsafePath:
            bad.append(path)
            continue
        if low in files or low in folders or parents & files:
            bad.append(path)
            continue
        files.add(low)
        folders |= parents
        good.append(path)
    return good, bad


def rank(path: str, mtime_ns: int) -> tuple[int, int, str]:
    """Sort key of a pull: what tells most per byte first, checkpoints last and of those the newest first."""
    name = path.rsplit("/", 1)[-1]
    if path in ("events.jsonl", "run.json"):
        return 0, 0, path
    if "checkpoint" in path:
        return 6, -mtime_ns, path
    if "adapter" in path:
        return 5, 0, path
    if name in ("manifest.json", "DONE", "gate.json"):
        return 1, 0, path
    if name.startswith("report"):
        return 2, 0, path
    if name.endswith((".json", ".jsonl", ".yaml", ".md", ".html", ".log")):
        return 3, 0, path
    return 4, 0, path
