"""Files in eight bits with scales beside the weights, in both spellings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.models.weights import open_weights

NARROW = torch.float8_e4m3fn


def written(path: Path, scale_name: str, scale: torch.Tensor, **more: torch.Tensor) -> Path:
    weight = torch.tensor([[1.0, 2.0], [4.0, -8.0]]).to(NARROW)
    save_file({"a.weight": weight, "a.bias": torch.ones(2), f"a.{scale_name}": scale, "b.weight": weight.clone(), **more}, path)
    return path


@pytest.mark.parametrize("name", ["scale_weight", "weight_scale"])
def test_values_are_multiplied_and_scales_hidden(tmp_path: Path, name: str) -> None:
    marks = {"scaled_fp8": torch.zeros(2, dtype=NARROW), "a.scale_input": torch.ones(()), "a.input_scale": torch.ones(())}
    weights = open_weights(written(tmp_path / "x.safetensors", name, torch.tensor(0.5), **marks))
    assert set(weights.header) == {"a.weight", "a.bias", "b.weight"}
    assert weights.tensor("a.weight").tolist() == [[0.5, 1.0], [2.0, -4.0]]
    assert weights.header["a.weight"].dtype == "F32" and weights.header["a.weight"].shape == (2, 2)
    assert weights.tensor("b.weight").dtype == NARROW and weights.tensor("a.bias").tolist() == [1.0, 1.0]


def test_each_row_may_have_its_own(tmp_path: Path) -> None:
    weights = open_weights(written(tmp_path / "x.safetensors", "weight_scale", torch.tensor([[0.5], [0.25]])))
    assert weights.tensor("a.weight").tolist() == [[0.5, 1.0], [1.0, -2.0]]


def test_scales_of_another_shape_are_refused(tmp_path: Path) -> None:
    weights = open_weights(written(tmp_path / "x.safetensors", "weight_scale", torch.ones(4)))
    with pytest.raises(ModelFormatError, match="4 numbers"):
        weights.tensor("a.weight")


def test_a_weight_that_is_not_in_eight_bits_keeps_its_neighbours(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a.weight": torch.ones(2, 2), "a.weight_scale": torch.ones(1)}, path)
    assert set(open_weights(path).header) == {"a.weight", "a.weight_scale"}
