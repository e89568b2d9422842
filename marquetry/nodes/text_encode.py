"""Prompts to conditioning."""

from __future__ import annotations

from typing import Annotated

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.ports import Clip, Conditioning, Range, Text, Tip

Prompt = Annotated[
    str, Text(multiline=True, dynamic_prompts=True), Tip("(word:1.2) weighs a word, embedding:name puts in a file's vectors.")
]
NO_CLIP = "there is no text encoder: the checkpoint holds none; load one with CLIPLoader"


@node(id="CLIPTextEncode", title="CLIP Text Encode (Prompt)", category="conditioning", lane="device", aliases=("prompt", "text"))
def encode_text(text: Prompt, clip: Clip, context: Context) -> Conditioning:
    """Encodes a prompt as CONDITIONING: embeddings `[1, 77 * n, D]` and the pooled output.

    Words weigh `(word)` 1.1 times, `(word:1.2)` 1.2 times as much. Textual inversions that no file has are left out, and named on the node.
    """
    if clip is None:
        raise NodeFailed(NO_CLIP)
    encoded = clip.encode(text)
    if encoded.missing:
        context.text(f"Left out, since no file among the embeddings fits: {', '.join(encoded.missing)}")
    return [[encoded.embedding, {"pooled_output": encoded.pooled}]]


@node(id="CLIPSetLastLayer", title="CLIP Set Last Layer", category="conditioning", aliases=("clip skip",))
def set_last_layer(clip: Clip, stop_at_clip_layer: Annotated[int, Range(-24, -1, step=1)] = -1) -> Clip:
    """Reads a text encoder after an earlier layer: -1 is the last, -2 the one before (often called clip skip 2)."""
    if clip is None:
        raise NodeFailed(NO_CLIP)
    return clip.with_stop_layer(stop_at_clip_layer)
