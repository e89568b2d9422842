"""Jobs: submit a graph, see where it is, cancel it, read what it made."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from aiohttp import web
from pydantic import BaseModel, Field

from marquetry.server.api import PREFIXES
from marquetry.server.api.models import JobDetail, JobList, JobSummary, ProblemModel, Results, State, Submit, ValidationResult
from marquetry.server.api.results import results
from marquetry.server.api.views import detail, links, summary
from marquetry.server.caller import OWNER_HEADER, caller_of, files_owner, job_owner, owner_filter
from marquetry.server.check import Checked
from marquetry.server.comfy.entries import SECRETS
from marquetry.server.http.access import Access
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import check, read_object, read_query
from marquetry.server.http.errors import NotFound, RequestError, ValidationFailed
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.jobs.errors import JobTimeout
from marquetry.server.jobs.job import Job, JobState, Submission
from marquetry.server.keys import CHECK, DATABASE, FOLDERS, JOBS, SETTINGS
from marquetry.server.openapi import Error

routes = RouteTable("Jobs", PREFIXES)
RUN = Access(rate="run")
MAX_WAIT_S = 600.0
MAX_KEY_CHARACTERS = 256
PREFER_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6}(?:\.\d{1,3})?)")


class JobsQuery(BaseModel):
    state: State | None = Field(default=None, description="only jobs in this state")
    limit: int = Field(default=50, ge=1, le=1000)
    offset: int = Field(default=0, ge=0, le=1_000_000_000)


class CancelRequest(BaseModel):
    job_id: str


class Cancelled(BaseModel):
    """`cancelled`: it was stopped, or will be at its next step. False: there was nothing left to stop."""

    job_id: str
    cancelled: bool


HEADERS_OF_SUBMIT = {
    "Prefer": "wait=SECONDS: answer when the job is done, or after that time",
    "Idempotency-Key": "the same key with the same body makes one job, however often it is sent",
    **OWNER_HEADER,
}
SUBMITTED = {
    202: Answer("it is in the queue", JobSummary, headers={"Location": "where the job is"}),
    200: Answer("it is done", JobDetail, headers={"Location": "where the job is"}),
    402: Answer("there are too few credits; the details say how many are needed, and how many there are", Error),
    403: Answer("the plan does not allow it; the details name plans that do", Error),
}


@routes.post("/jobs", "Run a graph", body=Submit, access=RUN, headers=HEADERS_OF_SUBMIT, answers=SUBMITTED)
async def submit(request: web.Request) -> web.Response:
    """Every problem of the graph is told at once. A graph of which only some outputs can be made is refused, unless `targets` names those."""
    return await take(request, _submission(await read_object(request)))


async def take(request: web.Request, body: Submit) -> web.Response:
    """Check a graph, queue it, and wait for its end where the caller prefers that."""
    jobs = request.app[JOBS]
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 0 < len(key) <= MAX_KEY_CHARACTERS:
        raise RequestError(f"Idempotency-Key has 1 to {MAX_KEY_CHARACTERS} characters")
    wait_s = _wait_s(request)
    checked = await request.app[CHECK].check(body.graph, body.targets, files_owner(request))
    refuse_problems(checked)
    job = await jobs.submit(
        Submission(
            graph=checked.graph,
            graph_json=checked.json,
            outputs=checked.outputs,
            owner=job_owner(request),
            client_id=body.client_id,
            extra={name: value for name, value in body.extra.items() if name not in SECRETS},
            front=body.front,
            priority=body.priority,
            job_id=body.job_id,
            idempotency_key=key,
            key_id=caller_of(request).key_id,
        )
    )
    headers = {"Location": links(job.id).self}
    if wait_s is None:
        return json_answer(summary(job), 202, headers)
    headers["Preference-Applied"] = f"wait={wait_s:g}"
    try:
        return json_answer(detail(await jobs.wait(job.id, wait_s)), 200, headers)
    except JobTimeout:
        return json_answer(summary(await jobs.find(job.id) or job), 202, headers)


@routes.post(
    "/validate", "Check a graph", body=Submit, answers={200: Answer("everything that is wrong with it, or nothing", ValidationResult)}
)
async def validate(request: web.Request) -> web.Response:
    """Nothing runs. Reading the graph at all can fail, which is an error as of any request."""
    body = _submission(await read_object(request))
    checked = await request.app[CHECK].check(body.graph, body.targets, files_owner(request))
    return json_answer(
        ValidationResult(
            valid=not checked.problems,
            outputs=list(checked.outputs),
            problems=[_problem(problem) for problem in checked.problems],
            nodes=len(body.graph),
        )
    )


@routes.get("/jobs", "Jobs", query=JobsQuery, headers=OWNER_HEADER, answers={200: Answer("jobs, newest first", JobList)})
async def list_jobs(request: web.Request) -> web.Response:
    query = read_query(request, JobsQuery)
    states = None if query.state is None else (JobState(query.state),)
    jobs, total = await request.app[JOBS].jobs(states=states, owner=owner_filter(request), limit=query.limit, offset=query.offset)
    return json_answer(JobList(jobs=[summary(job) for job in jobs], total=total, offset=query.offset, limit=query.limit))


@routes.get("/jobs/{job_id}", "A job", headers=OWNER_HEADER, also=("/api/v1/job/{job_id}",), answers={200: Answer("the job", JobDetail)})
async def one_job(request: web.Request) -> web.Response:
    job = await find(request)
    waiting = await request.app[JOBS].outlook.of_job(job.id) if job.state is JobState.QUEUED else None
    return json_answer(detail(job, waiting))


@routes.get("/jobs/{job_id}/results", "What a job made", headers=OWNER_HEADER, answers={200: Answer("its results", Results)})
async def job_results(request: web.Request) -> web.Response:
    """What there is so far, while the job runs."""
    job = await find(request)
    found = await asyncio.to_thread(results, job, request.app[FOLDERS].of(job.owner))
    if request.app[SETTINGS].market.enabled:
        found.made.cost_microcredits = await _cost_microcredits(request, job)
    return json_answer(found)


@routes.post("/jobs/{job_id}/cancel", "Cancel a job", headers=OWNER_HEADER, body_required=False, answers={200: Answer("done", Cancelled)})
async def cancel_job(request: web.Request) -> web.Response:
    return await _cancel(request, await find(request))


@routes.delete("/jobs/{job_id}", "Cancel a job, or forget a finished one", headers=OWNER_HEADER, answers={200: Answer("done", Cancelled)})
async def delete_job(request: web.Request) -> web.Response:
    """A job that waits or runs is cancelled and stays in the history; one that is done leaves it."""
    job = await find(request)
    if job.state.is_final:
        await request.app[JOBS].delete([job.id], owner=owner_filter(request))
        return json_answer(Cancelled(job_id=job.id, cancelled=False))
    return await _cancel(request, job)


async def cancel_generation(request: web.Request) -> web.Response:
    """The same as POST /api/v1/jobs/{job_id}/cancel, with the id in the body."""
    wanted = check(CancelRequest, await read_object(request), "body")
    return await _cancel(request, await find(request, wanted.job_id))


async def find(request: web.Request, job_id: str | None = None) -> Job:
    """The job that the address names, if the caller may see it. Raises NotFound."""
    job_id = request.match_info["job_id"] if job_id is None else job_id
    job = await request.app[JOBS].find(job_id, owner_filter(request))
    if job is None:
        raise NotFound(f"there is no job '{job_id[:100]}'")
    return job


def refuse_problems(checked: Checked) -> None:
    """Raises ValidationFailed where a graph has problems."""
    if checked.problems or not checked.outputs:
        raise ValidationFailed(
            f"the graph has {len(checked.problems)} problem{'s' * (len(checked.problems) != 1)}: {checked.problems[0].message}",
            problems=[_problem(problem).model_dump() for problem in checked.problems],
        )


async def _cost_microcredits(request: web.Request, job: Job) -> int:
    """What was charged; nothing for a job from before there were prices."""
    from marquetry.marketplace.errors import Missing
    from marquetry.marketplace.metering.receipts import receipt

    try:
        return (await request.app[DATABASE].read(receipt, job.id, None)).charged_microcredits
    except Missing:
        return 0


async def _cancel(request: web.Request, job: Job) -> web.Response:
    if not job.state.is_final:
        await request.app[JOBS].cancel(job.id, owner_filter(request))
    return json_answer(Cancelled(job_id=job.id, cancelled=not job.state.is_final))


def _submission(body: dict[str, Any]) -> Submit:
    if "graph" not in body or (isinstance(body["graph"], dict) and "class_type" in body["graph"]):
        body = {"graph": body}
    return check(Submit, body, "body")


def _wait_s(request: web.Request) -> float | None:
    match = PREFER_WAIT.search(request.headers.get("Prefer", ""))
    return None if match is None else min(float(match[1]), MAX_WAIT_S)


def _problem(problem: Any) -> ProblemModel:
    return ProblemModel(
        type=problem.type,
        message=problem.message,
        details=problem.details,
        node_id=problem.node_id,
        input_name=problem.input_name,
        extra=dict(problem.extra),
    )


aliases = RouteTable("Jobs")
aliases.post("/api/cancel-generation", "Cancel a job", body=CancelRequest, headers=OWNER_HEADER, answers={200: Answer("done", Cancelled)})(
    cancel_generation
)
