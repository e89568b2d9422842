"""Standing: where the running jobs of a client are, for one that connects in the middle of them or has missed events."""

from __future__ import annotations

from typing import Any

from marquetry.server.comfy import messages
from marquetry.server.comfy.translator import Frame, Translator
from marquetry.server.jobs.job import Job, JobState, NodeState, origin_of
from marquetry.server.jobs.service import JobService

COMFY_STATES = {"running": "running", "finished": "finished", "failed": "error", "skipped": "finished"}


class Standing:
    """The running jobs of one client."""

    def __init__(self, jobs: JobService, client_id: str, owner: str | None = None) -> None:
        self._jobs = jobs
        self._owner = owner
        self._client_id = client_id

    async def frames(self, translator: Translator, *, with_outputs: bool = False) -> list[Frame]:
        """What tells the client where its jobs are; `with_outputs` also what they have shown so far."""
        frames: list[Frame] = []
        for job_id in self._jobs.running():
            job = await self._jobs.find(job_id, self._owner)
            if job is None or job.client_id != self._client_id or job.state is not JobState.RUNNING:
                continue
            frames += translator.resume(job.id, {id: _entry(job, id, node) for id, node in job.nodes.items() if not node.cached})
            if with_outputs:
                frames += [_shown(job, id, output) for id, output in job.outputs.items()]
        return frames


def _entry(job: Job, id: str, node: NodeState) -> dict[str, Any]:
    return {
        "value": messages.number(node.value),
        "max": messages.number(node.total),
        "state": COMFY_STATES.get(node.state, "finished"),
        "node_id": id,
        "prompt_id": job.id,
        "display_node_id": node.display_id,
        "parent_node_id": node.parent_id,
        "real_node_id": origin_of(job.nodes, id),
    }


def _shown(job: Job, id: str, output: dict[str, Any]) -> str:
    node = job.nodes.get(id)
    return messages.message(
        "executed", {"node": id, "display_node": id if node is None else node.display_id, "output": output, "prompt_id": job.id}
    )
