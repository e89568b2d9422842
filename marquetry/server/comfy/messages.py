"""The messages of ComfyUI's WebSocket: JSON texts of `type` and `data`, and binary frames of a type and a picture or a text."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import orjson

from marquetry.engine.events import JobFinished, NodeEvent, NodeFailed, NodeFinished, NodeProgress, NodeText
from marquetry.server.http.answer import encode
from marquetry.server.jobs.view import execution_error, execution_interrupted, failure_of_job

PREVIEW_IMAGE, TEXT, PREVIEW_WITH_METADATA = 1, 3, 4
IMAGE_FORMATS: Mapping[str, int] = {"jpeg": 1, "png": 2}


def message(kind: str, data: Mapping[str, Any] | orjson.Fragment) -> str:
    """One text frame."""
    return encode({"type": kind, "data": data}).decode()


def status(remaining: int, sid: str | None = None) -> str:
    """How many jobs wait or run. The first message on a socket also tells its id."""
    data: dict[str, Any] = {"status": {"exec_info": {"queue_remaining": remaining}}}
    if sid is not None:
        data["sid"] = sid
    return message("status", data)


def executing(job_id: str, node_id: str | None, display_id: str | None = None) -> str:
    """Which node runs now; no node ends the job."""
    if node_id is None:
        return message("executing", {"node": None, "prompt_id": job_id})
    return message("executing", {"node": node_id, "display_node": display_id or node_id, "prompt_id": job_id})


def executed(event: NodeFinished) -> str:
    """What a node has to show."""
    return message("executed", {"node": event.node_id, "display_node": event.display_id, "output": event.ui, "prompt_id": event.job_id})


def progress(event: NodeProgress) -> str:
    """How far a node is."""
    return message("progress", {"value": number(event.value), "max": number(event.total), "prompt_id": event.job_id, "node": event.node_id})


def failed(event: NodeFailed) -> str:
    """A node raised; the job ends."""
    return message("execution_error", execution_error(event))


def ended(event: JobFinished) -> str:
    """How a job ended that no node's failure ended."""
    if event.state == "completed":
        return message("execution_success", {"prompt_id": event.job_id, "timestamp": event.time_ms})
    if event.state == "cancelled":
        return message("execution_interrupted", execution_interrupted(event))
    return message("execution_error", failure_of_job(event))


def text_frame(event: NodeText) -> bytes:
    """A line of text to show on a node."""
    node_id = event.display_id.encode()
    return struct.pack(">II", TEXT, len(node_id)) + node_id + event.text.encode()


def preview_frame(event: NodeProgress, origin_id: str, *, with_metadata: bool) -> bytes:
    """A picture of how far a node is, and of which, for clients that understand that."""
    picture = event.preview or b""
    if not with_metadata:
        return struct.pack(">II", PREVIEW_IMAGE, IMAGE_FORMATS.get(event.preview_format, 1)) + picture
    about = encode(
        {
            "node_id": event.node_id,
            "prompt_id": event.job_id,
            "display_node_id": event.display_id,
            "parent_node_id": event.parent_id,
            "real_node_id": origin_id,
            "image_type": f"image/{event.preview_format}",
        }
    )
    return struct.pack(">II", PREVIEW_WITH_METADATA, len(about)) + about + picture


def node_entry(event: NodeEvent, state: str, value: float, total: float, origin_id: str) -> dict[str, Any]:
    """A node as `progress_state` shows it; `origin_id` is the submitted node that it was expanded from, or itself."""
    return {
        "value": number(value),
        "max": number(total),
        "state": state,
        "node_id": event.node_id,
        "prompt_id": event.job_id,
        "display_node_id": event.display_id,
        "parent_node_id": event.parent_id,
        "real_node_id": origin_id,
    }


def number(value: float) -> float | int:
    """Whole numbers as clients write them: without a point."""
    return int(value) if value == int(value) else value
