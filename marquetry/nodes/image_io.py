"""Pictures in from files and out to files, with the graph that made them written beside the pixels."""

from __future__ import annotations

import hashlib
import io
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.lazy import numpy, torch
from marquetry.engine.outcome import NodeOutput
from marquetry.engine.pictures import Picture, decode, encode_apng, encode_png, to_tensor, to_uint8
from marquetry.engine.pictures.metadata import exif_block
from marquetry.engine.pictures.png import chunk
from marquetry.engine.ports import File, Image, Mask, Range, Raw, Text, Tip
from marquetry.engine.saving import FileSeries, SavedFile

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray
    from torch import Tensor

HIDDEN = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
PREVIEW_LEVEL = 1
WEBP_EFFORT = {"default": 4, "fastest": 0, "slowest": 6}
OUTPUT_CHOICES = Raw(
    image_folder="output", remote={"route": "/internal/files/output", "refresh_button": True, "control_after_refresh": "first"}
)
FilenamePrefix = Annotated[
    str,
    Text(),
    Tip("Begins the names of the files. It may hold folders and %date:yyyy-MM-dd%, %Node.widget%, %width%, %height%, %batch_num%."),
]
FramesPerSecond = Annotated[float, Range(0.01, 1000.0, step=0.01)]


class Loaded(NamedTuple):
    IMAGE: Image
    MASK: Mask


@node(id="LoadImage", title="Load Image", category="image", private=True, aliases=("open picture", "upload"))
def load_image(image: Annotated[str, File("input", upload="image")], context: Context) -> Loaded:
    """Reads a picture: PNG, JPEG, WebP, GIF, TIFF, AVIF or BMP, turned upright; an animation gives a batch of its frames.

    `image` is a file of the input folder, or of another as `name [output]`. IMAGE is `[B, H, W, 3]`. MASK is 1 where the
    picture is transparent, `[B, H, W]`; a picture without transparency gives zeros `[B, 64, 64]`.
    """
    return loaded(decode(context.folders.annotated(image)))


@node(id="LoadImageOutput", title="Load Image (from Outputs)", category="image", private=True, experimental=True)
def load_image_output(image: Annotated[str, File("output", upload="image"), OUTPUT_CHOICES], context: Context) -> Loaded:
    """As Load Image, for files of the output folder."""
    return loaded(decode(context.folders.annotated(image, "output")))


@node(id="LoadImageMask", title="Load Image (as Mask)", category="mask", private=True)
def load_image_mask(
    image: Annotated[str, File("input", upload="image")], channel: Literal["alpha", "red", "green", "blue"], context: Context
) -> Mask:
    """One channel of a picture as MASK `[1, H, W]`. Alpha is turned round, so that 1 is transparent; without any it is zeros `[1, 64, 64]`."""
    picture = decode(context.folders.annotated(image))
    if channel == "alpha":
        return loaded(picture).MASK[:1]
    return to_tensor(picture.pixels[:1, ..., ("red", "green", "blue").index(channel)])


@node(id="SaveImage", title="Save Image", category="image", output_node=True, hidden=HIDDEN, aliases=("export", "write"))
def save_image(images: Image, filename_prefix: FilenamePrefix = "ComfyUI", *, context: Context) -> NodeOutput[None]:
    """Saves pictures as PNG in the output folder, as `prefix_00001_.png` and on; the graph is written into each."""
    series = series_of(context, "output", filename_prefix, images)
    return shown(saved_png(context, series, images))


@node(id="PreviewImage", title="Preview Image", category="image", output_node=True, hidden=HIDDEN)
def preview_image(images: Image, context: Context) -> NodeOutput[None]:
    """Shows pictures without keeping them: they go to the temp folder."""
    return previewed(context, images)


@node(id="MaskPreview", title="Preview Mask", category="mask", output_node=True, hidden=HIDDEN)
def preview_mask(mask: Mask, context: Context) -> NodeOutput[None]:
    """Shows masks as grey pictures without keeping them."""
    return previewed(context, mask.reshape(-1, mask.shape[-2], mask.shape[-1], 1).expand(-1, -1, -1, 3))


