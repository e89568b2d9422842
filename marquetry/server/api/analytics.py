"""Analytics: for operators, what the installation did in a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from pydantic import BaseModel, Field

from marquetry.server.api import PREFIXES
from marquetry.server.caller import require
from marquetry.server.http.access import Access
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import read_query
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.jobs.live import now_ms
from marquetry.server.keys import DATABASE

if TYPE_CHECKING:
    from sqlalchemy import Connection

routes = RouteTable("Admin", PREFIXES)
DAY_MS = 86_400_000


class AnalyticsQuery(BaseModel):
    days: int = Field(default=30, ge=1, le=366, description="how far back")


class Analytics(BaseModel):
    """What happened in the last `days`; `people` are all there are."""

    days: int
    people: int
    new_people: int
    active_people: int = Field(description="who had a job that began in the time")
    jobs: dict[str, int] = Field(description="jobs that were queued in the time, by state")
    charged_microcredits: int = Field(description="what runs cost that ended in the time")


@routes.get("/admin/analytics", "What the installation did", query=AnalyticsQuery, also=("/api/admin/analytics",),
            access=Access(permission="admin", scope="admin", fresh=True), answers={200: Answer("numbers", Analytics)})  # fmt: skip
async def analytics(request: web.Request) -> web.Response:
    require(request, "admin")
    days = read_query(request, AnalyticsQuery).days
    return json_answer(await request.app[DATABASE].read(_analytics, days, now_ms()))


def _analytics(connection: Connection, days: int, time_ms: int) -> Analytics:
    from sqlalchemy import distinct, func, select

    from marquetry.marketplace.accounts.tables import users
    from marquetry.marketplace.metering.reports import charged_between
    from marquetry.server.database.tables import jobs

    from_ms = time_ms - days * DAY_MS
    lately = jobs.c.created_ms >= from_ms
    states = connection.execute(select(jobs.c.state, func.count().label("number")).where(lately).group_by(jobs.c.state)).all()
    people = select(func.count()).select_from(users)
    active = select(func.count(distinct(jobs.c.owner))).where(lately, jobs.c.started_ms.is_not(None))
    return Analytics(
        days=days,
        people=connection.execute(people).scalar_one(),
        new_people=connection.execute(people.where(users.c.created_ms >= from_ms)).scalar_one(),
        active_people=connection.execute(active).scalar_one(),
        jobs={row.state: row.number for row in states},
        charged_microcredits=charged_between(connection, from_ms, time_ms + 1),
    )
