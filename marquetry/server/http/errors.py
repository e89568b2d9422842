"""What can be wrong with a request, and the one table that maps codes of errors to HTTP statuses."""

from __future__ import annotations

from collections.abc import Mapping

from marquetry.engine.errors import EngineError
from marquetry.marketplace.errors import MarketError
from marquetry.server.errors import ServerError


class RequestError(ServerError):
    """A request can't be served as it is."""

    code = "invalid_request"


class InvalidJson(RequestError):
    """The body is not JSON."""

    code = "invalid_json"


class TooLarge(RequestError):
    """The body, or a part of it, is larger than allowed."""

    code = "too_large"


class UnsupportedContent(RequestError):
    """An uploaded file is not what its kind must be."""

    code = "unsupported_content"


class NotFound(RequestError):
    """There is nothing of that name."""

    code = "not_found"


class Forbidden(RequestError):
    """The caller may not do that."""

    code = "forbidden"


class ForbiddenOrigin(Forbidden):
    """A page of another site, or a foreign name for this machine, called."""

    code = "forbidden_origin"


class Exists(RequestError):
    """The name is taken."""

    code = "already_exists"


class ValidationFailed(RequestError):
    """A graph has problems; `details` lists them all."""

    code = "validation_failed"


class TooManySockets(RequestError):
    """One client holds too many WebSockets."""

    code = "too_many_sockets"


class CannotListen(ServerError):
    """The address or port can't be used."""

    code = "cannot_listen"


STATUS_OF_CODE: Mapping[str, int] = {
    "invalid_request": 400,
    "invalid_json": 400,
    "invalid_graph": 400,
    "unknown_node_type": 400,
    "validation_failed": 400,
    "duplicate_job": 400,
    "address_refused": 400,
    "unsafe_path": 400,
    "invalid_picture": 400,
    "unknown_user": 401,
    "unauthenticated": 401,
    "payment_required": 402,
    "forbidden": 403,
    "forbidden_origin": 403,
    "not_found": 404,
    "job_not_found": 404,
    "model_not_found": 404,
    "graph_not_found": 404,
    "method_not_allowed": 405,
    "already_exists": 409,
    "limit_reached": 409,
    "conflict": 409,
    "idempotency_conflict": 409,
    "job_not_finished": 409,
    "too_large": 413,
    "unsupported_content": 415,
    "range_not_satisfiable": 416,
    "invalid_model_file": 422,
    "remote_failed": 422,
    "queue_full": 429,
    "rate_limited": 429,
    "too_many_sockets": 429,
    "server_error": 500,
    "not_ready": 503,
    "not_configured": 503,
    "worker_unavailable": 503,
}


def status_of(error: EngineError | ServerError | MarketError) -> int:
    """The HTTP status of an error: of its own code or, where the table lacks that, of the kind it derives from; else 500."""
    for kind in type(error).__mro__:
        status = STATUS_OF_CODE.get(kind.__dict__.get("code", ""))
        if status is not None:
            return status
    return 500
