"""Resizing of pictures and latents."""

from __future__ import annotations

import math

import pytest
import torch

from marquetry.engine.resize import METHODS, bislerp, resize, slerp


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_the_size_and_dtype_that_was_asked_for(method: str) -> None:
    samples = torch.rand(2, 3, 8, 6, dtype=torch.float32)
    assert resize(samples, 9, 12, method).shape == (2, 3, 12, 9)
    assert resize(samples, 3, 4, method).dtype == samples.dtype


@pytest.mark.parametrize("method", METHODS)
def test_a_flat_picture_stays_flat(method: str) -> None:
    samples = torch.full((1, 4, 5, 7), 0.6)
    assert torch.allclose(resize(samples, 11, 3, method), torch.full((1, 4, 3, 11), 0.6), atol=1e-6)


def test_an_unknown_method_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="unknown resize method 'cubic'"):
        resize(torch.zeros(1, 3, 2, 2), 4, 4, "cubic")


def test_a_centre_crop_keeps_the_proportions_of_what_remains() -> None:
    samples = torch.arange(8.0).repeat(4, 1)[None, None]  # 8 wide, 4 high
    assert resize(samples, 4, 4, "nearest-exact", "center").tolist() == [[[[2.0, 3.0, 4.0, 5.0]] * 4]]


def test_videos_are_resized_frame_by_frame() -> None:
    video = torch.rand(2, 4, 3, 8, 8)
    resized = resize(video, 16, 12, "bilinear")
    assert resized.shape == (2, 4, 3, 12, 16)
    assert torch.equal(resized[:, :, 1], resize(video[:, :, 1], 16, 12, "bilinear"))


def test_bislerp_keeps_the_length_of_vectors_where_a_straight_mix_shortens_them() -> None:
    samples = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).T.reshape(1, 2, 1, 2)
    lengths = bislerp(samples, 8, 1).norm(dim=1)
    assert torch.allclose(lengths, torch.ones_like(lengths), atol=1e-6)
    assert resize(samples, 8, 1, "bilinear").norm(dim=1).min() < 0.8


def test_slerp_goes_along_the_arc() -> None:
    start, end = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 4.0]])
    third = slerp(start, end, torch.tensor(1 / 3))
    expected = (2 + 2 / 3) * torch.tensor([[math.cos(math.pi / 6), math.sin(math.pi / 6)]])
    assert torch.allclose(third, expected, atol=1e-6)


def test_slerp_between_opposite_vectors_is_the_straight_line_and_between_parallel_ones_the_start() -> None:
    vector, half = torch.tensor([[3.0, 4.0]]), torch.tensor(0.5)
    assert torch.equal(slerp(vector, -vector, half), torch.zeros(1, 2))
    assert torch.equal(slerp(vector, 2 * vector, half), vector)
    assert torch.equal(slerp(torch.zeros(1, 2), torch.zeros(1, 2), half), torch.zeros(1, 2))
