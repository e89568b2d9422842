"""Run: one job on the lanes. Keeps what is waiting, ready and done, and tells the listener; knows no other job but through the cache."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from time import perf_counter
from typing import TYPE_CHECKING, Any

from marquetry.engine.cache import Result
from marquetry.engine.context import Context
from marquetry.engine.dynamic_prompt import DynamicPrompt
from marquetry.engine.events import (
    AnyEvent,
    JobFinished,
    JobStarted,
    Listener,
    NodeFailed,
    NodeFinished,
    NodesCached,
)
from marquetry.engine.execution import failure, growth
from marquetry.engine.execution.agenda import Agenda
from marquetry.engine.execution.clock import now_ms
from marquetry.engine.execution.plan import Plan, PlannedNode
from marquetry.engine.execution.reports import Reports, usage_of
from marquetry.engine.execution.steps import step, step_async
from marquetry.engine.execution.veil import Veil
from marquetry.engine.expansion import Call, current_call
from marquetry.engine.identity import Key, identify
from marquetry.engine.schema import Lane

if TYPE_CHECKING:
    from marquetry.engine.execution.executor import Executor

SLICE_S = 0.05  # how long a thread stays with one job while others wait


class Run(Agenda):
    """One execution of a plan. `done` resolves to the JobFinished event; it never raises."""

    def __init__(
        self, executor: Executor, plan: Plan, number: int, job_id: str, owner: str, extra: Mapping[str, Any], listener: Listener
    ) -> None:
        super().__init__(plan, executor.cache)
        self.executor = executor
        self.plan = plan
        self.number = number
        self.job_id = job_id
        self.owner = owner
        self.extra = extra
        self.listener = listener if plan.graph.opened is None else Veil(self, plan.graph.opened, listener)
        self.done: Future[JobFinished] = Future()
        self.cancelled = False
        self.over = False
        self.outputs: list[int] = plan.outputs
        self.focus: list[int] | None = None  # with keys given: the nodes that may have changed, the only ones looked at
        self.executed: list[str] = []
        self.blocked_message = ""
        self.growth = growth.Growth(self)
        self.claimed: dict[Key, int] = {}  # what this run is making, and as which node
        self.running: dict[int, PlannedNode] = {}
        self._started = False
        self._started_s = 0.0
        self._inside: dict[Lane, int] = {"cpu": 0, "device": 0}  # threads that are in `work` for this run
        self._posted: set[Lane] = set()
        self._attention = False  # a lane has something ready and nobody who knows
        self._tasks: set[Future[Any]] = set()

    def cancel(self) -> None:
        """Stop as soon as the node that runs looks up; nodes that have not begun never do."""
        with self.lock:
            if self.over or self.cancelled:
                return
            self.cancelled = True
            tasks = list(self._tasks)
            idle = not self.running
        for task in tasks:
            task.cancel()
        if idle:
            self.finish("cancelled", "interrupted", "the job was cancelled")

    def post(self) -> None:
        """Let the lanes begin with this run; runs that are posted one after the other begin in this order."""
        self.emit(JobStarted(job_id=self.job_id, time_ms=now_ms()))
        self._posted.add("cpu")
        self.executor.lanes.cpu.post(self)

    def work(self, lane: Lane) -> None:
        """Run what is ready for a lane, until nothing is or the time is up; called by the lane's threads."""
        with self.lock:
            self._posted.discard(lane)
            self._inside[lane] += 1
            begin, self._started = not self._started, True
        if begin:
            self._begin()
        if current_call.get() is None:
            current_call.set(Call(""))
        ready = self.ready[lane]
        until = perf_counter() + SLICE_S
        while True:
            try:
                index = ready.pop()
            except IndexError:
                with self.lock:
                    if ready and not self.over:
                        continue
                    self._inside[lane] -= 1
                    return
            if self.over or self.cancelled:
                continue
            if ready and lane == "cpu" and self.executor.is_slow(self.nodes[index].type):
                self.executor.lanes.cpu.post(self)
            step(self, index)
            if self._attention or not self.outstanding or not self.active or self.cancelled:
                self.go_on()
            if ready and perf_counter() > until:
                with self.lock:
                    self._inside[lane] -= 1
                    self._posted.add(lane)
                self.executor.lanes.post[lane](self)
                return

    def is_over(self) -> bool:
        """Whether the job has ended."""
        return self.over

    def emit(self, event: AnyEvent) -> None:
        """Tell the listener, unless the job is over; events of one job come one after the other."""
        with self.lock:
            if not self.over:
                self.listener(event)

    def finish(self, state: str, code: str = "", message: str = "", at: PlannedNode | None = None) -> None:
        """End the job, once; what it was making is left to others who wait for it."""
        with self.lock:
            if self.over:
                return
            if at is None and self.running and state == "cancelled":
                at = next(iter(self.running.values()))
            event = JobFinished(
                job_id=self.job_id, time_ms=now_ms(), state=state, code=code, message=message, executed=self.executed,
                node_id=None if at is None else at.id, node_type=None if at is None else at.type.id,
                duration_s=perf_counter() - self._started_s if self._started_s else 0.0,
            )  # fmt: skip
            self.listener(event)
            self.over = True
            tasks = list(self._tasks)
            claimed, self.claimed = self.claimed, {}
            self.results.clear()
        for task in tasks:
            task.cancel()
        for key in claimed:
            self.cache.abandon(key)
        self.executor.ended(self)
        self.done.set_result(event)

    def _begin(self) -> None:
        self._started_s = perf_counter()
        try:
            if self.focus is None:
                self.keys, self.volatile = self.executor.keys_of(self.plan, self.owner)
            focus = range(len(self.keys)) if self.focus is None else self.focus
            found = self.cache.peek(self.keys if self.focus is None else [self.keys[index] for index in focus])
            store = self.cache.store
            if store is not None and not store.holds_any(self.keys):
                store = None
            cached = [
                self.nodes[index].id
                for index, result in zip(focus, found, strict=True)
                if result is not None or (store is not None and self.keys[index] in store)
            ]
            self.emit(NodesCached(job_id=self.job_id, time_ms=now_ms(), node_ids=cached))
            known = found if self.focus is None and store is None else None
            with self.lock:
                for index in self.outputs:
                    self.activate(index, known)
            for index in self.outputs:
                result = self.results.get(index)
                if result is not None:
                    self.show_cached(index, result)
        except Exception as error:  # planning touches packs' fingerprints and files; whatever they raise ends this job alone
            failure.fail_job(self, error)
            return
        self.go_on()

    def show_cached(self, index: int, result: Result) -> None:
        """Tell what an output node shows whose result was there before anything ran."""
        planned = self.nodes[index]
        if result.ui is not None:
            self.emit(self._finished(planned, result, 0.0, cached=True))
        for event in self.growth.inner_events(planned, result):
            self.emit(event)

    def enqueue(self, index: int) -> None:
        """The node is ready; `go_on` wakes the lanes afterwards. The lock is held."""
        self.active += 1
        lane = self.nodes[index].type.lane
        if lane == "io":
            task = self.executor.lanes.io.start(step_async(self, index))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        self.ready[lane].append(index)
        if not self._inside[lane]:
            self._attention = True

    def go_on(self) -> None:
        """Wake the lanes that have something ready, and end the job when nothing is left to do."""
        if self.over:
            return
        with self.lock:
            self._attention = False
            for lane in self._inside:
                if self.ready[lane] and not self._inside[lane] and lane not in self._posted:
                    self._posted.add(lane)
                    self.executor.lanes.post[lane](self)
            idle = not self.running
            over, stuck = self.outstanding == 0, self.active == 0
        if self.cancelled:
            if idle:
                self.finish("cancelled", "interrupted", "the job was cancelled")
        elif over:
            if self.blocked_message:
                self.finish("failed", "execution_blocked", self.blocked_message)
            else:
                self.finish("completed")
        elif stuck:
            failure.stalled(self)

    def woken(self, index: int, result: Result | None) -> None:
        """Another execution of the same content ended; called from its thread."""
        if self.over:
            return
        if result is None:
            self.retry(index)
        else:
            self.settle(index, result, shared=True)
            self.go_on()

    def settle(
        self, index: int, result: Result, *, cached: bool = False, shared: bool = False, duration_s: float = 0.0,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """The node has its result: tell, hand on, and let go of what nobody needs any more."""
        planned = self.nodes[index]
        key = self.keys[index]
        if self.claimed.get(key) == index:
            del self.claimed[key]
            if planned.type.instance is not None:
                result.lasting = False  # a pack's class may read what its identity does not name
            if result.shareable and not self.growth.is_tainted(planned):
                self.cache.complete(key, result)
            else:
                self.cache.abandon(key)
        event = self._finished(planned, result, duration_s, cached=cached, shared=shared, arguments=arguments)
        with self.lock:
            if self.over:
                return
            self.listener(event)
            if cached or shared:
                for inner in self.growth.inner_events(planned, result):
                    self.listener(inner)
            else:
                self.executed.append(planned.id)
            self.growth.note_ui(planned, result)
            self.hand_on(index, planned, result)

    def retry(self, index: int) -> None:
        """Put a node that was begun back among those that are ready."""
        with self.lock:
            self.active -= 1
            self.enqueue(index)
        self.go_on()

    def _finished(
        self, planned: PlannedNode, result: Result, duration_s: float, *, cached: bool = False, shared: bool = False,
        arguments: Mapping[str, Any] | None = None,
    ) -> NodeFinished:  # fmt: skip
        usage = [] if planned.type.usage is None or arguments is None else usage_of(self.executor, planned, arguments)
        return NodeFinished(job_id=self.job_id, time_ms=now_ms(), node_id=planned.id, display_id=planned.display_id, parent_id=planned.parent_id,
                            ui=result.ui, cached=cached, shared=shared, duration_s=duration_s, usage=usage)  # fmt: skip

    def context(self, planned: PlannedNode) -> Context:
        """What the node may ask of the engine."""
        return Context(self.executor.services, planned.id, self.job_id, self.owner, self.prompt, self.extra.get("extra_pnginfo") or {},
                       Reports(self, planned), lambda: self.cancelled or self.over)  # fmt: skip

    @property
    def prompt(self) -> Mapping[str, Any]:
        return self.plan.api()

    def hidden(self, planned: PlannedNode, kind: Any) -> Any:
        """The value of a hidden input, or None for a kind that is not known."""
        if kind == "UNIQUE_ID":
            return planned.id
        if kind == "PROMPT":
            return self.prompt
        if kind == "EXTRA_PNGINFO":
            return self.extra.get("extra_pnginfo")
        if kind == "DYNPROMPT":
            return DynamicPrompt(self.prompt, lambda id: self.growth.expanded_entry(id, planned), lambda: self.growth.seen_by(planned))
        if kind == "AUTH_TOKEN_COMFY_ORG":
            return self.extra.get("auth_token_comfy_org")
        if kind == "API_KEY_COMFY_ORG":
            return self.extra.get("api_key_comfy_org")
        return None

    def failed_event(self, **fields: Any) -> NodeFailed:
        return NodeFailed(job_id=self.job_id, time_ms=now_ms(), executed=list(self.executed), **fields)

    def identify_new(self, salt: bytes) -> None:
        """Make the keys of nodes that were appended."""
        identify(self.nodes, self.executor.identifier(self.owner, self.plan), self.keys, self.volatile, salt)
