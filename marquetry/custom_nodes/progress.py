"""Progress and interruption as packs know them, through the context of the node that runs."""

from __future__ import annotations

from typing import Any

from marquetry.engine.context import Context
from marquetry.engine.errors import Interrupted
from marquetry.engine.expansion import current_context


class InterruptProcessingException(Interrupted):
    """ComfyUI's name for a cancelled job; packs raise it without arguments."""

    def __init__(self, message: str = "the job was cancelled", **details: object) -> None:
        super().__init__(message, **details)


def require_running() -> None:
    """Raise InterruptProcessingException when the job of the node that runs was cancelled."""
    context = current_context.get()
    if context is not None and context.cancelled():
        raise InterruptProcessingException()


def report(value: float, total: float, *, node_id: str | None = None, preview: Any = None, context: Context | None = None) -> None:
    """Report progress of the running node, or of another one by id. `preview` is a picture, or ComfyUI's (format, picture, size)."""
    context = context or current_context.get()
    if context is None:
        return
    if context.cancelled():
        raise InterruptProcessingException()
    if context.reporter is not None:
        context.reporter.progress(node_id or context.node_id, value, total, _picture(preview))


def _picture(preview: Any) -> Any:
    if isinstance(preview, tuple):
        preview = preview[1] if len(preview) > 1 else None
    if preview is None or hasattr(preview, "save"):
        return preview
    from PIL import Image

    array = preview.detach().cpu().float().numpy()  # [H, W, C] or [1, H, W, C], 0..1
    array = array[0] if array.ndim == 4 else array
    return Image.fromarray((array * 255.0).clip(0, 255).astype("uint8"))


class ProgressBar:
    """Counts steps up to `total` and reports each change for the node that made the bar."""

    def __init__(self, total: float, node_id: str | None = None) -> None:
        self.total = total
        self.current: float = 0
        self.node_id = node_id
        self._context = current_context.get()

    def update_absolute(self, value: float, total: float | None = None, preview: Any = None) -> None:
        """Set the count, and the total if it is given."""
        if total is not None:
            self.total = total
        self.current = min(value, self.total)
        report(self.current, self.total, node_id=self.node_id, preview=preview, context=self._context)

    def update(self, value: float) -> None:
        """Count on by `value`."""
        self.update_absolute(self.current + value)
