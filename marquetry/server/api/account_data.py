"""What is kept of the caller: exported on request, and erased when they leave."""

from __future__ import annotations

from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from marquetry.marketplace.errors import Conflict
from marquetry.server.api import PREFIXES
from marquetry.server.caller import OWNER_HEADER, job_owner
from marquetry.server.http.access import Access
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import read_model
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.jobs.live import now_ms
from marquetry.server.people_work import PEOPLE_WORK
from marquetry.server.storage.people_requests import ERASURE, EXPORT, REQUEST_ID, PeopleRequest, find_request, new_request
from marquetry.server.storage.room import STORAGE

routes = RouteTable("Account", PREFIXES, access=Access(scope="account", person=True))


class ExportWanted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    include_files: bool = Field(default=False, description="with the bytes of pictures and other files, not only what is known of them")


class DataRequest(BaseModel):
    """A request and how far it is."""

    id: str
    kind: Literal["export", "erasure"]
    state: Literal["waiting", "running", "sweeping", "done", "failed"]
    created_ms: int
    finished_ms: int | None = None
    file_id: str | None = Field(default=None, description="the ZIP archive, once it is there")
    download_url: str | None = Field(default=None, description="a signed address of it")
    report: dict[str, Any] | None = Field(default=None, description="rows by room and table")
    error: str | None = None


class Leaving(BaseModel):
    model_config = ConfigDict(extra="forbid")

    confirm: Literal["erase everything"] = Field(description="so that it does not happen by mistake")


@routes.post(
    "/user/export",
    "Export what is kept of the caller",
    body=ExportWanted,
    body_required=False,
    headers=OWNER_HEADER,
    answers={202: Answer("it is being made", DataRequest, headers={"Location": "where it is told how far that is"})},
)
async def export(request: web.Request) -> web.Response:
    """A ZIP archive with all rows of the caller in all rooms, as JSON. While one is made, asking again gives the same."""
    wanted = await read_model(request, ExportWanted, empty={})
    asked = new_request(EXPORT, job_owner(request), now_ms(), include_files=wanted.include_files)
    return _told(request, await request.app[PEOPLE_WORK].ask(asked), 202)


@routes.get(
    f"/user/export/{{request_id:{REQUEST_ID}}}", "How far an export is", headers=OWNER_HEADER, answers={200: Answer("it", DataRequest)}
)
async def export_state(request: web.Request) -> web.Response:
    database = request.app[STORAGE].storage.database
    return _told(request, await database.read(find_request, request.match_info["request_id"], job_owner(request)), 200)


@routes.delete(
    "/user/account",
    "Erase the caller's account",
    body=Leaving,
    headers=OWNER_HEADER,
    access=Access(scope="account", person=True, fresh=True),
    answers={202: Answer("it is being erased", DataRequest)},
)
async def leave(request: web.Request) -> web.Response:
    """Everywhere, for good: rows, files, running jobs. What money did stays in the books, under an id that names nobody any more."""
    await read_model(request, Leaving)
    owner = job_owner(request)
    if not owner:
        raise Conflict("this server keeps no accounts: everything in its data folder is yours, delete what you want there")
    return _told(request, await request.app[PEOPLE_WORK].ask(new_request(ERASURE, owner, now_ms())), 202)


def _told(request: web.Request, found: PeopleRequest, status: int) -> web.Response:
    address = None if found.file_id is None else request.app[STORAGE].links.address(found.file_id, now_ms(), download="true")
    body = DataRequest(
        id=found.id,
        kind="export" if found.kind == EXPORT else "erasure",
        state=found.state,  # type: ignore[arg-type]  # one of these words
        created_ms=found.created_ms,
        finished_ms=found.finished_ms,
        file_id=found.file_id,
        download_url=address,
        report=found.report,
        error=found.error,
    )
    return json_answer(body, status, {"Location": f"/api/v1/user/export/{found.id}"} if found.kind == EXPORT else None)
