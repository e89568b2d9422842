"""A whole graph that steers by a picture's edges, through the executor: file in, file out, and what is done again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

from marquetry.engine.cache import ResultCache
from marquetry.engine.context import Services
from marquetry.engine.declare import node_type
from marquetry.engine.execution.executor import Executor
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.pictures import decode, encode_png
from marquetry.nodes import control, image_io, latent, loaders, preprocess, sampling, text_encode, vae
from tests import checkpoints
from tests.engine.execution.workshop import Workshop, n
from tests.engine.models.control.tiny import net_of

MODULES: tuple[ModuleType, ...] = (control, image_io, latent, loaders, preprocess, sampling, text_encode, vae)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    workshop = Workshop(tmp_path)
    workshop.folders.create()
    for module in MODULES:
        for value in vars(module).values():
            if hasattr(value, "__node_type__") and value.__module__ == module.__name__:
                workshop.registry.add(node_type(value))
    models = ModelLibrary(workshop.folders, device="cpu", budget_bytes=2**30)
    workshop.close()
    workshop.cache = ResultCache(2**30)
    workshop.executor = Executor(workshop.registry, Services(workshop.folders, models), workshop.cache)
    checkpoints.write_checkpoint(workshop.folders.models / "checkpoints/sd1.safetensors")
    state = net_of(checkpoints.networks("sd1").unet, 1).state_dict()
    save_file({name: tensor.clone() for name, tensor in state.items()}, workshop.folders.models / "controlnet/edges.safetensors")
    yield workshop
    workshop.close()


def graph(**applied: Any) -> dict[str, Any]:
    given = {"strength": 1.0, "start_percent": 0.0, "end_percent": 1.0} | applied
    return {
        "1": n("LoadImage", image="x.png"),
        "2": n("Canny", image=["1", 0], low_threshold=0.1, high_threshold=0.3),
        "3": n("CheckpointLoaderSimple", ckpt_name="sd1.safetensors"),
        "4": n("CLIPTextEncode", clip=["3", 1], text="a red cat"),
        "5": n("CLIPTextEncode", clip=["3", 1], text="blurry"),
        "6": n("ControlNetLoader", control_net_name="edges.safetensors"),
        "7": n("ControlNetApplyAdvanced", positive=["4", 0], negative=["5", 0], control_net=["6", 0], image=["2", 0], **given),
        "8": n("EmptyLatentImage", width=64, height=64, batch_size=1),
        "9": n(
            "KSampler", model=["3", 0], seed=1, steps=2, cfg=2.0, sampler_name="euler", scheduler="normal", positive=["7", 0],
            negative=["7", 1], latent_image=["8", 0], denoise=1.0,
        ),
        "10": n("VAEDecode", samples=["9", 0], vae=["3", 2]),
        "11": n("SaveImage", images=["10", 0], filename_prefix="steered"),
    }  # fmt: skip


def test_a_picture_steers_and_only_what_changed_is_done_again(shop: Workshop) -> None:
    picture = np.full((64, 64, 3), 230, np.uint8)
    picture[16:48, 16:48] = 20
    (shop.folders.input / "x.png").write_bytes(encode_png(picture))
    first = shop.run(graph())
    assert first.state == "completed", first.failures
    again = shop.run(graph(strength=0.0), job_id="again")
    assert again.state == "completed" and again.ran == ["7", "9", "10", "11"]
    steered, plain = (decode(shop.folders.output / f"steered_0000{number}_.png").pixels for number in (1, 2))
    assert steered.shape == plain.shape == (1, 64, 64, 3) and (steered != plain).any()
