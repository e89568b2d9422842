"""Motion modules (AnimateDiff, Guo et al. 2023): attention over time between the blocks of a frozen UNet, learnt from short clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import MotionAdapter, UNetMotionModel
from torch import Tensor, nn

from marquetry.engine.training.base_model import BaseModel
from marquetry.engine.training.buckets import Bucket, fitted
from marquetry.engine.training.compute import Compute, checkpoint_activations
from marquetry.engine.training.denoising import Objective
from marquetry.engine.training.errors import TrainingFailed
from marquetry.engine.training.lessons import encode_caption, encode_pictures
from marquetry.engine.training.networks import Network
from marquetry.engine.training.noise import add_noise, draw_noise, min_snr_weights, spread_timesteps, target
from marquetry.engine.training.recipe import StageRecipe
from marquetry.engine.training.stage import Draws, Stage
from marquetry.engine.training.weight_file import write_weights

RENAMED = ((".norm1.", ".norms.0."), (".norm2.", ".norms.1."), (".norm3.", ".ff_norm."), (".attn1.", ".attention_blocks.0."), (".attn2.", ".attention_blocks.1."))  # fmt: skip
POSITIONS = ".pos_embed.pe"


@dataclass(frozen=True, slots=True)
class MotionRecipe:
    """`frames` is how many are learnt at once, and how many a clip may have when it is made."""

    stage: StageRecipe = field(default_factory=lambda: StageRecipe(steps=3000, batch=1, learning_rate=3e-4, ema_decay=0.995))
    frames: int = 16
    caption_dropout: float = 0.1
    objective: Objective = field(default_factory=Objective)


@dataclass(frozen=True, eq=False)
class Clips:
    """Clips as the denoiser sees them: latents `[F, 4, h, w]` with their encoded captions `[1, 77, D]`; `untold` is no caption."""

    latents: tuple[Tensor, ...]
    contexts: tuple[Tensor, ...]
    untold: Tensor


def encode_clips(
    base: BaseModel,
    clips: Sequence[Tensor],
    captions: Sequence[str],
    *,
    resolution: int,
    frames: int,
    check: Callable[[], None] = lambda: None,
) -> Clips:
    """Encodes clips of bytes `[F, H, W, 3]`. Raises TrainingFailed for none, and for one with fewer frames than are learnt at once."""
    if not clips or len(clips) != len(captions):
        raise TrainingFailed(f"there are {len(clips)} clips and {len(captions)} captions; give at least one clip, and a caption for each")
    short = next((number for number, clip in enumerate(clips, start=1) if len(clip) < frames), None)
    if short is not None:
        raise TrainingFailed(f"clip {short} has {len(clips[short - 1])} frames; at least {frames} are needed, or learn fewer at once")
    shape = Bucket(resolution, resolution)
    latents = tuple(encode_pictures(base, [fitted(frame, shape) for frame in clip], check) for clip in clips)
    return Clips(latents, tuple(encode_caption(base, caption) for caption in captions), encode_caption(base, ""))


class MotionStage(Stage):
    """The motion modules learn; they begin as nothing, since their way out begins at zero."""

    def __init__(self, base: BaseModel, clips: Clips, recipe: MotionRecipe, seed: int, compute: Compute | None = None) -> None:
        compute = compute or Compute(precision=recipe.stage.precision or "float32")
        self.unet = with_motion(base.unet(), recipe.frames, seed).to(compute.device)
        if recipe.stage.checkpointing:
            checkpoint_activations(self.unet)
        super().__init__(motion_modules(self.unet), recipe.stage, seed, compute)
        self.clips = clips
        self.settings = recipe
        self.prediction = base.prediction
        self.signal_shares = base.signal_shares()

    def loss(self, draws: Draws) -> Tensor:
        """The noise on all frames at one time step, each clip of the batch at its own."""
        device, count = self.compute.device, self.settings.frames
        chosen = [draws.words.randrange(len(self.clips.latents)) for _ in range(self.recipe.batch)]
        latents = torch.stack([self._window(self.clips.latents[index], draws) for index in chosen])  # [B, F, 4, h, w]
        noise = draw_noise(latents.shape, draws.tensors, self.settings.objective.noise_offset)
        timesteps = spread_timesteps(len(chosen), draws.tensors)
        share = self.signal_shares[timesteps]
        contexts = [
            self.clips.untold if draws.words.random() < self.settings.caption_dropout else self.clips.contexts[index] for index in chosen
        ]
        noisy = add_noise(latents, noise, share).movedim(1, 2).to(device)  # [B, 4, F, h, w]
        with self.compute.autocast():
            said = predicted(self.unet, noisy, timesteps.to(device), torch.cat(contexts).to(device)).float()
        wanted = target(self.prediction, latents, noise, share).movedim(1, 2).to(device)
        assert said.shape[2] == count
        weights = min_snr_weights(share, self.settings.objective.min_snr_gamma, self.prediction).to(device)
        return ((said - wanted).square().flatten(1).mean(dim=1) * weights).mean()

    def trained(self) -> dict[str, Tensor]:
        """The averaged modules by diffusers' names."""
        with self.average.applied(self.networks):
            return {
                f"{path.replace('/', '.')}.{name}": weight.detach().cpu().clone()
                for path, module in self.networks.named_children()
                for name, weight in module.state_dict().items()
            }

    def _window(self, latents: Tensor, draws: Draws) -> Tensor:
        start = draws.words.randint(0, len(latents) - self.settings.frames)
        return latents[start : start + self.settings.frames]


