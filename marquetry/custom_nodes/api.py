"""`ComfyAPI`: the functions that packs written against `comfy_api` call, in their awaited and their plain form."""

from __future__ import annotations

from typing import Any

from marquetry.custom_nodes import progress


class Execution:
    """What concerns the running node, awaited."""

    async def set_progress(
        self, value: float, max_value: float, node_id: str | None = None, preview_image: Any = None, ignore_size_limit: bool = False
    ) -> None:
        """Report that `value` of `max_value` is done, of the running node or of another one, with a picture if there is one."""
        progress.report(value, max_value, node_id=node_id, preview=preview_image)


class ExecutionSync:
    """What concerns the running node."""

    def set_progress(
        self, value: float, max_value: float, node_id: str | None = None, preview_image: Any = None, ignore_size_limit: bool = False
    ) -> None:
        """As the awaited one."""
        progress.report(value, max_value, node_id=node_id, preview=preview_image)


class ComfyAPI:
    """For nodes that are `async def`."""

    VERSION = "latest"
    STABLE = False

    def __init__(self) -> None:
        self.execution = Execution()


class ComfyAPISync:
    """For plain nodes."""

    VERSION = "latest"
    STABLE = False

    def __init__(self) -> None:
        self.execution = ExecutionSync()
