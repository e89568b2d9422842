"""The sizes of the networks and the length of each stage of training, as values."""

from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class StageRecipe:
    """One stage: how long, how many pictures a step, how fast it learns."""

    steps: int
    batch: int
    learning_rate: float
    warmup_steps: int = 100
    ema_decay: float = 0.999
    weight_decay: float = 0.01
    gradient_norm_max: float = 1.0


@dataclass(frozen=True, slots=True)
class NetworkSizes:
    """Widths and depths. GroupNorm has 32 groups and attention 8 heads everywhere, as in SD1; text heads are 64 wide."""

    resolution: int = 64
    autoencoder_channels: tuple[int, ...] = (64, 64, 64, 64)
    autoencoder_layers: int = 1
    unet_channels: tuple[int, ...] = (64, 64)
    unet_layers: int = 1
    text_width: int = 64
    text_layers: int = 2

    def as_json(self) -> dict[str, Any]:
        """The sizes as they travel in a file's metadata."""
        return asdict(self)

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
