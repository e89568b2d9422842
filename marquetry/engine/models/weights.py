"""Weights: the tensors of one file or diffusers folder. Safetensors are mapped, never copied; pickles are read by torch's safe reader only."""

from __future__ import annotations

import pickle
import threading
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.lazy import torch
from marquetry.engine.models.safetensors_file import Header, TensorInfo, read_header
from marquetry.engine.models.scaled_weights import unscaled

if TYPE_CHECKING:
    from torch import Tensor

SAFETENSORS_SUFFIXES = frozenset({".safetensors", ".sft"})
PICKLE_SUFFIXES = frozenset({".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl"})
MAX_PICKLE_BYTES = 64 * 2**20  # of the object graph in a torch file; the weights lie beside it
FOLDER_FILES: Mapping[str, tuple[str, ...]] = {
    "unet": ("diffusion_pytorch_model",),
    "vae": ("diffusion_pytorch_model",),
    "text_encoder": ("model", "pytorch_model"),
    "text_encoder_2": ("model", "pytorch_model"),
    "text_encoder_3": ("model", "pytorch_model"),
    "transformer": ("diffusion_pytorch_model",),
}
FOLDER_SUFFIXES = (".safetensors", ".fp16.safetensors", ".bin", ".fp16.bin")


class Weights(Protocol):
    """Named tensors with a header. Tensors are shared views: nobody writes to them."""

    header: Header

    def tensor(self, name: str) -> Tensor:
        """The tensor of that name, on the CPU, in the file's own type."""
        ...


class SafetensorsWeights:
    """Tensors of a safetensors file, mapped into memory when they are first asked for."""

    def __init__(self, path: Path) -> None:
        self.header = read_header(path)
        self._path = path
        self._file: Any = None
        self._lock = threading.Lock()

    def tensor(self, name: str) -> Tensor:
        with self._lock:
            if self._file is None:
                from safetensors import SafetensorError, safe_open

                try:
                    self._file = safe_open(self._path, framework="pt", device="cpu")
                except SafetensorError as error:
                    raise ModelFormatError(f"{self._path.name} cannot be read: {error}", file=self._path.name) from error
        found: Tensor = self._file.get_tensor(name)
        return found


class PickleWeights:
    """Tensors of a torch file. Nothing in it is executed: what is not plain tensors is refused."""

    def __init__(self, path: Path) -> None:
        self._tensors = _read_pickle(path)
        tensors = {name: TensorInfo(_dtype_name(tensor), tuple(tensor.shape)) for name, tensor in self._tensors.items()}
        self.header = Header(path.name, tensors)

    def tensor(self, name: str) -> Tensor:
        return self._tensors[name]


class FolderWeights:
    """The weights of a diffusers folder; names begin with the part's folder (`unet.conv_in.weight`)."""

    def __init__(self, folder: Path) -> None:
        self._parts = {part: open_weights(found) for part in FOLDER_FILES if (found := folder_file(folder, part)) is not None}
        if not self._parts:
            raise ModelFormatError(f"the folder {folder.name} holds no unet, vae or text_encoder with weights", file=folder.name)
        tensors = {f"{part}.{name}": info for part, weights in self._parts.items() for name, info in weights.header.items()}
        self.header = Header(folder.name, tensors)

    def tensor(self, name: str) -> Tensor:
        part, _, inner = name.partition(".")
        return self._parts[part].tensor(inner)


def open_weights(path: Path) -> Weights:
    """The weights at `path`. Raises ModelFormatError when the file is unsound, unsafe or of a kind that is not read."""
    if path.is_dir():
        return FolderWeights(path)
    suffix = path.suffix.lower()
    if suffix in SAFETENSORS_SUFFIXES:
        return unscaled(SafetensorsWeights(path))
    if suffix in PICKLE_SUFFIXES:
        return PickleWeights(path)
    raise ModelFormatError(f"{path.name}: files of type '{suffix}' are not read; use safetensors", file=path.name)


def folder_file(folder: Path, part: str) -> Path | None:
    """The weight file of one part of a diffusers folder, or None."""
    for stem in FOLDER_FILES[part]:
        for suffix in FOLDER_SUFFIXES:
            path = folder / part / f"{stem}{suffix}"
            if path.is_file():
                return path
    return None


def read_any_header(path: Path) -> Header:
    """The header of a file or diffusers folder, without reading weights where the format allows it."""
    if path.suffix.lower() in SAFETENSORS_SUFFIXES and path.is_file():
        return read_header(path)
    return open_weights(path).header


def _read_pickle(path: Path) -> dict[str, Tensor]:
    archive = _check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about pickle protocols that the safe reader may refuse; it says so itself
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except pickle.UnpicklingError as error:
        raise ModelFormatError(
            f"{path.name} is refused: it is a pickle that holds more than tensors, and loading it could run code; "
            "convert it to safetensors where you trust it",
            file=path.name,
        ) from error
    except (
        RuntimeError,
        ValueError,
        EOFError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        OSError,
        OverflowError,
        MemoryError,
    ) as error:
        raise ModelFormatError(f"{path.name} is not a sound torch file: {error}", file=path.name) from error
    for inner in ("state_dict", "params_ema", "params", "model_state_dict"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(inner), Mapping):
            loaded = {**loaded[inner], **_plain_extras(loaded)}
            break
    if not isinstance(loaded, Mapping):
        raise ModelFormatError(f"{path.name} holds no named tensors", file=path.name)
    tensors = dict(_flat(loaded))
    if not tensors:
        raise ModelFormatError(f"{path.name} holds no named tensors", file=path.name)
    for name, tensor in tensors.items():
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ModelFormatError(f"{path.name} is refused: tensor '{name}' claims more elements than are stored", file=path.name)
    return tensors


def _check_archive(path: Path) -> bool:
    """Whether `path` is a zip archive; raises ModelFormatError when that would unpack to more than its size."""
    try:
        if not zipfile.is_zipfile(path):
            return False
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ModelFormatError(f"{path.name} is not a sound torch file: {error}", file=path.name) from error
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if packed or sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise ModelFormatError(f"{path.name} is refused: it would unpack to more than its size", file=path.name)
    if any(entry.filename.endswith(".pkl") and entry.file_size > MAX_PICKLE_BYTES for entry in entries):
        raise ModelFormatError(f"{path.name} is refused: its object graph is larger than {MAX_PICKLE_BYTES // 2**20} MiB", file=path.name)
    return True


def _plain_extras(loaded: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in loaded.items() if isinstance(value, torch.Tensor)}


def _flat(values: Mapping[Any, Any], prefix: str = "", depth: int = 0) -> list[tuple[str, Tensor]]:
    found: list[tuple[str, Tensor]] = []
    for name, value in values.items():
        if isinstance(value, torch.Tensor) and value.layout == torch.strided:
            found.append((f"{prefix}{name}", value.detach()))
        elif isinstance(value, Mapping) and depth < 4:
            found.extend(_flat(value, f"{prefix}{name}.", depth + 1))
    return found


def _dtype_name(tensor: Tensor) -> str:
    names = {
        "float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64", "int64": "I64", "int32": "I32", "int16": "I16",
        "int8": "I8", "uint8": "U8", "bool": "BOOL", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
    }  # fmt: skip
    return names.get(str(tensor.dtype).removeprefix("torch."), "F32")