def predicted(unet: Any, noisy: Tensor, timesteps: Tensor, contexts: Tensor) -> Tensor:
    """What a UNet with motion says of clips `[B, 4, F, h, w]`, every frame of a clip being told the same `[B, 77, D]`."""
    said: Tensor = unet(noisy, timesteps, contexts.repeat_interleave(noisy.shape[2], dim=0)).sample
    return said


def with_motion(unet: Any, frames: int, seed: int) -> Network:
    """The UNet with fresh motion modules that change nothing yet; only they learn."""
    adapter: Any = MotionAdapter
    model: Any = UNetMotionModel
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        modules = adapter(
            block_out_channels=tuple(unet.config.block_out_channels),
            motion_layers_per_block=unet.config.layers_per_block,
            motion_num_attention_heads=8,
            motion_norm_num_groups=unet.config.norm_num_groups,
            motion_max_seq_length=frames,
        )
    for name, parameter in modules.named_parameters():
        if ".proj_out." in name:
            nn.init.zeros_(parameter)
    made: Network = model.from_unet2d(unet, modules)
    made.requires_grad_(False)
    for module in motion_modules(made).values():
        module.requires_grad_(True)
    return made.train()


def motion_modules(unet: Any) -> nn.ModuleDict:
    """The motion modules of a UNet by path, dots as slashes."""
    found = nn.ModuleDict()
    for path, module in unet.named_modules():
        if path.rpartition(".")[0].endswith("motion_modules"):
            found[path.replace(".", "/")] = module
    return found


def original_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Diffusers' names as AnimateDiff published them (the second version, with a module in the middle)."""
    named: dict[str, Tensor] = {}
    for name, tensor in state.items():
        before, inside = name.split(".motion_modules.")
        number, _, rest = inside.partition(".")
        start = f"{before}.motion_modules.{number}.temporal_transformer."
        if rest.endswith(POSITIONS.removeprefix(".")):
            block = rest.removesuffix(POSITIONS.removeprefix("."))
            for attention in (0, 1):
                named[f"{start}{block}attention_blocks.{attention}.pos_encoder.pe"] = tensor.clone()
            continue
        full = f".{rest}"
        for ours, theirs in RENAMED:
            full = full.replace(ours, theirs)
        named[start + full[1:]] = tensor
    return named


def write_motion_module(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes a state by diffusers' names in AnimateDiff's layout."""
    write_weights(path, original_names(state), metadata)
