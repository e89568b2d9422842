"""Where a model's weights stand in one file of the original latent-diffusion (CompVis) layout, by the engine's own tables of names."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from marquetry.engine.models.layout.autoencoder import AutoencoderSizes, original_pieces
from marquetry.engine.models.layout.unet import UNetSizes, unet_modules
from marquetry.engine.training.recipe import NetworkSizes

UNET_PREFIX = "model.diffusion_model."
AUTOENCODER_PREFIX = "first_stage_model."
TEXT_PREFIX = "cond_stage_model.transformer.text_model."

States = Mapping[str, Mapping[str, Tensor]]
"""State dicts of `unet`, `autoencoder` and `text`."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one tensor of a network stands; `squeezed` where the file has a 1x1 convolution for the network's matrix."""

    network: str
    name: str
    squeezed: bool = False


def places(sizes: NetworkSizes, states: States) -> dict[str, Place]:
    """Name in the file to place in the networks, for every tensor of the networks."""
    unet = UNetSizes(
        sizes.unet_inputs, 4, sizes.unet_channels, sizes.unet_layers, sizes.attention(), sizes.text_width, linear_projection=False
    )
    autoencoder = AutoencoderSizes(3, 4, sizes.autoencoder_channels, sizes.autoencoder_layers)
    found: dict[str, Place] = {}
    for target, source in unet_modules(unet):
        for suffix in ("weight", "bias"):
            if f"{target}.{suffix}" in states["unet"]:
                found[f"{UNET_PREFIX}{source}.{suffix}"] = Place("unet", f"{target}.{suffix}")
    for name, piece in original_pieces(autoencoder, dict(states["autoencoder"])).items():
        found[AUTOENCODER_PREFIX + piece.source] = Place("autoencoder", name, piece.form == "squeezed")
    for name in states["text"]:
        found[TEXT_PREFIX + name] = Place("text", name)
    missing = {(network, name) for network, state in states.items() for name in state} - {(p.network, p.name) for p in found.values()}
    assert not missing, missing
    return found


def to_ldm(sizes: NetworkSizes, states: States) -> dict[str, Tensor]:
    """All weights of a model under their names in the file."""
    return {
        ldm_name: states[place.network][place.name][:, :, None, None] if place.squeezed else states[place.network][place.name]
        for ldm_name, place in places(sizes, states).items()
    }


def from_ldm(sizes: NetworkSizes, states: States, weights: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """A file's weights as state dicts with the names of `states`."""
    read: dict[str, dict[str, Tensor]] = {network: {} for network in states}
    for ldm_name, place in places(sizes, states).items():
        weight = weights[ldm_name]
        read[place.network][place.name] = weight[:, :, 0, 0] if place.squeezed else weight
    return read
