"""`node_helpers` for packs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any


def conditioning_set_values(conditioning: list[Any], values: Mapping[str, Any] | None = None, append: bool = False) -> list[Any]:
    """The conditioning with options set on every entry; with `append`, lists are made longer instead."""
    changed = []
    for embedding, options in conditioning:
        merged = dict(options)
        for key, value in (values or {}).items():
            merged[key] = [*merged[key], *value] if append and key in merged else value
        changed.append([embedding, merged])
    return changed


def pillow(fn: Callable[..., Any], arg: Any) -> Any:
    """`fn(arg)`; a damaged picture that Pillow refuses is read as far as it goes."""
    from PIL import ImageFile

    try:
        return fn(arg)
    except (OSError, SyntaxError, ValueError):
        before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
        try:
            return fn(arg)
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before


def hasher() -> Callable[..., Any]:
    """The hash by which files are compared."""
    return hashlib.sha256


def string_to_torch_dtype(string: str) -> Any:
    """The torch dtype of `fp32`, `fp16` or `bf16`, else None."""
    import torch

    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}.get(string)


def image_alpha_fix(destination: Any, source: Any) -> tuple[Any, Any]:
    """The two pictures with as many channels: the source loses its alpha, or gains an opaque one."""
    import torch

    channels = destination.shape[-1]
    if channels < source.shape[-1]:
        return destination, source[..., :channels]
    if channels > source.shape[-1]:
        return destination, torch.nn.functional.pad(source, (0, channels - source.shape[-1]), value=1.0)
    return destination, source