@node(id="SaveAnimatedPNG", title="Save Animated PNG", category="image/animation", output_node=True, hidden=HIDDEN)
def save_animated_png(
    images: Image,
    filename_prefix: FilenamePrefix = "ComfyUI",
    fps: FramesPerSecond = 6.0,
    compress_level: Annotated[int, Range(0, 9)] = 4,
    *,
    context: Context,
) -> NodeOutput[None]:
    """Saves a batch as the frames of one animated PNG that loops; the graph is written behind them."""
    series = series_of(context, "output", filename_prefix, images)
    texts = [
        chunk(b"comf", key.encode("latin-1", "replace") + b"\x00" + text.encode("latin-1", "replace"))
        for key, text in graphs(context).items()
    ]
    frames = [picture_bytes(image) for image in images]
    data = encode_apng(frames, min(round(1000 / fps), 65_535), texts, level=compress_level)
    return shown([series.save(data, ".png")], animated=True)


@node(id="SaveAnimatedWEBP", title="Save Animated WEBP", category="image/animation", output_node=True, hidden=HIDDEN)
def save_animated_webp(
    images: Image,
    filename_prefix: FilenamePrefix = "ComfyUI",
    fps: FramesPerSecond = 6.0,
    lossless: bool = True,
    quality: Annotated[int, Range(0, 100)] = 80,
    method: Literal["default", "fastest", "slowest"] = "default",
    *,
    context: Context,
) -> NodeOutput[None]:
    """Saves a batch as the frames of one animated WebP; the graph is written into its EXIF."""
    from PIL import Image as pillow

    series = series_of(context, "output", filename_prefix, images)
    first, *others = [pillow.fromarray(picture_bytes(image)) for image in images]
    buffer = io.BytesIO()
    first.save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=others,
        duration=int(1000.0 / fps),
        exif=exif_block(graphs(context)),
        lossless=lossless,
        quality=quality,
        method=WEBP_EFFORT[method],
    )
    return shown([series.save(buffer.getvalue(), ".webp")], animated=len(images) != 1)


def loaded(picture: Picture) -> Loaded:
    """The frames in 0..1 and the mask of their transparency."""
    pixels = to_tensor(picture.pixels)  # [B, H, W, 3 or 4]
    mask = 1.0 - pixels[..., 3] if picture.has_alpha else torch.zeros(pixels.shape[0], 64, 64)
    return Loaded(pixels[..., :3].contiguous(), mask)


def graphs(context: Context) -> dict[str, str]:
    """What is written beside the pixels: the submitted graph and the client's extra entries, each as JSON text. Nothing when metadata is off."""
    if not context.services.metadata:
        return {}
    texts = {} if context.prompt is None else {"prompt": json.dumps(context.prompt)}
    return texts | {key: json.dumps(value) for key, value in context.extra.items()}


def series_of(context: Context, kind: Literal["output", "temp"], prefix: str, images: Tensor) -> FileSeries:
    if images.ndim != 4 or not len(images):
        raise NodeFailed(f"there are no pictures to save: the batch has the shape {list(images.shape)}")
    return FileSeries(context.folders, kind, prefix, width=images.shape[2], height=images.shape[1])


def picture_bytes(image: Tensor) -> NDArray[uint8]:
    """`[H, W, C]` as bytes with 3 or 4 channels; one grey channel becomes three equal ones."""
    levels = to_uint8(image)
    return numpy.repeat(levels, 3, axis=-1) if levels.shape[-1] == 1 else levels


def saved_png(context: Context, series: FileSeries, images: Tensor, level: int = 4) -> list[SavedFile]:
    """Write each picture of a batch with the graph beside it; stops between two when the job was cancelled."""
    texts = graphs(context)
    files = []
    for index, image in enumerate(images):
        context.check()
        files.append(series.save(encode_png(to_uint8(image), texts, level=level), ".png", index))
    return files


def previewed(context: Context, images: Tensor) -> NodeOutput[None]:
    """Save to the temp folder under a name that belongs to this run and node."""
    run = hashlib.blake2b(f"{context.job_id}\x00{context.node_id}".encode(), digest_size=5).hexdigest()
    series = series_of(context, "temp", f"ComfyUI_temp_{run}", images)
    return shown(saved_png(context, series, images, PREVIEW_LEVEL))


def shown(files: list[SavedFile], *, animated: bool = False) -> NodeOutput[None]:
    ui: dict[str, list[Any]] = {"images": list(files)}
    return NodeOutput(ui=ui | {"animated": [True]} if animated else ui)
