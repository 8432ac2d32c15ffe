"""A result counts when DONE says so and every byte is as listed; the digest sees data and nothing else."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pipeline import artifacts
from pipeline.artifacts import DONE, MANIFEST


def step(root: Path, name: str = "stage-1/sft", text: str = "weights", key: str = "k" * 64) -> Path:
    out = root / name
    (out / "adapter").mkdir(parents=True)
    (out / "adapter" / "model.safetensors").write_text(text)
    (out / "records.jsonl").write_text('{"id":1}\n')
    (out / "metrics.jsonl").write_text('{"seconds":1.5}\n')
    (out / "checkpoints").mkdir()
    (out / "checkpoints" / "optimizer.pt").write_text("state")
    (out / "rows.part").write_text("partial")
    artifacts.publish(out, key, {"stage-1/filter": "abc"}, {"seconds": 1.0, "started": "now"})
    return out


def test_a_published_step_is_done_for_its_key_alone_and_part_files_are_gone(tmp_path: Path) -> None:
    out = step(tmp_path)
    assert artifacts.is_done(out, "k" * 64)
    assert not artifacts.is_done(out, "j" * 64)
    assert not (out / "rows.part").exists()
    manifest = artifacts.read_manifest(out)
    assert manifest is not None
    assert [row["path"] for row in manifest["outputs"]] == [
        "adapter/model.safetensors",
        "metrics.jsonl",
        "records.jsonl",
    ]
    assert manifest["inputs"] == {"stage-1/filter": "abc"}


def test_a_byte_flipped_in_any_listed_file_or_in_the_manifest_is_found(tmp_path: Path) -> None:
    out = step(tmp_path)
    for path in (out / "adapter/model.safetensors", out / "records.jsonl", out / "metrics.jsonl", out / MANIFEST):
        good = path.read_bytes()
        for place in range(0, len(good), max(1, len(good) // 20)):
            path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
            assert artifacts.verify(out)
            assert not artifacts.is_done(out, "k" * 64)
        path.write_bytes(good)
        assert artifacts.verify(out) == []


@pytest.mark.parametrize("name", [DONE, MANIFEST, "records.jsonl"])
def test_a_missing_file_makes_the_step_not_done(tmp_path: Path, name: str) -> None:
    out = step(tmp_path)
    (out / name).unlink()
    assert not artifacts.is_done(out, "k" * 64)
    assert len(artifacts.verify(out)) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key":"x"}', "\0\0"])
def test_a_done_that_cannot_be_read_is_no_done(tmp_path: Path, text: str) -> None:
    out = step(tmp_path)
    (out / DONE).write_text(text)
    assert not artifacts.is_done(out, "k" * 64)


def test_an_atomic_write_that_fails_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    artifacts.write_atomic(path, b"old")

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            artifacts.write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_superseded_results_keep_their_manifests_and_never_overwrite_each_other(tmp_path: Path) -> None:
    for text in ("one", "two", "three"):
        step(tmp_path, text=text)
        artifacts.supersede(tmp_path, "stage-1/sft", "k" * 64)
    kept = sorted(p.name for p in (tmp_path / "stage-1" / ".superseded").iterdir())
    assert kept == ["sft-kkkkkkkk", "sft-kkkkkkkk-2", "sft-kkkkkkkk-3"]
    assert not (tmp_path / "stage-1" / "sft").exists()
    assert all((tmp_path / "stage-1" / ".superseded" / name / MANIFEST).exists() for name in kept)


def test_the_digest_sees_data_and_neither_time_nor_trainer_state(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    step(one)
    out = step(two)
    (two / "events.jsonl").write_text("{}")
    (two / "report.md").write_text("late")
    (two / "logs").mkdir()
    (out / "metrics.jsonl").write_text('{"seconds":99}\n')
    (out / "checkpoints" / "optimizer.pt").write_text("other")
    assert artifacts.digest(one) == artifacts.digest(two)
    (out / "adapter" / "model.safetensors").write_text("other")
    assert artifacts.digest(one) != artifacts.digest(two)


def test_the_digest_depends_on_names_gates_and_finished_steps(tmp_path: Path) -> None:
    seen = {artifacts.digest(tmp_path)}
    out = step(tmp_path)
    seen.add(artifacts.digest(tmp_path))
    (tmp_path / "stage-1" / "gate.json").write_text("{}")
    seen.add(artifacts.digest(tmp_path))
    (out / "records.jsonl").rename(out / "renamed.jsonl")
    seen.add(artifacts.digest(tmp_path))
    (out / DONE).unlink()
    seen.add(artifacts.digest(tmp_path))
    assert len(seen) == 5
    artifacts.supersede(tmp_path, "stage-1/sft", "x")
    (tmp_path / "stage-1" / "gate.json").unlink()
    assert artifacts.digest(tmp_path) in seen
