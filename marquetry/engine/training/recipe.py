"""The sizes of the networks and the length of each stage of training, as values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self, TypeAlias

Schedule: TypeAlias = Literal["cosine", "linear", "constant"]
Precision: TypeAlias = Literal["float32", "bfloat16", "float16"]
Optimiser: TypeAlias = Literal["adamw", "adamw8bit", "adafactor"]
Prediction: TypeAlias = Literal["epsilon", "v_prediction"]


@dataclass(frozen=True, slots=True)
class StageRecipe:
    """One stage: how long, how many pictures a step, how fast it learns.

    A step draws `accumulation` batches. Without a `precision` a stage computes in the one that suits it. `checkpointing` saves
    memory by computing activations twice. `adamw8bit` needs bitsandbytes.
    """

    steps: int
    batch: int
    learning_rate: float
    warmup_steps: int = 100
    ema_decay: float = 0.999
    weight_decay: float = 0.01
    gradient_norm_max: float = 1.0
    schedule: Schedule = "cosine"
    accumulation: int = 1
    precision: Precision | None = None
    optimiser: Optimiser = "adamw"
    checkpointing: bool = False


@dataclass(frozen=True, slots=True)
class NetworkSizes:
    """Widths and depths. GroupNorm has 32 groups and attention 8 heads everywhere, as in SD1; text heads are 64 wide.

    So every width of UNet and autoencoder is a multiple of 32. `unet_attention` says which levels attend, finest first; empty
    means all. `unet_inputs` is 9 for inpainting: latent, mask, latent of the masked picture.
    """

    resolution: int = 64
    autoencoder_channels: tuple[int, ...] = (64, 64, 64, 64)
    autoencoder_layers: int = 1
    unet_channels: tuple[int, ...] = (64, 64)
    unet_layers: int = 1
    text_width: int = 64
    text_layers: int = 2
    unet_attention: tuple[bool, ...] = ()
    unet_inputs: int = 4

    def attention(self) -> tuple[bool, ...]:
        """Which levels of the UNet attend to the caption, finest first."""
        return self.unet_attention or (True,) * len(self.unet_channels)

    def as_json(self) -> dict[str, Any]:
        """The sizes as they travel in a file's metadata; what came later and is as it always was is left out."""
        later = {known.name: known.default for known in fields(self) if known.name in ("unet_attention", "unet_inputs")}
        return {name: value for name, value in asdict(self).items() if name not in later or value != later[name]}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Sizes from a file's metadata."""
        plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return cls(**plain)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that, with the seed and the examples, decides the model."""

    networks: NetworkSizes = field(default_factory=NetworkSizes)
    autoencoder: StageRecipe = StageRecipe(steps=2000, batch=8, learning_rate=2e-3, ema_decay=0.995)
    diffusion: StageRecipe = StageRecipe(steps=5000, batch=32, learning_rate=1e-3, ema_decay=0.999)
    caption_dropout: float = 0.1
    min_snr_gamma: float = 20.0
    prediction: Prediction = "epsilon"
    noise_offset: float = 0.0
    autoencoder_crop: int = 0


WORLD_128 = Recipe(
    networks=NetworkSizes(
        resolution=128,
        autoencoder_channels=(32, 64, 96, 96),
        unet_channels=(96, 192, 192),
        text_width=128,
        text_layers=3,
    ),
    autoencoder=StageRecipe(steps=3600, batch=8, learning_rate=1.5e-3, ema_decay=0.995, precision="bfloat16"),
    diffusion=StageRecipe(steps=2800, batch=16, learning_rate=8e-4, ema_decay=0.999, precision="bfloat16"),
    autoencoder_crop=64,
)
"""A 128x128 model for two cores without an accelerator in about an hour, as estimated from processor time per step.

One core (EPYC with avx512_bf16), milliseconds a step; two cores take about 0.55 of it:

| autoencoder, batch 8 | 128x128 bf16 | 128x128 float32 | 64x64 crops bf16 | parameters |
|---|---|---|---|---|
| (32, 32, 64, 64) | 1733 | 1418 | - | 1.0 M |
| (32, 64, 64, 64) | 2072 | 2095 | - | 1.3 M |
| (32, 64, 96, 96) | 2271 | 2516 | 610 | 2.4 M |
| (32, 64, 128, 128) | 2502 | 3030 | 666 | 3.9 M |
| (64, 64, 64, 64) | 2669 | 3794 | 702 | 1.5 M |
| (64, 64, 96, 96) | - | - | 778 | 2.6 M |

| UNet, latents 16x16, with text encoder 128 wide, 3 layers | batch 16 bf16 | batch 32 bf16 | batch 32 float32 | parameters |
|---|---|---|---|---|
| (64, 128, 128), 1 layer | 1036 | 1779 | 1793 | 7.7 M |
| (64, 128, 192), 1 layer | 1088 | - | - | 11.8 M |
| (96, 192), 1 layer | - | 2218 | 2527 | 10.1 M |
| (96, 192, 192), 1 layer | 1326 | 2399 | 2666 | 16.2 M |
| (96, 192, 192), 2 layers | - | 3662 | 4071 | 24.1 M |
| (128, 256, 256), 1 layer | - | 3075 | 4026 | 28.1 M |

Crops of 64 take a quarter of the time, so the autoencoder sees four times as many pictures: nine tenths of 3600 steps at 0.34 s
and the rest at 1.25 s are 26 minutes; 2800 steps of the UNet at 0.73 s are 34. With more time, raise both numbers of steps first.
"""
