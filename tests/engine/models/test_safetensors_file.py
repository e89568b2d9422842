"""Headers of weight files: read without weights, and refused with the reason when they are not sound."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.models.safetensors_file import MAX_HEADER_BYTES, read_header

F32 = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}


def written(path: Path, header: Any, data: bytes = b"\0" * 16) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_header_tells_names_types_shapes_and_metadata(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"x": torch.zeros(2, 3, dtype=torch.float16), "y": torch.zeros(4)}, path, metadata={"who": "me"})

    header = read_header(path)

    assert {name: (info.dtype, info.shape) for name, info in header.items()} == {"x": ("F16", (2, 3)), "y": ("F32", (4,))}
    assert (header.metadata, header.parameters, header.size_bytes) == ({"who": "me"}, 10, 28)


def test_weights_are_not_read(tmp_path: Path) -> None:
    size = 50 * 2**30
    header = {"x": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}
    path = written(tmp_path / "sparse.safetensors", header, b"")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + size)  # a hole: there are no 50 GiB behind it

    assert read_header(path).parameters == size // 4


@pytest.mark.parametrize(
    ("header", "data", "reason"),
    [
        (b"{x", b"", "JSON"),
        (b"[]", b"", "object"),
        (b"[" * 100_000, b"", "JSON"),
        ({"x": 3}, b"", "not described"),
        ({"x": {**F32, "dtype": "F31"}}, b"\0" * 16, "unknown type"),
        ({"x": {**F32, "shape": [-2, -2]}}, b"\0" * 16, "shape"),
        ({"x": {**F32, "shape": [2, True]}}, b"\0" * 16, "shape"),
        ({"x": {**F32, "shape": [1] * 40}}, b"\0" * 16, "shape"),
        ({"x": {**F32, "shape": [2**62, 2**62]}}, b"\0" * 16, "does not fit"),
        ({"x": {**F32, "data_offsets": [16, 0]}}, b"\0" * 16, "data_offsets"),
        ({"x": {**F32, "data_offsets": [0]}}, b"\0" * 16, "data_offsets"),
        ({"x": F32}, b"\0" * 15, "cut short"),
        ({"x": F32}, b"\0" * 17, "belong to nothing"),
        ({"x": F32, "y": F32}, b"\0" * 16, "overlaps"),
        ({"x": {**F32, "data_offsets": [4, 20]}}, b"\0" * 20, "gap"),
        ({"__metadata__": {"a": 1}}, b"", "metadata"),
        (b'{"x": {}, "x": {}}', b"", "twice"),
    ],
)
def test_unsound_file_is_refused_by_name_and_reason(tmp_path: Path, header: Any, data: bytes, reason: str) -> None:
    path = written(tmp_path / "evil.safetensors", header, data)

    with pytest.raises(ModelFormatError, match=reason) as refusal:
        read_header(path)

    assert "evil.safetensors" in refusal.value.message


@pytest.mark.parametrize("length", [0, 1, MAX_HEADER_BYTES + 1, 2**63, 2**64 - 1])
def test_claimed_header_length_is_not_believed(tmp_path: Path, length: int) -> None:
    path = tmp_path / "evil.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b"{}")

    with pytest.raises(ModelFormatError, match="header"):
        read_header(path)


def test_short_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "short.safetensors").write_bytes(b"123")

    with pytest.raises(ModelFormatError, match="3 bytes"):
        read_header(tmp_path / "short.safetensors")
    with pytest.raises(ModelFormatError, match="cannot be read"):
        read_header(tmp_path / "none.safetensors")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.integers(0, 300), st.booleans())
def test_damaged_files_never_raise_anything_else(tmp_path: Path, noise: bytes, place: int, cut: bool) -> None:
    path = tmp_path / "fuzzed.safetensors"
    save_file({"x": torch.ones(3), "y": torch.ones(2, 2)}, path)
    whole = path.read_bytes()
    place = min(place, len(whole))
    path.write_bytes(whole[:place] + noise + (b"" if cut else whole[place + len(noise) :]))

    try:
        read_header(path)
    except ModelFormatError as refusal:
        assert path.name in refusal.message
