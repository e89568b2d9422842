"""How large pictures may be, so that neither a graph nor an uploaded file can take all memory."""

from __future__ import annotations

from marquetry.engine.errors import NodeFailed

MAX_RESOLUTION = 16384  # longest side of anything a node makes
MAX_TENSOR_PIXELS = 2**28  # width * height * batch of anything a node makes
MAX_PIXELS = 2**27  # width * height * frames of a file that is read
MAX_FRAMES = 4096
MAX_BYTES = 2**28


def require_size(width: int, height: int, count: int = 1) -> None:
    """Raise NodeFailed when `count` pictures of `width` x `height` are too large to be made, or empty."""
    if width < 1 or height < 1 or count < 1:
        raise NodeFailed(f"the result would be empty: {count} pictures of {width}x{height}")
    if width > MAX_RESOLUTION or height > MAX_RESOLUTION:
        raise NodeFailed(f"the result would be {width}x{height}; a side may have at most {MAX_RESOLUTION} pixels")
    if width * height * count > MAX_TENSOR_PIXELS:
        raise NodeFailed(
            f"{count} pictures of {width}x{height} are more than {MAX_TENSOR_PIXELS:,} pixels in all; use fewer or smaller ones"
        )
