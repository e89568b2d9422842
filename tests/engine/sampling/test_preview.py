"""Pictures of latents."""

from __future__ import annotations

import torch

from marquetry.engine.sampling.latent_format import LatentFormat
from marquetry.engine.sampling.preview import latent_preview
from tests.engine.sampling.problems import TINY_FORMAT


def test_channels_become_colours() -> None:
    latent = torch.zeros(2, 4, 6, 9)
    latent[0, 0] = 1.0
    latent[0, 1] = -1.0
    picture = latent_preview(latent, TINY_FORMAT)
    assert picture is not None
    assert picture.size == (72, 48)  # as large as the picture will be
    assert picture.getpixel((32, 24)) == (255, 0, 127)


def test_a_preview_is_never_larger_than_asked() -> None:
    picture = latent_preview(torch.zeros(1, 4, 100, 200), TINY_FORMAT, max_size_px=50)
    assert picture is not None
    assert picture.size == (50, 25)


def test_of_a_clip_the_first_frame_is_shown() -> None:
    picture = latent_preview(torch.ones(1, 4, 3, 6, 9), TINY_FORMAT)
    assert picture is not None
    assert picture.getpixel((0, 0)) == (255, 255, 255)


def test_a_format_without_colours_has_no_preview() -> None:
    assert latent_preview(torch.zeros(1, 4, 6, 9), LatentFormat(channels=4)) is None


def test_values_that_are_not_numbers_do_not_stop_a_preview() -> None:
    assert latent_preview(torch.full((1, 4, 2, 2), float("nan")), TINY_FORMAT) is not None
