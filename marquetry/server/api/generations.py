"""Generations: jobs under the names that flow builders know them by. The same jobs as below /api/v1/jobs, in other words."""

from __future__ import annotations

from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from marquetry.server.api.jobs import find
from marquetry.server.api.models import ID_PATTERN
from marquetry.server.api.results import files
from marquetry.server.api.workflows import wanted_graph
from marquetry.server.automation.callbacks import Callback, callbacks_of, keep_callback
from marquetry.server.caller import OWNER_HEADER, caller_of, job_owner, owner_filter
from marquetry.server.database.database import one_by_one
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import check, read_object, read_query
from marquetry.server.http.errors import ValidationFailed
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.jobs.job import Job, JobState, Submission
from marquetry.server.jobs.live import now_ms
from marquetry.server.keys import CHECK, DATABASE, JOBS

routes = RouteTable("Generations")
Status = Literal["queued", "processing", "completed", "failed", "cancelled"]
STATES: dict[str, JobState] = {
    "queued": JobState.QUEUED,
    "processing": JobState.RUNNING,
    "completed": JobState.COMPLETED,
    "failed": JobState.FAILED,
    "cancelled": JobState.CANCELLED,
}
WORDS = {state: word for word, state in STATES.items()}
_keep = one_by_one(keep_callback)


class Trigger(BaseModel):
    """A flow to run: a kept graph or one that ships, by its name in `flowId`, or any `graph`."""

    model_config = ConfigDict(extra="forbid")

    flowId: str | None = Field(default=None, max_length=128, description="name of a kept graph, or of one that ships, as text_to_image")
    graph: dict[str, Any] | None = Field(default=None, description="nodes by id, as ComfyUI's API format has them")
    inputData: dict[str, Any] = Field(
        default={}, max_length=1000, description="inputs that differ: by the flow's names for them, or by node.input as in 2.text"
    )
    generationId: str | None = Field(default=None, pattern=ID_PATTERN, description="id for the job; one is made when left out")


class Triggered(BaseModel):
    generationId: str
    status: Status


class Asset(BaseModel):
    """A file that a generation made, here or in an outside flow."""

    url: str = Field(max_length=2048)
    type: str = Field(default="", max_length=128)
    filename: str = Field(default="", max_length=256)
    size: int | None = Field(default=None, ge=0)
    format: str = Field(default="", max_length=64)


class CallbackBody(BaseModel):
    """What an outside flow has come to with a generation."""

    generationId: str = Field(max_length=128)
    status: Status
    progress: int = Field(default=0, ge=0, le=100)
    outputAssets: list[Asset] = Field(default=[], max_length=100)
    executionId: str = Field(default="", max_length=128, description="of the flow's run; reports of the same run replace each other")


class CallbackTaken(BaseModel):
    received: bool = True
    generationId: str


class ExternalRun(BaseModel):
    """What an outside flow reported last."""

    executionId: str
    status: Status
    progress: int
    outputAssets: list[Asset]
    updatedAt: int


class Generation(BaseModel):
    """A job. Times are milliseconds since 1970."""

    id: str
    status: Status
    progress: float
    currentStep: str
    outputAssets: list[Asset]
    errorMessage: str | None = None
    errorDetails: dict[str, Any] | None = None
    retryCount: int
    createdAt: int
    processingStartedAt: int | None = None
    processingCompletedAt: int | None = None
    cancelledAt: int | None = None


class GenerationDetail(Generation):
    externalRuns: list[ExternalRun]


class GenerationList(BaseModel):
    generations: list[Generation]
    total: int


class GenerationsQuery(BaseModel):
    status: Status | None = Field(default=None, description="only generations in this state")
    limit: int = Field(default=50, ge=1, le=200)
    offset: int = Field(default=0, ge=0, le=1_000_000_000)


@routes.post("/api/trigger-workflow", "Run a flow", body=Trigger, headers=OWNER_HEADER, answers={202: Answer("it is queued", Triggered)})
async def trigger(request: web.Request) -> web.Response:
    body = check(Trigger, await read_object(request), "body")
    graph = await wanted_graph(request, body.graph, body.flowId, body.inputData)
    owner = job_owner(request)
    checked = await request.app[CHECK].check(graph, None, owner)
    if checked.problems or not checked.outputs:
        problems = [{"node_id": problem.node_id, "message": problem.message} for problem in checked.problems[:20]]
        raise ValidationFailed(f"the flow has {len(checked.problems)} problems", problems=problems)
    job = await request.app[JOBS].submit(
        Submission(
            graph=checked.graph,
            graph_json=checked.json,
            outputs=checked.outputs,
            owner=owner,
            job_id=body.generationId,
            key_id=caller_of(request).key_id,
        )
    )
    return json_answer(Triggered(generationId=job.id, status="queued"), 202)


@routes.post("/api/n8n-callback", "Report of an outside flow", body=CallbackBody, headers=OWNER_HEADER,
             answers={200: Answer("it is kept; the same again changes nothing", CallbackTaken)})  # fmt: skip
async def callback(request: web.Request) -> web.Response:
    """For flows that go on with what a generation made. What they report stands beside the job; the job itself is not changed by it."""
    body = check(CallbackBody, await read_object(request), "body")
    job = await find(request, body.generationId)
    assets = [asset.model_dump() for asset in body.outputAssets]
    report = Callback(job.id, body.executionId, job.owner, body.status, body.progress, assets, now_ms())
    await request.app[DATABASE].write(_keep, report)
    return json_answer(CallbackTaken(generationId=job.id))


@routes.get("/api/generations", "Generations", query=GenerationsQuery, headers=OWNER_HEADER,
            answers={200: Answer("jobs, newest first", GenerationList)})  # fmt: skip
async def list_all(request: web.Request) -> web.Response:
    query = read_query(request, GenerationsQuery)
    states = None if query.status is None else (STATES[query.status],)
    jobs, total = await request.app[JOBS].jobs(states=states, owner=owner_filter(request), limit=query.limit, offset=query.offset)
    return json_answer(GenerationList(generations=[Generation(**_fields(job)) for job in jobs], total=total))


@routes.get("/api/generations/{job_id}", "A generation", headers=OWNER_HEADER, answers={200: Answer("the job", GenerationDetail)})
async def one(request: web.Request) -> web.Response:
    job = await find(request)
    reports = await request.app[DATABASE].read(callbacks_of, job.id)
    return json_answer(GenerationDetail(**_fields(job), externalRuns=[_run(report) for report in reports]))


def _run(report: Callback) -> ExternalRun:
    status: Any = report.status
    assets = [Asset(**asset) for asset in report.assets]
    return ExternalRun(
        executionId=report.execution_id, status=status, progress=report.progress, outputAssets=assets, updatedAt=report.updated_ms
    )


def _fields(job: Job) -> dict[str, Any]:
    assets = [
        Asset(url=file.url[:2048], type=file.media_type, filename=file.name[:256], format=file.name.rpartition(".")[2][:64])
        for file in files(job)
    ]
    error = job.error
    return {
        "id": job.id,
        "status": WORDS[job.state],
        "progress": job.progress,
        "currentStep": job.current_step,
        "outputAssets": assets,
        "errorMessage": None if error is None else error.message,
        "errorDetails": None if error is None else {"code": error.code, "node_id": error.node_id, "node_type": error.node_type},
        "retryCount": max(0, job.attempts - 1),
        "createdAt": job.created_ms,
        "processingStartedAt": job.started_ms,
        "processingCompletedAt": job.finished_ms if job.state is JobState.COMPLETED else None,
        "cancelledAt": job.finished_ms if job.state is JobState.CANCELLED else None,
    }
