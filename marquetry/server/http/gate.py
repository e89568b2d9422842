"""The gate: every request passes it. It gives a request id, checks the caller, turns every error into the one shape, and logs."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Mapping

from aiohttp import hdrs, web

from marquetry.engine.errors import EngineError
from marquetry.marketplace.errors import MarketError
from marquetry.server.errors import ServerError
from marquetry.server.http.access import ACCESS, ADMISSION, CALLER
from marquetry.server.http.answer import error_answer
from marquetry.server.http.errors import status_of
from marquetry.server.http.origin import OriginGuard
from marquetry.server.http.routes import Handler

logger = logging.getLogger("marquetry.server.requests")
REQUEST_ID = "X-Request-ID"
ID = web.RequestKey("id", str)
SOUND_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
CODES: Mapping[int, str] = {
    400: "invalid_request",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_content",
}
SECURITY_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "SAMEORIGIN",
}


class Gate:
    """The one middleware of the server, and the headers that every answer carries. `tells_reasons`: callers are told why something broke."""

    def __init__(self, guard: OriginGuard, *, tells_reasons: bool = False) -> None:
        self.guard = guard
        self._tells_reasons = tells_reasons
        self._headers = {**SECURITY_HEADERS, **guard.headers()}

    def install(self, application: web.Application) -> None:
        """Stand before all routes of the application."""

        @web.middleware
        async def pass_gate(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self.handle(request, handler)

        application.middlewares.append(pass_gate)
        application.on_response_prepare.append(self.dress)

    async def handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        given = request.headers.get(REQUEST_ID, "")
        request_id = given if SOUND_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
        request[ID] = request_id
        response: web.StreamResponse
        try:
            access = request.app[ACCESS].get(request.match_info.route, CALLER)
            self.guard.check(request, foreign=access.foreign)
            if request.method == hdrs.METH_OPTIONS and self.guard.cors_origin:
                response = web.Response(status=204)
            else:
                admit = request.app.get(ADMISSION)
                if admit is not None:
                    await admit(request)
                response = await handler(request)
        except (ServerError, EngineError, MarketError) as error:
            response = error_answer(error.code, error.message, status_of(error), error.details)
            _guide(response, error.details)
        except web.HTTPException as error:
            response = _told(request, error)
        except ConnectionResetError:
            raise
        except Exception as error:
            logger.exception("a request failed", extra={"request_id": request_id, "path": request.path})
            message = "something is wrong in the server; its log has the reason under this request id"
            details = {"request_id": request_id}
            if self._tells_reasons:
                details["reason"] = f"{type(error).__name__}: {error}"
            response = error_answer("internal_error", message, 500, details)
        if logger.isEnabledFor(logging.INFO):
            _log(request, response, request_id, started)
        return response

    async def dress(self, request: web.Request, response: web.StreamResponse) -> None:
        """Put the headers of every answer on this one; what a route set itself stays."""
        headers = response.headers
        shared = self._headers
        if len(self.guard.origins) > 1:
            shared = {**shared, **self.guard.headers(request.headers.get(hdrs.ORIGIN))}
        for name, value in shared.items():
            if name not in headers:
                headers[name] = value
        headers[REQUEST_ID] = request.get(ID, "")


def _guide(response: web.StreamResponse, details: Mapping[str, object]) -> None:
    """The headers that go with some errors: when to come again, and how to say who one is."""
    if "retry_after_s" in details:
        response.headers[hdrs.RETRY_AFTER] = str(details["retry_after_s"])
    if response.status == 401:
        response.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"


def _told(request: web.Request, error: web.HTTPException) -> web.StreamResponse:
    if error.status < 400:
        return error
    code = CODES.get(error.status, "invalid_request")
    match error.status:
        case 404:
            message = f"there is nothing at {request.path}"
        case 405:
            message = f"{request.method} is not possible at {request.path}"
        case 413:
            message = "the body is larger than allowed"
        case _:
            message = error.text or error.reason
    answer = error_answer(code, message, error.status)
    if hdrs.ALLOW in error.headers:
        answer.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
    return answer


def _log(request: web.Request, response: web.StreamResponse, request_id: str, started: float) -> None:
    level = logging.INFO if response.status < 500 else logging.ERROR
    logger.log(
        level,
        "%s %s %d",
        request.method,
        request.path,
        response.status,
        extra={
            "request_id": request_id,
            "method": request.method,
            "path": request.path,
            "status": response.status,
            "duration_ms": round((time.perf_counter() - started) * 1000, 3),
            "remote": request.remote,
        },
    )
