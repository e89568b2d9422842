"""Tiny files of networks that work on pictures: upscalers."""

from __future__ import annotations

from marquetry.engine.models.upscaling import spandrel
from tests.engine.models.families.tiny import seeded
from tests.templates.numbers import State


def real_esrgan() -> State:
    """An ESRGAN that makes four times as large, by the names of its first publication."""
    kind = spandrel().architectures.ESRGAN.ESRGAN
    with seeded(61):
        return dict(kind(num_filters=8, num_blocks=1, scale=4).state_dict())
