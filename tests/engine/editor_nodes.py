"""Node types for tests of the editor's format; they are described, never run."""

from __future__ import annotations

from typing import Annotated

from marquetry.engine.declare import node, node_type
from marquetry.engine.outcome import NodeOutput
from marquetry.engine.ports import (
    Anything,
    Choice,
    Clip,
    Conditioning,
    File,
    Image,
    Latent,
    Model,
    Optional,
    Range,
    Raw,
    Seed,
    SocketOnly,
    Text,
)
from marquetry.engine.registry import Registry


@node(id="Loader", title="Load", category="t")
def loader(name: Annotated[str, Choice("a.ckpt", "b.ckpt")]) -> tuple[Model, Clip]:
    raise NotImplementedError


@node(id="Lora", title="Lora", category="t")
def lora(model: Model, clip: Clip, strength: Annotated[float, Range(-2, 2)] = 1.0) -> tuple[Model, Clip]:
    raise NotImplementedError


@node(id="Encode", title="Encode", category="t")
def encode(text: Annotated[str, Text(multiline=True, dynamic_prompts=True)], clip: Clip) -> Conditioning:
    raise NotImplementedError


@node(id="Sample", title="Sample", category="t")
def sample(
    model: Model,
    seed: Annotated[int, Seed()] = 0,
    steps: Annotated[int, Range(1, 100)] = 20,
    sampler_name: Annotated[str, Choice("euler", "heun")] = "euler",
    positive: Conditioning | None = None,
    denoise: Annotated[float, Range(0, 1), Optional] = 1.0,
) -> Latent:
    raise NotImplementedError


@node(id="LoadPicture", title="Picture", category="t")
def load_picture(image: Annotated[str, File("input", upload="image")], invert: Annotated[bool, Optional] = False) -> Image:
    raise NotImplementedError


@node(id="Save", title="Save", category="t", output_node=True)
def save(images: Anything, filename_prefix: str = "out") -> NodeOutput[None]:
    raise NotImplementedError


@node(id="Old", title="Old", category="t")
def old(count: Annotated[int, SocketOnly] = 1, seed: Annotated[int, SocketOnly] = 1, words: str = "", scale: float = 1.0) -> Image:
    raise NotImplementedError


@node(id="Pick", title="Pick", category="t")
def pick(
    names: Annotated[str, Choice("a", "b"), Raw(multi_select=True)], plain: Annotated[int, Raw(control_after_generate=False)] = 0
) -> Image:
    raise NotImplementedError


FUNCTIONS = (loader, lora, encode, sample, load_picture, save, old, pick)


def editor_registry() -> Registry:
    """These node types and no others."""
    registry = Registry()
    for function in FUNCTIONS:
        registry.add(node_type(function))
    return registry
