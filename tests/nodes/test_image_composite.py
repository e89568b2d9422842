"""Blending, pasting and alpha, against plain arithmetic pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marquetry.engine.errors import NodeFailed
from marquetry.nodes import image_composite as nodes


def picture(batch: int = 1, height: int = 6, width: int = 8, channels: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.rand(batch, height, width, channels, generator=torch.Generator().manual_seed(seed))


def mask(batch: int = 1, height: int = 6, width: int = 8, seed: int = 5) -> torch.Tensor:
    return picture(batch, height, width, 1, seed)[..., 0]


def soft_light(under: float, over: float) -> float:
    if over <= 0.5:
        return under - (1 - 2 * over) * under * (1 - under)
    lifted = ((16 * under - 12) * under + 4) * under if under <= 0.25 else under**0.5
    return under + (2 * over - 1) * (lifted - under)


MODES: dict[str, Callable[[float, float], float]] = {
    "normal": lambda a, b: b,
    "multiply": lambda a, b: a * b,
    "screen": lambda a, b: a + b - a * b,
    "overlay": lambda a, b: 2 * a * b if a <= 0.5 else 1 - 2 * (1 - a) * (1 - b),
    "soft_light": soft_light,
    "difference": lambda a, b: a - b,
}


class TestBlend:
    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("factor", [0.0, 0.3, 1.0])
    def test_each_mode_is_its_formula(self, mode: Any, factor: float) -> None:
        first, second = picture(seed=1), picture(seed=2)
        result = nodes.blend(first, second, factor, mode)
        expected = [
            a * (1 - factor) + MODES[mode](a, b) * factor for a, b in zip(first.flatten().tolist(), second.flatten().tolist(), strict=True)
        ]
        assert np.allclose(result.flatten().numpy(), np.clip(expected, 0, 1), atol=1e-5)

    def test_another_size_is_brought_to_the_first(self) -> None:
        assert nodes.blend(picture(), picture(1, 20, 30), 0.5, "normal").shape == (1, 6, 8, 3)

    def test_alpha_of_the_first_stays(self) -> None:
        first = picture(channels=4)
        assert torch.equal(nodes.blend(first, picture(), 0.5, "multiply")[..., 3], first[..., 3])


class TestCompositeMasked:
    @settings(max_examples=80, deadline=None)
    @given(st.integers(-9, 12), st.integers(-9, 12), st.integers(1, 10), st.integers(1, 10), st.booleans())
    def test_only_what_the_source_covers_changes_and_it_is_mixed_there(self, x: int, y: int, width: int, height: int, masked: bool) -> None:
        ground, source = picture(2), picture(1, height, width, seed=3)
        share = mask(1, height, width) if masked else torch.ones(1, height, width)
        result = nodes.composite_masked(ground, source, x, y, False, share if masked else None)
        for row in range(6):
            for column in range(8):
                inside = 0 <= row - y < height and 0 <= column - x < width
                expected = ground[:, row, column]
                if inside:
                    part = share[0, row - y, column - x]
                    expected = part * source[0, row - y, column - x] + (1 - part) * expected
                assert torch.allclose(result[:, row, column], expected, atol=1e-6)
        assert torch.equal(ground, picture(2))

    def test_the_source_can_be_resized_to_the_destination(self) -> None:
        assert torch.allclose(nodes.composite_masked(picture(), torch.ones(1, 2, 2, 3), 0, 0, True), torch.ones(1, 6, 8, 3))

    def test_a_mask_of_another_size_is_resized_to_the_source(self) -> None:
        share = torch.zeros(1, 2, 2)
        share[0, :, 1] = 1
        result = nodes.composite_masked(torch.zeros(1, 8, 8, 3), torch.ones(1, 8, 8, 3), 0, 0, False, share)
        assert result[0, 0, 0, 0] == 0 and result[0, 0, 7, 0] == 1

    def test_batches_repeat_to_the_destination(self) -> None:
        result = nodes.composite_masked(
            torch.zeros(3, 4, 4, 3), torch.ones(2, 4, 4, 3), 0, 0, False, torch.tensor([1.0, 0.5]).reshape(2, 1, 1)
        )
        assert result[:, 0, 0, 0].tolist() == [1.0, 0.5, 1.0]

    @pytest.mark.parametrize(("ground", "source"), [(3, 4), (4, 3)])
    def test_channels_follow_the_destination(self, ground: int, source: int) -> None:
        result = nodes.composite_masked(picture(channels=ground), picture(channels=source, seed=1))
        assert result.shape[-1] == ground
        assert ground == 3 or (result[..., 3] == 1).all()


class TestStitch:
    @pytest.mark.parametrize(("direction", "order"), [("right", (0, 1)), ("left", (1, 0)), ("down", (0, 1)), ("up", (1, 0))])
    def test_pictures_lie_side_by_side_with_a_stripe_between(self, direction: Any, order: tuple[int, int]) -> None:
        pair = (picture(seed=1), picture(seed=2))
        axis = 2 if direction in ("left", "right") else 1
        stripe = torch.zeros(1, 6 if axis == 2 else 4, 4 if axis == 2 else 8, 3)
        stripe[..., 0] = 1
        expected = torch.cat((pair[order[0]], stripe, pair[order[1]]), axis)
        assert torch.equal(nodes.stitch(pair[0], direction, False, 3, "red", pair[1]), expected)

    def test_the_second_takes_the_shared_side_of_the_first_in_proportion(self) -> None:
        assert nodes.stitch(picture(), "right", True, 0, "white", picture(1, 12, 8)).shape == (1, 6, 12, 3)
        assert nodes.stitch(picture(), "down", True, 0, "white", picture(1, 12, 16)).shape == (1, 12, 8, 3)

    def test_the_smaller_is_centred_on_the_ground(self) -> None:
        result = nodes.stitch(picture(), "right", False, 0, "white", picture(1, 2, 3))
        assert result.shape == (1, 6, 11, 3)
        assert torch.equal(result[:, 2:4, 8:], picture(1, 2, 3)) and (result[:, :2, 8:] == 1).all()

    def test_the_shorter_batch_repeats_its_last(self) -> None:
        result = nodes.stitch(picture(3), "right", True, 0, "white", picture(2, seed=1))
        assert torch.allclose(result[2, :, 8:], picture(2, seed=1)[1], atol=1 / 255)

    def test_alone_it_stays(self) -> None:
        image = picture()
        assert nodes.stitch(image) is image

    def test_too_long_a_row_is_refused(self) -> None:
        with pytest.raises(NodeFailed):
            nodes.stitch(torch.zeros(1, 1, 10_000, 3), "right", True, 0, "white", torch.zeros(1, 1, 10_000, 3))


class TestAlpha:
    def test_splitting_undoes_joining(self) -> None:
        image, share = picture(2), mask(2)
        joined = nodes.join_alpha(image, share)
        assert joined.shape == (2, 6, 8, 4)
        again = nodes.split_alpha(joined)
        assert torch.equal(again.IMAGE, image) and torch.allclose(again.MASK, share, atol=1e-6)

    def test_a_picture_without_alpha_has_an_empty_mask(self) -> None:
        assert not nodes.split_alpha(picture()).MASK.any()

    def test_the_shorter_batch_repeats(self) -> None:
        assert nodes.join_alpha(picture(1), mask(3)).shape[0] == 3


class TestPorterDuff:
    def over(self, mode: Any, *, source: float = 0.8, opaque: float = 0.5, ground: float = 0.4, below: float = 0.75) -> tuple[float, float]:
        image, alpha = nodes.porter_duff(
            torch.full((1, 2, 2, 3), source),
            torch.full((1, 2, 2), 1 - opaque),
            torch.full((1, 2, 2, 3), ground),
            torch.full((1, 2, 2), 1 - below),
            mode,
        )
        return image[0, 0, 0, 0].item(), 1 - alpha[0, 0, 0].item()

    # share of the source and of the ground that each operator keeps (Porter and Duff 1984, table 1)
    @pytest.mark.parametrize(
        ("mode", "keeps_source", "keeps_ground"),
        [
            ("CLEAR", lambda a, b: 0, lambda a, b: 0),
            ("SRC", lambda a, b: 1, lambda a, b: 0),
            ("DST", lambda a, b: 0, lambda a, b: 1),
            ("SRC_OVER", lambda a, b: 1, lambda a, b: 1 - a),
            ("DST_OVER", lambda a, b: 1 - b, lambda a, b: 1),
            ("SRC_IN", lambda a, b: b, lambda a, b: 0),
            ("DST_IN", lambda a, b: 0, lambda a, b: a),
            ("SRC_OUT", lambda a, b: 1 - b, lambda a, b: 0),
            ("DST_OUT", lambda a, b: 0, lambda a, b: 1 - a),
            ("SRC_ATOP", lambda a, b: b, lambda a, b: 1 - a),
            ("DST_ATOP", lambda a, b: 1 - b, lambda a, b: a),
            ("XOR", lambda a, b: 1 - b, lambda a, b: 1 - a),
        ],
    )
    def test_the_twelve_operators_keep_their_shares(self, mode: str, keeps_source: Any, keeps_ground: Any) -> None:
        a, b = 0.5, 0.75
        alpha = keeps_source(a, b) * a + keeps_ground(a, b) * b
        colour = (keeps_source(a, b) * a * 0.8 + keeps_ground(a, b) * b * 0.4) / alpha if alpha else 0
        assert self.over(mode) == pytest.approx((colour, alpha), abs=1e-6)

    @pytest.mark.parametrize(
        ("mode", "colour"), [("ADD", 0.9), ("DARKEN", 0.3), ("LIGHTEN", 0.6), ("MULTIPLY", 0.18), ("SCREEN", 0.72), ("OVERLAY", 0.44)]
    )
    def test_over_opaque_pictures_the_others_are_their_formulas(self, mode: str, colour: float) -> None:
        source, ground = 0.6, 0.3
        expected = {"OVERLAY": 2 * source * ground}.get(mode, colour)
        assert self.over(mode, source=source, opaque=1.0, ground=ground, below=1.0) == pytest.approx((expected, 1.0), abs=1e-6)

    @pytest.mark.parametrize("mode", get_args(nodes.Operator))
    def test_results_stay_in_range_and_sizes_follow_the_destination(self, mode: Any) -> None:
        image, alpha = nodes.porter_duff(picture(3, 9, 5), mask(2, 4, 4), picture(2), mask(2, 6, 8), mode)
        assert image.shape == (2, 6, 8, 3) and alpha.shape == (2, 6, 8)
        assert image.min() >= 0 and image.max() <= 1

    def test_different_channels_are_refused(self) -> None:
        with pytest.raises(NodeFailed, match="4 channels"):
            nodes.porter_duff(picture(channels=4), mask(), picture(), mask(), "SRC")
