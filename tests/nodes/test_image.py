"""Making, resizing, cropping, turning and batching pictures, against closed forms and Pillow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from marquetry.engine.context import Context, Services
from marquetry.engine.declare import node_type
from marquetry.engine.errors import NodeFailed
from marquetry.engine.folders import Folders
from marquetry.engine.registry import describe
from marquetry.nodes import image as nodes


def picture(batch: int = 1, height: int = 6, width: int = 8, channels: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.rand(batch, height, width, channels, generator=torch.Generator().manual_seed(seed))


class TestScaling:
    @pytest.mark.parametrize(("width", "height", "expected"), [(20, 10, (10, 20)), (0, 12, (12, 16)), (16, 0, (12, 16)), (0, 0, (6, 8))])
    def test_a_side_of_zero_follows_the_other(self, width: int, height: int, expected: tuple[int, int]) -> None:
        assert nodes.scale(picture(), "bilinear", width, height).shape[1:3] == expected

    def test_nearest_repeats_pixels_exactly(self) -> None:
        small = picture()
        assert torch.equal(nodes.scale_by(small, "nearest-exact", 3.0), small.repeat_interleave(3, 1).repeat_interleave(3, 2))

    def test_area_is_the_mean_of_what_it_covers(self) -> None:
        small = nodes.scale_by(picture(), "area", 0.5)
        assert torch.allclose(small, picture().reshape(1, 3, 2, 4, 2, 3).mean((2, 4)))

    def test_lanczos_is_pillows(self) -> None:
        levels = (picture()[0] * 255).to(torch.uint8).numpy()
        expected = np.asarray(Image.fromarray(levels).resize((5, 4), Image.Resampling.LANCZOS))
        assert np.array_equal((nodes.scale(picture(), "lanczos", 5, 4)[0] * 255).round().numpy(), expected)

    def test_center_trims_to_the_proportions_first(self) -> None:
        wide = picture(1, 4, 12)
        assert torch.equal(nodes.scale(wide, "nearest-exact", 4, 4, "center"), wide[:, :, 4:8])

    def test_total_pixels_keep_proportions_and_steps(self) -> None:
        scaled = nodes.scale_to_total_pixels(picture(1, 30, 40), "bilinear", 0.01, 8)
        height, width = scaled.shape[1:3]
        assert (width, height) == (round(40 * (0.01 * 2**20 / 1200) ** 0.5 / 8) * 8, round(30 * (0.01 * 2**20 / 1200) ** 0.5 / 8) * 8)

    @pytest.mark.parametrize(("height", "width", "expected"), [(6, 8, (12, 16)), (8, 6, (16, 12)), (7, 7, (16, 16))])
    def test_the_longer_side_gets_the_largest_size(self, height: int, width: int, expected: tuple[int, int]) -> None:
        assert nodes.scale_to_max_dimension(picture(1, height, width), "bilinear", 16).shape[1:3] == expected

    def test_fitting_leaves_an_even_ground_around_the_picture(self) -> None:
        fitted = nodes.resize_and_pad(torch.full((1, 4, 8, 3), 0.5), 16, 16, "white", "nearest-exact")
        assert torch.equal(fitted[:, 4:12], torch.full((1, 8, 16, 3), 0.5))
        assert (fitted[:, :4] == 1).all() and (fitted[:, 12:] == 1).all()

    def test_sizes_beyond_the_limits_are_refused(self) -> None:
        for action in (
            lambda: nodes.scale(picture(), "bilinear", 16385, 8),
            lambda: nodes.scale(picture(5), "bilinear", 16384, 16384),
            lambda: nodes.scale_by(picture(), "bilinear", 0.01),
            lambda: nodes.scale_to_max_dimension(picture(), "area", 0),
            lambda: nodes.empty(16384, 16384, 4096),
            lambda: nodes.repeat(picture(1, 1024, 1024), 4096),
            lambda: nodes.pad_for_outpaint(picture(), left=16384),
        ):
            with pytest.raises(NodeFailed):
                action()


class TestMaking:
    def test_an_empty_picture_has_the_colour(self) -> None:
        made = nodes.empty(3, 2, 4, 0x336699)
        assert made.shape == (4, 2, 3, 3)
        assert torch.allclose(made, torch.tensor([0.2, 0.4, 0.6]).expand(4, 2, 3, 3))

    def test_padding_is_grey_and_the_picture_stays(self) -> None:
        image = picture()
        padded, mask = nodes.pad_for_outpaint(image, 8, 16, 24, 32, 0)
        assert padded.shape == (1, 54, 40, 3) and mask.shape == (1, 54, 40)
        assert torch.equal(padded[:, 16:22, 8:16], image)
        assert mask.sum() == 54 * 40 - 48 and not mask[:, 16:22, 8:16].any()
        assert (padded[mask.bool()] == 0.5).all()

    def test_the_fade_is_quadratic_in_the_distance_to_a_new_border(self) -> None:
        image, feathering, height, width = picture(1, 32, 40), 10, 32, 40
        _, mask = nodes.pad_for_outpaint(image, left=8, bottom=8, feathering=feathering)
        for y in range(height):
            for x in range(width):
                distance = min(x, height - y)  # of the left and the lower border
                expected = ((feathering - distance) / feathering) ** 2 if distance < feathering else 0.0
                assert mask[0, y, x + 8].item() == pytest.approx(expected, abs=1e-6)

    def test_fades_that_would_meet_are_left_out(self) -> None:
        _, mask = nodes.pad_for_outpaint(picture(1, 20, 40), 8, 8, 8, 8, feathering=10)
        assert not mask[0, 8:28, 8:48].any()

    def test_noise_is_the_same_for_the_same_seed_and_stays_in_range(self) -> None:
        image = picture()
        first, again, other = (nodes.add_noise(image, seed, 0.3) for seed in (1, 1, 2))
        assert torch.equal(first, again) and not torch.equal(first, other)
        assert first.min() >= 0 and first.max() <= 1
        torch.manual_seed(1)
        assert torch.equal(first, (image + 0.3 * torch.randn(image.size())).clip(0, 1))


class TestGeometry:
    @settings(max_examples=50, deadline=None)
    @given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 12), st.integers(0, 12))
    def test_a_crop_is_a_part_of_the_picture_and_never_empty(self, width: int, height: int, x: int, y: int) -> None:
        image = picture()
        part = nodes.crop(image, width, height, x, y)
        left, top = min(x, 7), min(y, 5)
        assert torch.equal(part, image[:, top : top + height, left : left + width])
        assert part.numel() > 0

    def test_flips_are_numpys(self) -> None:
        image = picture()
        assert np.array_equal(nodes.flip(image, "x-axis: vertically")[0].numpy(), np.flipud(image[0].numpy()))
        assert np.array_equal(nodes.flip(image, "y-axis: horizontally")[0].numpy(), np.fliplr(image[0].numpy()))

    @pytest.mark.parametrize(("rotation", "quarters"), [("none", 0), ("90 degrees", 1), ("180 degrees", 2), ("270 degrees", 3)])
    def test_quarters_turn_clockwise(self, rotation: Any, quarters: int) -> None:
        image = picture()
        assert np.array_equal(nodes.rotate(image, rotation)[0].numpy(), np.rot90(image[0].numpy(), -quarters))

    def test_inverting_twice_gives_the_picture(self) -> None:
        assert torch.allclose(nodes.invert(nodes.invert(picture())), picture())

    def test_the_size_is_told(self, tmp_path: Path) -> None:
        assert nodes.get_size(picture(2), Context(Services(Folders(tmp_path)))) == (8, 6, 2)


class TestBatches:
    def test_the_second_batch_is_brought_to_the_size_of_the_first(self) -> None:
        joined = nodes.batch(picture(2), picture(1, 12, 16))
        assert joined.shape == (3, 6, 8, 3) and torch.equal(joined[:2], picture(2))

    def test_missing_alpha_becomes_opaque(self) -> None:
        joined = nodes.batch(picture(1), picture(1, channels=4))
        assert joined.shape[-1] == 4 and (joined[0, ..., 3] == 1).all()
        assert torch.equal(nodes.batch(picture(1, channels=4), picture(1))[0], picture(1, channels=4)[0])

    def test_pictures_are_repeated_and_picked(self) -> None:
        image = picture(3)
        repeated = nodes.repeat(image, 2)
        assert torch.equal(repeated[3:], image)
        assert torch.equal(nodes.from_batch(repeated, 2, 2), repeated[2:4])
        assert torch.equal(nodes.from_batch(image, 99, 5), image[2:])

    def test_batches_are_dealt_out_anew(self) -> None:
        image = picture(7)
        dealt = nodes.rebatch([image[:2], image[2:]], [3])
        assert [len(part) for part in dealt] == [3, 3, 1]
        assert torch.equal(torch.cat(dealt), image)

    def test_different_sizes_in_one_batch_are_refused_by_name(self) -> None:
        with pytest.raises(NodeFailed, match="4x4, 8x6"):
            nodes.rebatch([picture(), picture(1, 4, 4)], [2])
        assert len(nodes.rebatch([picture(), picture(1, 4, 4)], [1])) == 2


def test_schemas_are_comfyuis(tmp_path: Path) -> None:
    def inputs(function: Any) -> dict[str, Any]:
        sections: dict[str, Any] = describe(node_type(function), Folders(tmp_path))["input"]
        return sections

    methods = ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]
    assert inputs(nodes.scale) == {
        "required": {
            "image": ["IMAGE"],
            "upscale_method": [methods],
            "width": ["INT", {"default": 512, "min": 0, "max": 16384, "step": 1}],
            "height": ["INT", {"default": 512, "min": 0, "max": 16384, "step": 1}],
            "crop": [["disabled", "center"], {"default": "disabled"}],
        }
    }
    assert inputs(nodes.rebatch)["required"]["batch_size"] == ["INT", {"default": 1, "min": 1, "max": 4096}]
    assert inputs(nodes.scale_to_total_pixels)["optional"]["resolution_steps"][1]["default"] == 1
    assert list(inputs(nodes.pad_for_outpaint)["required"]) == ["image", "left", "top", "right", "bottom", "feathering"]
    assert inputs(nodes.empty)["required"]["color"][1] == {"default": 0, "min": 0, "max": 0xFFFFFF, "step": 1, "display": "color"}
    assert [output.name for output in node_type(nodes.get_size).outputs] == ["width", "height", "batch_size"]
    assert node_type(nodes.rebatch).outputs[0].is_list and node_type(nodes.rebatch).input_is_list
