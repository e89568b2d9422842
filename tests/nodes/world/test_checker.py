"""The checker names what true renders show, also when they are soft or noisy."""

import random

import pytest
from PIL import Image, ImageFilter

from marquetry.nodes.world.checker import check
from marquetry.nodes.world.render import render
from marquetry.nodes.world.scene import Content, all_contents, jittered

RENDERS_COUNT = 120


def renders(seed: int) -> list[tuple[Content, Image.Image]]:
    draw = random.Random(seed)
    contents = draw.sample(list(all_contents()), RENDERS_COUNT)
    return [(content, render(jittered(content, draw.randrange(1 << 40)))) for content in contents]


@pytest.mark.parametrize("blur_pixels", [0.0, 1.2])
def test_at_least_97_of_100_true_renders_are_named_in_full(blur_pixels: float) -> None:
    pictures = [(content, picture.filter(ImageFilter.GaussianBlur(blur_pixels))) for content, picture in renders(1)]

    right = sum(check(picture).content == content for content, picture in pictures)

    assert right / len(pictures) >= 0.97


def test_a_true_render_fits_better_than_a_picture_of_something_else() -> None:
    content, picture = renders(2)[0]

    assert check(picture).error < 0.1 < check(Image.effect_noise((64, 64), 120).convert("RGB")).error
    assert check(picture).content == content


def test_larger_pictures_are_read_at_the_size_of_the_world() -> None:
    content, picture = renders(3)[0]

    assert check(picture.resize((256, 256), Image.Resampling.LANCZOS)).content == content
