"""Motion modules begin as nothing, learn from clips, and are written as AnimateDiff's are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import MotionAdapter, UNetMotionModel
from safetensors.torch import load_file

from marquetry.engine.training.base_model import BaseModel
from marquetry.engine.training.dataset import as_bytes
from marquetry.engine.training.errors import TrainingFailed
from marquetry.engine.training.loop import Loop
from marquetry.engine.training.motion import Clips, MotionRecipe, MotionStage, encode_clips, original_names, predicted, write_motion_module
from marquetry.engine.training.recipe import StageRecipe
from tests.engine.training.studio import SIDE, base_of, context_in, painted

RECIPE = MotionRecipe(StageRecipe(steps=12, batch=2, learning_rate=3e-3, warmup_steps=2, ema_decay=0.7), frames=4)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="module")
def base(data: Path) -> BaseModel:
    return base_of(context_in(data))


@pytest.fixture(scope="module")
def clips(data: Path, base: BaseModel) -> Clips:
    """Pictures that drift to the right."""
    drifting = [torch.stack([as_bytes(picture.roll(4 * step, dims=1)) for step in range(6)]) for picture in painted(data)[:6]]
    return encode_clips(base, drifting, ["drifting"] * 6, resolution=SIDE, frames=4)


def test_modules_begin_as_nothing_and_learn(base: BaseModel, clips: Clips) -> None:
    stage = MotionStage(base, clips, RECIPE, seed=0)
    noisy, words = torch.randn(1, 4, 4, 8, 8), clips.contexts[0]
    plain = base.unet()
    with torch.no_grad():
        frames = plain(noisy[0].movedim(1, 0), 400, words.expand(4, -1, -1)).sample.movedim(0, 1)
        torch.testing.assert_close(predicted(stage.unet, noisy, torch.tensor([400]), words)[0], frames, atol=1e-5, rtol=1e-4)
        before = sum(float(stage.loss(stage.draws(part))) for part in range(1, 5))
    Loop(stage).run()
    stage.step = 0
    with torch.no_grad():
        assert sum(float(stage.loss(stage.draws(part))) for part in range(1, 5)) < 0.9 * before
    assert all(not weight.requires_grad for name, weight in stage.unet.named_parameters() if "motion_modules" not in name)


def test_the_file_has_animatediffs_names_and_diffusers_reads_it(base: BaseModel, clips: Clips, tmp_path: Path) -> None:
    stage = MotionStage(base, clips, RECIPE, seed=0)
    for parameter in stage.networks.parameters():
        parameter.data = (parameter.data + 0.05 * torch.randn_like(parameter)).half().float()
    stage.average.weights = {name: weight.detach().clone() for name, weight in stage.networks.named_parameters()}
    write_motion_module(tmp_path / "motion.safetensors", stage.trained(), {})
    state = load_file(tmp_path / "motion.safetensors")
    start = "mid_block.motion_modules.0.temporal_transformer"
    assert {
        f"{start}.transformer_blocks.0.attention_blocks.1.to_q.weight",
        f"{start}.transformer_blocks.0.attention_blocks.0.pos_encoder.pe",
        f"{start}.transformer_blocks.0.norms.0.weight",
        f"{start}.transformer_blocks.0.ff_norm.bias",
        f"{start}.norm.weight",
        "up_blocks.0.motion_modules.1.temporal_transformer.proj_out.weight",
    } <= set(state)
    adapter: Any = MotionAdapter
    config: Any = {
        "block_out_channels": tuple(base.model.config["block_out_channels"]), "motion_layers_per_block": base.model.config["layers_per_block"],
        "motion_num_attention_heads": 8, "motion_max_seq_length": 4,
    }  # fmt: skip
    adapter(**config).save_config(tmp_path)
    read = adapter.from_single_file(str(tmp_path / "motion.safetensors"), config=str(tmp_path), local_files_only=True).float()
    model: Any = UNetMotionModel
    theirs = model.from_unet2d(base.unet(), read).eval()
    given = torch.randn(1, 4, 4, 8, 8), torch.tensor([200]), clips.contexts[0]
    with torch.no_grad():
        torch.testing.assert_close(predicted(stage.unet.eval(), *given), predicted(theirs, *given), atol=1e-5, rtol=1e-4)
    assert len(original_names(stage.trained())) == len(state)


def test_clips_that_are_too_short_are_named(base: BaseModel) -> None:
    still = torch.zeros(3, 64, 64, 3, dtype=torch.uint8)
    with pytest.raises(TrainingFailed, match="clip 1 has 3 frames; at least 4"):
        encode_clips(base, [still], ["a"], resolution=SIDE, frames=4)
    with pytest.raises(TrainingFailed, match="0 clips and 0 captions"):
        encode_clips(base, [], [], resolution=SIDE, frames=4)
