"""Pictures as the editor asks to see them: smaller in bytes, or only some of their channels; and masks laid over an original."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from marquetry.engine.errors import InvalidPicture
from marquetry.engine.pictures.limits import MAX_PIXELS
from marquetry.server.http.errors import RequestError

if TYPE_CHECKING:
    from PIL.Image import Image

PREVIEW_FORMATS = {"webp": "WEBP", "jpeg": "JPEG", "jpg": "JPEG", "png": "PNG"}
DEFAULT_QUALITY = 90


def preview_format(text: str) -> tuple[str, int]:
    """`webp;90` as format and quality. Raises RequestError."""
    name, _, quality = text.partition(";")
    if name not in PREVIEW_FORMATS:
        raise RequestError(f"preview is webp, jpeg or png and a quality, as in webp;90; not '{text[:40]}'")
    if quality and not quality.isdecimal():
        return PREVIEW_FORMATS[name], DEFAULT_QUALITY
    return PREVIEW_FORMATS[name], min(100, max(1, int(quality[:4] or DEFAULT_QUALITY)))


def preview(path: Path, format: str, quality: int, *, rgb: bool = False) -> bytes:
    """The picture coded anew for looking at. Raises InvalidPicture."""
    image = _opened(path)
    if format == "JPEG" or rgb:
        image = image.convert("RGB")
    elif image.mode not in ("RGB", "RGBA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return _coded(image, format, quality=quality)


def channel(path: Path, name: str) -> bytes:
    """A PNG with the colours only (`rgb`), or with the transparency only (`a`), black elsewhere. Raises InvalidPicture."""
    from PIL import Image

    image = _opened(path)
    if name == "rgb":
        return _coded(image.convert("RGB"), "PNG")
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else Image.new("L", image.size, 255)
    only = Image.new("RGBA", image.size)
    only.putalpha(alpha)
    return _coded(only, "PNG")


def masked(original: Path, mask: bytes) -> bytes:
    """The original with the transparency of the uploaded mask, as PNG; the graphs that the original carries stay. Raises InvalidPicture."""
    from PIL.PngImagePlugin import PngInfo

    from marquetry.engine.pictures import read_workflow

    colours = _opened(original).convert("RGBA")
    cover = _opened(io.BytesIO(mask)).convert("RGBA")
    if cover.size != colours.size:
        cover = cover.resize(colours.size)
    colours.putalpha(cover.getchannel("A"))
    texts = PngInfo()
    for key, value in read_workflow(original.read_bytes()).items():
        from marquetry.server.http.answer import encode

        texts.add_text(key, encode(value).decode())
    written = io.BytesIO()
    colours.save(written, "PNG", pnginfo=texts, compress_level=4)
    return written.getvalue()


def _opened(source: Path | io.BytesIO) -> Image:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        image = Image.open(source, formats=("PNG", "JPEG", "WEBP", "GIF", "TIFF", "AVIF", "BMP"))
        if image.width * image.height > MAX_PIXELS:
            raise InvalidPicture(f"the picture has {image.width}x{image.height} pixels; at most {MAX_PIXELS:,} in all are read")
        image.load()
        return ImageOps.exif_transpose(image)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise InvalidPicture(f"the file can't be read as a picture: {error}") from error


def _coded(image: Image, format: str, *, quality: int | None = None) -> bytes:
    written = io.BytesIO()
    match format:
        case "PNG":
            image.save(written, "PNG", compress_level=1)
        case "WEBP":
            image.save(written, "WEBP", quality=quality or DEFAULT_QUALITY, method=2)
        case _:
            image.save(written, "JPEG", quality=quality or DEFAULT_QUALITY)
    return written.getvalue()
