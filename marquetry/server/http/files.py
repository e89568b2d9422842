"""Files as answers: ranges, entity tags, and no file that a browser would run as a page or a script of this site."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from urllib.parse import quote

from aiohttp import web

BINARY = "application/octet-stream"
SAFE_APPLICATIONS = frozenset({"application/json", "application/zip", "application/x-zip-compressed"})
SAFE_TEXTS = frozenset({"text/plain", "text/csv"})
TYPES = mimetypes.MimeTypes(strict=False)
for suffix, kind_of_suffix in {
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".flac": "audio/flac",
    ".opus": "audio/ogg",
    ".glb": "model/gltf-binary",
    ".obj": "model/obj",
    ".mjs": "text/javascript",
    ".md": "text/markdown",
    ".safetensors": BINARY,
}.items():
    TYPES.add_type(kind_of_suffix, suffix)
REVALIDATE = "private, no-cache"


def media_type(name: str) -> str:
    """The media type that a file's name tells."""
    return TYPES.guess_type(name)[0] or BINARY


def safe_media_type(name: str) -> str:
    """As `media_type`, but what a browser would run (pages, scripts, styles, SVG, ...) is plain bytes."""
    kind = media_type(name)
    if kind == "image/svg+xml":
        return BINARY
    if kind.startswith(("image/", "video/", "audio/", "model/")) or kind in SAFE_APPLICATIONS or kind in SAFE_TEXTS:
        return kind
    return BINARY


def disposition(name: str, kind: str) -> str:
    """A Content-Disposition header: shown where the type is harmless, else offered for download."""
    plain = "".join(character if 32 <= ord(character) < 127 and character not in '"\\' else "_" for character in name)
    way = "attachment" if kind == BINARY else "inline"
    extended = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'{way}; filename="{plain}"{extended}'


def file_answer(path: Path, *, kind: str | None = None, cache: str = REVALIDATE) -> web.FileResponse:
    """The file with its entity tag; answers Range and If-None-Match. `kind` where the type is known better than by its name."""
    chosen = kind or safe_media_type(path.name)
    return web.FileResponse(
        path, headers={"Content-Type": chosen, "Content-Disposition": disposition(path.name, chosen), "Cache-Control": cache}
    )
