"""What a running node reports: progress, previews, text, usage."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from marquetry.engine.events import NodeProgress, NodeText, UsageReport
from marquetry.engine.execution.plan import PlannedNode

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from marquetry.engine.execution.executor import Executor
    from marquetry.engine.execution.run import Run

PREVIEW_INTERVAL_S = 0.1


class Reports:
    """The ear of one node's context. Previews beyond ten a second are dropped, progress is not."""

    __slots__ = ("_planned", "_previewed_s", "_run")

    def __init__(self, run: Run, planned: PlannedNode) -> None:
        self._run = run
        self._planned = planned
        self._previewed_s = 0.0

    def progress(self, node_id: str, value: float, total: float, preview: Picture | None) -> None:
        encoded: bytes | None = None
        if preview is not None:
            now_s = time.monotonic()
            if now_s - self._previewed_s >= PREVIEW_INTERVAL_S or value >= total:
                self._previewed_s = now_s
                encoded = encode_preview(preview, self._run.executor.services.preview_size)
        planned = self._find(node_id)
        self._run.emit(NodeProgress(job_id=self._run.job_id, time_ms=_now_ms(), node_id=planned.id, display_id=planned.display_id,
                                    parent_id=planned.parent_id, value=value, total=total, preview=encoded))  # fmt: skip

    def text(self, node_id: str, text: str) -> None:
        planned = self._find(node_id)
        self._run.emit(NodeText(job_id=self._run.job_id, time_ms=_now_ms(), node_id=planned.id, display_id=planned.display_id,
                                parent_id=planned.parent_id, text=text))  # fmt: skip

    def _find(self, node_id: str) -> PlannedNode:
        if node_id == self._planned.id:
            return self._planned
        index = self._run.index.get(node_id)
        return self._planned if index is None else self._run.nodes[index]


def encode_preview(picture: Picture, size: int) -> bytes:
    """A JPEG of at most `size` pixels on the longer side."""
    if max(picture.size) > size:
        picture = picture.copy()
        picture.thumbnail((size, size))
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def usage_of(executor: Executor, planned: PlannedNode, arguments: Mapping[str, Any]) -> list[UsageReport]:
    """What the node's usage rule makes of its arguments, with the content of the files that it named."""
    rule = planned.type.usage
    if rule is None:
        return []
    files = [executor.file_token(kind, name).hex() for kind, name in planned.files or ()]
    return [
        UsageReport(operation=usage.operation, quantity=usage.quantity, resources=[*usage.resources, *files]) for usage in rule(arguments)
    ]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
