"""Blur, sharpening, palettes and morphology, against scipy and Pillow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from PIL import Image

from marquetry.nodes import image_filter as nodes


def picture(batch: int = 1, height: int = 14, width: int = 17, channels: int = 3) -> torch.Tensor:
    return torch.rand(batch, height, width, channels, generator=torch.Generator().manual_seed(0))


def weights(radius: int, sigma: float) -> np.ndarray[Any, Any]:
    line = np.linspace(-1, 1, 2 * radius + 1)
    kernel = np.exp(-(line[:, None] ** 2 + line[None] ** 2) / (2 * sigma**2))
    normal: np.ndarray[Any, Any] = kernel / kernel.sum()
    return normal


def correlated(image: torch.Tensor, kernel: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    channels = [scipy.ndimage.correlate(image[0, ..., channel].numpy(), kernel, mode="mirror") for channel in range(image.shape[-1])]
    return np.stack(channels, -1)


class TestBlur:
    @pytest.mark.parametrize(("radius", "sigma"), [(1, 1.0), (3, 0.5), (9, 2.0)])
    def test_it_is_a_gaussian_with_a_reflected_border(self, radius: int, sigma: float) -> None:
        assert np.allclose(nodes.blur(picture(), radius, sigma)[0].numpy(), correlated(picture(), weights(radius, sigma)), atol=1e-5)

    @pytest.mark.parametrize("size", [1, 2, 5])
    def test_pictures_smaller_than_the_radius_are_blurred_too(self, size: int) -> None:
        image = picture(1, size, size + 1)
        assert np.allclose(nodes.blur(image, 31, 1.0)[0].numpy(), correlated(image, weights(31, 1.0)), atol=1e-5)

    def test_an_even_picture_stays_even(self) -> None:
        assert torch.allclose(nodes.blur(torch.full((2, 9, 9, 4), 0.3), 4, 1.0), torch.tensor(0.3))


class TestSharpen:
    def test_it_adds_the_difference_to_the_mean_around(self) -> None:
        kernel = weights(2, 1.0) * -5.0
        kernel[2, 2] += 1 - kernel.sum()
        assert np.allclose(nodes.sharpen(picture(), 2, 1.0, 0.5)[0].numpy(), correlated(picture(), kernel).clip(0, 1), atol=1e-4)

    def test_without_strength_nothing_changes(self) -> None:
        assert torch.allclose(nodes.sharpen(picture(), 3, 1.0, 0.0), picture(), atol=1e-6)


class TestQuantize:
    @pytest.mark.parametrize("dither", ["none", "floyd-steinberg", "bayer-2", "bayer-4", "bayer-8", "bayer-16"])
    def test_each_picture_has_at_most_so_many_colours(self, dither: Any) -> None:
        reduced = nodes.quantize(picture(2), 6, dither)
        for image in reduced:
            assert len({tuple(pixel) for pixel in image.reshape(-1, 3).tolist()}) <= 6

    def test_without_dithering_it_is_pillows(self) -> None:
        source = Image.fromarray((picture()[0] * 255).to(torch.uint8).numpy())
        expected = source.quantize(palette=source.quantize(colors=8), dither=Image.Dither.NONE).convert("RGB")
        assert np.array_equal((nodes.quantize(picture(), 8, "none")[0] * 255).round().numpy(), np.asarray(expected))

    def test_ordered_dithering_keeps_the_mean_of_a_ramp(self) -> None:
        ramp = torch.linspace(0, 1, 256).expand(1, 64, 256)[..., None].expand(-1, -1, -1, 3)
        plain, ordered = (nodes.quantize(ramp, 4, dither) for dither in ("none", "bayer-8"))
        blocks = [image[..., 0].reshape(1, 8, 8, 32, 8).mean((1, 2, 4)) for image in (ramp, plain, ordered)]
        assert (blocks[2] - blocks[0]).abs().mean() < (blocks[1] - blocks[0]).abs().mean()

    def test_the_thresholds_are_each_used_once_and_centred(self) -> None:
        for order in (2, 4, 8, 16):
            matrix = nodes.thresholds(order)
            assert len(np.unique(matrix)) == order**2
            assert abs(matrix.mean() + 0.5 / order**2) < 0.5 and np.abs(matrix).max() <= 0.5

    def test_alpha_stays(self) -> None:
        image = picture(channels=4)
        assert torch.equal(nodes.quantize(image, 4, "none")[..., 3], image[..., 3])


class TestMorphology:
    @pytest.mark.parametrize("size", [3, 4, 7])
    def test_it_is_scipys_away_from_the_border(self, size: int) -> None:
        image = picture(1, 40, 40, 1)
        plain = image[0, ..., 0].numpy()
        dilation = scipy.ndimage.maximum_filter(plain, size)
        erosion = scipy.ndimage.minimum_filter(plain, size)
        inner = slice(2 * size, 40 - 2 * size)
        for operation, expected in (
            ("dilate", dilation),
            ("erode", erosion),
            ("gradient", dilation - erosion),
        ):
            result = nodes.morphology(image, operation, size)[0, ..., 0].numpy()  # type: ignore[arg-type]
            assert result.shape == plain.shape
            assert np.allclose(result[inner, inner], expected[inner, inner])

    def test_opening_darkens_and_closing_lightens(self) -> None:
        image = picture()
        opened, closed = nodes.morphology(image, "open", 3), nodes.morphology(image, "close", 3)
        assert (opened <= image).all() and (closed >= image).all()
        assert torch.allclose(nodes.morphology(image, "top_hat", 3), image - opened)
        assert torch.allclose(nodes.morphology(image, "bottom_hat", 3), closed - image)

    def test_a_square_larger_than_the_picture_takes_the_extreme(self) -> None:
        image = picture(1, 5, 6)
        assert torch.equal(nodes.morphology(image, "dilate", 99), image.amax((1, 2), keepdim=True).expand_as(image))
