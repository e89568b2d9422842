"""Who calls: the owner of what a request makes, and whose things it may see. Every route on owned things asks here."""

from __future__ import annotations

from aiohttp import web

from marquetry.server.keys import PEOPLE

OWNER_HEADER = {"comfy-user": "id of the user, where several share the server"}


def owner_of(request: web.Request) -> str:
    """The id of who calls. Raises UnknownPerson."""
    return request.app[PEOPLE].owner(request.headers.get("comfy-user"))


def job_owner(request: web.Request) -> str:
    """Whose a new job is: nobody's in particular on a server with one user."""
    return owner_of(request) if request.app[PEOPLE].several else ""


def owner_filter(request: web.Request) -> str | None:
    """Whose jobs the caller may see and touch: everybody's on a server with one user."""
    return owner_of(request) if request.app[PEOPLE].several else None
