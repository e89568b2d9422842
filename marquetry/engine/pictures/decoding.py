"""Reading picture files that may be hostile: what they are is told by their content, and how large they get is checked before decoding."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marquetry.engine.errors import InvalidPicture
from marquetry.engine.lazy import numpy
from marquetry.engine.pictures.limits import MAX_BYTES, MAX_FRAMES, MAX_PIXELS

if TYPE_CHECKING:
    from numpy import uint8, uint16
    from numpy.typing import NDArray
    from PIL.Image import Image as PillowImage

MAGIC: tuple[tuple[str, bytes, int], ...] = (
    ("PNG", b"\x89PNG\r\n\x1a\n", 0),
    ("JPEG", b"\xff\xd8\xff", 0),
    ("WEBP", b"WEBP", 8),
    ("GIF", b"GIF87a", 0),
    ("GIF", b"GIF89a", 0),
    ("TIFF", b"II*\x00", 0),
    ("TIFF", b"MM\x00*", 0),
    ("AVIF", b"ftypavif", 4),
    ("AVIF", b"ftypavis", 4),
    ("BMP", b"BM", 0),
)
ORIENTATION_TAG = 0x0112
THUMBNAIL_QUALITY = 80


@dataclass(frozen=True)
class Picture:
    """Decoded frames `[F, H, W, C]`, upright; uint16 only from 16-bit grey files. `format` is Pillow's name of the file format."""

    pixels: NDArray[uint8] | NDArray[uint16]
    format: str

    @property
    def has_alpha(self) -> bool:
        return bool(self.pixels.shape[-1] == 4)


def sniff(data: bytes) -> str | None:
    """The format that the first bytes show (`PNG`, `JPEG`, `WEBP`, `GIF`, `TIFF`, `AVIF`, `BMP`), or None."""
    for name, magic, offset in MAGIC:
        if data[offset : offset + len(magic)] == magic and (name != "WEBP" or data[:4] == b"RIFF"):
            return name
    return None


def decode(data: bytes | Path, *, max_pixels: int = MAX_PIXELS, max_frames: int = MAX_FRAMES, max_bytes: int = MAX_BYTES) -> Picture:
    """All frames of a picture file, turned upright by its EXIF orientation. Frames of another size than the first are left out.

    `max_pixels` bounds width * height * frames, and is checked before pixels are decoded. Raises InvalidPicture for files that
    are too large, damaged, cut short, or of no known picture format.
    """
    raw = read(data, max_bytes)
    with guarded("read"):
        image = opened(raw, max_pixels, max_frames)
        frames = [array_of(upright(frame)) for frame in frames_of(image, max_pixels, max_frames)]
    first = frames[0]
    kept = [frame for frame in frames if frame.shape[:2] == first.shape[:2] and frame.dtype == first.dtype]
    channels = max(frame.shape[-1] for frame in kept)
    return Picture(numpy.stack([with_channels(frame, channels) for frame in kept]), image.format or "")


def thumbnail(data: bytes | Path, size: int, *, max_pixels: int = MAX_PIXELS) -> bytes:
    """The first frame as WebP whose longer side is at most `size` pixels, upright, without metadata. Raises InvalidPicture."""
    raw = read(data, MAX_BYTES)
    with guarded("read"):
        image = opened(raw, max_pixels, MAX_FRAMES)
        image.draft("RGB", (size, size))
        small = upright(image)
        if small.mode not in ("RGB", "RGBA"):
            small = small.convert("RGBA" if small.has_transparency_data else "RGB")
        small.thumbnail((size, size))
        small.info.clear()
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", quality=THUMBNAIL_QUALITY)
    return buffer.getvalue()


def read(data: bytes | Path, max_bytes: int) -> bytes:
    """The bytes of a file or the bytes given. Raises InvalidPicture when they are too many."""
    size = data.stat().st_size if isinstance(data, Path) else len(data)
    if size > max_bytes:
        raise InvalidPicture(f"the picture file has {size:,} bytes; at most {max_bytes:,} are read")
    return data.read_bytes() if isinstance(data, Path) else data


def opened(raw: bytes, max_pixels: int, max_frames: int) -> PillowImage:
    """The file with its header read and its size checked; no pixel is decoded yet."""
    from PIL import Image

    name = sniff(raw)
    if name is None:
        known = ", ".join(dict.fromkeys(name for name, _, _ in MAGIC))
        raise InvalidPicture(f"this is no picture in a format that is read here ({known})")
    image = Image.open(io.BytesIO(raw), formats=[name])
    require_pixels(image, 1, max_pixels)
    if name in ("PNG", "WEBP", "AVIF"):  # their headers tell the number of frames; elsewhere they are counted one by one
        count = getattr(image, "n_frames", 1)
        require_frames(count, max_frames)
        require_pixels(image, count, max_pixels)
    return image


def frames_of(image: PillowImage, max_pixels: int, max_frames: int) -> Iterator[PillowImage]:
    """Frames in their order; a JPEG has one, whatever hangs behind it."""
    if image.format in ("JPEG", "MPO"):
        yield image
        return
    from PIL import ImageSequence

    for index, frame in enumerate(ImageSequence.Iterator(image)):
        require_frames(index + 1, max_frames)
        require_pixels(frame, index + 1, max_pixels)
        yield frame


def require_pixels(image: PillowImage, frames: int, max_pixels: int) -> None:
    if image.width * image.height * frames > max_pixels:
        shape = f"{image.width}x{image.height}" + (f" with {frames} frames" if frames > 1 else "")
        raise InvalidPicture(f"the picture is too large: {shape}; at most {max_pixels:,} pixels in all are read")


def require_frames(count: int, max_frames: int) -> None:
    if count > max_frames:
        raise InvalidPicture(f"the picture has more than {max_frames:,} frames")


def orientation(image: PillowImage) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or it can't be read."""
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # metadata is written by anyone and is no part of the pixels
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def upright(image: PillowImage) -> PillowImage:
    """The picture turned and mirrored as its EXIF orientation says."""
    from PIL.Image import Transpose

    image.load()  # TIFF turns itself while it is loaded
    turn = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def array_of(image: PillowImage) -> Any:
    """One frame as `[H, W, 3]`, or `[H, W, 4]` where it has transparency of any kind."""
    if image.mode.startswith("I"):
        levels = numpy.asarray(image).astype(numpy.int64).clip(0, 65535).astype(numpy.uint16)
        return numpy.repeat(levels[..., None], 3, axis=-1)
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return numpy.asarray(image if image.mode == mode else image.convert(mode))


def with_channels(frame: Any, channels: int) -> Any:
    """`frame` with full opacity added where other frames have an alpha channel."""
    if frame.shape[-1] == channels:
        return frame
    opaque = numpy.full((*frame.shape[:2], 1), numpy.iinfo(frame.dtype).max, frame.dtype)
    return numpy.concatenate((frame, opaque), axis=-1)


class guarded:
    """Turns whatever a codec raises on a damaged file into InvalidPicture: codecs promise no class of error for such."""

    def __init__(self, verb: str) -> None:
        self.verb = verb

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, InvalidPicture):
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InvalidPicture(f"the picture can't be {self.verb}, it is damaged or cut short ({reason})") from error
