"""Pictures that steer, made without weights."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from marquetry.engine.declare import node_type
from marquetry.engine.errors import NodeFailed
from marquetry.engine.folders import Folders
from marquetry.engine.registry import describe
from marquetry.nodes import preprocess


def square(side: int = 64) -> Tensor:
    """A dark square on light ground, `[1, side, side, 3]`."""
    image = torch.full((1, side, side, 3), 0.9)
    image[:, 16:48, 16:48] = 0.1
    return image


def outline(width: int) -> Tensor:
    """Places within so many pixels of the square's edge."""
    near = torch.zeros(64, 64, dtype=torch.bool)
    near[16 - width : 48 + width, 16 - width : 48 + width] = True
    near[16 + width : 48 - width, 16 + width : 48 - width] = False
    return near


def test_canny_is_comfyuis_node(tmp_path: Any) -> None:
    described = describe(node_type(preprocess.canny), Folders(tmp_path))
    inputs = described["input"]["required"]
    assert (described["name"], list(inputs)) == ("Canny", ["image", "low_threshold", "high_threshold"])
    assert [inputs[name][1]["default"] for name in ("low_threshold", "high_threshold")] == [0.4, 0.8]
    assert described["category"] == "image/preprocessors"


def test_canny_draws_thin_lines_around_the_square_and_nowhere_else() -> None:
    edges = preprocess.canny(square(), 0.1, 0.3)
    assert edges.shape == (1, 64, 64, 3) and set(edges.flatten().tolist()) == {0.0, 1.0}
    drawn = edges[0, :, :, 0] > 0
    assert not (drawn & ~outline(3)).any()
    assert 100 <= int(drawn.sum()) <= 160  # four sides of 32


def test_thresholds_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(NodeFailed, match=r"low_threshold 0\.8 is above high_threshold 0\.4"):
        preprocess.canny(square(), 0.8, 0.4)


def test_soft_edges_are_brightest_at_the_edge_and_fade() -> None:
    edges = preprocess.soft_edges(square())[0, :, :, 0]
    assert edges[outline(1)].mean() > 0.7 and edges[24:40, 24:40].max() < 0.1
    assert bool(((edges > 0.05) & (edges < 0.95)).any())


@pytest.mark.parametrize("draw", [preprocess.line_art, preprocess.scribble])
def test_lines_follow_the_dark_side_of_an_edge(draw: Any) -> None:
    lines = draw(square())[0, :, :, 0]
    assert lines[outline(4)].max() > 0.3 and lines[28:36, 28:36].max() < 0.01 and lines[:8].max() < 0.01
    assert lines[32, 17] > lines[32, 13]


def test_binary_parts_light_and_dark_by_itself() -> None:
    made = preprocess.binary(square())[0, :, :, 0]
    assert torch.equal(made > 0.5, square()[0, :, :, 0] > 0.5)
    assert not preprocess.binary(square(), 0.95).any()


def test_a_tile_keeps_the_colours_and_loses_the_details() -> None:
    noisy = (square() + torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(1)) * 0.1).clamp(0, 1)
    made = preprocess.tile(noisy, 8.0)
    assert made.shape == noisy.shape and abs(float(made.mean() - noisy.mean())) < 0.01
    assert made[:, 28:36, 28:36].std() < noisy[:, 28:36, 28:36].std() / 2
    assert torch.equal(preprocess.tile(noisy, 1.0), noisy)


def test_recolour_is_grey_by_light_or_by_the_brightest_channel() -> None:
    red = torch.tensor([1.0, 0.0, 0.0]).expand(1, 4, 4, 3)
    torch.testing.assert_close(preprocess.recolor(red), torch.full((1, 4, 4, 3), 0.299))
    assert torch.equal(preprocess.recolor(red, "intensity"), torch.ones(1, 4, 4, 3))


def test_shuffle_moves_what_is_there_by_its_seed() -> None:
    image = torch.rand(2, 32, 48, 3, generator=torch.Generator().manual_seed(1))
    first, again, other = (preprocess.shuffle(image, seed) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.shape == image.shape and float(first.min()) >= 0 and float(first.max()) <= 1
    assert (first - image).abs().mean() > 0.1


def test_inpainting_takes_out_what_is_marked_and_nothing_else() -> None:
    mask = torch.zeros(1, 32, 32)
    mask[:, :16] = 1.0
    made = preprocess.inpaint(square(), mask)
    assert (made[:, :31] == -1).all() and torch.equal(made[:, 33:], square()[:, 33:])
    assert not preprocess.inpaint(square(), mask, True)[:, :31].any()


@pytest.mark.parametrize("method", get_args(preprocess.Method))
@pytest.mark.parametrize("shape", [(2, 33, 47, 3), (1, 8, 8, 4), (1, 16, 9, 1)])
def test_every_method_gives_a_picture_of_the_same_size(method: str, shape: tuple[int, ...]) -> None:
    image = torch.rand(*shape, generator=torch.Generator().manual_seed(1))
    made = preprocess.preprocess(image, method)  # type: ignore[arg-type]
    assert made.shape[:3] == shape[:3] and torch.isfinite(made).all()
    assert float(made.min()) >= 0.0 and float(made.max()) <= 1.0
