"""Bodies and answers of the market's routes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Pricing = Literal["free", "one_time", "per_use", "subscription"]
STRICT = ConfigDict(extra="forbid")
MAX_MICROCREDITS = 10**13


class DetailsBody(BaseModel):
    model_config = STRICT

    title: str = Field(min_length=1, max_length=120)
    summary: str = Field(default="", max_length=300)
    description: str = Field(default="", max_length=50_000)
    category: str = Field(default="", max_length=40)
    licence: str = Field(default="custom", max_length=100, description="SPDX expression, or custom")
    licence_text: str = Field(default="", max_length=50_000)
    tags: list[str] = Field(default=[], max_length=20)
    base_models: list[str] = Field(default=[], max_length=20, description="families that it works with, as sd1")
    trigger_words: list[str] = Field(default=[], max_length=20)
    pricing: Pricing = "free"
    price_microcredits: int = Field(default=0, ge=0, le=MAX_MICROCREDITS, description="per use, sale or period; a credit is 1,000,000")
    period_days: int = Field(default=30, ge=1, le=366, description="of a subscription")
    downloadable: bool = Field(default=False, description="whether who may use it may also take it away")


class InputBody(BaseModel):
    model_config = STRICT

    name: str = Field(min_length=1, max_length=64, description="as callers give it")
    node: str = Field(min_length=1, max_length=120, description="id of the node inside")
    input: str = Field(min_length=1, max_length=200, description="its input")
    options: dict[str, Any] = Field(default={}, max_length=20, description="default, min, max, step, choices, tooltip, multiline, label")
    required: bool | None = Field(default=None, description="by default where nothing stands there inside")


class OutputBody(BaseModel):
    model_config = STRICT

    name: str = Field(min_length=1, max_length=64)
    node: str = Field(min_length=1, max_length=120)
    slot: int = Field(default=0, ge=0, le=1000)
    tooltip: str = Field(default="", max_length=300)


class GraphBody(BaseModel):
    """A graph in API form, and what of it is seen from outside."""

    model_config = STRICT

    graph: dict[str, Any]
    inputs: list[InputBody] = Field(default=[], max_length=64)
    outputs: list[OutputBody] = Field(default=[], max_length=64)
    shows: list[str] = Field(default=[], max_length=64, description="output nodes inside whose files are shown")
    previews: list[str] = Field(default=[], max_length=64, description="nodes inside whose steps and previews are shown")


class FileBody(BaseModel):
    model_config = STRICT

    kind: str = Field(min_length=1, max_length=40, description="folder, as loras")
    name: str = Field(min_length=1, max_length=500, description="as the upload of weights gave it")


class VersionBody(BaseModel):
    model_config = STRICT

    version: str = Field(default="1.0.0", min_length=1, max_length=64, description="semantic version")
    changelog: str = Field(default="", max_length=20_000)
    workflow: GraphBody | None = None
    content: dict[str, Any] = Field(default={}, max_length=20, description="what its kind holds beside; see the kinds")
    files: list[FileBody] = Field(default=[], max_length=100)


class ListBody(DetailsBody):
    kind: str = Field(min_length=1, max_length=32)
    slug: str = Field(min_length=1, max_length=80)
    version: VersionBody | None = Field(default=None, description="its first version")
    publish: bool = Field(default=False, description="ask for publication at once")


class CreatorBody(BaseModel):
    model_config = STRICT

    handle: str = Field(default="", max_length=40, description="stays for ever; left out to keep it")
    name: str = Field(min_length=1, max_length=120)
    about: str = Field(default="", max_length=2000)


class CreatorModel(BaseModel):
    handle: str
    name: str
    about: str
    founding: bool
    followers: int
    created_ms: int
    followed: bool = False


class Listed(BaseModel):
    """What became of a listing or version."""

    id: str
    state: str
    name: str = ""
    node_type: str | None = Field(default=None, description="as which it stands in graphs")
    version_id: str | None = None
    version: str | None = None


class Item(BaseModel):
    """A listing as it is shown in lists."""

    id: str
    kind: str
    creator: str
    slug: str
    title: str
    summary: str
    category: str
    tags: list[str]
    base_models: list[str]
    pricing: Pricing
    price_microcredits: int
    period_days: int
    licence: str
    downloadable: bool
    state: str
    version: str | None = None
    previews: list[dict[str, Any]] = []
    uses: int
    sales: int
    favourites: int
    reviews: int
    stars: float | None = Field(default=None, description="mean of the reviews, 1 to 5")
    published_ms: int | None = None
    updated_ms: int


class VersionModel(BaseModel):
    id: str
    version: str
    state: str
    changelog: str
    content_hash: str
    requires: list[dict[str, Any]] = []
    created_ms: int
    published_ms: int | None = None
    withdrawn_ms: int | None = None
    note: str = ""


class ItemDetail(Item):
    description: str
    licence_text: str
    trigger_words: list[str]
    state_reason: str = ""
    versions: list[VersionModel]
    node_type: str | None = None
    interface: dict[str, Any] | None = Field(default=None, description="inputs and outputs of a graph, as object_info has them")
    content: dict[str, Any] = {}
    files: list[dict[str, Any]] = []
    entitled: bool = Field(default=False, description="whether the caller may use it without buying it")
    favourite: bool = False
    mine: bool = False
    creator_name: str = ""


class Items(BaseModel):
    items: list[Item]
    cursor: str | None = None
    facets: dict[str, dict[str, int]] = {}


class KindModel(BaseModel):
    id: str
    title: str
    graph: str
    files: str
    folders: list[str]
    pricings: list[str]
    fields: dict[str, str]


class Kinds(BaseModel):
    kinds: list[KindModel]


class Done(BaseModel):
    done: bool = True


class Reason(BaseModel):
    model_config = STRICT

    reason: str = Field(default="", max_length=500)
