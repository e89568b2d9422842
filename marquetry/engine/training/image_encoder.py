"""A small image encoder of CLIP's kind, taught by captions (Radford et al. 2021): pictures and their own words are to lie together."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional

from marquetry.engine.training.base_model import BaseModel
from marquetry.engine.training.buckets import Bucket, fitted
from marquetry.engine.training.compute import Compute
from marquetry.engine.training.dataset import Dataset
from marquetry.engine.training.errors import TrainingFailed
from marquetry.engine.training.lessons import escaped
from marquetry.engine.training.networks import Network
from marquetry.engine.training.recipe import StageRecipe
from marquetry.engine.training.stage import Draws, Stage
from marquetry.engine.training.weight_file import write_weights

MEAN = (0.48145466, 0.4578275, 0.40821073)  # CLIP's own, which every loader of such encoders subtracts
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
CONFIG_KEY = "marquetry.clip_vision"


@dataclass(frozen=True, slots=True)
class EncoderRecipe:
    """Sizes as CLIP names them; heads are 32 wide."""

    stage: StageRecipe = field(default_factory=lambda: StageRecipe(steps=3000, batch=32, learning_rate=1e-3, ema_decay=0.99))
    image_size: int = 64
    patch_size: int = 8
    width: int = 128
    layers: int = 4
    projection: int = 128

    def config(self) -> dict[str, Any]:
        """The arguments of transformers' CLIPVisionConfig."""
        return {
            "hidden_size": self.width,
            "intermediate_size": self.width * 4,
            "num_hidden_layers": self.layers,
            "num_attention_heads": max(1, self.width // 32),
            "image_size": self.image_size,
            "patch_size": self.patch_size,
            "projection_dim": self.projection,
            "hidden_act": "quick_gelu",
        }


def build_encoder(config: Mapping[str, Any]) -> Network:
    """CLIPVisionModelWithProjection with fresh weights."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    return CLIPVisionModelWithProjection(CLIPVisionConfig(**config))


def as_seen(pictures: Sequence[Tensor], side: int) -> Tensor:
    """Bytes `[H, W, 3]` of any shape as the encoder takes them, `[B, 3, side, side]`."""
    square = torch.stack([fitted(picture, Bucket(side, side)) for picture in pictures]).permute(0, 3, 1, 2).float() / 255.0
    return (square - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]


class EncoderStage(Stage):
    """Each picture is to find its caption among the batch's, and each caption its picture. Captions are the base's pooled outputs."""

    def __init__(self, base: BaseModel, dataset: Dataset, recipe: EncoderRecipe, seed: int, compute: Compute | None = None) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = build_encoder(recipe.config())
            self.words = nn.Linear(pooled_words(base, "").shape[-1], recipe.projection)
        self.warmth = nn.Parameter(torch.tensor(math.log(10.0)))
        networks = nn.ModuleDict({"encoder": self.encoder, "words": self.words})
        networks.register_parameter("warmth", self.warmth)
        super().__init__(networks, recipe.stage, seed, compute)
        self.base = base
        self.dataset = dataset
        self.settings = recipe
        self._pooled: dict[str, Tensor] = {}

    def loss(self, draws: Draws) -> Tensor:
        """See the class. Equal captions in a batch count as right answers of each other."""
        chosen = draws.words.sample(self.dataset.examples, min(self.recipe.batch, len(self.dataset)))
        captions = [self.dataset.worded(example.caption(draws.words)) for example in chosen]
        device = self.compute.device
        seen = as_seen([example.picture for example in chosen], self.settings.image_size).to(device)
        with self.compute.autocast():
            pictures = functional.normalize(self.encoder(seen).image_embeds.float(), dim=-1)
            words = functional.normalize(self.words(self.pooled(captions).to(device)).float(), dim=-1)
        alike = self.warmth.exp().clamp(max=100.0) * pictures @ words.t()
        same = torch.tensor([[one == other for other in captions] for one in captions], device=device).float()
        wanted = same / same.sum(dim=1, keepdim=True)
        return 0.5 * (functional.cross_entropy(alike, wanted) + functional.cross_entropy(alike.t(), wanted))

    def pooled(self, captions: Sequence[str]) -> Tensor:
        """The text encoder's pooled outputs `[B, P]`, remembered."""
        for caption in captions:
            if caption not in self._pooled:
                self._pooled[caption] = pooled_words(self.base, caption)
        return torch.cat([self._pooled[caption] for caption in captions])

    def trained(self) -> dict[str, Tensor]:
        """The averaged encoder, by transformers' names."""
        with self.average.applied(self.networks):
            return {name: weight.detach().cpu().clone() for name, weight in self.encoder.state_dict().items()}


def pooled_words(base: BaseModel, caption: str) -> Tensor:
    """The text encoder's pooled output `[1, P]`. Raises TrainingFailed for an encoder without one."""
    pooled = base.clip.encode(escaped(caption)).pooled
    if pooled is None:
        raise TrainingFailed("this text encoder gives no pooled output to teach an image encoder by; link one of CLIP's kind")
    return pooled


def write_encoder(
    path: Path, state: Mapping[str, Tensor], recipe: EncoderRecipe, name: str, facts: Mapping[str, str] | None = None
) -> None:
    """Writes `vision_model.*` and `visual_projection.weight`; what shapes can't show is metadata."""
    kept = {key: tensor for key, tensor in state.items() if not key.endswith("position_ids")}
    write_weights(path, kept, {"modelspec.title": name, CONFIG_KEY: json.dumps(recipe.config())} | dict(facts or {}))


def read_encoder(path: Path) -> Network:
    """The encoder of a file that was written here, ready for use."""
    with safe_open(path, framework="pt") as file:
        encoder = build_encoder(json.loads(file.metadata()[CONFIG_KEY]))
        state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    encoder.load_state_dict(state, strict=False)
    return encoder.eval().requires_grad_(False)


@torch.no_grad()
def embeddings(encoder: Network, pictures: Sequence[Tensor]) -> Tensor:
    """`[N, P]` of bytes `[H, W, 3]`."""
    side = encoder.config.image_size
    return torch.cat([encoder(as_seen([picture], side)).image_embeds for picture in pictures])
