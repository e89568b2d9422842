"""Pictures as a part of the prompt: Flux Redux."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.lazy import functional, torch
from marquetry.engine.ports import ClipVisionOutput, Conditioning, File, Port, Range, Tip

if TYPE_CHECKING:
    from torch import Tensor

StyleModel = Annotated[Any, Port("STYLE_MODEL")]
StrengthType = Annotated[Literal["multiply", "attn_bias"], Tip("Scale the tokens, or how much everything else attends to them.")]
SILENT = -1e4  # a logarithm of nothing that every number type holds


@node(id="StyleModelLoader", title="Load Style Model", category="loaders")
def load_style_model(style_model_name: Annotated[str, File("style_models")], context: Context) -> StyleModel:
    """Loads a network that turns an encoded picture into prompt tokens: Flux Redux."""
    from marquetry.engine.models import style

    return style.load_style_model(context.models, style_model_name)


@node(id="StyleModelApply", title="Apply Style Model", category="conditioning/style_model", lane="device")
def apply_style_model(
    conditioning: Conditioning,
    style_model: StyleModel,
    clip_vision_output: ClipVisionOutput,
    strength: Annotated[float, Range(0.0, 10.0, step=0.001)] = 1.0,
    *,
    strength_type: StrengthType,
) -> Conditioning:
    """Puts a picture behind the words of each prompt. By `attn_bias`, words and the picture made attend to it `strength` times as much."""
    tokens: Tensor = style_model.tokens(clip_vision_output)
    biased = strength_type == "attn_bias"
    if not biased:
        tokens = tokens * strength
    weight = 0.0 if not biased else math.log(strength) if strength > 0 else SILENT
    return [[*_with_tokens(embedding, options, tokens, weight)] for embedding, options in conditioning]


def _with_tokens(embedding: Tensor, options: dict[str, Any], tokens: Tensor, weight: float) -> tuple[Tensor, dict[str, Any]]:
    if embedding.shape[-1] != tokens.shape[-1]:
        raise NodeFailed(f"the prompt's tokens are {embedding.shape[-1]} wide, the style model makes {tokens.shape[-1]} wide ones")
    longer = torch.cat([embedding, tokens.to(embedding).expand(len(embedding), -1, -1)], dim=1)
    before = options.get("style_bias")
    if before is None and weight == 0.0:
        return longer, dict(options)
    return longer, {**options, "style_bias": _with_bias(before, embedding.shape[1], tokens.shape[1], weight)}


def _with_bias(before: Tensor | None, words: int, added: int, weight: float) -> Tensor:
    """A row of weights and a row of groups, the new tokens being one group more."""
    known = torch.zeros(2, words) if before is None else functional.pad(before, (0, words - before.shape[1]))
    group = known[1].max() + 1 if words else torch.tensor(1.0)
    return torch.cat([known, torch.stack([torch.full((added,), weight), group.expand(added)])], dim=1)
