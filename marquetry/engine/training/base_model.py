"""The model that a training starts from: own copies of its networks in float32, so that what is resident for others stays untouched."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from marquetry.engine.models.save import merged_state
from marquetry.engine.sampling.model_sampling import ModelSampling
from marquetry.engine.training.errors import TrainingFailed
from marquetry.engine.training.recipe import Prediction

if TYPE_CHECKING:
    from marquetry.engine.models.clip import Clip
    from marquetry.engine.models.model import Model
    from marquetry.engine.models.vae import Vae

BASE_VERSIONS: Mapping[str, str] = {"sd1": "sd_v1", "sd2": "sd_v2"}
ARCHITECTURES: Mapping[str, str] = {"sd1": "stable-diffusion-v1", "sd2": "stable-diffusion-v2"}
PREDICTIONS: Mapping[str, Prediction] = {"epsilon": "epsilon", "v_prediction": "v_prediction"}


@dataclass(frozen=True, eq=False)
class BaseModel:
    """What came over the MODEL, CLIP and VAE wires. `hash` is the SHA-256 of the base's file, where it is known."""

    model: Model
    clip: Clip
    vae: Vae
    name: str = ""
    hash: str = ""

    def __post_init__(self) -> None:
        for part, what in ((self.model, "a model"), (self.clip, "a text encoder"), (self.vae, "an autoencoder")):
            if part is None:
                raise TrainingFailed(f"training needs {what}, which the checkpoint lacks; load one and link it")
        if self.model.family not in BASE_VERSIONS:
            known = ", ".join(sorted(BASE_VERSIONS))
            raise TrainingFailed(f"a model of the family {self.model.family} can't be trained here; link one of {known}")
        if self.model.sampling.prediction not in PREDICTIONS:
            raise TrainingFailed(
                f"a model that predicts '{self.model.sampling.prediction}' can't be trained further here; use its base model"
            )

    @property
    def prediction(self) -> Prediction:
        """What the network says of a noisy latent."""
        return PREDICTIONS[self.model.sampling.prediction]

    @property
    def identity(self) -> list[Any]:
        """What of the base decides what is learnt; the same in every run, whether a file's hash was known at first or not."""
        text = [encoder.fingerprint for encoder in self.clip.encoders.values() if encoder.fingerprint != self.model.fingerprint]
        adapters = [adapter.key for adapter in self.model.adapters]
        adapters += [adapter.key for encoder in self.clip.encoders.values() for adapter in encoder.adapters]
        return [self.hash or self.model.fingerprint, text, adapters]

    @property
    def base_version(self) -> str:
        """The family as kohya's metadata calls it."""
        return BASE_VERSIONS[self.model.family]

    @property
    def architecture(self) -> str:
        """The family as ModelSpec calls it."""
        return ARCHITECTURES[self.model.family]

    @property
    def bucket_step(self) -> int:
        """What sides of pictures must be multiples of, so that every level of the UNet halves evenly."""
        levels = len(self.model.config["block_out_channels"])
        return int(self.vae.downscale_ratio * 2 ** (levels - 1))

    def signal_shares(self) -> torch.Tensor:
        """The cumulative product of 1 - beta over the model's own noise levels, `[N]`."""
        return shares_of(self.model.sampling)

    def unet(self) -> nn.Module:
        """An own copy of the denoiser, frozen, with applied adapters merged in."""
        return own_copy(self.model)

    def text_encoder(self) -> nn.Module:
        """An own copy of the text encoder, frozen."""
        return own_copy(self.clip.first)


def shares_of(sampling: ModelSampling) -> torch.Tensor:
    """Signal shares of variance-preserving noise at each level of a table."""
    return 1.0 / (sampling.sigmas.float() ** 2 + 1.0)


def own_copy(held: Any) -> nn.Module:
    """The network of a MODEL, or of an encoder of a CLIP, copied to float32 on the CPU with the wire's adapters merged in, and frozen."""
    with held.resident.use() as network:
        state = merged_state(network, held.adapters)
        made: nn.Module = copy.deepcopy(network).to("cpu").float()
        made.load_state_dict({name: tensor.float() for name, tensor in state.items()}, strict=False)
    for module in made.modules():
        module._forward_hooks.clear()
    return made.train().requires_grad_(False)
