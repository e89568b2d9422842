"""Content types: what a file is by its bytes, whatever it is called; and which of them may be shown in place."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from marquetry.server.http.files import BINARY

HEAD_BYTES = 4096
PICTURES: Mapping[str, str] = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
}
SAFETENSORS = "application/x-safetensors"
ZIP = "application/zip"
TEXT = "text/plain"
SUFFIXES: Mapping[str, str] = {
    **{kind: f".{name.lower()}" for name, kind in PICTURES.items()},
    "image/jpeg": ".jpg",
    "video/mp4": ".mp4",
    "video/quicktime": ".mov",
    "video/webm": ".webm",
    "video/x-matroska": ".mkv",
    "audio/wav": ".wav",
    "audio/mpeg": ".mp3",
    "audio/flac": ".flac",
    "audio/ogg": ".ogg",
    "audio/mp4": ".m4a",
    "model/gltf-binary": ".glb",
    SAFETENSORS: ".safetensors",
    ZIP: ".zip",
    TEXT: ".txt",
}
ALSO: Mapping[str, frozenset[str]] = {  # other endings that say the same
    "image/jpeg": frozenset({".jpeg"}),
    "image/tiff": frozenset({".tif"}),
    "video/mp4": frozenset({".m4v"}),
    "audio/ogg": frozenset({".opus", ".oga"}),
    SAFETENSORS: frozenset({".sft"}),
    TEXT: frozenset({".json", ".csv", ".srt", ".vtt", ".md", ".mtl", ".obj"}),
}
SHOWN_IN_PLACE = frozenset({*PICTURES.values(), "video/mp4", "video/quicktime", "video/webm", "audio/wav", "audio/mpeg", "audio/flac",
                            "audio/ogg", "audio/mp4"})  # fmt: skip
MEDIA = frozenset({*SHOWN_IN_PLACE, "video/x-matroska", "model/gltf-binary", TEXT})
IMAGES = frozenset(PICTURES.values())
SOUNDS = frozenset(kind for kind in SUFFIXES if kind.startswith("audio/"))
PURPOSES: Mapping[str, frozenset[str]] = {
    "input": MEDIA,
    "reference": frozenset(kind for kind in MEDIA if kind.startswith(("image/", "video/", "audio/"))),
    "image": IMAGES,
    "mask": IMAGES,
    "avatar": IMAGES,
    "voice": SOUNDS,
    "dataset": frozenset({ZIP, TEXT}) | IMAGES,
    "weights": frozenset({SAFETENSORS}),
}
"""What people may upload, by what it is for."""

MADE = ("output", "export")
"""Purposes of files that the server makes."""

_MP4_SOUND = frozenset({b"M4A ", b"M4B ", b"M4P "})
_HEADER_LIMIT = 100 * 2**20


def sniffed(head: bytes, size_bytes: int) -> str | None:
    """The type that the first bytes show, or None: it is none of ours. Text is not looked for here, as all of it must be read."""
    from marquetry.engine.pictures import sniff

    picture = sniff(head)
    if picture is not None:
        return PICTURES[picture]
    if head[4:8] == b"ftyp":
        return _of_brand(head[8:12])
    if head[:4] == b"\x1aE\xdf\xa3":
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska" if b"matroska" in head[:64] else None
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "audio/wav"
    if head[:4] == b"fLaC":
        return "audio/flac"
    if head[:4] == b"OggS":
        return "audio/ogg"
    if head[:3] == b"ID3" or _is_mpeg_frame(head):
        return "audio/mpeg"
    if head[:4] == b"glTF" and head[4:8] == b"\x02\x00\x00\x00":
        return "model/gltf-binary"
    if head[:4] == b"PK\x03\x04":
        return ZIP
    if len(head) > 9 and head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= min(_HEADER_LIMIT, size_bytes - 8):
        return SAFETENSORS
    return None


def disposition(name: str, media_type: str, *, download: bool = False) -> str:
    """A Content-Disposition: in place only where a browser runs nothing of it, else for saving."""
    plain = "".join(character if 32 <= ord(character) < 127 and character not in '"\\%' else "_" for character in name)
    way = "inline" if media_type in SHOWN_IN_PLACE and not download else "attachment"
    extended = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"
    return f'{way}; filename="{plain}"{extended}'


def served_type(media_type: str) -> str:
    """The type to send: what browsers might run is plain bytes."""
    return media_type if media_type in SHOWN_IN_PLACE or media_type in (ZIP, "model/gltf-binary") else BINARY


def _of_brand(brand: bytes) -> str | None:
    if brand in _MP4_SOUND:
        return "audio/mp4"
    if brand == b"qt  ":
        return "video/quicktime"
    return None if brand[:3] in (b"hei", b"hev", b"mif", b"avi") or brand == b"crx " else "video/mp4"


def _is_mpeg_frame(head: bytes) -> bool:
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer, rate = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2]
    return version != 1 and layer != 0 and rate >> 4 not in (0, 15) and rate >> 2 & 3 != 3
