"""The quick GGUF reader: the same facts and values as the gguf package's own, and plain words on a damaged file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.models.errors import ModelError
from pipeline.models.gguf_file import GGUFFile

gguf = pytest.importorskip("gguf")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from gguf.quants import quantize

    file = tmp_path_factory.mktemp("gguf") / "small.gguf"
    writer = gguf.GGUFWriter(file, "gemma3")
    writer.add_uint32("gemma3.block_count", 3)
    writer.add_float32("gemma3.eps", 1e-6)
    writer.add_bool("tokenizer.ggml.add_bos_token", True)
    writer.add_token_list(["<pad>", "▁the", "é", "", "\n"])
    writer.add_token_types([3, 1, 1, 1, 4])
    rng = np.random.default_rng(0)
    kinds = gguf.GGMLQuantizationType
    writer.add_tensor("norm.weight", rng.standard_normal(64, dtype=np.float32))
    for kind in (kinds.Q8_0, kinds.Q5_0):
        values = rng.standard_normal((5, 64), dtype=np.float32)
        writer.add_tensor(f"{kind.name}.weight", quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def test_facts_and_tensors_are_those_of_the_packages_own_reader(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gguf.quants import dequantize

    monkeypatch.setattr("pipeline.models.gguf_file._BLOCK_BYTES", 150)  # two rows at a time
    theirs, ours = gguf.GGUFReader(path), GGUFFile(path)
    fields = {name: field.contents() for name, field in theirs.fields.items() if not name.startswith("GGUF.")}
    assert {**ours.fields} == fields
    assert [t.name for t in ours.tensors] == [t.name for t in theirs.tensors]
    for mine, other in zip(ours.tensors, theirs.tensors, strict=True):
        wanted = dequantize(other.data, other.tensor_type)
        assert mine.shape == wanted.shape
        found = np.empty((int(np.prod(mine.shape)) // mine.shape[-1], mine.shape[-1]), dtype=np.float32)
        for rows, values in ours.dequantised(mine):
            found[rows] = values
        assert np.array_equal(found.reshape(mine.shape), wanted)


def test_a_damaged_file_is_refused_in_plain_words(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    for name, data in (("cut", whole[:90]), ("other", b"PK\x03\x04" + whole[4:]), ("empty", b"\0")):
        bad = tmp_path / name
        bad.write_bytes(data)
        with pytest.raises(ModelError, match=r"damaged|no GGUF file"):
            GGUFFile(bad)
