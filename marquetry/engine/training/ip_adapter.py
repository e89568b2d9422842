"""IP-Adapter training (Ye et al. 2023): a picture, as a few more tokens, steers a frozen UNet through cross-attention of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from marquetry.engine.training.base_model import BaseModel
from marquetry.engine.training.compute import Compute
from marquetry.engine.training.denoising import DenoisingStage, Noised, Objective
from marquetry.engine.training.image_encoder import embeddings
from marquetry.engine.training.lessons import Batch, Lessons
from marquetry.engine.training.networks import Network
from marquetry.engine.training.recipe import StageRecipe
from marquetry.engine.training.weight_file import write_weights

TOKENS = 4


@dataclass(frozen=True, slots=True)
class IPAdapterRecipe:
    """`picture_dropout` is how often the picture is left out, so that guidance can lean on its absence."""

    stage: StageRecipe = field(default_factory=lambda: StageRecipe(steps=3000, batch=8, learning_rate=3e-4, ema_decay=0.995))
    caption_dropout: float = 0.3
    picture_dropout: float = 0.1
    objective: Objective = field(default_factory=Objective)


class ImageProjection(nn.Module):
    """An image embedding `[B, P]` as tokens `[B, 4, D]`."""

    def __init__(self, embedding_width: int, token_width: int) -> None:
        super().__init__()
        self.token_width = token_width
        self.proj = nn.Linear(embedding_width, TOKENS * token_width)
        self.norm = nn.LayerNorm(token_width)

    def forward(self, embedding: Tensor) -> Tensor:
        """See the class."""
        tokens: Tensor = self.norm(self.proj(embedding).reshape(-1, TOKENS, self.token_width))
        return tokens


class PictureAttention(nn.Module):
    """Stands in for the processor of one cross-attention: the caption's answer plus the picture's."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.to_k_ip = nn.Linear(attention.to_k.in_features, attention.to_k.out_features, bias=False)
        self.to_v_ip = nn.Linear(attention.to_v.in_features, attention.to_v.out_features, bias=False)
        with torch.no_grad():
            self.to_k_ip.weight.copy_(attention.to_k.weight)
            self.to_v_ip.weight.copy_(attention.to_v.weight)
        self.tokens: Tensor | None = None

    def forward(self, attention: Any, hidden_states: Tensor, encoder_hidden_states: Tensor, **options: Any) -> Tensor:
        """As diffusers calls a processor; `hidden_states` [B, T, C]."""
        assert self.tokens is not None
        query = attention.to_q(hidden_states)
        told = _attended(attention, query, attention.to_k(encoder_hidden_states), attention.to_v(encoder_hidden_states))
        shown = _attended(attention, query, self.to_k_ip(self.tokens), self.to_v_ip(self.tokens))
        answer: Tensor = attention.to_out[1](attention.to_out[0](told + shown))
        return answer / float(attention.rescale_output_factor)


class IPAdapterStage(DenoisingStage):
    """The projection and the new keys and values learn; UNet and image encoder stay as they are. A picture steers towards itself."""

    def __init__(
        self, base: BaseModel, encoder: Network, lessons: Lessons, recipe: IPAdapterRecipe, seed: int, compute: Compute | None = None
    ) -> None:
        compute = compute or Compute(precision=recipe.stage.precision or "float32")
        self.unet: Any = base.unet().to(compute.device)
        self.shown = embeddings(encoder, [example.picture for example in lessons.examples])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            projection = ImageProjection(self.shown.shape[1], int(base.model.config["cross_attention_dim"]))
        self.attentions = attach_pictures(self.unet)
        networks = nn.ModuleDict({"image_proj": projection, "ip_adapter": nn.ModuleDict({str(n): p for n, p in self.attentions.items()})})
        super().__init__(networks, base, lessons, recipe.stage, seed, compute, recipe.objective)
        self.picture_dropout = recipe.picture_dropout

    def predict(self, batch: Batch, noised: Noised) -> Tensor:
        """The UNet's answer, each picture steered by itself, or by nothing now and then."""
        shown = self.shown[list(batch.indexes)].to(self.compute.device)
        if self.picture_dropout and self.networks.training:
            kept = torch.rand(len(shown), 1) >= self.picture_dropout
            shown = shown * kept.to(shown)
        return self.steered(noised, shown)

    def steered(self, noised: Noised, shown: Tensor) -> Tensor:
        """The UNet's answer to image embeddings `[B, P]`."""
        tokens = self.networks.image_proj(shown)  # type: ignore[operator]
        for attention in self.attentions.values():
            attention.tokens = tokens
        predicted: Tensor = self.unet(noised.noisy, noised.timesteps, noised.context).sample
        return predicted

    def trained(self) -> dict[str, Tensor]:
        """The averaged weights by their published names."""
        with self.average.applied(self.networks):
            return {name: weight.detach().cpu().clone() for name, weight in self.networks.state_dict().items()}


def attach_pictures(unet: Any) -> dict[int, PictureAttention]:
    """Gives every cross-attention of a UNet its second half, by the number under which it is published: its place among all attentions."""
    processors: dict[str, Any] = dict(unet.attn_processors)
    made: dict[int, PictureAttention] = {}
    for place, name in enumerate(processors):
        if name.endswith("attn2.processor"):
            processors[name] = made[place] = PictureAttention(unet.get_submodule(name.removesuffix(".processor")))
    unet.set_attn_processor(processors)
    return made


def write_ip_adapter(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes `image_proj.*` and `ip_adapter.{n}.to_k_ip.weight` and so on, n being odd, as published."""
    write_weights(path, state, metadata)


def _attended(attention: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    def heads(x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], attention.heads, -1).transpose(1, 2)

    attended: Tensor = functional.scaled_dot_product_attention(heads(query), heads(key), heads(value))
    return attended.transpose(1, 2).flatten(2)
