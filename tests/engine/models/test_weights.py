"""Weights: mapped safetensors, and torch files that are read without running anything in them."""

import os
import pickle
import random
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.models.weights import open_weights, read_any_header

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.float16)}


class Evil:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


def test_safetensors_are_mapped_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(TENSORS, path)
    weights = open_weights(path)

    first, again = weights.tensor("a"), weights.tensor("a")

    assert torch.equal(first, TENSORS["a"])
    assert first.data_ptr() == again.data_ptr() or str(path) in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".pth", ".bin"])
@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_are_read(tmp_path: Path, suffix: str, zipped: bool) -> None:
    path = tmp_path / f"a{suffix}"
    torch.save(TENSORS, path, _use_new_zipfile_serialization=zipped)

    weights = open_weights(path)

    assert {name: (info.dtype, info.shape) for name, info in weights.header.items()} == {"a": ("F32", (2, 3)), "b": ("F16", (4,))}
    assert torch.equal(weights.tensor("a"), TENSORS["a"])


def test_state_dict_inside_a_checkpoint_is_found(tmp_path: Path) -> None:
    torch.save({"state_dict": TENSORS, "global_step": 3, "epoch": 1}, tmp_path / "a.ckpt")

    assert set(read_any_header(tmp_path / "a.ckpt")) == {"a", "b"}


@pytest.mark.parametrize("zipped", [True, False])
def test_pickle_with_code_is_refused_and_not_run(tmp_path: Path, zipped: bool) -> None:
    mark = tmp_path / "was_here"
    path = tmp_path / "evil.ckpt"
    torch.save({"a": torch.ones(1), "b": Evil(f"touch {mark}")}, path, _use_new_zipfile_serialization=zipped)

    with pytest.raises(ModelFormatError, match=r"evil\.ckpt is refused"):
        open_weights(path)

    assert not mark.exists()


def test_plain_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "was_here"
    (tmp_path / "evil.bin").write_bytes(pickle.dumps(Evil(f"touch {mark}")))

    with pytest.raises(ModelFormatError, match=r"evil\.bin"):
        open_weights(tmp_path / "evil.bin")

    assert not mark.exists()


def test_zip_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    good, bomb = tmp_path / "good.pt", tmp_path / "bomb.pt"
    torch.save(TENSORS, good)
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.namelist():
            target.writestr(entry, source.read(entry))
        target.writestr("good/data/9", b"\0" * 2**26)

    with pytest.raises(ModelFormatError, match="unpack to more"):
        open_weights(bomb)


def test_tensor_that_claims_more_than_is_stored_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1).expand(2**40)}, tmp_path / "wide.pt")

    with pytest.raises(ModelFormatError, match="more elements than are stored"):
        open_weights(tmp_path / "wide.pt")


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"PK\x05\x06" + b"\0" * 18, b"\x80\x02.", random.Random(0).randbytes(100), pickle.dumps([1, 2])]
)
def test_damaged_torch_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.pt").write_bytes(content)

    with pytest.raises(ModelFormatError, match=r"bad\.pt"):
        open_weights(tmp_path / "bad.pt")


def test_unknown_type_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF")

    with pytest.raises(ModelFormatError, match="gguf"):
        open_weights(tmp_path / "a.gguf")
