"""Jobs as ComfyUI's clients read them: items of the queue, entries of the history, and the newer job objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from marquetry.server.jobs.job import Job, JobState, origin_of

STATUS: Mapping[JobState, str] = {
    JobState.QUEUED: "pending",
    JobState.RUNNING: "in_progress",
    JobState.COMPLETED: "completed",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}
STATES: Mapping[str, JobState] = {word: state for state, word in STATUS.items()}
PREVIEWABLE = ("images", "video", "audio", "3d")
SECRETS = frozenset({"auth_token_comfy_org", "api_key_comfy_org"})


def item(job: Job) -> list[Any]:
    """[number, prompt_id, prompt, extra_data, outputs_to_execute]."""
    return [job.number, job.id, orjson.Fragment(job.graph), extra_data(job), list(job.outputs_to_execute)]


def extra_data(job: Job) -> dict[str, Any]:
    """What came with the prompt, and who sent it."""
    extra: dict[str, Any] = orjson.loads(job.extra) if job.extra else {}
    if job.client_id:
        extra["client_id"] = job.client_id
    return {**extra, "create_time": job.created_ms}


def history_entry(job: Job) -> dict[str, Any]:
    """A finished job. Its status says what happened: `success` only where every wanted output was made."""
    return {
        "prompt": item(job),
        "outputs": job.outputs,
        "status": {
            "status_str": "success" if job.state is JobState.COMPLETED else "error",
            "completed": job.state is JobState.COMPLETED,
            "messages": job.messages,
        },
        "meta": {node_id: _meta(job, node_id) for node_id in job.outputs},
    }


def summary(job: Job) -> dict[str, Any]:
    """A job in a list."""
    files = list(_files(job))
    shown: dict[str, Any] = {
        "id": job.id,
        "status": STATUS[job.state],
        "priority": job.number,
        "create_time": job.created_ms,
        "outputs_count": len(files),
        "previewable_outputs_count": sum(file["mediaType"] in PREVIEWABLE for file in files),
    }
    if job.started_ms is not None:
        shown["execution_start_time"] = job.started_ms
    if job.finished_ms is not None:
        shown["execution_end_time"] = job.finished_ms
    best = sorted(files, key=lambda file: (file.get("type") != "output", file["mediaType"] not in PREVIEWABLE))
    if best:
        shown["preview_output"] = best[0]
    errors = [data for kind, data in job.messages if kind == "execution_error"]
    if job.state is JobState.FAILED and errors:
        shown["execution_error"] = errors[-1]
    workflow = workflow_id(job)
    if workflow is not None:
        shown["workflow_id"] = workflow
    return shown


def whole(job: Job) -> dict[str, Any]:
    """A job alone: with its graph and outputs."""
    return {
        **summary(job),
        "workflow": {"prompt": orjson.Fragment(job.graph), "extra_data": extra_data(job)},
        "outputs": job.outputs,
        "execution_status": history_entry(job)["status"],
        "execution_meta": {node_id: _meta(job, node_id) for node_id in job.outputs},
        "update_time": job.finished_ms or job.started_ms or job.created_ms,
    }


def workflow_id(job: Job) -> str | None:
    """The id of the editor's graph that the job was made from."""
    if b'"workflow"' not in job.extra:
        return None
    png = extra_data(job).get("extra_pnginfo")
    workflow = png.get("workflow") if isinstance(png, dict) else None
    found = workflow.get("id") if isinstance(workflow, dict) else None
    return found if isinstance(found, str) else None


def _files(job: Job) -> Iterator[dict[str, Any]]:
    for node_id, ui in job.outputs.items():
        for kind, values in ui.items():
            if not isinstance(values, list):
                continue
            for value in values:
                if isinstance(value, dict) and isinstance(value.get("filename"), str):
                    yield {**value, "nodeId": node_id, "mediaType": "images" if kind == "gifs" else kind}


def _meta(job: Job, node_id: str) -> dict[str, Any]:
    node = job.nodes.get(node_id)
    return {
        "node_id": node_id,
        "display_node": node_id if node is None else node.display_id,
        "parent_node": None if node is None else node.parent_id,
        "real_node_id": origin_of(job.nodes, node_id),
    }
