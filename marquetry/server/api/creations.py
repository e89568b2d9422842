"""Creations: generations for sites that reserve credits first, then have a picture made and ask how it stands. The same jobs in other words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from marquetry.server.api.jobs import RUN, SUBMITTED, find, refuse_problems
from marquetry.server.api.results import files
from marquetry.server.api.workflows import wanted_graph
from marquetry.server.caller import OWNER_HEADER, caller_of, files_owner, job_owner
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import read_model
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.jobs.job import Job, JobState, Submission
from marquetry.server.jobs.live import now_ms
from marquetry.server.keys import CHECK, JOBS

if TYPE_CHECKING:
    from sqlalchemy import Connection

routes = RouteTable("Generations", ("/api/v1/generation", "/generation"))
Status = Literal["pending", "processing", "completed", "failed"]
WORDS: dict[JobState, Status] = {
    JobState.QUEUED: "pending",
    JobState.RUNNING: "processing",
    JobState.COMPLETED: "completed",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "failed",
}


class Create(BaseModel):
    """What to make: a `graph`, or a `workflow` by its name."""

    model_config = ConfigDict(extra="forbid")

    workflow: str | None = Field(default=None, max_length=100, description="name of a kept graph, or of one that ships, as text_to_image")
    graph: dict[str, Any] | None = Field(default=None, description="nodes by id, as ComfyUI's API format has them")
    inputs: dict[str, Any] = Field(default={}, max_length=1000, description="by the graph's names for them, or by node.input as in 2.text")
    reservation_id: str | None = Field(
        default=None, max_length=128, description="of POST /buzz/reserve: it is given back as the job takes what it needs, in one step"
    )
    client_id: str = Field(default="", max_length=128, description="whose WebSocket hears of it")


class Created(BaseModel):
    generation_id: str
    status: Status


class Made(BaseModel):
    url: str
    filename: str
    type: str


class CreationError(BaseModel):
    code: str
    message: str


class CreationStatus(Created):
    """A job that was cancelled has failed, with the error `cancelled`. Times are milliseconds since 1970."""

    progress: float
    current_step: str
    outputs: list[Made]
    error: CreationError | None = None
    created_at: int
    completed_at: int | None = None


@routes.post("/create", "Make something", body=Create, headers=OWNER_HEADER, access=RUN,
             answers={202: Answer("it is queued", Created), 402: SUBMITTED[402], 403: SUBMITTED[403]})  # fmt: skip
async def create(request: web.Request) -> web.Response:
    """With a reservation: either the job is queued and the reservation over, or nothing has changed."""
    body = await read_model(request, Create)
    graph = await wanted_graph(request, body.graph, body.workflow, body.inputs)
    checked = await request.app[CHECK].check(graph, None, files_owner(request))
    refuse_problems(checked)
    submission = Submission(
        graph=checked.graph,
        graph_json=checked.json,
        outputs=checked.outputs,
        owner=job_owner(request),
        client_id=body.client_id,
        key_id=caller_of(request).key_id,
    )
    if body.reservation_id is None:
        job = await request.app[JOBS].submit(submission)
    else:
        (job,) = await request.app[JOBS].submit_together([submission], _giving_back(caller_of(request).owner, body.reservation_id))
    return json_answer(Created(generation_id=job.id, status=WORDS[job.state]), 202)


@routes.get(
    "/{job_id}/status", "How something stands that is made", headers=OWNER_HEADER, answers={200: Answer("as it is now", CreationStatus)}
)
async def status(request: web.Request) -> web.Response:
    job = await find(request)
    return json_answer(
        CreationStatus(
            generation_id=job.id,
            status=WORDS[job.state],
            progress=job.progress,
            current_step=job.current_step,
            outputs=[Made(url=file.url, filename=file.name, type=file.media_type) for file in files(job)],
            error=_error(job),
            created_at=job.created_ms,
            completed_at=job.finished_ms,
        )
    )


def _error(job: Job) -> CreationError | None:
    if job.state is JobState.CANCELLED:
        return CreationError(code="cancelled", message="it was cancelled")
    return None if job.error is None else CreationError(code=job.error.code, message=job.error.message)


def _giving_back(owner: str, reservation_id: str) -> Any:
    def give_back(connection: Connection) -> None:
        from marquetry.marketplace.ledger import release
        from marquetry.marketplace.ledger.holds import require_open
        from marquetry.server.ledger.operations import own_reservation

        require_open(own_reservation(connection, owner, reservation_id))
        release(connection, reservation_id, now_ms())

    return give_back
