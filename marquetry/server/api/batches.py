"""Batches: one graph with up to a hundred sets of inputs in one request, and everything that they made as one ZIP."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from marquetry.engine.errors import UnsafePath
from marquetry.engine.folders import Folders
from marquetry.server.api import PREFIXES
from marquetry.server.api.results import files
from marquetry.server.automation.batches import REFUSED, Batch, Item, find_batch, list_batches
from marquetry.server.automation.batching import BatchRequest
from marquetry.server.automation.service import AUTOMATION
from marquetry.server.caller import OWNER_HEADER, caller_of, job_owner, owner_filter
from marquetry.server.comfy.entries import SECRETS
from marquetry.server.http.answer import encode, json_answer
from marquetry.server.http.body import check, read_object, read_query
from marquetry.server.http.errors import RequestError
from marquetry.server.http.files import disposition
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.http.zip_stream import Entry, zip_parts
from marquetry.server.jobs.archive import find_job
from marquetry.server.jobs.job import FINAL_STATES, Job
from marquetry.server.keys import DATABASE, FOLDERS, JOBS

routes = RouteTable("Batches", PREFIXES)
MAX_INPUTS = 10_000
MAX_KEY_CHARACTERS = 256
FINAL = frozenset(str(state) for state in FINAL_STATES)
ItemState = Literal["queued", "running", "completed", "failed", "cancelled", "refused", "forgotten"]


class BatchBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    graph: dict[str, Any] = Field(description="nodes by id, as ComfyUI's API format has them")
    inputs: list[dict[str, Any]] = Field(
        min_length=1,
        max_length=MAX_INPUTS,
        description='for each job the inputs that differ, by node.input: {"2.text": "a red boat", "5.seed": 7}',
    )
    name: str = Field(default="", max_length=256)
    targets: list[str] | None = Field(default=None, description="ids of the output nodes to make; all when left out")
    client_id: str = Field(default="", max_length=128, description="whose WebSocket hears of the jobs")
    priority: int = Field(default=0, ge=-100, le=100, description="higher runs first")
    extra: dict[str, Any] = Field(default={}, description="what else to keep with each job")
    partial: bool = Field(default=False, description="run the others although some inputs can't be used")


class BatchItem(BaseModel):
    """A set of inputs and its job. `refused`: its inputs could not be used; `forgotten`: its job was deleted."""

    place: int
    state: ItemState
    progress: float = Field(description="0 to 100")
    job_id: str | None = None
    inputs: dict[str, Any]
    error: dict[str, Any] | None = None


class BatchSummary(BaseModel):
    """A batch. `progress` goes from 0 to 100 over all its items."""

    id: str
    name: str
    state: Literal["running", "completed"] = Field(description="completed: every item has ended, however")
    total: int
    counts: dict[str, int] = Field(description="items by state")
    progress: float
    created_ms: int
    finished_ms: int | None = None
    quote: dict[str, Any] | None = Field(default=None, description="what all of it was said to cost, where there is a market")
    links: dict[str, str]


class BatchDetail(BatchSummary):
    items: list[BatchItem]


class BatchList(BaseModel):
    batches: list[BatchSummary]
    total: int
    offset: int
    limit: int


class BatchesQuery(BaseModel):
    limit: int = Field(default=50, ge=1, le=200)
    offset: int = Field(default=0, ge=0, le=1_000_000_000)


class BatchCancelled(BaseModel):
    batch_id: str
    cancelled: int = Field(description="how many jobs were stopped, or will be at their next step")


@routes.post(
    "/batches",
    "Run a graph with many inputs",
    body=BatchBody,
    headers={"Idempotency-Key": "the same key with the same body makes one batch, however often it is sent", **OWNER_HEADER},
    also=("/api/v1/batch", "/generation/batch", "/api/v1/generation/batch"),
    answers={202: Answer("all its jobs are in the queue", BatchDetail, headers={"Location": "where the batch is"})},
)
async def submit(request: web.Request) -> web.Response:
    """All of it is queued, or nothing. Inputs that can't be used are all named at once; with `partial` they become items that were refused."""
    body = check(BatchBody, await read_object(request), "body")
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 0 < len(key) <= MAX_KEY_CHARACTERS:
        raise RequestError(f"Idempotency-Key has 1 to {MAX_KEY_CHARACTERS} characters")
    owner = job_owner(request)
    automation = request.app[AUTOMATION]
    automation.herald.expect(owner)
    id = await automation.batching.submit(
        BatchRequest(
            graph=body.graph,
            inputs=body.inputs,
            owner=owner,
            name=body.name,
            targets=body.targets,
            client_id=body.client_id,
            priority=body.priority,
            extra={name: value for name, value in body.extra.items() if name not in SECRETS},
            partial=body.partial,
            idempotency_key=key,
            key_id=caller_of(request).key_id,
        )
    )
    return json_answer(_detail(request, *await _find(request, id)), 202, {"Location": _links(id)["self"]})


