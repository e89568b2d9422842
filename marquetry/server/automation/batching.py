"""Batching: from one request with a graph and many sets of inputs to jobs in the queue, all in one transaction and with one quote."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from marquetry.engine.errors import EngineError
from marquetry.server.automation.batches import NewBatch, NewItem, add_batch, batch_of_key
from marquetry.server.automation.errors import WrongInputs
from marquetry.server.automation.inputs import with_inputs
from marquetry.server.automation.market import Quoting
from marquetry.server.check import GraphCheck
from marquetry.server.errors import ServerError
from marquetry.server.http.errors import TooLarge, ValidationFailed
from marquetry.server.jobs.job import Submission
from marquetry.server.jobs.live import now_ms
from marquetry.server.jobs.service import JobService
from marquetry.server.jobs.token import job_id as new_job_id
from marquetry.server.jobs.token import random_bytes

MAX_NODES = 200_000  # of all items together
MAX_SHOWN = 20


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """`partial`: inputs that can't be used become failed items instead of refusing the whole."""

    graph: Mapping[str, Any]
    inputs: Sequence[Mapping[str, Any]]
    owner: str = ""
    name: str = ""
    targets: Sequence[str] | None = None
    client_id: str = ""
    priority: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)
    partial: bool = False
    idempotency_key: str | None = None
    key_id: str | None = None

    def fingerprint(self) -> bytes:
        parts = (self.graph, self.inputs, self.targets, self.name, self.priority, self.extra, self.partial)
        return hashlib.blake2b(orjson.dumps(parts, option=orjson.OPT_NON_STR_KEYS), digest_size=32).digest()


class Batching:
    """Makes batches. `quoting` is None where nothing costs anything."""

    def __init__(self, jobs: JobService, check: GraphCheck) -> None:
        self._jobs = jobs
        self._check = check
        self.quoting: Quoting | None = None

    async def submit(self, request: BatchRequest) -> str:
        """Queue a batch; its id. Raises WrongInputs, TooLarge, ValidationFailed, and what submitting one job raises."""
        limit = (await self._jobs.standing.of(request.owner)).batch_inputs
        if not 0 < len(request.inputs) <= limit:
            raise WrongInputs(f"a batch has 1 to {limit} sets of inputs; these are {len(request.inputs)}", limit=limit)
        if len(request.graph) * len(request.inputs) > MAX_NODES:
            raise TooLarge(f"all graphs of a batch together have at most {MAX_NODES:,} nodes; send fewer sets of inputs", limit=MAX_NODES)
        fingerprint = request.fingerprint() if request.idempotency_key else None
        if request.idempotency_key and fingerprint:
            known = await self._jobs.database.read(batch_of_key, request.owner, request.idempotency_key, fingerprint)
            if known is not None:
                return known
        submissions, items = await self._submissions(request)
        quote = None
        if self.quoting is not None and submissions:
            quote = orjson.dumps(await self.quoting.quote(request.owner, [submission.graph for submission in submissions]))
        batch = NewBatch(
            f"batch_{random_bytes(12).hex()}",
            request.owner,
            request.name,
            tuple(items),
            now_ms(),
            quote,
            request.idempotency_key,
            fingerprint,
        )
        await self._jobs.submit_together(submissions, lambda connection: add_batch(connection, batch))
        return batch.id

    async def _submissions(self, request: BatchRequest) -> tuple[list[Submission], list[NewItem]]:
        submissions: list[Submission] = []
        items: list[NewItem] = []
        wrong: list[dict[str, Any]] = []
        for place, values in enumerate(request.inputs):
            raw = orjson.dumps(dict(values))
            try:
                made = await self._submission(request, values)
            except (ServerError, EngineError) as error:
                fault = {"code": error.code, "message": error.message, "details": dict(error.details)}
                wrong.append({"place": place, **fault})
                items.append(NewItem(raw, None, fault))
            else:
                submissions.append(made)
                items.append(NewItem(raw, made.job_id))
            await asyncio.sleep(0)  # others have their turn between items
        if wrong and (not request.partial or not submissions):
            first = wrong[0]
            raise WrongInputs(
                f"{len(wrong)} of {len(items)} sets of inputs can't be used; the first, number {first['place']}: {first['message']}",
                items=wrong[:MAX_SHOWN],
            )
        return submissions, items

    async def _submission(self, request: BatchRequest, values: Mapping[str, Any]) -> Submission:
        targets = None if request.targets is None else list(request.targets)
        checked = await self._check.check(with_inputs(request.graph, values), targets, request.owner)
        if checked.problems or not checked.outputs:
            problems = [
                {"node_id": problem.node_id, "input_name": problem.input_name, "message": problem.message} for problem in checked.problems
            ]
            raise ValidationFailed(problems[0]["message"] or "" if problems else "the graph has no output", problems=problems[:MAX_SHOWN])
        return Submission(
            graph=checked.graph,
            graph_json=checked.json,
            outputs=checked.outputs,
            owner=request.owner,
            client_id=request.client_id,
            extra=request.extra,
            priority=request.priority,
            job_id=new_job_id(),
            key_id=request.key_id,
        )
