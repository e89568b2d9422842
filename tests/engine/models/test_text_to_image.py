"""From prompt to picture through the nodes, on tiny real models of every family."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from marquetry.engine.context import Context, Services
from marquetry.engine.folders import Folders
from marquetry.engine.models.library import ModelLibrary
from marquetry.nodes.loaders import load_checkpoint
from marquetry.nodes.sampling import ksampler
from marquetry.nodes.text_encode import encode_text
from marquetry.nodes.vae import decode, encode_for_inpaint
from tests.checkpoints import FamilyName, networks, write_checkpoint


def picture(
    tmp_path: Path, name: FamilyName, *, in_channels: int = 4, seed: int = 7, prompt: str = "a (red:1.2) cat", **library: Any
) -> Tensor:
    folders = Folders(tmp_path)
    folders.create()
    write_checkpoint(folders.models / "checkpoints/a.safetensors", networks(name, in_channels=in_channels))
    context = Context(Services(folders, ModelLibrary(folders, device="cpu", **library)))
    model, clip, vae = load_checkpoint("a.safetensors", context)
    pixels, mask = torch.full((1, 64, 64, 3), 0.5), torch.zeros(1, 64, 64)
    mask[:, :32] = 1.0
    start = encode_for_inpaint(pixels, vae, mask, context=context) if in_channels == 9 else {"samples": torch.zeros(1, 4, 8, 8)}
    latent = ksampler(
        context=context, model=model, seed=seed, steps=3, cfg=5.0, sampler_name="dpmpp_2m", scheduler="karras",
        positive=encode_text(prompt, clip, context), negative=encode_text("", clip, context), latent_image=start,
    )  # fmt: skip
    made: Tensor = decode(latent, vae, context)
    return made


@pytest.mark.parametrize(("name", "in_channels"), [("sd1", 4), ("sd2", 4), ("sd1", 9)])
def test_seed_and_prompt_decide_the_picture(tmp_path: Path, name: FamilyName, in_channels: int) -> None:
    first = picture(tmp_path, name, in_channels=in_channels)

    assert first.shape == (1, 64, 64, 3)
    assert bool(first.isfinite().all()) and float(first.std()) > 0
    assert torch.equal(first, picture(tmp_path, name, in_channels=in_channels))
    assert not torch.equal(first, picture(tmp_path, name, in_channels=in_channels, seed=8))
    assert not torch.equal(first, picture(tmp_path, name, in_channels=in_channels, prompt="a blue house"))


def test_picture_is_the_same_where_only_one_network_fits_at_a_time(tmp_path: Path) -> None:
    assert torch.equal(picture(tmp_path, "sd1", budget_bytes=14_000_000), picture(tmp_path, "sd1"))
