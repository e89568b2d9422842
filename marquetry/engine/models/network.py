"""Networks from recipes: built without memory, then given the file's own mapped tensors, so that loading copies nothing it need not."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.lazy import torch
from marquetry.engine.models.layout.table import Form, Piece, Table
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.storage import storable, widen_when_run
from marquetry.engine.models.weights import Weights

if TYPE_CHECKING:
    from torch import Tensor, device, dtype, nn

State: TypeAlias = "dict[str, Tensor]"
Convert: TypeAlias = Callable[[State], State]
ARCHITECTURES: Mapping[str, str] = {
    "unet": "diffusers:UNet2DConditionModel",
    "autoencoder": "diffusers:AutoencoderKL",
    "clip_text": "transformers:CLIPTextModel:CLIPTextConfig",
}
WARMED = ("unet", "autoencoder", "clip_text")


@dataclass(frozen=True)
class NetworkRecipe:
    """How one network is made from a weight file: its class, that class's configuration, and where its tensors stand.

    `architecture` is a name of ARCHITECTURES, or "library:Class", for transformers "library:Class:Configuration". `table` says where each
    tensor stands; where a layout is too different for that, `convert` makes the network's tensors of those in the file: `sources` are
    their names there, by the names that `convert` takes.
    """

    architecture: str
    config: Mapping[str, Any]
    table: Table = field(default_factory=dict, repr=False)
    convert: Convert | None = field(default=None, repr=False)
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)

    def parameters(self, header: Header) -> int:
        """The number of parameters that are drawn from a file."""
        total = sum(header[source].parameters for source in self.sources.values() if source in header)
        for piece in self.table.values():
            if piece.source in header:
                whole = header[piece.source].parameters
                total += whole // 3 if piece.form.startswith("third") else whole
                if piece.form == "rows":
                    rows = header.shape(piece.source)[0]
                    total -= whole * (rows - piece.rows[1] + piece.rows[0]) // rows
        return total


def build(recipe: NetworkRecipe, weights: Weights, dtype: dtype, device: device, kept: dtype | None = None) -> nn.Module:
    """The network with the file's weights as `dtype` on `device`, ready for inference. Raises ModelFormatError for missing or odd tensors.

    Where the file's type is `dtype` and the device is the CPU, the parameters are the mapped file itself. `kept` is the type
    in which matrices and convolutions stay until they run, where that is not `dtype`.
    """
    with _without_memory():
        network = _empty(recipe)
    narrow = storable(network) if kept is not None and kept != dtype else frozenset()

    def typed(name: str) -> Any:
        return kept if kept is not None and name in narrow else dtype

    state = {name: _converted(piece, weights, typed(name), device) for name, piece in recipe.table.items()}
    if recipe.convert is not None:
        state |= {name: tensor.to(device=device, dtype=typed(name)) for name, tensor in _rewritten(recipe, weights).items()}
    _check(network, state, weights.header.source)
    network.load_state_dict(state, strict=True, assign=True)
    widen_when_run(network, dtype)
    _place_buffers(network, device)
    return network.eval().requires_grad_(False)


def original_state(table: Table, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of loading: a network's tensors under the file's names and in its forms."""
    parts: dict[str, list[tuple[tuple[int, str], Tensor]]] = {}
    written: dict[str, Tensor] = {}
    for name, piece in table.items():
        if piece.form == "rows" or piece.form.startswith("third"):
            parts.setdefault(piece.source, []).append(((piece.rows[0], piece.form), state[name]))
        else:
            written[piece.source] = _inverse(piece.form, state[name])
    for source, cut in parts.items():
        written[source] = torch.cat([tensor for _, tensor in sorted(cut, key=lambda part: part[0])])
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
    """Import what builds the networks of small families: seconds that the first job need not wait."""
    for architecture in WARMED:
        _class_of(architecture)


def _class_of(architecture: str) -> Callable[[dict[str, Any]], Any]:
    library, _, names = ARCHITECTURES.get(architecture, architecture).partition(":")
    name, _, configuration = names.partition(":")
    module = importlib.import_module(library)
    kind: Any = getattr(module, name)
    if not configuration:
        return lambda config: kind(**config)
    described: Any = getattr(module, configuration)
    return lambda config: kind(described(**config))


def _without_memory() -> Any:
    """Tensors of a network's sizes take no memory within it; those that its class computes, such as tables of angles, are real."""
    from torch.overrides import TorchFunctionMode

    class EmptyOnMeta(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = dict(kwargs or {})
            if function is torch.empty and kwargs.get("device") is None:
                kwargs["device"] = "meta"
            return function(*args, **kwargs)

    return EmptyOnMeta()


def _rewritten(recipe: NetworkRecipe, weights: Weights) -> State:
    """The tensors that `convert` makes. Raises ModelFormatError where the file lacks what it takes."""
    assert recipe.convert is not None
    missing = sorted(source for source in recipe.sources.values() if source not in weights.header)
    if missing:
        raise ModelFormatError(f"{weights.header.source} lacks the tensor '{missing[0]}'", file=weights.header.source)
    try:
        return recipe.convert({name: weights.tensor(source) for name, source in recipe.sources.items()})
    except (KeyError, IndexError, RuntimeError, ValueError) as error:
        raise ModelFormatError(f"{weights.header.source} is not complete: {error}", file=weights.header.source) from error


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
        case "swapped":
            tensor = torch.cat(tensor.chunk(2)[::-1])
        case "rows":
            tensor = tensor[piece.rows[0] : piece.rows[1]]
        case _:
            pass
    return tensor.to(device=device, dtype=dtype)


def _inverse(form: Form, tensor: Tensor) -> Tensor:
    if form == "squeezed":
        return tensor[:, :, None, None]
    if form == "swapped":
        return torch.cat(tensor.chunk(2)[::-1])
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


def _place_buffers(network: nn.Module, device: device) -> None:
    for module in network.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_meta:
                raise ModelFormatError(f"the buffer '{name}' of {type(network).__name__} has no known value")
            if buffer.device != device:
                module._buffers[name] = buffer.to(device)
