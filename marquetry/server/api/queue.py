"""The queue in the open: how much waits, where the caller's jobs stand, and how long they will wait."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from pydantic import BaseModel, Field

from marquetry.server.api import PREFIXES
from marquetry.server.api.models import QueuePlace
from marquetry.server.api.views import queue_place
from marquetry.server.automation.service import AUTOMATION
from marquetry.server.caller import OWNER_HEADER, job_owner, owner_filter
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import read_query
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.keys import JOBS

routes = RouteTable("Queue", PREFIXES)


class QueueQuery(BaseModel):
    limit: int = Field(default=20, ge=0, le=50, description="of the caller's jobs, how many to show")


class Backlog(BaseModel):
    """All that waits and runs, of everybody."""

    label: str = "jobs of everybody that wait on this server"
    waiting: int
    running: int


class Position(BaseModel):
    """The place of the caller's next job."""

    label: str = "place of your next job in the priority order"
    position: int | None = Field(default=None, description="1 is next; nothing when none of your jobs waits")


class QueueStandingModel(BaseModel):
    """What the caller's plan says of the queue."""

    priority_class: int | None = Field(description="higher goes first; nothing where jobs say their own priority")
    weight: int = Field(description="turns in relation to others of the same class")
    running_jobs: int | None = Field(description="how many jobs may run at the same time; nothing: no bound")


class QueueState(BaseModel):
    """The queue as the caller sees it. Both numbers are told: how much waits in all, and how much of it goes before the caller's next job."""

    backlog: Backlog
    position: Position
    estimated_wait_s: float | None = Field(default=None, description="of your next job; nothing while nothing like it was measured")
    waiting: int = Field(description="how many of your jobs wait")
    jobs: list[QueuePlace] = Field(description="your waiting jobs in the order in which they will run")
    standing: QueueStandingModel
    price: dict[str, Any] | None = Field(default=None, description="what your waiting jobs may cost together, where there is a market")


class NodeTime(BaseModel):
    """How long nodes of a type took lately, in seconds; of one step where they count steps."""

    node_type: str
    model: str = Field(description="weights of the job; empty: of whatever weights")
    p50_s: float
    p95_s: float
    runs: int = Field(description="how many were measured, at most the last 31")


class NodeTimes(BaseModel):
    times: list[NodeTime]


class TimesQuery(BaseModel):
    node_type: str | None = Field(default=None, max_length=256, description="only of this node type")


@routes.get("/queue", "The queue", query=QueueQuery, headers=OWNER_HEADER, answers={200: Answer("how it stands", QueueState)})
async def queue_state(request: web.Request) -> web.Response:
    """The same comes live over the WebSocket /api/v1/events with `queue=true`."""
    return json_answer(await state_of(request, read_query(request, QueueQuery).limit))


@routes.get("/queue/times", "How long nodes take", query=TimesQuery, answers={200: Answer("measured times", NodeTimes)})
async def node_times(request: web.Request) -> web.Response:
    wanted = read_query(request, TimesQuery).node_type
    measured = request.app[JOBS].times.measured(None if wanted is None else frozenset({wanted}))
    times = [
        NodeTime(node_type=entry.node_type, model=entry.model, p50_s=entry.median_us / 1e6, p95_s=entry.p95_us / 1e6, runs=entry.runs)
        for entry in measured
    ]
    return json_answer(NodeTimes(times=times))


async def state_of(request: web.Request, limit: int = 20) -> QueueState:
    """What the caller may see of the queue."""
    jobs = request.app[JOBS]
    overview = await jobs.outlook.overview(owner_filter(request), max(limit, 1))
    standing = await jobs.standing.of(job_owner(request))
    pricing = request.app[AUTOMATION].pricing
    prices = None if pricing is None else await pricing.of_jobs(job_owner(request), [waiting.place.job_id for waiting in overview.mine])
    places = [queue_place(waiting, None if prices is None else prices.jobs.get(waiting.place.job_id)) for waiting in overview.mine]
    return QueueState(
        backlog=Backlog(waiting=overview.backlog.waiting, running=overview.backlog.running),
        position=Position(position=places[0].position if places else None),
        estimated_wait_s=places[0].estimated_wait_s if places else None,
        waiting=overview.mine_waiting,
        jobs=places[:limit],
        standing=QueueStandingModel(priority_class=standing.priority_class, weight=standing.weight, running_jobs=standing.running_jobs),
        price=None if prices is None else prices.total,
    )
