"""A training as a node runs it: where its file goes, where its state waits when it is cancelled, and what it tells meanwhile."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from marquetry.engine.context import Context
from marquetry.engine.errors import NodeFailed
from marquetry.engine.training.compute import Compute
from marquetry.engine.training.loop import Loop, Moment
from marquetry.engine.training.loss_curve import curve_picture
from marquetry.engine.training.recipe import Precision
from marquetry.engine.training.stage import Stage

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

KEY = "marquetry.training_key"
TOLD_EVERY_S = 1.0
NAME_CHARACTERS_MAX = 120


class TrainingSession:
    """One training of a kind of model file. Equal `settings` are the same training: it is gone on with, or found finished."""

    def __init__(self, context: Context, kind: str, name: str, settings: Mapping[str, Any]) -> None:
        """Raises NodeFailed for a name that can't be a file's, UnsafePath for one that leaves the folder."""
        self.context = context
        self.key = hashlib.sha256(json.dumps([kind, dict(settings)], sort_keys=True, default=repr).encode()).hexdigest()
        self.folder = context.folders.model_folders(kind)[0] if kind in context.folders.kinds else context.folders.models / kind
        self.name = self._free_name(name)
        self.losses: list[tuple[int, float]] = []
        self._told = 0.0
        self.moment: Moment | None = None

    @property
    def path(self) -> Path:
        """The finished file."""
        return self.folder / self.name

    @property
    def state(self) -> Path:
        """Where an unfinished training waits, beside its file, out of every listing."""
        return self.path.with_name(f".{self.path.stem}.{self.key[:12]}.training")

    @property
    def finished(self) -> bool:
        """Whether the very same training was finished before."""
        return self.path.exists() and key_of(self.path) == self.key

    def compute(self, precision: Precision | None) -> Compute:
        """The worker's device, in the precision asked for or the one that suits it."""
        device = self.context.models.device
        suits: Precision = "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
        return Compute(device, precision or suits)

    def run(self, stage: Stage, *, every: int = 0, paint: Callable[[], Picture | None] | None = None) -> None:
        """Trains to the end. `paint` gives a picture of what is learnt so far, shown `every` steps. State stays when it is cancelled."""

        def visit(step: int) -> None:
            picture = None if paint is None else paint()
            if picture is not None:
                self.context.progress(step, stage.steps, picture)

        Loop(stage, self.state, listener=self.heard, check=self.context.check, every=every, visit=visit).run()

    def heard(self, moment: Moment) -> None:
        """Passes a step on: always as progress, now and then as words."""
        self.moment = moment
        self.losses.append((moment.step, moment.loss))
        if self.context.reporter is not None:
            self.context.reporter.progress(self.context.node_id, moment.step, moment.steps, None)
        if time.monotonic() - self._told > TOLD_EVERY_S or moment.step == moment.steps:
            self._told = time.monotonic()
            self.context.text(moment.text())

    def metadata(self) -> dict[str, str]:
        """What marks the finished file as this training's."""
        return {KEY: self.key}

    def done(self) -> None:
        """Tidies up after the file was written."""
        self.state.unlink(missing_ok=True)

    def curve(self) -> torch.Tensor:
        """The losses as a picture, IMAGE `[1, H, W, 3]`."""
        return curve_picture(self.losses)

    def _free_name(self, name: str) -> str:
        stem = name.strip().removesuffix(".safetensors")
        last = stem.replace("\\", "/").rpartition("/")[2]
        if not last or last.startswith(".") or not stem.isprintable() or len(stem) > NAME_CHARACTERS_MAX:
            raise NodeFailed(f"'{name[:40]}' can't be a file's name; give letters and digits, with / between folders")
        for number in range(1, 1000):
            tried = f"{stem}.safetensors" if number == 1 else f"{stem}_{number}.safetensors"
            path = self.context.folders.inside(self.folder, tried)
            if not path.exists() or key_of(path) == self.key:
                return tried
        raise NodeFailed(f"there are a thousand files called {stem}; choose another name")


def key_of(path: Path) -> str | None:
    """The key of the training that made a file, if one did."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get(KEY)
    except (SafetensorError, OSError):
        return None
