"""What travels beside the pixels: the graph that made a picture is kept and read, everything that tells of a person is removed."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from marquetry.engine.pictures.containers import bare_gif, join_jpeg, join_png, join_webp, jpeg_segments, png_chunks, webp_chunks
from marquetry.engine.pictures.decoding import ORIENTATION_TAG, guarded, opened, orientation, read, sniff, upright
from marquetry.engine.pictures.limits import MAX_BYTES, MAX_FRAMES, MAX_PIXELS
from marquetry.engine.pictures.png import SIGNATURE, chunk, text_chunk

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

GRAPH_KEYS = ("prompt", "workflow")
MAX_TEXT_BYTES = 2**25
PNG_KEPT = frozenset(b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP cICP sBIT bKGD pHYs acTL fcTL fdAT".split())
WEBP_KEPT = frozenset((b"VP8X", b"VP8 ", b"VP8L", b"ANIM", b"ANMF", b"ALPH", b"ICCP"))
JPEG_APP0, JPEG_APP1, JPEG_APP2, JPEG_APP14, JPEG_COMMENT = 0xE0, 0xE1, 0xE2, 0xEE, 0xFE
MAX_SEGMENT_BYTES = 65_000
EXIF_HEADER = b"Exif\x00\x00"
EXIF_MODEL, EXIF_MAKE = 0x0110, 0x010F
INFO_KEPT = ("icc_profile", "transparency", "duration", "loop", "background")
AGAIN: Mapping[str, dict[str, Any]] = {
    "PNG": {},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95, "method": 4},
    "AVIF": {"quality": 95},
    "TIFF": {"compression": "tiff_deflate"},
    "BMP": {},
}


def read_workflow(data: bytes) -> dict[str, Any]:
    """The graphs that a picture carries: `prompt` (API form) and `workflow` (editor form), each only where it is a JSON object.

    Reads the text chunks of PNG and the EXIF of WebP and JPEG, as ComfyUI and its kin write them. Never raises: no graph is {}.
    """
    try:
        return {key: json.loads(text) for key, text in graph_texts(data, sniff(data))}
    except Exception:  # a damaged file carries no graph; what is wrong with it is told by whoever decodes it
        return {}


def strip_metadata(data: bytes, *, max_pixels: int = MAX_PIXELS) -> bytes:
    """The file without EXIF, place, XMP, IPTC, comments, previews and whatever hangs behind it; `prompt` and `workflow` graphs stay.

    Pixels stay as they are coded in PNG, JPEG, WebP and GIF. A still picture whose EXIF turns it is turned and coded anew, without loss
    or at quality 95; TIFF, AVIF and BMP are always coded anew. Raises InvalidPicture for what `decode` would refuse by its header.
    """
    raw = read(data, MAX_BYTES)
    with guarded("read"):
        image = opened(raw, max_pixels, MAX_FRAMES)
        name = sniff(raw) or ""
        turned = orientation(image)
        still = name == "JPEG" or getattr(image, "n_frames", 1) == 1
        texts = dict(graph_texts(raw, name))
        if name in ("TIFF", "AVIF", "BMP") or (turned != 1 and still and name != "GIF"):
            raw, turned = coded_again(image, name, raw, texts), 1
        return bare(raw, name, texts, turned)


def bare(raw: bytes, name: str, texts: Mapping[str, str], turned: int) -> bytes:
    """The file with nothing beside its pixels but colour profile, graphs and, for animations, the orientation."""
    if name == "PNG":
        return bare_png(raw, texts, turned)
    exif = exif_block(texts, turned) if texts or turned != 1 else b""
    if name == "WEBP":
        return join_webp([(kind, body) for kind, body in webp_chunks(raw) if kind in WEBP_KEPT], exif)
    if name == "JPEG":
        return bare_jpeg(raw, exif)
    return bare_gif(raw) if name == "GIF" else raw


def bare_png(raw: bytes, texts: Mapping[str, str], turned: int) -> bytes:
    head, *rest = [(kind, body) for kind, body in png_chunks(raw) if kind in PNG_KEPT]
    added = [text_chunk(key, text) for key, text in texts.items()]
    if turned != 1:
        added.append(chunk(b"eXIf", exif_block({}, turned)))
    return b"".join((join_png([head]), *added, join_png(rest).removeprefix(SIGNATURE)))


def bare_jpeg(raw: bytes, exif: bytes) -> bytes:
    kept = [segment for segment in jpeg_segments(raw) if jpeg_kept(*segment[:2])]
    place = 1 if kept[0][0] == JPEG_APP0 else 0
    if 0 < len(exif) < MAX_SEGMENT_BYTES:
        kept.insert(place, (JPEG_APP1, EXIF_HEADER + exif, b""))
    return join_jpeg(kept)


def exif_block(texts: Mapping[str, str], turned: int = 1) -> bytes:
    """A TIFF block with graphs as ComfyUI puts them into WebP (`prompt:{...}` as the camera's model, others counted down from its make)."""
    from PIL import Image

    exif = Image.Exif()
    free = EXIF_MAKE
    for key, text in texts.items():
        if key == "prompt":
            exif[EXIF_MODEL] = f"prompt:{text}"
            continue
        exif[free] = f"{key}:{text}"
        free -= 1
    if turned != 1:
        exif[ORIENTATION_TAG] = turned
    return exif.tobytes().removeprefix(EXIF_HEADER)


def graph_texts(raw: bytes, name: str | None) -> Iterator[tuple[str, str]]:
    """(key, JSON text) of each graph in the file that is a JSON object."""
    found = png_texts(raw) if name == "PNG" else exif_texts(raw, name)
    for key, text in found:
        if key in GRAPH_KEYS and is_json_object(text):
            yield key, text


def png_texts(raw: bytes) -> Iterator[tuple[str, str]]:
    for kind, body in png_chunks(raw):
        if kind not in (b"tEXt", b"zTXt", b"iTXt", b"comf"):
            continue
        keyword, _, rest = body.partition(b"\x00")
        key = keyword.decode("latin-1")
        if kind in (b"tEXt", b"comf"):
            yield key, rest.decode("latin-1")
        elif kind == b"zTXt":
            yield key, inflated(rest[1:]).decode("latin-1", "replace")
        elif kind == b"iTXt":
            packed, text = rest[:1] == b"\x01", rest[2:].split(b"\x00", 2)[-1]
            yield key, (inflated(text) if packed else text).decode("utf-8", "replace")


def exif_texts(raw: bytes, name: str | None) -> Iterator[tuple[str, str]]:
    from PIL import Image

    blocks: list[bytes] = []
    if name == "WEBP":
        blocks = [body for kind, body in webp_chunks(raw) if kind == b"EXIF"]
    elif name == "JPEG":
        blocks = [body for marker, body, _ in jpeg_segments(raw) if marker == JPEG_APP1 and body.startswith(EXIF_HEADER)]
    for block in blocks:
        exif = Image.Exif()
        exif.load(block)
        for value in list(exif.values()):
            if isinstance(value, str) and ":" in value:
                key, _, text = value.partition(":")
                yield key.lower(), text.rstrip("\x00")


def inflated(packed: bytes) -> bytes:
    """Decompressed text up to a bound; what is longer is cut and so is no JSON any more."""
    try:
        return zlib.decompressobj().decompress(packed, MAX_TEXT_BYTES)
    except zlib.error:
        return b""


def is_json_object(text: str) -> bool:
    if len(text) > MAX_TEXT_BYTES:
        return False
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def jpeg_kept(marker: int, body: bytes) -> bool:
    """Tables, frames and scans; of the application segments only JFIF, the colour profile and Adobe's colour transform."""
    if marker == JPEG_APP0:
        return body.startswith(b"JFIF\x00") and body[12:14] == b"\x00\x00"  # with a preview inside it is left out
    if marker == JPEG_APP2:
        return body.startswith(b"ICC_PROFILE\x00")
    if marker == JPEG_APP14:
        return body.startswith(b"Adobe")
    return not (0xE0 <= marker <= 0xEF or marker == JPEG_COMMENT)


def coded_again(image: PillowImage, name: str, raw: bytes, texts: Mapping[str, str]) -> bytes:
    """The frames upright, in the same format, with no metadata but the colour profile; WebP gets its graphs here, as only some of its forms hold any."""
    from PIL import ImageSequence

    frames = []
    for frame in [image] if name == "JPEG" else ImageSequence.Iterator(image):
        plain = upright(frame).copy()
        plain.info = {key: value for key, value in frame.info.items() if key in INFO_KEPT}
        frames.append(plain)
    options = dict(AGAIN[name])
    if name == "WEBP" and raw[12:16] == b"VP8L":
        options["lossless"] = True
    if name == "WEBP" and texts:
        options["exif"] = exif_block(texts)
    if len(frames) > 1:
        options |= {"save_all": True, "append_images": frames[1:]}
    if profile := image.info.get("icc_profile"):
        options["icc_profile"] = profile
    buffer = io.BytesIO()
    frames[0].save(buffer, name, **options)
    return buffer.getvalue()
