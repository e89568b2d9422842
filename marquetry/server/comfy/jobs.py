"""Jobs as newer clients of ComfyUI read them, instead of the queue and the history."""

from __future__ import annotations

from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel, Field

from marquetry.server.caller import owner_filter
from marquetry.server.comfy import PREFIXES
from marquetry.server.comfy.entries import STATES, summary, whole, workflow_id
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import read_model, read_query
from marquetry.server.http.errors import NotFound, RequestError
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.jobs.job import Job, JobState
from marquetry.server.keys import JOBS

routes = RouteTable("ComfyUI: queue", PREFIXES)
MAX_SEARCHED = 10_000


class JobsQuery(BaseModel):
    status: str | None = Field(default=None, description="some of pending, in_progress, completed, failed, cancelled, with commas between")
    workflow_id: str | None = Field(default=None, description="only jobs of this graph of the editor")
    sort_by: Literal["created_at", "execution_duration"] = "created_at"
    sort_order: Literal["asc", "desc"] = "desc"
    limit: int = Field(default=100, ge=1, le=1000)
    offset: int = Field(default=0, ge=0, le=1_000_000_000)


class Pagination(BaseModel):
    offset: int
    limit: int
    total: int
    has_more: bool


class Jobs(BaseModel):
    jobs: list[dict[str, Any]]
    pagination: Pagination


class CancelMany(BaseModel):
    job_ids: list[str] = Field(max_length=10_000)


@routes.get("/jobs", "Jobs", query=JobsQuery, answers={200: Answer("jobs, newest first", Jobs)})
async def list_jobs(request: web.Request) -> web.Response:
    query = read_query(request, JobsQuery)
    states = _states(query.status)
    jobs, owner = request.app[JOBS], owner_filter(request)
    if query.sort_by == "created_at" and query.workflow_id is None:
        newest_first = query.sort_order == "desc"
        found, total = await jobs.jobs(states=states, owner=owner, limit=query.limit, offset=query.offset, newest_first=newest_first)
    else:
        everything, _ = await jobs.jobs(states=states, owner=owner, limit=MAX_SEARCHED, newest_first=query.sort_order == "desc")
        chosen = [job for job in everything if query.workflow_id is None or workflow_id(job) == query.workflow_id]
        if query.sort_by == "execution_duration":
            chosen.sort(key=_duration_ms, reverse=query.sort_order == "desc")
        found, total = chosen[query.offset : query.offset + query.limit], len(chosen)
    pagination = {"offset": query.offset, "limit": query.limit, "total": total, "has_more": query.offset + len(found) < total}
    return json_answer({"jobs": [summary(job) for job in found], "pagination": pagination})


@routes.get("/jobs/{job_id}", "A job", answers={200: Answer("the job with its graph and outputs", dict[str, Any])})
async def one_job(request: web.Request) -> web.Response:
    return json_answer(whole(await _find(request, request.match_info["job_id"])))


@routes.post(
    "/jobs/{job_id}/cancel", "Cancel a job", body_required=False, answers={200: Answer("whether there was something to do", dict[str, Any])}
)
async def cancel_job(request: web.Request) -> web.Response:
    """A job that is done already, or that nobody knows, is no error."""
    job_id = request.match_info["job_id"]
    return json_answer({"cancelled": await _stop(request, job_id)})


@routes.post("/jobs/cancel", "Cancel jobs", body=CancelMany, answers={200: Answer("the ids of those that were stopped", dict[str, Any])})
async def cancel_jobs(request: web.Request) -> web.Response:
    """All or none: an unknown id refuses the whole request."""
    wanted = (await read_model(request, CancelMany)).job_ids
    for job_id in wanted:
        await _find(request, job_id)
    return json_answer({"cancelled": [job_id for job_id in wanted if await _stop(request, job_id)]})


async def _stop(request: web.Request, job_id: str) -> bool:
    """Cancel a job; whether there was something to stop."""
    jobs, owner = request.app[JOBS], owner_filter(request)
    job = await jobs.find(job_id, owner)
    if job is None or job.state.is_final:
        return False
    await jobs.cancel(job_id, owner)
    return True


async def _find(request: web.Request, job_id: str) -> Job:
    job = await request.app[JOBS].find(job_id, owner_filter(request))
    if job is None:
        raise NotFound(f"there is no job '{job_id[:100]}'")
    return job


def _states(text: str | None) -> tuple[JobState, ...] | None:
    if text is None:
        return None
    words = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in words if word not in STATES]
    if unknown:
        raise RequestError(f"status '{unknown[0][:40]}' is none of {', '.join(STATES)}")
    return tuple(STATES[word] for word in words)


def _duration_ms(job: Job) -> int:
    return 0 if job.started_ms is None or job.finished_ms is None else job.finished_ms - job.started_ms
