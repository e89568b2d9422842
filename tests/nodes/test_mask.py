"""Masks: every operation against numpy or scipy, and none reaches beyond what it should change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marquetry.engine.context import Context, Services
from marquetry.engine.errors import Interrupted, NodeFailed
from marquetry.engine.folders import Folders
from marquetry.nodes import mask as nodes


def mask(batch: int = 1, height: int = 6, width: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.rand(batch, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(Services(Folders(tmp_path)))


class TestConversions:
    def test_a_mask_becomes_grey_and_each_channel_gives_it_back(self) -> None:
        image = nodes.mask_to_image(mask(2))
        assert image.shape == (2, 6, 8, 3)
        for channel in ("red", "green", "blue"):
            assert torch.equal(nodes.image_to_mask(image, channel), mask(2))

    def test_a_mask_without_a_batch_is_one_picture(self) -> None:
        assert nodes.mask_to_image(mask()[0]).shape == (1, 6, 8, 3)

    def test_alpha_is_taken_as_it_is_and_missing_alpha_refused(self) -> None:
        image = torch.rand(1, 2, 2, 4)
        assert torch.equal(nodes.image_to_mask(image, "alpha"), image[..., 3])
        with pytest.raises(NodeFailed, match="no alpha"):
            nodes.image_to_mask(image[..., :3], "alpha")

    def test_a_colour_is_found_exactly(self) -> None:
        image = torch.zeros(1, 2, 2, 4)
        image[0, 0, 1, :3] = torch.tensor([0x33, 0x66, 0x99]) / 255 + 0.001
        assert nodes.colour_to_mask(image, 0x336699).tolist() == [[[0, 1], [0, 0]]]


class TestSimple:
    def test_a_solid_mask_has_one_value(self) -> None:
        made = nodes.solid(0.25, 3, 2)
        assert made.shape == (1, 2, 3) and (made == 0.25).all()

    def test_inverting_and_thresholds(self) -> None:
        assert torch.equal(nodes.invert(mask()), 1 - mask())
        assert nodes.threshold(torch.tensor([[[0.5, 0.51]]]), 0.5).tolist() == [[[0, 1]]]

    def test_a_crop_is_a_part_and_outside_is_refused(self) -> None:
        assert torch.equal(nodes.crop(mask()[0], 2, 1, 3, 99), mask()[:, 1:, 2:5])
        with pytest.raises(NodeFailed, match="outside"):
            nodes.crop(mask(), 8, 0, 1, 1)


OPERATIONS = {
    "multiply": lambda a, b: a * b,
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "and": lambda a, b: (np.round(a) != 0) & (np.round(b) != 0),
    "or": lambda a, b: (np.round(a) != 0) | (np.round(b) != 0),
    "xor": lambda a, b: (np.round(a) != 0) ^ (np.round(b) != 0),
}


class TestComposite:
    @settings(max_examples=100, deadline=None)
    @given(st.sampled_from(sorted(OPERATIONS)), st.integers(-4, 12), st.integers(-4, 12), st.integers(1, 10), st.integers(1, 10))
    def test_it_is_numpys_inside_and_touches_nothing_outside(self, operation: Any, x: int, y: int, width: int, height: int) -> None:
        ground, source = mask(2), mask(1, height, width, 3)
        result = nodes.composite(ground, source, x, y, operation).numpy()
        expected = ground.numpy().copy()
        left, top, right, bottom = max(x, 0), max(y, 0), min(x + width, 8), min(y + height, 6)
        if left < right and top < bottom:
            piece = source.numpy()[:, top - y : bottom - y, left - x : right - x]
            expected[:, top:bottom, left:right] = OPERATIONS[operation](expected[:, top:bottom, left:right], piece)
        assert np.allclose(result, expected.clip(0, 1))
        assert torch.equal(ground, mask(2))

    def test_a_shorter_batch_repeats(self) -> None:
        result = nodes.composite(torch.ones(3, 2, 2), torch.tensor([0.25, 0.5]).reshape(2, 1, 1).expand(2, 2, 2), 0, 0, "multiply")
        assert result[:, 0, 0].tolist() == [0.25, 0.5, 0.25]


class TestFeather:
    @settings(max_examples=60, deadline=None)
    @given(*[st.integers(0, 12)] * 4)
    def test_each_side_fades_linearly(self, left: int, top: int, right: int, bottom: int) -> None:
        result = nodes.feather(mask(), left, top, right, bottom)
        left, right, top, bottom = min(left, 8), min(right, 8), min(top, 6), min(bottom, 6)
        for row in range(6):
            for column in range(8):
                rate = 1.0
                for size, place in ((left, column), (right, 7 - column), (top, row), (bottom, 5 - row)):
                    rate *= (place + 1) / size if place < size else 1.0
                assert result[0, row, column].item() == pytest.approx(mask()[0, row, column].item() * rate, abs=1e-6)


class TestGrow:
    @pytest.mark.parametrize("expand", [-5, -2, -1, 0, 1, 2, 5, 40])
    @pytest.mark.parametrize("tapered", [True, False])
    def test_it_is_scipys_grey_morphology_step_by_step(self, context: Context, expand: int, tapered: bool) -> None:
        corner = 0 if tapered else 1
        footprint = np.array([[corner, 1, corner], [1, 1, 1], [corner, 1, corner]])
        step = scipy.ndimage.grey_dilation if expand > 0 else scipy.ndimage.grey_erosion
        result = nodes.grow(mask(2), expand, tapered, context=context)
        for source, grown in zip(mask(2), result, strict=True):
            expected = source.numpy()
            for _ in range(abs(expand)):
                expected = step(expected, footprint=footprint)
            assert np.array_equal(grown.numpy(), expected)

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 7), st.integers(0, 5), st.integers(0, 6))
    def test_a_point_grows_into_a_diamond(self, x: int, y: int, expand: int) -> None:
        point = torch.zeros(1, 6, 8)
        point[0, y, x] = 1
        rows, columns = torch.meshgrid(torch.arange(6), torch.arange(8), indexing="ij")
        expected = ((rows - y).abs() + (columns - x).abs() <= expand).float()
        assert torch.equal(nodes.grow(point, expand, True, context=Context(Services(Folders(Path("."))))), expected[None])

    def test_a_cancelled_job_stops(self, context: Context) -> None:
        context.cancelled = lambda: True
        with pytest.raises(Interrupted):
            nodes.grow(mask(), 5, True, context=context)
