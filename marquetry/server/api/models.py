"""What our own routes take and give: one model for each thing, the same names everywhere."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

State = Literal["queued", "running", "completed", "failed", "cancelled"]
ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"


class Submit(BaseModel):
    """A graph to run. A body that is itself a graph, `{id: {"class_type", "inputs"}}`, means the same as one with only `graph`."""

    model_config = ConfigDict(extra="forbid")

    graph: dict[str, Any] = Field(description="nodes by id, as ComfyUI's API format has them")
    targets: list[str] | None = Field(default=None, description="ids of the output nodes to make; all when left out")
    client_id: str = Field(default="", max_length=128, description="whose WebSocket hears of the job")
    job_id: str | None = Field(default=None, pattern=ID_PATTERN, description="id for the job; one is made when left out")
    extra: dict[str, Any] = Field(default={}, description="what else to keep with the job; extra_pnginfo is written into saved pictures")
    front: bool = Field(default=False, description="before the other waiting jobs of the same owner")
    priority: int = Field(default=0, ge=-100, le=100, description="higher runs first")


class ProblemModel(BaseModel):
    """One thing that is wrong with a graph."""

    type: str
    message: str
    details: str
    node_id: str | None = None
    input_name: str | None = None
    extra: dict[str, Any] = {}


class ValidationResult(BaseModel):
    """`valid`: nothing is wrong. Where something is, `outputs` are the output nodes that can be made all the same."""

    valid: bool
    outputs: list[str]
    problems: list[ProblemModel]
    nodes: int = Field(description="how many nodes the graph has")


class File(BaseModel):
    """A file that a job made."""

    name: str
    subfolder: str
    type: str = Field(description="folder: output or temp")
    kind: str = Field(description="what the node calls it: images, audio, video, ...")
    node_id: str
    url: str
    media_type: str
    size_bytes: int | None = Field(default=None, description="nothing when the file is gone")
    width: int | None = None
    height: int | None = None
    aspect: str | None = Field(default=None, description="width to height in lowest terms, e.g. 3:2")


class NodeStatus(BaseModel):
    """Where one node is. `cached`: its result was known; `shared`: another job was making it at the same time."""

    state: str
    display_id: str
    parent_id: str | None = None
    value: float
    total: float
    started_ms: int | None = None
    finished_ms: int | None = None
    duration_s: float
    cached: bool
    shared: bool
    text: str | None = None


class JobProblem(BaseModel):
    """Why a job failed or was stopped."""

    code: str
    message: str
    node_id: str | None = None
    node_type: str | None = None
    details: dict[str, Any] = {}


class Links(BaseModel):
    """Where to go on."""

    self: str
    results: str
    events: str
    cancel: str


class JobSummary(BaseModel):
    """A job. Times are milliseconds since 1970; `progress` goes from 0 to 100."""

    id: str
    state: State
    progress: float
    current_step: str
    number: float
    priority: int
    created_ms: int
    started_ms: int | None = None
    finished_ms: int | None = None
    attempts: int = Field(description="how often a worker began it")
    set_aside: bool = Field(description="it failed because its workers kept dying")
    error: JobProblem | None = None
    preview: File | None = None
    links: Links


class QueuePlace(BaseModel):
    """Where a waiting job stands. Estimates are made of what nodes of its kinds took lately; nothing while those were not measured."""

    job_id: str
    position: int = Field(description="place in the priority order; 1 is next")
    estimated_wait_s: float | None = None
    expected_s: float | None = Field(default=None, description="how long it will run, if nothing of it is known already")
    priority: int
    created_ms: int
    price: dict[str, Any] | None = Field(default=None, description="what it may cost, where there is a market")


class JobDetail(JobSummary):
    """A job with the state of each of its nodes; while it waits, with its place in the queue."""

    queue: QueuePlace | None = None
    nodes: dict[str, NodeStatus]
    targets: list[str]


class JobList(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobSummary]
    total: int
    offset: int
    limit: int


class Made(BaseModel):
    """How results were made, as far as the graph tells."""

    models: list[str] = Field(description="names of weight files")
    seeds: list[int]
    prompts: list[str]
    steps: int | None = None
    guidance: float | None = None
    sampler: str | None = None
    scheduler: str | None = None
    duration_s: float | None = Field(default=None, description="from the job's start to its end")
    compute_s: float = Field(description="what its nodes took together; what was known already took nothing")
    quality: str = Field(description="what was asked for as `extra.quality`, else standard")
    cost_microcredits: int = Field(default=0, description="what was charged; 0 where nothing has a price")
    engine_version: str


class Results(BaseModel):
    """What a job made: files, what each node has to show, and how they were made."""

    job_id: str
    state: State
    files: list[File]
    outputs: dict[str, dict[str, Any]]
    made: Made
