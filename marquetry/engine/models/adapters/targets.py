"""Published names to modules: under which names each module of a network is known in adapter files.

Names are derived from the network itself, so nets of any size and depth are understood. Dots count as underscores, as in kohya's names.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from marquetry.engine.models.adapters.delta import is_targetable, weight_of
from marquetry.engine.models.adapters.transformer_targets import Slot, transformer_names

if TYPE_CHECKING:
    from torch import nn

_KNOWN: WeakKeyDictionary[nn.Module, Mapping[str, tuple[Slot, ...]]] = WeakKeyDictionary()
_LOCK = threading.Lock()

LDM_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
LDM_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
OPEN_CLIP = {
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
}
OPEN_CLIP_ENDS = {
    "embeddings.token_embedding": "token_embedding",
    "final_layer_norm": "ln_final",
    "text_projection": "text_projection",
}


def slots_of(network: nn.Module) -> Mapping[str, tuple[Slot, ...]]:
    """Underscored published names (without the part's prefix) to modules. Made once per network."""
    with _LOCK:
        known = _KNOWN.get(network)
        if known is None:
            known = _KNOWN[network] = {name.replace(".", "_"): slots for name, slots in _named(network)}
    return known


def _named(network: nn.Module) -> Iterator[tuple[str, tuple[Slot, ...]]]:
    paths = [path for path, module in network.named_modules() if is_targetable(module)]
    for path in paths:
        bare = path.removeprefix("text_model.")
        for name in {path, bare, f"text_model.{bare}"}:
            yield name, (Slot(path),)
        if path.endswith(".to_out.0"):  # diffusers' attention processors leave the index out
            yield path.removesuffix(".0"), (Slot(path),)
    if hasattr(network, "down_blocks") and hasattr(network, "up_blocks"):
        yield from _ldm_names(network, paths)
    yield from _open_clip_names(network, paths)
    yield from transformer_names(network)


def _ldm_names(network: nn.Module, paths: list[str]) -> Iterator[tuple[str, tuple[Slot, ...]]]:
    blocks = dict(_ldm_blocks(network))
    for path in paths:
        if path in LDM_ENDS:
            yield LDM_ENDS[path], (Slot(path),)
            continue
        for block, ldm in blocks.items():
            if path == block:
                yield ldm, (Slot(path),)
            elif path.startswith(block + "."):
                inner = path.removeprefix(block + ".")
                yield f"{ldm}.{LDM_RESNET.get(inner, inner)}", (Slot(path),)


def _ldm_blocks(network: nn.Module) -> Iterator[tuple[str, str]]:
    """Block by block: diffusers' path, and the path in the original latent-diffusion code, which counts layers through."""
    count = 1  # input_blocks.0 is conv_in
    for index, block in enumerate(_children(network.down_blocks)):
        here = f"down_blocks.{index}"
        attentions = _children(getattr(block, "attentions", None))
        for layer in range(len(_children(block.resnets))):
            yield f"{here}.resnets.{layer}", f"input_blocks.{count}.0"
            if layer < len(attentions):
                yield f"{here}.attentions.{layer}", f"input_blocks.{count}.1"
            count += 1
        if _children(getattr(block, "downsamplers", None)):
            yield f"{here}.downsamplers.0.conv", f"input_blocks.{count}.0.op"
            count += 1
    middle = getattr(network, "mid_block", None)
    if middle is not None:
        attentions = _children(getattr(middle, "attentions", None))
        count = 0
        for layer in range(len(_children(middle.resnets))):
            yield f"mid_block.resnets.{layer}", f"middle_block.{count}"
            count += 1
            if layer < len(attentions):
                yield f"mid_block.attentions.{layer}", f"middle_block.{count}"
                count += 1
    count = 0
    for index, block in enumerate(_children(network.up_blocks)):
        here = f"up_blocks.{index}"
        attentions = _children(getattr(block, "attentions", None))
        layers = len(_children(block.resnets))
        for layer in range(layers):
            yield f"{here}.resnets.{layer}", f"output_blocks.{count}.0"
            if layer < len(attentions):
                yield f"{here}.attentions.{layer}", f"output_blocks.{count}.1"
            if layer == layers - 1 and _children(getattr(block, "upsamplers", None)):
                place = 2 if layer < len(attentions) else 1
                yield f"{here}.upsamplers.0.conv", f"output_blocks.{count}.{place}.conv"
            count += 1


def _open_clip_names(network: nn.Module, paths: list[str]) -> Iterator[tuple[str, tuple[Slot, ...]]]:
    for path in paths:
        bare = path.removeprefix("text_model.")
        if bare in OPEN_CLIP_ENDS:
            yield OPEN_CLIP_ENDS[bare], (Slot(path),)
        head, separator, rest = bare.partition("encoder.layers.")
        if head or not separator:
            continue
        layer, _, inner = rest.partition(".")
        for block in (f"resblocks.{layer}", f"transformer.resblocks.{layer}"):
            if inner in OPEN_CLIP:
                yield f"{block}.{OPEN_CLIP[inner]}", (Slot(path),)
            elif inner == "self_attn.q_proj":
                start, rows = path.removesuffix("q_proj"), int(weight_of(network.get_submodule(path)).shape[0])
                yield (
                    f"{block}.attn.in_proj",
                    tuple(Slot(f"{start}{name}_proj", index * rows, 3 * rows) for index, name in enumerate("qkv")),
                )


def _children(modules: object) -> list[nn.Module]:
    return [] if modules is None else list(modules)  # type: ignore[call-overload]
