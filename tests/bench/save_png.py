"""Saving a 1 MP picture as PNG, side by side with Pillow at ComfyUI's level 4.

Goal 10 of the performance plan: on a natural picture at least 5 times as fast at no more than 5 % more bytes; the guard is that
Pillow reads back exactly the pixels. Run: `python tests/bench/save_png.py`. Exits with 1 when the goal or the guard fails.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from marquetry.engine.pictures import encode_png

Pixels: TypeAlias = "np.ndarray[Any, np.dtype[np.uint8]]"
SIDE = 1024
ROUNDS = 7


def natural() -> Pixels:
    """A random field with the spectrum of photographs (power falls with the square of frequency) and a little sensor noise."""
    random = np.random.default_rng(0)
    spectrum = np.fft.rfft2(random.standard_normal((SIDE, SIDE, 3)), axes=(0, 1))
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None, None], np.fft.rfftfreq(SIDE)[None, :, None])
    frequency[0, 0] = 1
    field = np.fft.irfft2(spectrum / frequency**1.2, axes=(0, 1), s=(SIDE, SIDE))
    field = (field - field.min()) / (field.max() - field.min()) + random.normal(0, 0.006, field.shape)
    levels: Pixels = (field.clip(0, 1) * 255).astype(np.uint8)
    return levels


def flat() -> Pixels:
    """A drawing: outlined discs of one colour."""
    random = np.random.default_rng(1)
    image = Image.new("RGB", (SIDE, SIDE), (240, 220, 200))
    draw = ImageDraw.Draw(image)
    for _ in range(60):
        x, y, radius = (int(value) for value in random.integers(0, SIDE, 3))
        radius = radius // 6 + 5
        red, green, blue = (int(value) for value in random.integers(0, 256, 3))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(red, green, blue), outline=(0, 0, 0))
    return np.asarray(image)


def noisy() -> Pixels:
    return np.random.default_rng(2).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def by_pillow(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def best_ms(action: Callable[[], bytes]) -> tuple[float, bytes]:
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        data = action()
        times.append((time.perf_counter() - begun) * 1000)
    return min(times), data


def main() -> int:
    passed = True
    print(f"{'picture':10}{'Pillow ms':>11}{'ours ms':>9}{'1 thread':>10}{'faster':>8}{'Pillow B':>11}{'ours B':>10}{'size':>7}  pixels")
    for make in (natural, flat, noisy):
        pixels = make()
        theirs_ms, theirs = best_ms(lambda pixels=pixels: by_pillow(pixels))  # type: ignore[misc]
        ours_ms, ours = best_ms(lambda pixels=pixels: encode_png(pixels))  # type: ignore[misc]
        single_ms, _ = best_ms(lambda pixels=pixels: encode_png(pixels, threads=1))  # type: ignore[misc]
        same = np.array_equal(np.asarray(Image.open(io.BytesIO(ours))), pixels)
        faster, size = theirs_ms / min(ours_ms, single_ms), len(ours) / len(theirs)
        print(
            f"{make.__name__:10}{theirs_ms:11.1f}{ours_ms:9.1f}{single_ms:10.1f}{faster:7.1f}x{len(theirs):11,}{len(ours):10,}{size:7.3f}"
            f"  {'the same' if same else 'DIFFER'}"
        )
        passed &= same and size <= 1.05 and (make is not natural or faster >= 5)
    print("goal met" if passed else "goal missed")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