@routes.get("/batches", "Batches", query=BatchesQuery, headers=OWNER_HEADER, answers={200: Answer("batches, newest first", BatchList)})
async def list_all(request: web.Request) -> web.Response:
    query = read_query(request, BatchesQuery)
    found, total = await request.app[DATABASE].read(list_batches, owner_filter(request), query.limit, query.offset)
    shown = [_summary(batch, _ended_part(batch)) for batch in found]
    return json_answer(BatchList(batches=shown, total=total, offset=query.offset, limit=query.limit))


@routes.get("/batches/{batch_id}", "A batch", headers=OWNER_HEADER, answers={200: Answer("the batch and its items", BatchDetail)})
async def one(request: web.Request) -> web.Response:
    return json_answer(_detail(request, *await _find(request, request.match_info["batch_id"])))


@routes.post("/batches/{batch_id}/cancel", "Cancel a batch", headers=OWNER_HEADER, body_required=False,
             answers={200: Answer("done", BatchCancelled)})  # fmt: skip
async def cancel(request: web.Request) -> web.Response:
    """What has ended stays as it is."""
    batch, items = await _find(request, request.match_info["batch_id"])
    jobs, owner = request.app[JOBS], owner_filter(request)
    waiting = [item.job_id for item in items if item.state == "queued" and item.job_id is not None]
    cancelled = await jobs.clear_pending(owner, waiting) if waiting else 0
    running = {item.job_id for item in (await _find(request, batch.id))[1] if item.state == "running" and item.job_id is not None}
    for job_id in running:
        await jobs.cancel(job_id, owner)
    return json_answer(BatchCancelled(batch_id=batch.id, cancelled=cancelled + len(running)))


@routes.get(
    "/batches/{batch_id}/download",
    "What a batch made, as ZIP",
    headers=OWNER_HEADER,
    also=("/api/v1/batch/{batch_id}/download",),
    answers={
        200: Answer("the files of all items that have ended, and batch.json with what became of each", content_type="application/zip")
    },
)
async def download(request: web.Request) -> web.StreamResponse:
    batch, items = await _find(request, request.match_info["batch_id"])
    found: list[tuple[Item, Job]] = []
    for item in items:
        if item.job_id is not None and item.state in FINAL:
            job = await request.app[DATABASE].read(find_job, item.job_id, owner_filter(request))
            if job is not None:
                found.append((item, job))
    manifest = encode(_detail(request, batch, items))
    entries = [Entry("batch.json", manifest), *_entries(found, request.app[FOLDERS].of(batch.owner), len(items))]
    headers = {
        "Content-Type": "application/zip",
        "Content-Disposition": disposition(f"{batch.name or batch.id}.zip", "application/octet-stream"),
    }
    response = web.StreamResponse(headers={**headers, "Cache-Control": "no-store"})
    await response.prepare(request)
    async for part in zip_parts(entries):
        await response.write(part)
    await response.write_eof()
    return response


def _entries(found: Sequence[tuple[Item, Job]], folders: Folders, total: int) -> Iterator[Entry]:
    """Saved files, each with the number of its item before its name; of items that saved nothing, what they showed."""
    digits = len(str(max(total - 1, 0)))
    for item, job in found:
        made = list(files(job))
        for file in [file for file in made if file.type == "output"] or made:
            try:
                path = folders.inside(folders.directory(file.type), f"{file.subfolder}/{file.name}" if file.subfolder else file.name)
            except (UnsafePath, ValueError, KeyError):
                continue
            yield Entry(f"{item.place:0{digits}}_{file.name}", path)


async def _find(request: web.Request, id: str) -> tuple[Batch, list[Item]]:
    return await request.app[DATABASE].read(find_batch, id, owner_filter(request))


def _detail(request: web.Request, batch: Batch, items: Sequence[Item]) -> BatchDetail:
    shown = [_item(request, item) for item in items]
    progress = round(sum(item.progress for item in shown) / max(len(shown), 1), 2)
    return BatchDetail(**_summary(batch, progress).model_dump(), items=shown)


def _item(request: web.Request, item: Item) -> BatchItem:
    progress = 0.0 if item.state in ("queued", "running") else 100.0
    if item.state == "running" and item.job_id is not None and (view := request.app[JOBS].view(item.job_id)) is not None:
        progress = view.progress
    state: Any = item.state
    return BatchItem(place=item.place, state=state, progress=progress, job_id=item.job_id, inputs=item.inputs, error=item.error)


def _summary(batch: Batch, progress: float) -> BatchSummary:
    ended = batch.finished_ms is not None or set(batch.counts) <= FINAL | {REFUSED, "forgotten"}
    return BatchSummary(
        id=batch.id,
        name=batch.name,
        state="completed" if ended else "running",
        total=batch.total,
        counts=batch.counts,
        progress=progress,
        created_ms=batch.created_ms,
        finished_ms=batch.finished_ms,
        quote=batch.quote,
        links=_links(batch.id),
    )


def _ended_part(batch: Batch) -> float:
    open_items = batch.counts.get("queued", 0) + batch.counts.get("running", 0)
    return round((batch.total - open_items) / max(batch.total, 1) * 100, 2)


def _links(id: str) -> dict[str, str]:
    path = f"/api/v1/batches/{id}"
    return {"self": path, "download": f"{path}/download", "cancel": f"{path}/cancel"}
