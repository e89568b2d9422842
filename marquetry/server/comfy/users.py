"""Users and their settings."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from pydantic import BaseModel

from marquetry.server.caller import OWNER_HEADER, owner_of
from marquetry.server.comfy import PREFIXES
from marquetry.server.http.answer import empty, json_answer
from marquetry.server.http.body import read_json, read_model, read_object
from marquetry.server.http.errors import Forbidden, RequestError
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.keys import PEOPLE, SETTINGS

routes = RouteTable("ComfyUI: users", PREFIXES)


class NewUser(BaseModel):
    username: str


class Users(BaseModel):
    storage: str
    migrated: bool | None = None
    users: dict[str, str] | None = None


@routes.get("/users", "Users", answers={200: Answer("where settings are kept, and who there is", Users)})
async def users(request: web.Request) -> web.Response:
    people = request.app[PEOPLE]
    if people.several and not request.app[SETTINGS].accounts.enabled:
        return json_answer({"storage": "server", "users": people.names()})
    return json_answer({"storage": "server", "migrated": True})


@routes.post("/users", "Add a user", body=NewUser, answers={200: Answer("the id of the new user", str)})
async def add_user(request: web.Request) -> web.Response:
    """Only in multi-user mode; a name that is taken is refused."""
    people = request.app[PEOPLE]
    if request.app[SETTINGS].accounts.enabled:
        raise Forbidden("people have accounts here; POST /api/v1/auth/register makes one")
    if not people.several:
        raise RequestError("this server keeps one user; start it with --multi-user")
    new = await read_model(request, NewUser)
    if new.username.strip() in people.names().values():
        raise RequestError(f"there is a user called '{new.username[:100]}' already")
    return json_answer(await asyncio.to_thread(people.add, new.username))


@routes.get("/settings", "Settings of a user", headers=OWNER_HEADER, answers={200: Answer("all settings", dict[str, Any])})
async def settings(request: web.Request) -> web.Response:
    return json_answer(await asyncio.to_thread(request.app[PEOPLE].settings, owner_of(request)))


@routes.post("/settings", "Change settings", headers=OWNER_HEADER, body=dict[str, Any], answers={200: Answer("changed")})
async def change_settings(request: web.Request) -> web.Response:
    owner, changes = owner_of(request), await read_object(request)
    await asyncio.to_thread(request.app[PEOPLE].change_settings, owner, changes)
    return empty()


@routes.get("/settings/{id}", "One setting", headers=OWNER_HEADER, answers={200: Answer("its value, or null", Any)})
async def setting(request: web.Request) -> web.Response:
    values = await asyncio.to_thread(request.app[PEOPLE].settings, owner_of(request))
    return json_answer(values.get(request.match_info["id"]))


@routes.post("/settings/{id}", "Change one setting", headers=OWNER_HEADER, body=Any, answers={200: Answer("changed")})
async def change_setting(request: web.Request) -> web.Response:
    owner, value = owner_of(request), await read_json(request)
    await asyncio.to_thread(request.app[PEOPLE].change_settings, owner, {request.match_info["id"]: value})
    return empty()
