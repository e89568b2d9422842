"""Pictures as vectors, by the encoders of CLIP and SigLIP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.ports import ClipVision, ClipVisionOutput, File, Image, Tip

if TYPE_CHECKING:
    from marquetry.engine.models.vision import ImageEncoding

Crop = Annotated[Literal["center", "none"], Tip("The middle square is seen, or the whole picture squeezed into one.")]


@node(id="CLIPVisionLoader", title="Load CLIP Vision", category="loaders")
def load_clip_vision(clip_name: Annotated[str, File("clip_vision")], context: Context) -> ClipVision:
    """Loads an encoder of pictures: CLIP of any size as transformers or OpenCLIP lay it out, or SigLIP."""
    from marquetry.engine.models.vision import load_image_encoder

    return load_image_encoder(context.models, clip_name)


@node(id="CLIPVisionEncode", title="CLIP Vision Encode", category="conditioning", lane="device")
def encode_image(clip_vision: ClipVision, image: Image, crop: Crop) -> ClipVisionOutput:
    """Encodes pictures for models that are steered by them (Redux, unCLIP, IP-Adapter, picture to video)."""
    encoded: ImageEncoding = clip_vision.encode_image(image, crop == "center")
    return encoded
