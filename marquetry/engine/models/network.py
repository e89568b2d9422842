"""Networks from recipes: built without memory, then given the file's own mapped tensors, so that loading copies nothing it need not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.lazy import torch
from marquetry.engine.models.layout.table import Form, Piece, Table
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.storage import storable, widen_when_run
from marquetry.engine.models.weights import Weights

if TYPE_CHECKING:
    from torch import Tensor, device, dtype, nn

Architecture: TypeAlias = Literal["unet", "autoencoder", "clip_text"]


@dataclass(frozen=True)
class NetworkRecipe:
    """How one network is made from a weight file: its class, that class's configuration, and where its tensors stand."""

    architecture: Architecture
    config: Mapping[str, Any]
    table: Table = field(repr=False)

    def parameters(self, header: Header) -> int:
        """The number of parameters that the table draws from a file."""
        total = 0
        for piece in self.table.values():
            shared = 3 if piece.form.startswith("third") else 1
            total += header[piece.source].parameters // shared if piece.source in header else 0
        return total


def build(recipe: NetworkRecipe, weights: Weights, dtype: dtype, device: device, kept: dtype | None = None) -> nn.Module:
    """The network with the file's weights as `dtype` on `device`, ready for inference. Raises ModelFormatError for missing or odd tensors.

    Where the file's type is `dtype` and the device is the CPU, the parameters are the mapped file itself. `kept` is the type
    in which matrices and convolutions stay until they run, where that is not `dtype`.
    """
    with torch.device("meta"):
        network = _empty(recipe)
    narrow = storable(network) if kept is not None and kept != dtype else frozenset()
    state = {
        name: _converted(piece, weights, kept if kept is not None and name in narrow else dtype, device)
        for name, piece in recipe.table.items()
    }
    _check(network, state, weights.header.source)
    network.load_state_dict(state, strict=True, assign=True)
    widen_when_run(network, dtype)
    _fill_buffers(network, device)
    return network.eval().requires_grad_(False)


def original_state(table: Table, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of loading: a network's tensors under the file's names and in its forms."""
    thirds: dict[str, dict[str, Tensor]] = {}
    written: dict[str, Tensor] = {}
    for name, piece in table.items():
        if piece.form.startswith("third"):
            thirds.setdefault(piece.source, {})[piece.form] = state[name]
        else:
            written[piece.source] = _inverse(piece.form, state[name])
    for source, parts in thirds.items():
        written[source] = torch.cat([parts["third_0"], parts["third_1"], parts["third_2"]])
    return {name: tensor.contiguous() for name, tensor in written.items()}


def _empty(recipe: NetworkRecipe) -> nn.Module:
    from huggingface_hub.errors import StrictDataclassError

    refusals = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError, StrictDataclassError)
    config = dict(recipe.config)
    try:
        network: nn.Module = _class_of(recipe.architecture)(config)
    except refusals as error:
        raise ModelFormatError(f"a {recipe.architecture} of these sizes cannot be built: {error}") from error
    if "text_projection.weight" in recipe.table:
        network.text_projection = torch.nn.Linear(config["hidden_size"], config["projection_dim"], bias=False)
    return network


def import_classes() -> None:
    """Import what builds networks: seconds that the first job need not wait."""
    for architecture in get_args(Architecture):
        _class_of(architecture)


def _class_of(architecture: Architecture) -> Callable[[dict[str, Any]], Any]:
    if architecture == "clip_text":
        from transformers import CLIPTextConfig, CLIPTextModel

        return lambda config: CLIPTextModel(CLIPTextConfig(**config))
    import diffusers

    kind: Any = diffusers.UNet2DConditionModel if architecture == "unet" else diffusers.AutoencoderKL
    return lambda config: kind(**config)


def _converted(piece: Piece, weights: Weights, dtype: dtype, device: device) -> Tensor:
    if piece.source not in weights.header:
        raise ModelFormatError(f"{weights.header.source} lacks the tensor '{piece.source}'", file=weights.header.source)
    tensor = weights.tensor(piece.source)
    match piece.form:
        case "squeezed":
            tensor = tensor.reshape(tensor.shape[:2])
        case "transposed":
            tensor = tensor.t().contiguous()
        case "third_0" | "third_1" | "third_2":
            size = tensor.shape[0] // 3
            tensor = tensor.narrow(0, size * int(piece.form[-1]), size)
        case _:
            pass
    return tensor.to(device=device, dtype=dtype)


def _inverse(form: Form, tensor: Tensor) -> Tensor:
    if form == "squeezed":
        return tensor[:, :, None, None]
    return tensor.t() if form == "transposed" else tensor


def _check(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    missing = sorted(wanted.keys() - state.keys())
    if missing:
        raise ModelFormatError(
            f"{source} lacks {len(missing)} tensors of its network, such as '{missing[0]}'", file=source, missing=missing
        )
    spare = sorted(state.keys() - wanted.keys())
    if spare:
        raise ModelFormatError(f"{source} has {len(spare)} tensors that its network has no place for, such as '{spare[0]}'", file=source)
    for name, shape in wanted.items():
        if tuple(state[name].shape) != shape:
            raise ModelFormatError(f"{source}: '{name}' has shape {list(state[name].shape)} where {list(shape)} is needed", file=source)


def _fill_buffers(network: nn.Module, device: device) -> None:
    for module in network.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if not buffer.is_meta:
                continue
            if name != "position_ids":
                raise ModelFormatError(f"the buffer '{name}' of {type(network).__name__} has no known value")
            setattr(module, name, torch.arange(buffer.shape[-1], device=device).expand(tuple(buffer.shape)))
