"""Textual inversions (Gal et al. 2022): vectors that prompts name, from files in the layouts of A1111, diffusers and others."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.folders import Folders
from marquetry.engine.models.weights import open_weights

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".safetensors", ".pt", ".bin")
MAX_VECTORS = 512
PREFERRED = ("emb_params", "string_to_param.*", "clip_l", "clip_h", "clip_g")


def embedding_file(folders: Folders, name: str) -> Path | None:
    """The file of a textual inversion, with or without its ending in `name`. Names that leave the folder are not found."""
    for suffix in ("", *SUFFIXES):
        path = folders.find("embeddings", name + suffix)
        if path is not None and path.suffix.lower() in SUFFIXES:
            return path
    return None


def find_embedding(folders: Folders, width: int, name: str) -> Tensor | None:
    """The vectors `[N, width]` of a textual inversion, or None when there is none of that name and width.

    Raises ModelFormatError when there is a file but it is unsound.
    """
    path = embedding_file(folders, name)
    if path is None:
        return None
    status = path.stat()
    return _vectors(path, width, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=64)
def _vectors(path: Path, width: int, modified_ns: int, size_bytes: int) -> Tensor | None:
    weights = open_weights(path)
    names = [*(name for name in PREFERRED if name in weights.header), *weights.header]
    for name in names:
        shape = weights.header[name].shape
        if shape and shape[-1] == width and len(shape) <= 2:
            vectors = weights.tensor(name).float().reshape(-1, width)
            if len(vectors) > MAX_VECTORS:
                raise ModelFormatError(f"{path.name} has {len(vectors)} vectors; a textual inversion has at most {MAX_VECTORS}")
            return vectors
    return None
