"""Events of jobs as they happen: server-sent events of one job, and a WebSocket for one job or one client. Numbered, so that a reader can go on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from aiohttp import WSCloseCode, WSMsgType, web
from pydantic import BaseModel, Field

from marquetry.server.api import PREFIXES
from marquetry.server.api.credit_models import balance_model
from marquetry.server.api.jobs import find
from marquetry.server.api.queue import state_of
from marquetry.server.api.stream import Line, Stream
from marquetry.server.caller import OWNER_HEADER, owner_filter, owner_of
from marquetry.server.http.answer import encode
from marquetry.server.http.body import read_query
from marquetry.server.http.errors import RequestError
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.jobs.subscription import Subscription
from marquetry.server.keys import DATABASE, JOBS, SOCKETS
from marquetry.server.ledger.balances import BALANCES

routes = RouteTable("Events", PREFIXES)
KEEP_ALIVE_S = 15.0
SEND_TIMEOUT_S = 60.0
QUEUE_PERIOD_S = 1.0  # the queue is told at most so often to one reader
BALANCE_PERIOD_S = 0.1
BALANCE_AGAIN_S = 30.0  # changes that another server made ring no bell here
NO_JOB = " "  # an id that no job has: who listens to it hears what concerns everybody


class EventsQuery(BaseModel):
    job_id: str | None = Field(default=None, max_length=128, description="events of this job")
    client_id: str | None = Field(default=None, max_length=128, description="events of the jobs that were submitted under this id")
    since: int | None = Field(default=None, ge=0, le=2**63 - 1, description="number of the last event that was heard")
    queue: bool = Field(
        default=False, description="also messages `queue`: how it stands for the caller, as GET /api/v1/queue, when it changes"
    )
    balance: bool = Field(
        default=False, description="also messages `balance`: the caller's credits, as GET /api/v1/credits/balance, when they change"
    )


@routes.get(
    "/jobs/{job_id}/events",
    "Events of a job, as server-sent events",
    headers={"Last-Event-ID": "number of the last event that was heard", **OWNER_HEADER},
    answers={200: Answer("a stream that ends with the job", content_type="text/event-stream")},
)
async def job_events(request: web.Request) -> web.StreamResponse:
    """Begins with `job`, how the job stands; ends with `finished`. `nodes` tells what changed since the last one, at most 30 times a second."""
    job = await find(request)
    jobs = request.app[JOBS]
    last = request.headers.get("Last-Event-ID", "")
    if last and not (last.isdecimal() and len(last) < 19):
        raise RequestError("Last-Event-ID is the number of an event")
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"})
    with jobs.feed.subscribe(job_id=job.id, since=int(last) if last else None) as subscription:
        job = await jobs.find(job.id) or job
        await response.prepare(request)
        stream = Stream()
        lines = [] if last else [stream.standing(job, jobs.feed.seq)]
        if job.state.is_final:
            lines = [stream.standing(job, jobs.feed.seq), stream.ended(job, jobs.feed.seq)]
        await _write(response, lines)
        while not stream.over and (more := await _next(stream, subscription, KEEP_ALIVE_S)) is not None:
            await _write(response, more)
    await response.write_eof()
    return response


@routes.get(
    "/events",
    "Events of a job or a client, as a WebSocket",
    query=EventsQuery,
    headers=OWNER_HEADER,
    also=("/generation/subscribe", "/api/v1/generation/subscribe"),
    answers={101: Answer("the socket is open")},
)
async def socket_events(request: web.Request) -> web.StreamResponse:
    """Messages are JSON texts with `type`, `sequence`, `job_id` and what the type says; previews are their own messages, with the picture in base64."""
    query = read_query(request, EventsQuery)
    if query.job_id is None and query.client_id is None and not query.queue and not query.balance:
        raise RequestError("job_id or client_id must say whose events are wanted, or queue=true or balance=true that those are")
    job = None if query.job_id is None else await find(request, query.job_id)
    jobs, sockets = request.app[JOBS], request.app[SOCKETS]
    sockets.admit(request.remote or "")
    socket = web.WebSocketResponse(max_msg_size=64 * 1024, compress=False)
    await socket.prepare(request)
    tellers = [tell for tell, wanted in ((_tell_queue, query.queue), (_tell_balance, query.balance)) if wanted]
    if query.job_id is None and query.client_id is None:
        return await _open(socket, [asyncio.create_task(tell(request, socket)) for tell in tellers])
    with jobs.feed.subscribe(
        client_id=query.client_id, job_id=query.job_id, owner=owner_filter(request), since=query.since
    ) as subscription:
        stream = Stream(with_previews=True)
        first = [] if job is None else [stream.standing(job, jobs.feed.seq)]
        if job is not None and job.state.is_final and query.since is None:
            first.append(stream.ended(job, jobs.feed.seq))
        sender = asyncio.create_task(_send(socket, stream, subscription, first))
        return await _open(socket, [sender, *(asyncio.create_task(tell(request, socket)) for tell in tellers)])


async def _open(socket: web.WebSocketResponse, tasks: list[asyncio.Task[None]]) -> web.WebSocketResponse:
    """Until the other side goes."""
    try:
        async for received in socket:
            if received.type is WSMsgType.ERROR:
                break
    finally:
        for task in tasks:
            task.cancel()
    return socket


async def _tell_queue(request: web.Request, socket: web.WebSocketResponse) -> None:
    feed = request.app[JOBS].feed
    try:
        with feed.subscribe(job_id=NO_JOB) as changes:
            while not socket.closed and not changes.closed:
                text = encode({"type": "queue", "sequence": feed.seq, "queue": await state_of(request)}).decode()
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await socket.send_str(text)
                await changes.batch()
                await asyncio.sleep(QUEUE_PERIOD_S)
    except (ConnectionResetError, TimeoutError):
        await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too slow")


async def _tell_balance(request: web.Request, socket: web.WebSocketResponse) -> None:
    from marquetry.marketplace import ledger

    owner, told = owner_of(request), None
    try:
        with request.app[BALANCES].bell(owner) as bell:
            while not socket.closed:
                bell.clear()
                found = balance_model(await request.app[DATABASE].read(ledger.balance, owner))
                if found != told:
                    told = found
                    text = encode({"type": "balance", "sequence": request.app[JOBS].feed.seq, "balance": found}).decode()
                    async with asyncio.timeout(SEND_TIMEOUT_S):
                        await socket.send_str(text)
                    await asyncio.sleep(BALANCE_PERIOD_S)
                with suppress(TimeoutError):
                    await asyncio.wait_for(bell.wait(), BALANCE_AGAIN_S)
    except (ConnectionResetError, TimeoutError):
        await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too slow")


async def _send(socket: web.WebSocketResponse, stream: Stream, subscription: Subscription, first: list[Line]) -> None:
    try:
        lines: list[Line] | None = first
        while lines is not None and not socket.closed:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                for line in lines:
                    await socket.send_str(encode({"type": line.kind, "sequence": line.number, **line.data}).decode())
            if stream.over and subscription.job_id is not None:
                await socket.close(code=WSCloseCode.OK, message=b"the job is done")
                return
            lines = await _next(stream, subscription, None)
    except (ConnectionResetError, TimeoutError):
        await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too slow")


async def _next(stream: Stream, subscription: Subscription, patience_s: float | None) -> list[Line] | None:
    """The next lines; an empty list when it was quiet for that long, None when there will be no more."""
    wait_s = stream.wait_s()
    timeout_s = patience_s if wait_s is None else wait_s
    batch = await subscription.batch(timeout_s)
    if batch:
        return stream.lines(batch)
    return None if subscription.closed else stream.flush()


async def _write(response: web.StreamResponse, lines: Iterable[Line]) -> None:
    text = b"".join(b"event: %b\nid: %d\ndata: %b\n\n" % (line.kind.encode(), line.number, encode(line.data)) for line in lines)
    async with asyncio.timeout(SEND_TIMEOUT_S):
        await response.write(text or b": still here\n\n")
