"""Who calls: the owner of what a request makes, and whose things it may see. Every route on owned things asks here.

Without accounts there is one user, or several whom the `comfy-user` header tells apart. With accounts the gate has found out who calls before
any handler runs; here it is only looked up.
"""

from __future__ import annotations

from aiohttp import web

from marquetry.engine.folders import Folders
from marquetry.marketplace.accounts.caller import Caller
from marquetry.marketplace.accounts.errors import SignInNeeded
from marquetry.marketplace.accounts.roles import ADMIN, USER
from marquetry.marketplace.errors import Unauthenticated
from marquetry.server.keys import FOLDERS, PEOPLE, SETTINGS

CALLER = web.RequestKey("caller", Caller)
ALL_OWNERS = "X-All-Owners"
OWNER_HEADER = {
    "comfy-user": "id of the user, where several share the server without accounts",
    ALL_OWNERS: "true: everybody's, for callers who may see that",
}


def caller_of(request: web.Request) -> Caller:
    """Who calls. Raises Unauthenticated where that is not known, UnknownPerson for a wrong `comfy-user` header."""
    known: Caller | None = request.get(CALLER)
    if known is not None:
        return known
    if request.app[SETTINGS].accounts.enabled:
        raise Unauthenticated("sign in, or send a key: Authorization: Bearer mq_...")
    return Caller(request.app[PEOPLE].owner(request.headers.get("comfy-user")), frozenset({USER, ADMIN}), local=True)


def known_caller(request: web.Request) -> Caller | None:
    """Who calls, or None for somebody who has not signed in, on routes that are open to all."""
    if request.app[SETTINGS].accounts.enabled and CALLER not in request:
        return None
    return caller_of(request)


def require(request: web.Request, permission: str) -> Caller:
    """Who calls, if they may do that. Raises Unauthenticated and PermissionMissing."""
    caller = caller_of(request)
    caller.require(permission)
    return caller


def require_person(request: web.Request) -> Caller:
    """Who calls, if a person signed in; keys can't change what keys may do. Raises Unauthenticated and SignInNeeded."""
    caller = caller_of(request)
    if not caller.is_person:
        raise SignInNeeded("a key can't do this; sign in with e-mail and password")
    return caller


def owner_of(request: web.Request) -> str:
    """The id of who calls. Raises Unauthenticated, UnknownPerson."""
    return caller_of(request).owner


def job_owner(request: web.Request) -> str:
    """Whose a new job is: nobody's in particular on a server with one user."""
    return owner_of(request) if _several(request) else ""


def owner_filter(request: web.Request) -> str | None:
    """Whose things the caller may see and touch: everybody's on a server with one user, and for who may and asks for that."""
    if not _several(request):
        return None
    if request.headers.get(ALL_OWNERS, "").lower() == "true" and request.app[SETTINGS].accounts.enabled:
        require(request, "jobs.all")
        return None
    return owner_of(request)


def socket_owner(request: web.Request) -> str | None:
    """Whose events a socket hears: with accounts the caller's. Pages can't send the `comfy-user` header with a socket, so without, all."""
    return owner_filter(request) if request.app[SETTINGS].accounts.enabled else None


def client_place(request: web.Request, client_id: str) -> str:
    """Under which name a client's socket is kept: what one person's client is called concerns nobody else."""
    return f"{owner_of(request)}/{client_id}" if request.app[SETTINGS].accounts.enabled else client_id


def files_owner(request: web.Request) -> str:
    """Whose files are meant; nobody's in particular on a server without accounts."""
    return owner_of(request) if request.app[SETTINGS].accounts.enabled else ""


def folders_of_caller(request: web.Request) -> Folders:
    """The folders that the caller reads and writes: with accounts, their own input, output and temp."""
    return request.app[FOLDERS].of(files_owner(request))


def _several(request: web.Request) -> bool:
    return request.app[SETTINGS].accounts.enabled or request.app[PEOPLE].several
