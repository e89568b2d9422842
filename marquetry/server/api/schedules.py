"""Schedules: graphs that run by themselves, once or again and again, also only in hours of little load."""

from __future__ import annotations

from typing import Any, Literal

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, model_validator

from marquetry.server.api import PREFIXES
from marquetry.server.automation import schedules
from marquetry.server.automation.errors import WrongTime
from marquetry.server.automation.schedules import ACTIVE, DONE, PAUSED, Change, Schedule
from marquetry.server.automation.service import AUTOMATION
from marquetry.server.automation.timing import checked_cron, within, zone_of
from marquetry.server.caller import OWNER_HEADER, job_owner, owner_filter
from marquetry.server.database.database import one_by_one
from marquetry.server.http.answer import empty, json_answer
from marquetry.server.http.body import check, read_object, read_query
from marquetry.server.http.errors import ValidationFailed
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.jobs.live import now_ms
from marquetry.server.jobs.token import random_bytes
from marquetry.server.keys import CHECK, DATABASE, JOBS

routes = RouteTable("Schedules", PREFIXES)
FURTHEST_MS = 10 * 366 * 24 * 3600 * 1000
SHOWN_TIMES = 5
During = Field(
    default=None, max_length=32, description="hours in which it runs, as 22:00-06:00 in its zone, or off_peak; what is due outside waits"
)
_add = one_by_one(schedules.add_schedule)
_change = one_by_one(schedules.change_schedule)
_remove = one_by_one(schedules.remove_schedule)


class NewSchedule(BaseModel):
    """With `cron` it runs again and again, with `at_ms` once; with neither once, as soon as its hours are open."""

    model_config = ConfigDict(extra="forbid")

    graph: dict[str, Any] = Field(description="nodes by id, as ComfyUI's API format has them")
    targets: list[str] | None = Field(default=None, description="ids of the output nodes to make; all when left out")
    name: str = Field(default="", max_length=256)
    cron: str | None = Field(default=None, max_length=100, description="minute hour day month weekday, as in 30 2 * * mon-fri")
    at_ms: int | None = Field(default=None, ge=0, le=2**53, description="the moment, in milliseconds since 1970")
    timezone: str = Field(default="UTC", max_length=64, description="of the cron expression and the hours, as Europe/Berlin")
    during: str | None = During
    missed: Literal["run", "skip"] = Field(
        default="run", description="what becomes of runs while no server was there: one for all, or none"
    )

    @model_validator(mode="after")
    def _one_way(self) -> NewSchedule:
        if self.cron is not None and self.at_ms is not None:
            raise ValueError("cron and at_ms exclude each other")
        return self


class ScheduleChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(default=None, max_length=256)
    cron: str | None = Field(default=None, max_length=100)
    timezone: str | None = Field(default=None, max_length=64)
    during: str | None = During
    missed: Literal["run", "skip"] | None = None
    paused: bool | None = Field(default=None, description="true: nothing runs until it is false; runs that were due meanwhile are left out")


class ScheduleModel(BaseModel):
    """A schedule. `done`: it ran for the last time."""

    id: str
    name: str
    cron: str | None = None
    timezone: str
    during: str | None = None
    missed: Literal["run", "skip"]
    state: Literal["active", "paused", "done"]
    next_ms: int | None = Field(default=None, description="when it runs next")
    upcoming_ms: list[int] = Field(description="the next times at which it will run")
    runs: int
    last_error: str | None = None
    created_ms: int


class ScheduleDetail(ScheduleModel):
    graph: dict[str, Any]
    targets: list[str] | None = None


class ScheduleList(BaseModel):
    schedules: list[ScheduleModel]


class RunModel(BaseModel):
    """A firing. `missed`: no server was there; `failed`: its job could not be queued."""

    due_ms: int
    at_ms: int
    state: Literal["started", "missed", "failed"]
    job_id: str | None = None
    error: str | None = None


class RunList(BaseModel):
    runs: list[RunModel]


class RunsQuery(BaseModel):
    limit: int = Field(default=50, ge=1, le=500)


@routes.post("/schedules", "Run a graph by itself", body=NewSchedule, headers=OWNER_HEADER,
             answers={201: Answer("it runs from now on", ScheduleDetail)})  # fmt: skip
async def add(request: web.Request) -> web.Response:
    body = check(NewSchedule, await read_object(request), "body")
    owner = job_owner(request)
    await _check_graph(request, body, owner)
    now = now_ms()
    wish = _timed(request, body, owner, now)
    limit = (await request.app[JOBS].standing.of(owner)).schedules
    added = await request.app[DATABASE].write(_add, (wish, limit))
    request.app[AUTOMATION].scheduler.wake()
    return json_answer(_detail(request, added), 201)


@routes.get("/schedules", "Schedules", headers=OWNER_HEADER, answers={200: Answer("all of the caller", ScheduleList)})
async def list_all(request: web.Request) -> web.Response:
    found = await request.app[DATABASE].read(schedules.list_schedules, owner_filter(request))
    return json_answer(ScheduleList(schedules=[ScheduleModel(**_fields(request, schedule)) for schedule in found]))


@routes.get("/schedules/{schedule_id}", "A schedule", headers=OWNER_HEADER, answers={200: Answer("the schedule", ScheduleDetail)})
async def one(request: web.Request) -> web.Response:
    return json_answer(_detail(request, await _find(request)))


@routes.patch("/schedules/{schedule_id}", "Change, pause or resume a schedule", body=ScheduleChange, headers=OWNER_HEADER,
              answers={200: Answer("as it is now", ScheduleDetail)})  # fmt: skip
