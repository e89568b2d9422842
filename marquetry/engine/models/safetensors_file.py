"""The header of a safetensors file: names, types and shapes of its tensors, read and checked without touching the weights.

Follows the format's specification: 8 bytes of little-endian header length, a JSON object, then the data, without gaps or overlaps.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from marquetry.engine.errors import ModelFormatError

MAX_HEADER_BYTES = 32 * 2**20  # a hundred times what the largest published models need
MAX_DIMENSIONS = 16
DTYPE_BITS: Mapping[str, int] = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor as its file declares it; `dtype` is safetensors' name ("F16", "BF16", ...)."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def parameters(self) -> int:
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        return self.parameters * DTYPE_BITS.get(self.dtype, 32) // 8


@dataclass(frozen=True)
class Header(Mapping[str, TensorInfo]):
    """The tensors of a weight file by name, and its free-form metadata. `source` names the file in messages."""

    source: str
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str] = field(default_factory=dict)
    offsets: Mapping[str, tuple[int, int]] = field(default_factory=dict, repr=False, compare=False)  # bytes from the file's beginning

    def __getitem__(self, name: str) -> TensorInfo:
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, or `()` when there is none of that name."""
        found = self.tensors.get(name)
        return () if found is None else found.shape

    def width(self, name: str) -> int:
        """The first dimension of a tensor, or 0 when there is none."""
        return next(iter(self.shape(name)), 0)

    @property
    def size_bytes(self) -> int:
        return sum(tensor.size_bytes for tensor in self.tensors.values())

    @property
    def parameters(self) -> int:
        return sum(tensor.parameters for tensor in self.tensors.values())


def read_header(path: Path) -> Header:
    """The header of the file at `path`. Raises ModelFormatError, which names the file and its fault, for anything that is not sound."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            if len(start) < 8:
                raise _fault(path, f"it has {size} bytes, too few for a header")
            (length,) = struct.unpack("<Q", start)
            if length > MAX_HEADER_BYTES:
                raise _fault(path, f"its header claims {length:,} bytes, more than the {MAX_HEADER_BYTES:,} allowed")
            if length < 2 or 8 + length > size:
                raise _fault(path, f"its header claims {length:,} bytes, but the file ends after {size:,}")
            text = file.read(length)
    except OSError as error:
        raise ModelFormatError(f"{path.name} cannot be read: {error.strerror or error}", file=path.name) from error
    return parse_header(text, path, size)


def parse_header(text: bytes, path: Path, file_bytes: int) -> Header:
    """As `read_header`, of the JSON `text` of a file of `file_bytes` bytes."""
    try:
        document = json.loads(text, object_pairs_hook=lambda pairs: _unique(path, pairs))
    except (ValueError, RecursionError) as error:
        raise _fault(path, "its header is not JSON") from error
    if not isinstance(document, dict):
        raise _fault(path, "its header is not a JSON object")
    metadata = document.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _fault(path, "its metadata is not a map of texts")
    data_start = 8 + len(text)
    data_bytes = file_bytes - data_start
    tensors: dict[str, TensorInfo] = {}
    spans: list[tuple[int, int, str]] = []
    for name, entry in document.items():
        info, begin, end = _tensor(path, name, entry)
        if end > data_bytes:
            raise _fault(path, f"tensor '{name}' ends at byte {end:,} of {data_bytes:,}: the file is cut short")
        tensors[name] = info
        spans.append((begin, end, name))
    position = 0
    for begin, end, name in sorted(spans):
        if begin != position:
            raise _fault(path, f"tensor '{name}' {'overlaps another' if begin < position else 'follows a gap'}")
        position = end
    if position != data_bytes:
        raise _fault(path, f"{data_bytes - position:,} bytes after its last tensor belong to nothing")
    offsets = {name: (data_start + begin, data_start + end) for begin, end, name in spans}
    return Header(path.name, tensors, metadata, offsets)


def _tensor(path: Path, name: str, entry: Any) -> tuple[TensorInfo, int, int]:
    if not isinstance(entry, dict):
        raise _fault(path, f"tensor '{name}' is not described by an object")
    shape: Any
    span: Any
    dtype, shape, span = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise _fault(path, f"tensor '{name}' has the unknown type {dtype!r}")
    if not _whole_numbers(shape) or len(shape) > MAX_DIMENSIONS:
        raise _fault(path, f"tensor '{name}' has no valid shape")
    if not _whole_numbers(span) or len(span) != 2 or span[0] > span[1]:
        raise _fault(path, f"tensor '{name}' has no valid data_offsets")
    info = TensorInfo(dtype, tuple(shape))
    if info.parameters * DTYPE_BITS[dtype] != (span[1] - span[0]) * 8:
        raise _fault(path, f"tensor '{name}' of shape {list(shape)} and type {dtype} does not fit its {span[1] - span[0]:,} bytes")
    return info, span[0], span[1]


def _whole_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def _unique(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _fault(path, "its header names a tensor twice")
    return found


def _fault(path: Path, what: str) -> ModelFormatError:
    return ModelFormatError(f"{path.name} is not a sound safetensors file: {what}", file=path.name)
