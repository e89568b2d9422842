"""A tiny recipe and tiny examples, so that a whole training takes a second."""

import random

import numpy
from numpy.typing import NDArray

from marquetry.engine.training.recipe import NetworkSizes, Recipe, StageRecipe

SIZES = NetworkSizes(
    resolution=16,
    autoencoder_channels=(32, 32, 32, 32),
    autoencoder_layers=1,
    unet_channels=(32, 32),
    unet_layers=1,
    text_width=64,
    text_layers=1,
)
RECIPE = Recipe(
    networks=SIZES,
    autoencoder=StageRecipe(steps=3, batch=2, learning_rate=1e-3, warmup_steps=1),
    diffusion=StageRecipe(steps=3, batch=4, learning_rate=1e-3, warmup_steps=1),
)


class TinyExamples:
    """Eight plain squares."""

    def pictures(self) -> NDArray[numpy.uint8]:
        return numpy.random.default_rng(0).integers(0, 255, (8, 16, 16, 3), dtype=numpy.uint8)

    def caption(self, index: int, draw: random.Random) -> str:
        return draw.choice(["a red square", "red square"]) if index % 2 else "a blue square"

    def words(self) -> frozenset[str]:
        return frozenset({"a", "red", "blue", "square"})