async def change(request: web.Request) -> web.Response:
    body = check(ScheduleChange, await read_object(request), "body")
    values = _changes(request, await _find(request), body, now_ms())
    wish = Change(request.match_info["schedule_id"], owner_filter(request), values)
    changed = await request.app[DATABASE].write(_change, wish) if values else await _find(request)
    request.app[AUTOMATION].scheduler.wake()
    return json_answer(_detail(request, changed))


@routes.delete("/schedules/{schedule_id}", "Forget a schedule", headers=OWNER_HEADER, answers={204: Answer("it runs no more")})
async def forget(request: web.Request) -> web.Response:
    await request.app[DATABASE].write(_remove, (request.match_info["schedule_id"], owner_filter(request)))
    return empty(204)


@routes.get("/schedules/{schedule_id}/runs", "Runs of a schedule", query=RunsQuery, headers=OWNER_HEADER,
            answers={200: Answer("the last runs, newest first", RunList)})  # fmt: skip
async def runs(request: web.Request) -> web.Response:
    limit = read_query(request, RunsQuery).limit
    schedule = await _find(request)
    found = await request.app[DATABASE].read(schedules.list_runs, schedule.id, limit)
    shown = [RunModel.model_validate(run, from_attributes=True) for run in found]
    return json_answer(RunList(runs=shown))


async def _check_graph(request: web.Request, body: NewSchedule, owner: str) -> None:
    checked = await request.app[CHECK].check(body.graph, body.targets, owner)
    if checked.problems or not checked.outputs:
        problems = [{"node_id": problem.node_id, "message": problem.message} for problem in checked.problems[:20]]
        raise ValidationFailed(f"the graph has {len(checked.problems)} problems", problems=problems)


def _timed(request: web.Request, body: NewSchedule, owner: str, now: int) -> Schedule:
    """The schedule with its first time. Raises WrongTime."""
    scheduler, zone = request.app[AUTOMATION].scheduler, zone_of(body.timezone)
    hours = scheduler.checked_hours(body.during, zone)
    wish = Schedule(
        id=f"sched_{random_bytes(12).hex()}",
        owner=owner,
        name=body.name,
        graph=orjson.dumps(body.graph),
        targets=None if body.targets is None else tuple(body.targets),
        cron=None if body.cron is None else checked_cron(body.cron, zone, now),
        timezone=body.timezone,
        during=body.during,
        missed=body.missed,
        state=ACTIVE,
        due_ms=None,
        next_ms=None,
        created_ms=now,
    )
    if wish.cron is not None:
        due_ms, next_ms = scheduler.times(wish, now)
    else:
        due_ms = now if body.at_ms is None else body.at_ms
        if due_ms < now - 60_000 or due_ms > now + FURTHEST_MS:
            raise WrongTime("at_ms must lie in the future, by ten years at most")
        next_ms = within(hours, due_ms)
    return Schedule(**{name: getattr(wish, name) for name in Schedule.__dataclass_fields__} | {"due_ms": due_ms, "next_ms": next_ms})


def _changes(request: web.Request, old: Schedule, body: ScheduleChange, now: int) -> dict[str, Any]:
    """Columns that are another; times are found anew where they depend on it. Raises WrongTime."""
    given = body.model_dump(exclude_unset=True)
    values = {name: given[name] for name in ("name", "timezone", "missed") if given.get(name) is not None}
    if "during" in given:
        values["during"] = given["during"]
    if given.get("cron") is not None:
        if old.cron is None:
            raise WrongTime("this schedule runs once; make another one to run again and again")
        values["cron"] = checked_cron(given["cron"], zone_of(values.get("timezone", old.timezone)), now)
    if body.paused is not None and old.state != DONE:
        values["state"] = PAUSED if body.paused else ACTIVE
    zone = zone_of(values.get("timezone", old.timezone))
    request.app[AUTOMATION].scheduler.checked_hours(values.get("during"), zone)
    if {"cron", "timezone", "during"} & set(values) or (old.state == PAUSED and values.get("state") == ACTIVE):
        values |= _times(request, old, values, now)
    return values


def _times(request: web.Request, old: Schedule, values: dict[str, Any], now: int) -> dict[str, Any]:
    scheduler = request.app[AUTOMATION].scheduler
    new = Schedule(**{name: getattr(old, name) for name in Schedule.__dataclass_fields__} | values)
    if new.cron is not None:
        due_ms, next_ms = scheduler.times(new, now)
    else:
        due_ms = max(old.due_ms or now, now) if old.state != DONE else None
        next_ms = None if due_ms is None else within(scheduler.hours(new.during, zone_of(new.timezone)), due_ms)
    return {"due_ms": due_ms, "next_ms": next_ms}


async def _find(request: web.Request) -> Schedule:
    return await request.app[DATABASE].read(schedules.find_schedule, request.match_info["schedule_id"], owner_filter(request))


def _fields(request: web.Request, schedule: Schedule) -> dict[str, Any]:
    shown = ("id", "name", "cron", "timezone", "during", "missed", "state", "runs", "last_error", "created_ms")
    active = schedule.state == ACTIVE
    upcoming = request.app[AUTOMATION].scheduler.upcoming(schedule, SHOWN_TIMES)
    return {name: getattr(schedule, name) for name in shown} | {"next_ms": schedule.next_ms if active else None, "upcoming_ms": upcoming}


def _detail(request: web.Request, schedule: Schedule) -> ScheduleDetail:
    targets = None if schedule.targets is None else list(schedule.targets)
    return ScheduleDetail(**_fields(request, schedule), graph=orjson.loads(schedule.graph), targets=targets)
