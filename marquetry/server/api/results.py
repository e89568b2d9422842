"""Results: the files of a job with their addresses, sizes and types, and what the graph says of how they were made."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson

from marquetry import __version__
from marquetry.engine.errors import UnsafePath
from marquetry.engine.folders import Folders
from marquetry.server.api.models import File, Made, Results
from marquetry.server.http.files import safe_media_type
from marquetry.server.jobs.job import Job

MODEL_INPUTS = frozenset({"ckpt_name", "unet_name", "vae_name", "lora_name", "clip_name", "clip_name1", "clip_name2", "control_net_name"})
SEED_INPUTS = frozenset({"seed", "noise_seed"})
MAX_PROMPT_CHARACTERS = 2_000
QUALITIES = ("standard", "high", "ultra")
SCALARS: Mapping[str, tuple[str, type | tuple[type, ...]]] = {
    "steps": ("steps", int),
    "guidance": ("cfg", (int, float)),
    "sampler": ("sampler_name", str),
    "scheduler": ("scheduler", str),
}


def results(job: Job, folders: Folders) -> Results:
    """Everything that a job made. Looks at each file, so it belongs into a thread."""
    found = [measured(file, folders) for file in files(job)]
    return Results(job_id=job.id, state=job.state.value, files=found, outputs=dict(job.outputs), made=made(job))


def files(job: Job) -> Iterator[File]:
    """The files that the nodes' outputs name; not looked at."""
    for node_id, shown in job.outputs.items():
        for kind, values in shown.items():
            for value in values if isinstance(values, list) else ():
                if isinstance(value, dict) and isinstance(value.get("filename"), str):
                    yield _file(value, kind, node_id)


def first_file(job: Job) -> File | None:
    """The one to show for the job: a saved one before a temporary one."""
    found = sorted(files(job), key=lambda file: file.type != "output")
    return found[0] if found else None


def measured(file: File, folders: Folders) -> File:
    """The file with its bytes and, for pictures, its size."""
    try:
        path = folders.inside(folders.directory(file.type), f"{file.subfolder}/{file.name}" if file.subfolder else file.name)
        size = path.stat().st_size
    except (UnsafePath, OSError):
        return file
    width, height = _dimensions(path) if file.media_type.startswith("image/") else (None, None)
    return file.model_copy(update={"size_bytes": size, "width": width, "height": height, "aspect": aspect_of(width, height)})


def aspect_of(width: int | None, height: int | None) -> str | None:
    """The sides' ratio in lowest terms, "3:2"."""
    if not width or not height:
        return None
    shared = math.gcd(width, height)
    return f"{width // shared}:{height // shared}"


def made(job: Job) -> Made:
    """Models, seeds, texts and settings that stand in the graph."""
    graph = orjson.loads(job.graph)
    models: dict[str, None] = {}
    seeds: dict[int, None] = {}
    prompts: dict[str, None] = {}
    scalars: dict[str, Any] = {}
    for node in graph.values():
        inputs = node.get("inputs", {})
        for name, value in inputs.items():
            if name in MODEL_INPUTS and isinstance(value, str):
                models[value] = None
            elif name in SEED_INPUTS and type(value) is int:
                seeds[value] = None
        if str(node.get("class_type", "")).startswith("CLIPTextEncode") and isinstance(inputs.get("text"), str):
            prompts[inputs["text"][:MAX_PROMPT_CHARACTERS]] = None
        for field, (name, kind) in SCALARS.items():
            if field not in scalars and isinstance(inputs.get(name), kind):
                scalars[field] = inputs[name]
    duration_s = None if job.started_ms is None or job.finished_ms is None else (job.finished_ms - job.started_ms) / 1000
    return Made(
        models=list(models),
        seeds=list(seeds),
        prompts=list(prompts),
        duration_s=duration_s,
        compute_s=round(sum(node.duration_s for node in job.nodes.values() if not node.cached), 3),
        quality=quality_of(job),
        engine_version=__version__,
        **scalars,
    )


def quality_of(job: Job) -> str:
    """What was asked for with the job; a price book may ask more for more."""
    asked = orjson.loads(job.extra).get("quality")
    return asked if asked in QUALITIES else QUALITIES[0]


def _file(value: Mapping[str, Any], kind: str, node_id: str) -> File:
    name, subfolder, folder = value["filename"], str(value.get("subfolder") or ""), str(value.get("type") or "output")
    address = "/api/view?" + urlencode({"filename": name, "subfolder": subfolder, "type": folder})
    return File(name=name, subfolder=subfolder, type=folder, kind=kind, node_id=node_id, url=address, media_type=safe_media_type(name))


def _dimensions(path: Path) -> tuple[int | None, int | None]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return image.size
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError):
        return None, None
