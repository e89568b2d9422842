"""A model in one safetensors file in the original SD1 layout: written in half precision, read back into networks."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save

from marquetry.engine.training.ldm_layout import States, from_ldm, to_ldm
from marquetry.engine.training.networks import Network, build_autoencoder, build_text_encoder, build_unet
from marquetry.engine.training.recipe import NetworkSizes

SIZES_KEY = "marquetry.networks"


@dataclass(frozen=True, slots=True)
class Model:
    """The networks of one model with full CLIP vocabulary."""

    sizes: NetworkSizes
    autoencoder: Network
    unet: Network
    text_encoder: Network

    def states(self) -> States:
        """The networks' weights by the names that the single file sorts them by."""
        networks = {"unet": self.unet, "autoencoder": self.autoencoder, "text": self.text_encoder}
        return {name: network.state_dict() for name, network in networks.items()}


def build_model(sizes: NetworkSizes) -> Model:
    """A model with fresh weights, in evaluation mode."""
    model = Model(sizes, build_autoencoder(sizes), build_unet(sizes), build_text_encoder(sizes))
    for network in (model.autoencoder, model.unet, model.text_encoder):
        network.eval().requires_grad_(False)
    return model


def write_model(path: Path, sizes: NetworkSizes, states: States, facts: Mapping[str, str]) -> None:
    """Writes `unet`, `autoencoder` and `text` state dicts as one file; `facts` become its metadata."""
    weights = to_ldm(sizes, states)
    halves = {name: weight.detach().half().contiguous() for name, weight in sorted(weights.items())}
    metadata = dict(facts) | {SIZES_KEY: json.dumps(sizes.as_json())}
    partial = path.with_suffix(".partial")
    partial.write_bytes(with_ordered_header(save(halves, metadata=metadata)))
    partial.replace(path)


def with_ordered_header(file: bytes) -> bytes:
    """A safetensors file with its metadata in alphabetical order; the library's own order differs from run to run."""
    length = int.from_bytes(file[:8], "little")
    header = json.loads(file[8 : 8 + length])
    ordered = {"__metadata__": dict(sorted(header.pop("__metadata__").items()))} | dict(sorted(header.items()))
    text = json.dumps(ordered, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + file[8 + length :]


def read_facts(path: Path) -> dict[str, str]:
    """The metadata of a file."""
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def read_model(path: Path) -> Model:
    """The networks of a file that `write_model` wrote, in single precision."""
    sizes = NetworkSizes.from_json(json.loads(read_facts(path)[SIZES_KEY]))
    model = build_model(sizes)
    with safe_open(path, framework="pt") as file:
        weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    states = from_ldm(sizes, model.states(), weights)
    model.unet.load_state_dict(states["unet"])
    model.autoencoder.load_state_dict(states["autoencoder"])
    model.text_encoder.load_state_dict(states["text"])
    return model
