"""What travels to the pod is what git would take, minus what must never leave the laptop."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from remote.errors import SecretFound, SyncError
from remote.sync.scan import Scan, scan
from remote.sync.secrets_scan import find_secret

LATER = 10**19
PREFIXES = {
    "rpa": "rpa" + "_" + "A1B2C3D4E5F6G7H8I9J0K1L2M3N4O5P6",
    "hf": "hf" + "_" + "abcdefghijklmnopqrstuvwxyzABCDEFGH",
    "sk": "sk" + "-" + "proj-a1B2c3D4e5F6g7H8i9J0k1L2",
    "aws": "AKIA" + "IOSFODNN7EXAMPLE",
    "pem": "-----BEGIN "
    + "OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gt\n",
}


def put(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def paths(found: Scan) -> list[str]:
    return [entry.path for entry in found.entries]


def test_ignore_files_of_every_folder_are_honoured_the_inner_ones_last(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            ".gitignore": "*.log\nbuild/\n/top.txt\n",
            "a.py": "a",
            "x.log": "x",
            "top.txt": "t",
            "sub/top.txt": "kept, the pattern is anchored",
            "sub/.gitignore": "!keep.log\nmine.txt\n",
            "sub/keep.log": "k",
            "sub/other.log": "o",
            "sub/mine.txt": "m",
            "mine.txt": "kept",
            "build/out.py": "b",
            "sub/build/.gitignore": "!*\n",
            "sub/build/deep.py": "a parent that is ignored cannot be re-included",
            ".maxcaiignore": "big/\n",
            "big/data.py": "d",
        },
    )
    expected = [".gitignore", ".maxcaiignore", "a.py", "mine.txt", "sub/.gitignore", "sub/keep.log", "sub/top.txt"]
    assert paths(scan([(tmp_path, "")])) == expected


def test_no_ignore_file_brings_back_what_must_never_travel(tmp_path: Path) -> None:
    never = [".env", ".env.runpod", "sub/.ENV.local", "a.pem", "b.key", "id_ed25519", ".ssh/config", ".aws/credentials"]
    never += [
        ".netrc",
        "my.token",
        "token.txt",
        ".git/config",
        ".venv/x.py",
        "p/__pycache__/a.pyc",
        "n/node_modules/i.js",
    ]
    never += [".maxcai/journal.jsonl", "runs/R/events.jsonl"]
    kept = ["tokenizer.json", "token_counts.txt", "id_map.py", "p/runs/a.py", "keyboard.py"]
    put(tmp_path, dict.fromkeys(never + kept, "text"))
    put(tmp_path, {".gitignore": "!*\n!.env\n!.env.*\n", ".maxcaiignore": "!**\n!runs/\n"})
    found = scan([(tmp_path, "")])
    assert sorted(paths(found)) == sorted([*kept, ".gitignore", ".maxcaiignore"])
    assert ".env" in {out.path for out in found.left_out}


def test_a_denied_file_named_as_a_source_is_left_out(tmp_path: Path) -> None:
    put(tmp_path, {".env.runpod": "RUNPOD_API_KEY=x"})
    assert paths(scan([(tmp_path / ".env.runpod", "settings")])) == []


@pytest.mark.parametrize("kind", sorted(PREFIXES))
def test_a_planted_secret_stops_the_push_and_is_not_shown(tmp_path: Path, kind: str) -> None:
    put(tmp_path, {"src/app.py": f"first line\nKEY = '{PREFIXES[kind]}'\n"})
    with pytest.raises(SecretFound) as caught:
        scan([(tmp_path, "")])
    shown = f"{caught.value} {caught.value.hint}"
    assert "src/app.py, line 2" in shown
    assert PREFIXES[kind][:16] not in shown


@pytest.mark.parametrize(
    "text",
    [
        'TOKENS = ("rpa_", "hf_", "sk-", "AKIA", "-----BEGIN")',
        "re.compile(r'hf_[A-Za-z0-9]{30,}')  # rpa_[a-z]+",
        "from hf_transfer_and_something_else_long import x; hf_hub_download_with_a_long_name()",
        "pip install sk-learn-contrib-extensions-package",
        "task-1234567890ABCDEFGHIJKLMNOP disk-abcdefghijklmnopQRSTUV",
        "rpa_" + "x" * 40 + " hf_" + "0" * 40,
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "if line.startswith('-----BEGIN OPENSSH PRIVATE KEY-----'): raise SecretFound(path)",
    ],
)
def test_source_that_merely_names_a_secret_is_no_hit(text: str) -> None:
    assert find_secret(text.encode()) is None


def test_a_secret_is_found_again_although_the_other_files_are_cached(tmp_path: Path) -> None:
    work, state = tmp_path / "work", tmp_path / "state"
    put(work, {"a.py": "a", "b.py": "b"})
    scan([(work, "")], state, now_ns=lambda: LATER)
    put(work, {"b.py": f"b = '{PREFIXES['hf']}'"})
    for _ in range(2):
        with pytest.raises(SecretFound):
            scan([(work, "")], state, now_ns=lambda: LATER)


def test_the_hash_cache_is_believed_only_while_size_times_and_inode_agree(tmp_path: Path) -> None:
    work, state = tmp_path / "work", tmp_path / "state"
    put(work, {"a.py": "one"})
    first = scan([(work, "")], state, now_ns=lambda: LATER)
    cache = json.loads((state / "scan.json").read_bytes())
    row = cache["files"][str(work / "a.py")]
    row[4] = "f" * 64
    (state / "scan.json").write_text(json.dumps(cache))
    assert scan([(work, "")], state, now_ns=lambda: LATER).entries[0].sha256 == "f" * 64, "the cache is used"
    times = (work / "a.py").stat()
    (work / "a.py").write_text("two")
    os.utime(work / "a.py", ns=(times.st_atime_ns, times.st_mtime_ns))  # same size, same mtime: ctime tells
    again = scan([(work, "")], state, now_ns=lambda: LATER)
    assert again.entries[0].sha256 not in (first.entries[0].sha256, "f" * 64)


def test_a_file_changed_within_two_seconds_of_the_scan_is_not_cached(tmp_path: Path) -> None:
    work, state = tmp_path / "work", tmp_path / "state"
    put(work, {"a.py": "one"})
    changed = (work / "a.py").stat().st_ctime_ns
    scan([(work, "")], state, now_ns=lambda: changed + 1_000_000_000)
    assert not (state / "scan.json").exists()


def test_equal_content_has_an_equal_tree_id_and_any_difference_another(tmp_path: Path) -> None:
    one, two = put(tmp_path / "one", {"a.py": "a", "d/b.py": "b"}), put(tmp_path / "two", {"d/b.py": "b", "a.py": "a"})
    assert scan([(one, "")]).tree_id == scan([(two, "")]).tree_id
    (two / "a.py").chmod(0o755)
    assert scan([(one, "")]).tree_id != scan([(two, "")]).tree_id


def test_sources_are_laid_over_each_other_the_later_on_top(tmp_path: Path) -> None:
    put(tmp_path, {"w/a.py": "workspace", "w/pipeline/x.py": "old", "p/x.py": "new", "c.yaml": "c"})
    found = scan([(tmp_path / "w", ""), (tmp_path / "p", "pipeline"), (tmp_path / "c.yaml", "constitution.yaml")])
    assert paths(found) == ["a.py", "constitution.yaml", "pipeline/x.py"]
    assert found.sources["pipeline/x.py"].read_text() == "new"
    with pytest.raises(SyncError):
        scan([(tmp_path / "w", "../out")])


def test_large_files_stay_home_unless_they_are_listed(tmp_path: Path) -> None:
    with (tmp_path / "big.bin").open("wb") as file:
        file.truncate((20 << 20) + 1)
    found = scan([(tmp_path, "")])
    assert paths(found) == []
    assert [(out.path, out.reason) for out in found.left_out] == [("big.bin", "larger than 20 MB")]
    assert paths(scan([(tmp_path, "")], large=["*.bin"])) == ["big.bin"]


def test_symlinks_travel_as_such_only_when_they_stay_inside(tmp_path: Path) -> None:
    work = put(tmp_path / "work", {"a.py": "a", "d/b.py": "b"})
    put(tmp_path, {"outside.txt": "secret"})
    (work / "in").symlink_to("d/b.py")
    (work / "out").symlink_to("../outside.txt")
    (work / "absolute").symlink_to(work / "a.py")
    (work / "dangling").symlink_to("nowhere")
    os.mkfifo(work / "pipe")
    found = scan([(work, "")])
    assert paths(found) == ["a.py", "d/b.py", "in"]
    assert {entry.path: entry.link for entry in found.entries}["in"] == "d/b.py"
    assert {out.path for out in found.left_out} == {"out", "absolute", "dangling", "pipe"}


def test_a_missing_folder_is_an_error_and_not_an_empty_push(tmp_path: Path) -> None:
    with pytest.raises(SyncError, match=r"no .*nowhere"):
        scan([(tmp_path / "nowhere", "")])
