"""Run: one job on the lanes. Keeps what is waiting, ready and done, and tells the listener; knows no other job but through the cache."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from time import perf_counter
from typing import TYPE_CHECKING, Any

from marquetry.engine.cache import Making, Result
from marquetry.engine.context import Context
from marquetry.engine.dynamic_prompt import DynamicPrompt
from marquetry.engine.errors import EngineError, GraphError, Interrupted
from marquetry.engine.events import (
    AnyEvent,
    JobFinished,
    JobStarted,
    Listener,
    NodeFailed,
    NodeFinished,
    NodesCached,
    NodeSkipped,
    NodeStarted,
)
from marquetry.engine.execution import call, failure, growth, simple
from marquetry.engine.execution.arguments import gather, lists_of
from marquetry.engine.execution.clock import now_ms
from marquetry.engine.execution.plan import Plan, PlannedNode
from marquetry.engine.execution.reports import Reports, usage_of
from marquetry.engine.expansion import Call, current_call, current_context
from marquetry.engine.identity import Key, identify
from marquetry.engine.outcome import ExecutionBlocker
from marquetry.engine.schema import Lane

if TYPE_CHECKING:
    from marquetry.engine.execution.executor import Executor

SLICE_S = 0.05  # how long a thread stays with one job while others wait


class Run:
    """One execution of a plan. `done` resolves to the JobFinished event; it never raises."""

    def __init__(
        self, executor: Executor, plan: Plan, number: int, job_id: str, owner: str, extra: Mapping[str, Any], listener: Listener
    ) -> None:
        self.executor = executor
        self.plan = plan
        self.number = number
        self.job_id = job_id
        self.owner = owner
        self.extra = extra
        self.listener = listener
        self.done: Future[JobFinished] = Future()
        self.cancelled = False
        self.over = False
        self.nodes: list[PlannedNode] = plan.nodes
        self.index: dict[str, int] = plan.index
        self.keys: list[Key] = []
        self.volatile: set[int] = set()
        self.outputs: list[int] = plan.outputs
        self.focus: list[int] | None = None  # with keys given: the nodes that may have changed, the only ones looked at
        self.results: dict[int, Result] = {}
        self.executed: list[str] = []
        self.blocked_message = ""
        self.growth = growth.Growth(self)
        self._started = False
        self._started_s = 0.0
        self._waiting: dict[int, int] = {}
        self._dependents: dict[int, list[int]] = {}
        self._uses: dict[int, int] = {}
        self._ready: dict[Lane, deque[int]] = {"cpu": deque(), "device": deque()}
        self._inside: dict[Lane, int] = {"cpu": 0, "device": 0}  # threads that are in `work` for this run
        self._posted: set[Lane] = set()
        self._attention = False  # a lane has something ready and nobody who knows
        self._active = 0  # nodes that are ready, running, or wait for another job: while there are any, the run moves
        self._outstanding = 0
        self._asked: dict[int, list[str]] = {}  # lazy inputs that were asked for
        self.claimed: dict[Key, int] = {}  # what this run is making, and as which node
        self._tasks: set[Future[Any]] = set()
        self.running: dict[int, PlannedNode] = {}
        self.lock = threading.RLock()

    # -- control ------------------------------------------------------------------------------------------------------------------

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
        """Let the lanes begin with this run."""
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
        ready = self._ready[lane]
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
            self._step(index)
            if self._attention or not self._outstanding or not self._active or self.cancelled:
                self._continue()
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
            self.executor.cache.abandon(key)
        self.executor.ended(self)
        self.done.set_result(event)

    # -- planning -----------------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._started_s = perf_counter()
        self.emit(JobStarted(job_id=self.job_id, time_ms=now_ms()))
        try:
            if self.focus is None:
                self.keys, self.volatile = self.executor.keys_of(self.plan, self.owner)
                found = self.executor.cache.peek(self.keys)
                cached = [self.nodes[index].id for index, result in enumerate(found) if result is not None]
            else:
                found = self.executor.cache.peek(self.keys[index] for index in self.focus)
                cached = [self.nodes[index].id for index, result in zip(self.focus, found, strict=True) if result is not None]
            self.emit(NodesCached(job_id=self.job_id, time_ms=now_ms(), node_ids=cached))
            with self.lock:
                for index in self.outputs:
                    self._activate(index)
            for index in self.outputs:
                result = self.results.get(index)
                if result is not None:
                    self._show_cached(index, result)
        except Exception as error:  # planning touches packs' fingerprints and files; whatever they raise ends this job alone
            failure.fail_job(self, error)
            return
        self._continue()

    def _show_cached(self, index: int, result: Result) -> None:
        planned = self.nodes[index]
        if result.ui is not None:
            self.emit(self._finished(planned, result, 0.0, cached=True))
        for event in self.growth.inner_events(planned, result):
            self.emit(event)

    def _activate(self, index: int) -> bool:
        """Plan to make a node, and first what it needs. True when its result is there already. The lock is held."""
        if index in self.results:
            return True
        pending = [index]
        while pending:
            current = pending.pop()
            if current in self._waiting or current in self.results:
                continue
            if current not in self.volatile:
                result = self.executor.cache.get(self.keys[current])
                if result is not None:
                    self.results[current] = result
                    continue
            count = 0
            for parent in self.nodes[current].parents:
                self._uses[parent] = self._uses.get(parent, 0) + 1
                if parent in self.results:
                    continue
                if parent not in self._waiting:
                    known = None if parent in self.volatile else self.executor.cache.get(self.keys[parent])
                    if known is not None:
                        self.results[parent] = known
                        continue
                    pending.append(parent)
                self._depend(current, parent)
                count += 1
            self._waiting[current] = count
            self._outstanding += 1
            if not count:
                self._enqueue(current)
        return index in self.results

    def _depend(self, index: int, parent: int) -> None:
        dependents = self._dependents.get(parent)
        if dependents is None:
            self._dependents[parent] = [index]
        else:
            dependents.append(index)

    def require(self, index: int, parents: list[int]) -> int:
        """Make a node wait for further parents; gives how many of them are not there yet. The lock is held."""
        count = 0
        for parent in parents:
            self._uses[parent] = self._uses.get(parent, 0) + 1
            if not self._activate(parent):
                self._depend(index, parent)
                count += 1
        self._waiting[index] = count
        return count

    # -- one node -----------------------------------------------------------------------------------------------------------------

    def _enqueue(self, index: int) -> None:
        """The node is ready. The lock is held; `_continue` wakes the lanes afterwards."""
        self._active += 1
        lane = self.nodes[index].type.lane
        if lane != "io":
            self._ready[lane].append(index)
            if not self._inside[lane]:
                self._attention = True
            return
        task = self.executor.lanes.io.start(self._step_async(index))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _continue(self) -> None:
        """Wake the lanes that have something ready, and end the job when nothing is left to do."""
        if self.over:
            return
        with self.lock:
            self._attention = False
            for lane, ready in self._ready.items():
                if ready and not self._inside[lane] and lane not in self._posted:
                    self._posted.add(lane)
                    self.executor.lanes.post[lane](self)
            idle = not self.running
            over, stuck = self._outstanding == 0, self._active == 0
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

    def _claim(self, index: int, planned: PlannedNode) -> bool:
        """Whether this run is to make the node's result now. Otherwise it was there, or another run is making it."""
        if index in self.volatile:
            return True
        key = self.keys[index]
        if self.claimed.get(key) == index:
            return True
        found = self.executor.cache.claim(key, self, index)
        if found is None:
            self.claimed[key] = index
            return True
        if isinstance(found, Making):
            if found.maker is self and self.growth.is_inside(index, found.index):
                raise GraphError(f"node '{planned.id}' expands into itself without end", node_id=planned.origin_id)
            return False
        self.settle(index, found, cached=True)
        return False

    def woken(self, index: int, result: Result | None) -> None:
        """Another execution of the same content ended; called from its thread."""
        if self.over:
            return
        if result is None:
            self.retry(index)
        else:
            self.settle(index, result, shared=True)
            self._continue()

    def _step(self, index: int) -> None:
        planned = self.nodes[index]
        arguments: dict[str, Any] = {}
        try:
            if index in self.growth.grown:
                self.growth.gather(index)
                return
            if planned.lazy is not None and not self._lazy_settled(index, planned):
                return
            if not self._claim(index, planned):
                return
            if planned.simple and simple.step(self, index, planned):
                return
            node_type = planned.type
            arguments, plural = gather(self, planned, self._asked.get(index, ()))
            if node_type.optional_under_load and self.executor.overloaded():
                self._bypass(index, planned)
                return
            if plural or node_type.input_is_list:
                batches = call.slices(node_type, lists_of(self, planned, arguments, self._asked.get(index, ())))
            else:
                batches = [arguments]
            self.running[index] = planned
            with self.lock:
                if not self.over:
                    self.listener(self._started_event(planned))
            current_call.set(own := Call(planned.id))
            if node_type.instance is None and node_type.wants_context is None:
                instance = None
            else:
                current_context.set(self.context(planned))
                instance = self.executor.instance(self.owner, planned)
            returned: list[call.Returned] = []
            started_s = perf_counter()
            for batch in batches:
                blocker = call.find_blocker(node_type, batch)
                if blocker is not None:
                    returned.append(self._blocked(planned, blocker))
                    continue
                raw = node_type.call(**batch) if instance is None else node_type.call(instance, **batch)
                if inspect.iscoroutine(raw):
                    raw = asyncio.run(raw)
                returned.append(call.read_result(node_type, raw))
                own.call_index, own.graph_index = own.call_index + 1, 0
            self._returned(index, planned, returned, perf_counter() - started_s, arguments)
        except BaseException as error:  # the boundary of a node: whatever it raises is its failure and nobody else's
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                error = EngineError(f"the node tried to end the process ({type(error).__name__})")
            failure.handle(self, index, planned, error, arguments)
        finally:
            self.running.pop(index, None)

    async def _step_async(self, index: int) -> None:
        planned = self.nodes[index]
        arguments: dict[str, Any] = {}
        try:
            if index in self.growth.grown:
                self.growth.gather(index)
                return
            if planned.lazy is not None and not self._lazy_settled(index, planned):
                return
            if not self._claim(index, planned):
                return
            arguments, plural = gather(self, planned, self._asked.get(index, ()))
            node_type = planned.type
            batches = (
                call.slices(node_type, lists_of(self, planned, arguments, self._asked.get(index, ())))
                if plural or node_type.input_is_list
                else [arguments]
            )
            self.running[index] = planned
            self.emit(self._started_event(planned))
            started_s = perf_counter()
            instance = self.executor.instance(self.owner, planned)
            calls = [self._call_async(planned, instance, number, batch) for number, batch in enumerate(batches)]
            returned = list(await asyncio.gather(*calls))
            self._returned(index, planned, returned, perf_counter() - started_s, arguments)
        except BaseException as error:  # the boundary of a node; cancelling its task is one way for it to end
            if isinstance(error, asyncio.CancelledError):
                error = Interrupted("the job was cancelled")
            failure.handle(self, index, planned, error, arguments)
        finally:
            self.running.pop(index, None)
            self._continue()

    async def _call_async(self, planned: PlannedNode, instance: Any, number: int, batch: dict[str, Any]) -> call.Returned:
        node_type = planned.type
        blocker = call.find_blocker(node_type, batch)
        if blocker is not None:
            return self._blocked(planned, blocker)
        current_call.set(Call(planned.id, number))
        current_context.set(self.context(planned))
        raw = node_type.call(**batch) if instance is None else node_type.call(instance, **batch)
        return call.read_result(node_type, await raw if inspect.isawaitable(raw) else raw)

    def _started_event(self, planned: PlannedNode) -> NodeStarted:
        return NodeStarted(
            job_id=self.job_id, time_ms=now_ms(), node_id=planned.id, display_id=planned.display_id, parent_id=planned.parent_id
        )

    def special(self, index: int, planned: PlannedNode, raw: Any, duration_s: float, arguments: Mapping[str, Any]) -> None:
        """Go on with what a simple node gave beside a plain value."""
        if inspect.iscoroutine(raw):
            raw = asyncio.run(raw)
        self._returned(index, planned, [call.read_result(planned.type, raw)], duration_s, arguments)

    def _returned(
        self, index: int, planned: PlannedNode, returned: list[call.Returned], duration_s: float, arguments: Mapping[str, Any]
    ) -> None:
        node_type = planned.type
        if len(returned) == 1:
            ui, growing = returned[0].ui, returned[0].expand is not None
        else:
            ui = call.merge_ui([part.ui for part in returned if part.ui is not None])
            growing = any(part.expand is not None for part in returned)
        if growing:
            self.growth.expand(index, planned, returned, None if ui is None else dict(ui), duration_s)
            return
        result = Result(call.merge(node_type, [part.values for part in returned]), None if ui is None else dict(ui), duration_s)
        result.shareable = not call.has_blocker(result.outputs)
        self.executor.learn(node_type, duration_s)
        self.settle(index, result, duration_s=duration_s, arguments=arguments)

    def settle(
        self, index: int, result: Result, *, cached: bool = False, shared: bool = False, duration_s: float = 0.0,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """The node has its result: tell, hand on, and let go of what nobody needs any more."""
        planned = self.nodes[index]
        key = self.keys[index]
        if self.claimed.get(key) == index:
            del self.claimed[key]
            if result.shareable and not self.growth.is_tainted(planned):
                self.executor.cache.complete(key, result)
            else:
                self.executor.cache.abandon(key)
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

    def hand_on(self, index: int, planned: PlannedNode, result: Result) -> None:
        """Let those begin that waited for this node only, and let go of what it was the last to use. The lock is held."""
        uses, results = self._uses, self.results
        if index in uses:
            results[index] = result
        self._waiting.pop(index, None)
        self._outstanding -= 1
        self._active -= 1
        waiting = self._waiting
        for dependent in self._dependents.pop(index, ()):
            left = waiting[dependent] - 1
            waiting[dependent] = left
            if not left:
                self._enqueue(dependent)
        for parent in planned.parents:
            left = uses.get(parent, 1) - 1
            if left > 0:
                uses[parent] = left
            else:
                uses.pop(parent, None)
                results.pop(parent, None)
        if self._asked and (asked := self._asked.pop(index, None)) is not None:
            for name, parent, _ in planned.lazy or ():
                if name in asked:
                    self.release(parent)

    def release(self, index: int) -> None:
        """One use of a result fewer; without uses it is let go. The lock is held."""
        left = self._uses.get(index, 1) - 1
        if left > 0:
            self._uses[index] = left
        else:
            self._uses.pop(index, None)
            self.results.pop(index, None)

    def pause(self, index: int) -> None:
        """The node goes back to waiting for what it now requires. The lock is held."""
        self._active -= 1

    def ready_again(self, index: int) -> None:
        """Everything the node waited for is there. The lock is held."""
        self._enqueue(index)

    def retry(self, index: int) -> None:
        """Put a node that was begun back among those that are ready."""
        with self.lock:
            self._active -= 1
            self._enqueue(index)
        self._continue()

    def own_lists(self) -> None:
        """Copy what the plan shares with other runs, before nodes are added. The lock is held."""
        self.nodes, self.index = list(self.nodes), dict(self.index)
        self.keys, self.volatile = list(self.keys), set(self.volatile)

    def _lazy_settled(self, index: int, planned: PlannedNode) -> bool:
        """Ask the node which lazy inputs it needs next; False when it now waits for some."""
        from marquetry.engine.execution.laziness import wanted_inputs

        while True:
            asked = self._asked.setdefault(index, [])
            wanted = wanted_inputs(self, planned, asked)
            if not wanted:
                return True
            with self.lock:
                asked += wanted
                if self.require(index, [parent for name, parent, _ in planned.lazy or () if name in wanted]):
                    self.pause(index)
                    return False

    def _blocked(self, planned: PlannedNode, blocker: ExecutionBlocker) -> call.Returned:
        message = blocker.message or ""
        self.emit(NodeSkipped(job_id=self.job_id, time_ms=now_ms(), node_id=planned.id, display_id=planned.display_id,
                              parent_id=planned.parent_id, reason="blocked", message=message))  # fmt: skip
        if message:
            self.blocked_message = self.blocked_message or message
            self.emit(failure.blocked_event(self, planned, message))
        return call.Returned(ExecutionBlocker())

    def _bypass(self, index: int, planned: PlannedNode) -> None:
        from marquetry.engine.execution.bypass import bypassed

        self.emit(NodeSkipped(job_id=self.job_id, time_ms=now_ms(), node_id=planned.id, display_id=planned.display_id,
                              parent_id=planned.parent_id, reason="bypassed_under_load"))  # fmt: skip
        self.growth.tainted.add(planned.id)
        self.settle(index, bypassed(self, planned))

    # -- what nodes and clients see -----------------------------------------------------------------------------------------------

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
            return DynamicPrompt(self.prompt, self.growth.expanded_entry, lambda: set(self.index))
        if kind == "AUTH_TOKEN_COMFY_ORG":
            return self.extra.get("auth_token_comfy_org")
        if kind == "API_KEY_COMFY_ORG":
            return self.extra.get("api_key_comfy_org")
        return None

    def failed_event(self, **fields: Any) -> NodeFailed:
        return NodeFailed(job_id=self.job_id, time_ms=now_ms(), executed=list(self.executed), **fields)

    def dependents_of(self, index: int) -> list[int]:
        """The nodes that wait for this one now."""
        return self._dependents.get(index, [])

    def identify_new(self, salt: bytes) -> None:
        """Make the keys of nodes that were appended."""
        identify(self.nodes, self.executor.identifier(self.owner, self.plan), self.keys, self.volatile, salt)


async def _finish(awaitable: Any) -> Any:
    return await awaitable
