"""Latents out to files and back: safetensors with the ending `.latent`, with the graph that made them in the metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.lazy import torch
from marquetry.engine.outcome import NodeOutput
from marquetry.engine.ports import File, Latent, Text
from marquetry.engine.saving import FileSeries
from marquetry.nodes.image_io import HIDDEN, graphs

if TYPE_CHECKING:
    from torch import Tensor

TENSOR = "latent_tensor"
UNSCALED = "latent_format_version_0"  # marks files whose values are as the autoencoder gave them
OLD_SCALE = 0.18215  # files without that mark hold values times this


class Saved(NamedTuple):
    samples: Latent


@node(id="SaveLatent", title="SaveLatent", category="latent", output_node=True, hidden=HIDDEN, aliases=("export",))
def save(samples: Latent, filename_prefix: Annotated[str, Text()] = "latents/ComfyUI", *, context: Context) -> NodeOutput[Saved]:
    """Saves a batch of latents in the output folder, with the graph beside it, and passes it on."""
    from safetensors.torch import save as to_bytes

    tensor: Tensor = samples["samples"]
    series = FileSeries(context.folders, "output", filename_prefix, width=tensor.shape[-1] * 8, height=tensor.shape[-2] * 8)
    data = to_bytes({TENSOR: tensor.cpu().contiguous(), UNSCALED: torch.tensor([])}, {"prompt": "", **graphs(context)})
    return NodeOutput(Saved(samples), ui={"latents": [series.save(data, ".latent")]})


@node(id="LoadLatent", title="LoadLatent", category="latent", private=True, aliases=("import", "open latent"))
def load(latent: Annotated[str, File("input")], context: Context) -> Latent:
    """Reads a batch of latents from a `.latent` file of the input folder, or of another as `name [output]`."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = context.folders.annotated(latent)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise NodeFailed(f"'{latent}' is not a file of latents: {error}") from error
    if TENSOR not in tensors:
        raise NodeFailed(f"'{latent}' is not a file of latents: it has no tensor '{TENSOR}'")
    values = tensors[TENSOR].float()
    return {"samples": values if UNSCALED in tensors else values / OLD_SCALE}
