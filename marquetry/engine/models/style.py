"""StyleModel: what travels as STYLE_MODEL: Flux Redux (Black Forest Labs 2024), which turns an encoded picture into prompt tokens."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from marquetry.engine.errors import ModelFormatError, NodeFailed
from marquetry.engine.lazy import torch
from marquetry.engine.models.families.registry import describe_layout
from marquetry.engine.models.layout.table import same_names
from marquetry.engine.models.network import NetworkRecipe, build
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.weights import open_weights

if TYPE_CHECKING:
    from torch import Tensor, device, dtype, nn

    from marquetry.engine.models.library import ModelLibrary
    from marquetry.engine.models.residency import Resident
    from marquetry.engine.models.vision import ImageEncoding

WIDER = 3  # the layer in between is that many times as wide as the tokens


@dataclass(frozen=True, eq=False)
class StyleModel:
    """A network from an encoder's tokens, `seen_width` wide, to prompt tokens. Immutable."""

    resident: Resident[nn.Module]
    seen_width: int
    token_width: int
    device: device
    dtype: dtype
    name: str
    fingerprint: str = ""

    def tokens(self, encoding: ImageEncoding) -> Tensor:
        """The prompt tokens of all pictures of an encoding, one after the other `[1, T, D]`, float32 on the CPU.

        Raises NodeFailed for an encoder that this model was not made for.
        """
        seen = encoding.last_hidden_state
        if seen.shape[-1] != self.seen_width:
            raise NodeFailed(
                f"{self.name} reads an encoder whose tokens are {self.seen_width} wide; these are {seen.shape[-1]} wide "
                "(Flux Redux takes the SigLIP encoder sigclip_vision_patch14_384)"
            )
        with self.resident.use() as network, torch.inference_mode():
            made: Tensor = network(seen.to(self.device, self.dtype)).image_embeds
        return made.float().cpu().clone().flatten(0, 1)[None]


def find_redux(header: Header) -> NetworkRecipe | None:
    """The network of a file, from its names and shapes."""
    up, down = header.shape("redux_up.weight"), header.shape("redux_down.weight")
    if len(up) != 2 or len(down) != 2 or up[0] != down[1] or up[0] != WIDER * down[0]:
        return None
    config: dict[str, Any] = {"redux_dim": up[1], "txt_in_features": down[0]}
    return NetworkRecipe("diffusers:ReduxImageEncoder", config, same_names(header, ""))


def load_style_model(library: ModelLibrary, name: str) -> StyleModel:
    """The style model of a file in `style_models`. Raises ModelNotFound, or ModelFormatError where it is of another kind."""
    path = library.store.path("style_models", name)
    weights, fingerprint = open_weights(path), library.store.fingerprint_of(path)
    recipe = find_redux(weights.header)
    if recipe is None:
        raise ModelFormatError(f"no known style model is in {path.name}: detected {describe_layout(weights.header)}", file=path.name)
    computed = library.computes_in("text_encoder")
    resident = library.residency.register(
        (fingerprint, "style_model", str(computed)),
        label=f"{path.name} (style model)",
        size_bytes=recipe.parameters(weights.header) * torch.empty(0, dtype=computed).element_size(),
        load=partial(build, recipe, weights, computed, library.device),
    )
    widths = recipe.config["redux_dim"], recipe.config["txt_in_features"]
    return StyleModel(resident, *widths, library.device, computed, path.name, fingerprint)
