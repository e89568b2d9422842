"""Names in adapter files made for the original code of transformers: Flux and its kin (`double_blocks`), Stable Diffusion 3 (`joint_blocks`),
Z-Image and Lumina 2 (`noise_refiner`).

That code keeps queries, keys and values, and sometimes more, in one matrix, and the two halves of the last modulation the other way round.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from marquetry.engine.models.adapters.delta import weight_of
from marquetry.engine.models.layout import flux, lumina2, mmdit, z_image

if TYPE_CHECKING:
    from torch import nn

LAST = ("norm_out.linear", "final_layer.adaLN_modulation.1")


@dataclass(frozen=True, slots=True)
class Slot:
    """A module, or that of a weight of `whole` rows which begins at row `start` (a fused projection); `swapped`: its halves change places."""

    path: str
    start: int = 0
    whole: int = 0
    swapped: bool = False


Names: TypeAlias = Iterator[tuple[str, tuple[Slot, ...]]]


def transformer_names(network: nn.Module) -> Names:
    """Published names of the modules of such a transformer, with what each means; nothing for other networks."""
    kind: Any = network
    if hasattr(network, "transformer_blocks") and hasattr(network, "single_transformer_blocks"):
        yield from _flux(network, len(kind.transformer_blocks), len(kind.single_transformer_blocks))
    elif hasattr(network, "transformer_blocks") and hasattr(network, "pos_embed") and hasattr(network, "context_embedder"):
        yield from _mmdit(network, len(kind.transformer_blocks))
    elif hasattr(network, "noise_refiner") and hasattr(network, "context_refiner"):
        yield from _refined(network)


def _flux(network: nn.Module, double: int, single: int) -> Names:
    yield from _plain(network, flux.EMBEDDERS)
    yield from _plain(network, (LAST,), swapped=True)
    for layer in range(double):
        ours, theirs = f"transformer_blocks.{layer}.", f"double_blocks.{layer}."
        yield from _plain(network, (*flux.DOUBLE, *flux.DOUBLE_NORMS), ours, theirs)
        yield from _fused(network, [f"{ours}attn.to_{name}" for name in "qkv"], f"{theirs}img_attn.qkv")
        yield from _fused(network, [f"{ours}attn.add_{name}_proj" for name in "qkv"], f"{theirs}txt_attn.qkv")
    for layer in range(single):
        ours, theirs = f"single_transformer_blocks.{layer}.", f"single_blocks.{layer}."
        yield from _plain(network, (*flux.SINGLE, *flux.SINGLE_NORMS), ours, theirs)
        yield from _fused(network, [*(f"{ours}attn.to_{name}" for name in "qkv"), f"{ours}proj_mlp"], f"{theirs}linear1")


def _mmdit(network: nn.Module, layers: int) -> Names:
    yield from _plain(network, mmdit.EMBEDDERS)
    yield from _plain(network, (LAST,), swapped=True)
    for layer in range(layers):
        ours, theirs = f"transformer_blocks.{layer}.", f"joint_blocks.{layer}."
        modules = [(name, f"x_block.{other}") for name, other in mmdit.PICTURE]
        modules += [(name, f"context_block.{other}") for name, other in mmdit.WORDS]
        yield from _plain(network, (*modules, ("attn2.to_out.0", "x_block.attn2.proj"), *mmdit.NORMS), ours, theirs)
        words = (("norm1_context.linear", "context_block.adaLN_modulation.1"),)
        yield from _plain(network, words, ours, theirs, swapped=layer == layers - 1)
        for names, other in (
            ([f"attn.to_{name}" for name in "qkv"], "x_block.attn.qkv"),
            ([f"attn.add_{name}_proj" for name in "qkv"], "context_block.attn.qkv"),
            ([f"attn2.to_{name}" for name in "qkv"], "x_block.attn2.qkv"),
        ):
            yield from _fused(network, [ours + name for name in names], theirs + other)


def _refined(network: nn.Module) -> Names:
    yield from _plain(network, (*lumina2.EMBEDDERS, *z_image.ENDS))
    for stack in z_image.STACKS:
        for layer in range(len(network.get_submodule(stack))):  # type: ignore[arg-type]
            place = f"{stack}.{layer}."
            modules = (*lumina2.BLOCK, *lumina2.PLAIN, *lumina2.MODULATED, *z_image.MOVED)
            yield from _plain(network, modules, place, place)
            for ours in ("attn", "attention"):
                yield from _fused(network, [f"{place}{ours}.to_{name}" for name in "qkv"], f"{place}attention.qkv")


def _plain(network: nn.Module, names: Sequence[tuple[str, str]], ours: str = "", theirs: str = "", *, swapped: bool = False) -> Names:
    for path, published in names:
        if _module(network, ours + path) is not None:
            yield theirs + published, (Slot(ours + path, swapped=swapped),)


def _fused(network: nn.Module, paths: Sequence[str], published: str) -> Names:
    modules = [_module(network, path) for path in paths]
    if any(module is None for module in modules):
        return
    rows = [int(weight_of(module).shape[0]) for module in modules if module is not None]
    starts = [sum(rows[:number]) for number in range(len(rows))]
    yield published, tuple(Slot(path, start, sum(rows)) for path, start in zip(paths, starts, strict=True))


def _module(network: nn.Module, path: str) -> nn.Module | None:
    try:
        found = network.get_submodule(path)
    except AttributeError:
        return None
    return found if getattr(found, "weight", None) is not None else None
