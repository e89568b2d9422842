"""Adapters (LoRA, LoCon, LoHa, LoKr, DoRA and kin) on models and text encoders. The weights themselves stay shared and untouched."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.models.adapters.adapter import Adapter, MatchedAdapter
from marquetry.engine.models.adapters.shelf import SHELF
from marquetry.engine.ports import Clip, File, Model, Range, Tip
from marquetry.engine.usage import operation

logger = logging.getLogger(__name__)

NONE = "None"
SHOWN_NAMES = 3
STACK_SIZE = 4
Strength = Annotated[float, Range(-100.0, 100.0, step=0.01)]
ModelStrength = Annotated[Strength, Tip("How strongly to change the model. May be negative.")]
ClipStrength = Annotated[Strength, Tip("How strongly to change the text encoder. May be negative.")]
LoraFile = Annotated[str, File("loras"), Tip("The file of the LoRA.")]
StackedFile = Annotated[str, File("loras", also=(NONE,))]


class Adapted(NamedTuple):
    MODEL: Annotated[Model, Tip("The changed model.")]
    CLIP: Annotated[Clip, Tip("The changed text encoder.")]


@node(
    id="LoraLoader",
    title="Load LoRA (Model and CLIP)",
    category="loaders",
    usage=operation("lora.apply"),
    aliases=("lora", "apply lora", "locon", "lokr", "loha", "dora"),
)
def load_lora(
    model: Annotated[Model, Tip("The model to change.")],
    clip: Annotated[Clip, Tip("The text encoder to change.")],
    lora_name: LoraFile,
    strength_model: ModelStrength = 1.0,
    strength_clip: ClipStrength = 1.0,
    *,
    context: Context,
) -> Adapted:
    """Changes a model and its text encoder by a LoRA. Several may follow each other; their changes add up."""
    return Adapted(*adapted(context, model, clip, lora_name, strength_model, strength_clip))


@node(id="LoraLoaderModelOnly", title="Load LoRA", category="loaders", usage=operation("lora.apply"), aliases=("lora", "apply lora"))
def load_lora_model_only(model: Model, lora_name: LoraFile, strength_model: ModelStrength = 1.0, *, context: Context) -> Model:
    """Changes a model by a LoRA, and leaves out what it holds for text encoders."""
    return adapted(context, model, None, lora_name, strength_model, 0.0)[0]


def stack_size(inputs: Mapping[str, Any]) -> int:
    """How many LoRAs a stack applies."""
    return sum(inputs.get(f"lora_name_{number}", NONE) != NONE for number in range(1, STACK_SIZE + 1))


@node(id="LoraStack", title="Load LoRAs", category="loaders", usage=operation("lora.apply", stack_size), aliases=("lora", "stack"))
def load_lora_stack(
    model: Model,
    lora_name_1: StackedFile = NONE,
    strength_model_1: Strength = 1.0,
    strength_clip_1: Strength = 1.0,
    lora_name_2: StackedFile = NONE,
    strength_model_2: Strength = 1.0,
    strength_clip_2: Strength = 1.0,
    lora_name_3: StackedFile = NONE,
    strength_model_3: Strength = 1.0,
    strength_clip_3: Strength = 1.0,
    lora_name_4: StackedFile = NONE,
    strength_model_4: Strength = 1.0,
    strength_clip_4: Strength = 1.0,
    clip: Clip | None = None,
    *,
    context: Context,
) -> Adapted:
    """Changes a model, and a text encoder if one is linked, by up to four LoRAs at once."""
    stack = (
        (lora_name_1, strength_model_1, strength_clip_1),
        (lora_name_2, strength_model_2, strength_clip_2),
        (lora_name_3, strength_model_3, strength_clip_3),
        (lora_name_4, strength_model_4, strength_clip_4),
    )
    for name, strength_model, strength_clip in stack:
        if name != NONE:
            model, clip = adapted(context, model, clip, name, strength_model, strength_clip)
    return Adapted(model, clip)


def adapted(context: Context, model: Any, clip: Any, name: str, strength_model: float, strength_clip: float) -> tuple[Any, Any]:
    """The model and the text encoder (which may be None) with one adapter more. What finds no place is shown on the node.

    Raises NodeFailed when nothing of the adapter fits.
    """
    if strength_model == 0 and (strength_clip == 0 or clip is None):
        return model, clip
    path = context.folders.full_path("loras", name)
    adapter = SHELF.read(path, context.models.store.hashes.sha256(path))
    on_model: MatchedAdapter = model.match(adapter)
    on_clip: MatchedAdapter | None = None if clip is None else clip.match(adapter)
    if not on_model.matched and not (on_clip and on_clip.matched):
        raise NodeFailed(_nothing_fits(name, adapter, on_model), lora=name, base=adapter.base)
    unmatched = (*adapter.unknown, *on_model.misfits) if on_clip is None else adapter.unmatched(on_model, on_clip)
    if unmatched:
        _report(context, name, unmatched)
    if strength_model != 0 and on_model.targets:
        model = model.with_adapter(on_model, strength_model)
    if strength_clip != 0 and on_clip is not None and on_clip.targets:
        clip = clip.with_adapter(on_clip, strength_clip)
    return model, clip


def _nothing_fits(name: str, adapter: Adapter, on_model: MatchedAdapter) -> str:
    if not on_model.misfits:
        return f"'{name}' changes only a text encoder; use Load LoRA (Model and CLIP)"
    return f"nothing in '{name}' fits this model: it seems made for {adapter.base} (it changes {_some(on_model.misfits)})"


def _report(context: Context, name: str, unmatched: Sequence[str]) -> None:
    context.text(f"{name}: {len(unmatched)} entries find no place in this model and are left out: {_some(unmatched)}")
    logger.warning("adapter %s: no place for %s", name, ", ".join(unmatched))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(names[:SHOWN_NAMES]) + more
