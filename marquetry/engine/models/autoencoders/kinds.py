"""Kinds of autoencoders: how each network is given pictures and latents, and what its configuration says of their sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor

Config = Mapping[str, Any]
CAUSAL = "diffusers:AutoencoderKLQwenImage"


class Autoencoder(Protocol):
    """One kind. Pictures are `[B, 3, H, W]` in -1..1, latents `[B, c, h, w]` as the network makes them, not scaled."""

    def ratio(self, config: Config) -> int:
        """Pixels per latent element along a side."""
        ...

    def channels(self, config: Config) -> int:
        """Those of a latent."""
        ...

    def widest(self, config: Config) -> int:
        """The channels of the largest feature map."""
        ...

    def encode(self, network: Any, pictures: Tensor) -> Tensor:
        """The mean of the latents."""
        ...

    def decode(self, network: Any, latents: Tensor) -> Tensor: ...


class PlainAutoencoder:
    """Pictures by themselves (Rombach et al. 2022)."""

    def ratio(self, config: Config) -> int:
        return int(2 ** (len(config["block_out_channels"]) - 1))

    def channels(self, config: Config) -> int:
        return int(config["latent_channels"])

    def widest(self, config: Config) -> int:
        return int(max(config["block_out_channels"][:2]))

    def encode(self, network: Any, pictures: Tensor) -> Tensor:
        mean: Tensor = network.encode(pictures, return_dict=False)[0].mode()
        return mean

    def decode(self, network: Any, latents: Tensor) -> Tensor:
        pictures: Tensor = network.decode(latents, return_dict=False)[0]
        return pictures


class CausalAutoencoder:
    """Films whose first frame is encoded by itself (Wan 2.1, Qwen-Image): a picture is a film of one frame."""

    def ratio(self, config: Config) -> int:
        return int(2 ** len(config["temperal_downsample"]))

    def channels(self, config: Config) -> int:
        return int(config["z_dim"])

    def widest(self, config: Config) -> int:
        return int(config["base_dim"] * max(config["dim_mult"][:2]))

    def encode(self, network: Any, pictures: Tensor) -> Tensor:
        mean: Tensor = network.encode(pictures[:, :, None], return_dict=False)[0].mode()
        return mean[:, :, 0]

    def decode(self, network: Any, latents: Tensor) -> Tensor:
        frames: Tensor = network.decode(latents[:, :, None], return_dict=False)[0]
        return frames[:, :, 0]


KINDS: Mapping[str, Autoencoder] = {"autoencoder": PlainAutoencoder(), CAUSAL: CausalAutoencoder()}


def autoencoder_kind(architecture: str) -> Autoencoder:
    """The kind of a recipe's architecture."""
    return KINDS[architecture]
