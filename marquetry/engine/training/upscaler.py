"""Training of networks from picture to picture: a 4x upscaler, and a restorer of faces, in an architecture that spandrel reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from marquetry.engine.training.compact import Compact
from marquetry.engine.training.compute import Compute
from marquetry.engine.training.dataset import Dataset
from marquetry.engine.training.degradation import Degradation
from marquetry.engine.training.errors import TrainingFailed
from marquetry.engine.training.recipe import StageRecipe
from marquetry.engine.training.stage import Draws, Stage
from marquetry.engine.training.weight_file import write_weights

EDGE_WEIGHT = 0.5
ROUNDNESS = 0.05


@dataclass(frozen=True, slots=True)
class UpscalerRecipe:
    """`crop` is the side, in pixels of the good picture, of what is learnt from at once."""

    stage: StageRecipe = field(default_factory=lambda: StageRecipe(steps=4000, batch=8, learning_rate=1e-3, ema_decay=0.995))
    degradation: Degradation = field(default_factory=Degradation)
    features: int = 32
    convolutions: int = 8
    crop: int = 96

    @property
    def scale(self) -> int:
        """How much larger pictures come out."""
        return 1 if self.degradation.same_size else self.degradation.scale


FACE_RESTORER = UpscalerRecipe(
    degradation=Degradation(scale=4, blur=1.5, noise=0.05, jpeg_quality=40, same_size=True), features=48, convolutions=12
)
"""A restorer for faces: the picture keeps its size."""


class UpscalerStage(Stage):
    """Error of colours and of edges against the good picture."""

    def __init__(self, dataset: Dataset, recipe: UpscalerRecipe, seed: int, compute: Compute | None = None) -> None:
        small = [example for example in dataset.examples if min(example.size) < recipe.crop]
        if small:
            height, width = small[0].size
            raise TrainingFailed(f"{small[0].name} is {width}x{height}; at least {recipe.crop} on each side are needed")
        if recipe.crop % recipe.degradation.scale:
            raise TrainingFailed(f"the crop of {recipe.crop} must be a multiple of the scale {recipe.degradation.scale}")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = Compact(recipe.features, recipe.convolutions, recipe.scale)
        super().__init__(self.network, recipe.stage, seed, compute)
        self.dataset = dataset
        self.settings = recipe

    def loss(self, draws: Draws) -> Tensor:
        """See the class."""
        good = [self._crop(draws) for _ in range(self.recipe.batch)]
        bad = torch.stack([self.settings.degradation.apply(picture, draws.words) for picture in good]).to(self.compute.device)
        truth = torch.stack(good).to(self.compute.device)
        with self.compute.autocast():
            made = self.network(bad).float()
        return rounded_error(made - truth) + EDGE_WEIGHT * rounded_error(edges(made) - edges(truth))

    def trained(self) -> dict[str, Tensor]:
        """The averaged weights by spandrel's names."""
        with self.average.applied(self.networks):
            return {name: weight.detach().cpu().clone() for name, weight in self.network.state_dict().items()}

    def _crop(self, draws: Draws) -> Tensor:
        example = draws.words.choice(self.dataset.examples)
        side = self.settings.crop
        top, left = (draws.words.randint(0, length - side) for length in example.size)
        cut = example.picture[top : top + side, left : left + side].permute(2, 0, 1).float() / 255.0
        return cut.flip(2) if draws.words.random() < 0.5 else cut


def rounded_error(error: Tensor) -> Tensor:
    """Absolute error, but squared where it is small (Charbonnier): flat areas, right from the start, would hold everything else still."""
    return ((error.square() + ROUNDNESS**2).sqrt() - ROUNDNESS).mean()


def edges(pictures: Tensor) -> Tensor:
    """Differences to the neighbours right and below, `[B, 6, H - 1, W - 1]`."""
    here = pictures[..., :-1, :-1]
    return torch.cat([pictures[..., :-1, 1:] - here, pictures[..., 1:, :-1] - here], dim=1)


def write_upscaler(path: Path, state: dict[str, Tensor], recipe: UpscalerRecipe, name: str, more: Mapping[str, str] | None = None) -> None:
    """Writes the bare state that spandrel reads."""
    purpose = "restoration" if recipe.scale == 1 else "upscaling"
    facts = {
        "modelspec.title": name,
        "modelspec.architecture": "compact",
        "marquetry.purpose": purpose,
        "marquetry.scale": str(recipe.scale),
    }
    write_weights(path, state, facts | dict(more or {}), dtype=torch.float32)


def read_upscaler(state: dict[str, Tensor]) -> Compact:
    """The network of a state; its sizes are seen from the shapes."""
    last = max(int(name.split(".")[1]) for name in state)
    scale = round(math.sqrt(state[f"body.{last}.bias"].shape[0] / 3))
    network = Compact(state["body.0.weight"].shape[0], last // 2 - 1, scale)
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def signal_to_noise_db(made: Tensor, truth: Tensor) -> float:
    """Peak signal to noise of pictures in 0..1."""
    return -10.0 * math.log10(max(1e-12, (made.clamp(0.0, 1.0) - truth).square().mean().item()))


@torch.no_grad()
def gain_over_lanczos_db(network: Compact, pictures: Sequence[Tensor]) -> float:
    """By how many decibels enlarging shrunk pictures `[H, W, 3]` (bytes) is truer than Lanczos, on the average."""
    from marquetry.engine.resize import lanczos

    gains = []
    for picture in pictures:
        height, width = (side // network.scale * network.scale for side in picture.shape[:2])
        truth = picture[:height, :width].permute(2, 0, 1)[None].float() / 255.0
        small = functional.interpolate(truth, size=(height // network.scale, width // network.scale), mode="bicubic", antialias=True).clamp(
            0.0, 1.0
        )
        gains.append(signal_to_noise_db(network(small), truth) - signal_to_noise_db(lanczos(small, width, height), truth))
    return sum(gains) / len(gains)
