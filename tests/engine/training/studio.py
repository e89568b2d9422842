"""The built-in model with everything that trainings need, and pictures that it painted itself, in a style of their own."""

from __future__ import annotations

import functools
from pathlib import Path

import torch
from torch import Tensor

from marquetry.engine.context import Context, Services
from marquetry.engine.folders import Folders
from marquetry.engine.models.builtin import add_builtin_models
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.sampling.driver import sample_latent
from marquetry.engine.training.base_model import BaseModel
from marquetry.engine.training.dataset import Dataset, as_bytes, from_memory

MODEL = "marquetry-mini.safetensors"
SIDE = 64
WORDS = tuple(
    f"a {colour} {subject} {place}"
    for colour, place in (("red", "on the beach"), ("blue", "in the snow"), ("yellow", "in the forest"), ("green", "in the city"))
    for subject in ("car", "cat", "house", "boat")
)


def context_in(data: Path) -> Context:
    """A context whose folders hold the built-in model."""
    folders = Folders(data)
    folders.create()
    add_builtin_models(folders)
    return Context(Services(folders, ModelLibrary(folders, device="cpu")))


def base_of(context: Context) -> BaseModel:
    model, clip, vae = context.models.load_checkpoint(MODEL)
    assert clip is not None and vae is not None
    return BaseModel(model, clip, vae, MODEL)


@functools.cache
def painted(data: Path) -> Tensor:
    """What the model paints of each of the words, `[N, H, W, 3]` in 0..1."""
    base = base_of(context_in(data))
    pictures = []
    for number, words in enumerate(WORDS):
        latent = sample_latent(
            base.model, seed=number, steps=6, cfg=3.0, sampler_name="dpmpp_2m", scheduler="karras",
            positive=base.clip.encode_conditioning(words), negative=base.clip.encode_conditioning(""),
            latent={"samples": torch.zeros(1, 4, SIDE // 8, SIDE // 8)},
        )  # fmt: skip
        pictures.append(base.vae.decode(latent["samples"])[0])
    return torch.stack(pictures)


def negatives(data: Path) -> Dataset:
    """A style: colours turned into their opposites, in four shades each; a quarter is held out."""
    turned = ((1.0 - painted(data)) * 3.0).round() / 3.0
    return from_memory([as_bytes(picture) for picture in turned], list(WORDS)).with_trigger("negative").split(0.25, seed=1)
