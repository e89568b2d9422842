"""Context: what a running node may ask of the engine, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from marquetry.engine.errors import Interrupted
from marquetry.engine.folders import Folders

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from marquetry.engine.models.library import ModelLibrary


class Reporter(Protocol):
    """Who hears of progress; the executor in a run, nothing at all in a test."""

    def progress(self, node_id: str, value: float, total: float, preview: Picture | None) -> None: ...

    def text(self, node_id: str, text: str) -> None: ...


@dataclass(frozen=True)
class Services:
    """What a worker offers to all nodes: its folders and its models, and how previews and saved files are made.

    Without `metadata` files are saved without the graph that made them.
    """

    folders: Folders
    models: ModelLibrary | None = None
    preview_size: int = 512
    metadata: bool = True


@dataclass(slots=True)
class Context:
    """One node's view of the run that it belongs to."""

    services: Services
    node_id: str = ""
    job_id: str = ""
    owner: str = ""
    prompt: Mapping[str, Any] | None = None  # the submitted API graph
    extra: Mapping[str, Any] = field(default_factory=dict)  # extra_pnginfo: what else to write into saved files
    reporter: Reporter | None = None
    cancelled: Callable[[], bool] = lambda: False

    @property
    def folders(self) -> Folders:
        """Those of the job's owner, where owners are kept apart."""
        return self.services.folders.of(self.owner)

    @property
    def models(self) -> ModelLibrary:
        """The models of this worker: loading, adapters, residency."""
        if self.services.models is None:
            raise RuntimeError("this context was made without a model library")
        return self.services.models

    def check(self) -> None:
        """Raise Interrupted when the job was cancelled."""
        if self.cancelled():
            raise Interrupted("the job was cancelled")

    def progress(self, value: float, total: float, preview: Picture | None = None) -> None:
        """Report that `value` of `total` steps are done, with a preview picture if there is one. Raises Interrupted."""
        self.check()
        if self.reporter is not None:
            self.reporter.progress(self.node_id, value, total, preview)

    def text(self, text: str) -> None:
        """Show a line of text on the node."""
        if self.reporter is not None:
            self.reporter.text(self.node_id, text)
