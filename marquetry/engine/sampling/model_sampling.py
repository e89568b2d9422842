"""ModelSampling: the noise levels that a network knows, and how its output becomes a denoised latent.

A sampler works on `x = alpha * x0 + sigma * noise`, with alpha 1 (variance exploding, as in k-diffusion) for all
predictions but "flow", where alpha is 1 - sigma (rectified flow). Times grow with sigma.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

from marquetry.engine.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

Prediction = Literal["epsilon", "v_prediction", "sample", "image", "flow", "edm", "rectified_edm", "lcm"]

INFINITE_SIGMA = 999999999.9  # what percent 0 stands for: above every noise level
LCM_SIGMA_DATA = 0.5
LCM_TIMESTEP_SCALE = 10.0


class ModelSampling(ABC):
    """One parametrisation: an increasing table `sigmas` (float32 `[N]`), maps to and from times, and a kind of prediction.

    Instances are immutable; a changed one is made anew and put into a model with `DiffusionModel.with_sampling`.
    """

    def __init__(self, sigmas: Tensor, prediction: Prediction, sigma_data: float = 1.0) -> None:
        self.sigmas = sigmas.float()
        self.prediction: Prediction = prediction
        self.sigma_data = sigma_data

    @property
    def sigma_min(self) -> float:
        return float(self.sigmas[0])

    @property
    def sigma_max(self) -> float:
        return float(self.sigmas[-1])

    @property
    def is_flow(self) -> bool:
        return self.prediction == "flow"

    @abstractmethod
    def timestep(self, sigma: Tensor) -> Tensor:
        """The time that the network is told for each noise level; same shape."""

    @abstractmethod
    def sigma(self, timestep: Tensor) -> Tensor:
        """The noise level at each time, between the entries of the table too; same shape."""

    @abstractmethod
    def percent_to_sigma(self, percent: float) -> float:
        """The noise level after that part (0..1) of the way from pure noise; 0 is above every level, 1 is 0."""

    def scale_input(self, x: Tensor, sigma: Tensor) -> Tensor:
        """What the network is fed for the noisy `x` [B, ...] at `sigma` [B]; same shape as `x`."""
        if self.prediction in ("flow", "image"):
            return x
        if self.prediction == "rectified_edm":
            return x / (_like(sigma, x) + 1.0)
        return x / (_like(sigma, x) ** 2 + self.sigma_data**2).sqrt()

    def to_denoised(self, x: Tensor, sigma: Tensor, output: Tensor) -> Tensor:
        """The estimate of the clean latent from the network's `output` for the noisy, unscaled `x` [B, ...] at `sigma` [B].

        Epsilon: Ho et al. 2020; v: Salimans and Ho 2022; EDM: Karras et al. 2022; flow: Liu et al. 2022;
        LCM: the boundary condition of Luo et al. 2023. "image" is "sample" for a network that takes `x` unscaled; "rectified_edm" is a
        flow network seen through levels `sigma / alpha`.
        """
        level = _like(sigma, x)
        variance = level**2 + self.sigma_data**2
        match self.prediction:
            case "sample" | "image":
                return output
            case "rectified_edm":
                return (x - output * level) / (level + 1.0)
            case "v_prediction":
                return x * (self.sigma_data**2 / variance) - output * (level * self.sigma_data / variance.sqrt())
            case "edm":
                return x * (self.sigma_data**2 / variance) + output * (level * self.sigma_data / variance.sqrt())
            case "lcm":
                time = _like(self.timestep(sigma).to(x.dtype) * LCM_TIMESTEP_SCALE, x)
                boundary = time**2 + LCM_SIGMA_DATA**2
                return (x - output * level) * (time / boundary.sqrt()) + x * (LCM_SIGMA_DATA**2 / boundary)
            case _:
                return x - output * level

    def noise_scaling(self, sigma: float, noise: Tensor, latent: Tensor, max_denoise: bool = False) -> Tensor:
        """The noisy latent at `sigma`; all shapes equal. `max_denoise`: the level is the table's highest or above.

        At that level the network was trained on noise of variance sigma**2 + 1: it never saw a latent shine through.
        """
        if self.is_flow:
            return noise * sigma + latent * (1.0 - sigma)
        return noise * (math.sqrt(1.0 + sigma**2) if max_denoise else sigma) + latent

    def inverse_noise_scaling(self, sigma: float, x: Tensor) -> Tensor:
        """Undo the shrinking of the latent in `noise_scaling`, for a result that was left noisy; same shape."""
        return x / (1.0 - sigma) if self.is_flow and sigma < 1.0 else x


class DiscreteSampling(ModelSampling):
    """A table of noise levels from betas, with times 0 .. N-1 (Ho et al. 2020; the levels of k-diffusion)."""

    def __init__(self, sigmas: Tensor, prediction: Prediction = "epsilon", sigma_data: float = 1.0) -> None:
        super().__init__(sigmas, prediction, sigma_data)
        self.log_sigmas = self.sigmas.log()

    @classmethod
    def from_betas(cls, betas: Tensor, prediction: Prediction = "epsilon", *, zero_terminal_snr: bool = False) -> DiscreteSampling:
        """From per-step variances `[N]`."""
        alphas_cumprod = (1.0 - betas.double()).cumprod(0)
        sampling = cls(((1.0 - alphas_cumprod) / alphas_cumprod).sqrt(), prediction)
        return sampling.with_zero_terminal_snr() if zero_terminal_snr else sampling

    @classmethod
    def scaled_linear(
        cls,
        prediction: Prediction = "epsilon",
        *,
        start: float = 0.00085,
        end: float = 0.012,
        count: int = 1000,
        zero_terminal_snr: bool = False,
    ) -> DiscreteSampling:
        """The "scaled linear" betas of latent diffusion (Rombach et al. 2022)."""
        betas = torch.linspace(start**0.5, end**0.5, count, dtype=torch.float64) ** 2
        return cls.from_betas(betas, prediction, zero_terminal_snr=zero_terminal_snr)

    def with_zero_terminal_snr(self) -> DiscreteSampling:
        """The levels rescaled so that the last one is (almost) pure noise (Lin et al. 2023, algorithm 1)."""
        root = (1.0 / (self.sigmas.double() ** 2 + 1.0)).sqrt()
        root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
        alphas_cumprod = root**2
        alphas_cumprod[-1] = 4.8973451890853435e-08  # an infinite level can't be sampled from
        return type(self)(((1.0 - alphas_cumprod) / alphas_cumprod).sqrt(), self.prediction, self.sigma_data)

    def with_prediction(self, prediction: Prediction) -> DiscreteSampling:
        """The same levels for a network that predicts something else."""
        return type(self)(self.sigmas, prediction, self.sigma_data)

    def timestep(self, sigma: Tensor) -> Tensor:
        log_sigma = sigma.float().clamp_min(1e-10).log()
        table = self.log_sigmas.to(sigma.device)
        return (log_sigma.reshape(1, -1) - table[:, None]).abs().argmin(dim=0).reshape(sigma.shape)

    def sigma(self, timestep: Tensor) -> Tensor:
        time = timestep.float().clamp(0, len(self.sigmas) - 1)
        table = self.log_sigmas.to(timestep.device)
        low, high = time.floor().long(), time.ceil().long()
        fraction = time - time.floor()
        return ((1 - fraction) * table[low] + fraction * table[high]).exp()

    def percent_to_sigma(self, percent: float) -> float:
        if percent <= 0.0:
            return INFINITE_SIGMA
        if percent >= 1.0:
            return 0.0
        return float(self.sigma(torch.tensor((1.0 - percent) * 999.0)))


class DistilledSampling(DiscreteSampling):
    """Every `len(sigmas) / kept`-th level of a table: consistency models distilled on few times (Luo et al. 2023)."""

    def __init__(
        self, sigmas: Tensor, prediction: Prediction = "lcm", sigma_data: float = 1.0, *, skip: int | None = None, kept: int = 50
    ) -> None:
        self.skip = skip if skip is not None else len(sigmas) // kept
        super().__init__(sigmas if skip is not None else sigmas[self.skip - 1 :: self.skip], prediction, sigma_data)

    def timestep(self, sigma: Tensor) -> Tensor:
        return super().timestep(sigma) * self.skip + (self.skip - 1)

    def sigma(self, timestep: Tensor) -> Tensor:
        return super().sigma((timestep.float() - (self.skip - 1)) / self.skip)

    def with_prediction(self, prediction: Prediction) -> DistilledSampling:
        return DistilledSampling(self.sigmas, prediction, self.sigma_data, skip=self.skip)

    def with_zero_terminal_snr(self) -> DistilledSampling:
        return DistilledSampling(super().with_zero_terminal_snr().sigmas, self.prediction, self.sigma_data, skip=self.skip)


class FlowSampling(ModelSampling):
    """Rectified flow with levels shifted towards noise by `shift` (Esser et al. 2024, section 5.3.2); times are `multiplier * sigma`."""

    def __init__(self, shift: float = 1.0, *, multiplier: float = 1000.0, count: int = 1000) -> None:
        self.shift = shift
        self.multiplier = multiplier
        times = torch.arange(1, count + 1, dtype=torch.float64) / count
        super().__init__(_shifted(times, shift), "flow")

    def timestep(self, sigma: Tensor) -> Tensor:
        return sigma * self.multiplier

    def sigma(self, timestep: Tensor) -> Tensor:
        return _shifted(timestep / self.multiplier, self.shift)

    def percent_to_sigma(self, percent: float) -> float:
        if percent <= 0.0:
            return 1.0
        if percent >= 1.0:
            return 0.0
        return float(_shifted(torch.tensor(1.0 - percent, dtype=torch.float64), self.shift))


class ContinuousSampling(ModelSampling):
    """Levels without a table, log-uniform between two ends (Karras et al. 2022).

    With `angles` times are `atan(sigma) * 2 / pi`; for a flow network seen as EDM they are `sigma / (sigma + 1)`; else `log(sigma) / 4`.
    """

    def __init__(
        self,
        prediction: Prediction = "edm",
        *,
        sigma_min: float = 0.002,
        sigma_max: float = 120.0,
        sigma_data: float = 1.0,
        angles: bool = False,
    ) -> None:
        self.angles = angles
        levels = torch.linspace(math.log(sigma_min), math.log(sigma_max), 1000, dtype=torch.float64).exp()
        super().__init__(levels, prediction, sigma_data)

    def timestep(self, sigma: Tensor) -> Tensor:
        if self.angles:
            return sigma.atan() / math.pi * 2
        return sigma / (sigma + 1) if self.prediction == "rectified_edm" else sigma.log() * 0.25

    def sigma(self, timestep: Tensor) -> Tensor:
        if self.angles:
            return (timestep * math.pi / 2).tan()
        return timestep / (1 - timestep) if self.prediction == "rectified_edm" else (timestep / 0.25).exp()

    def percent_to_sigma(self, percent: float) -> float:
        if percent <= 0.0:
            return INFINITE_SIGMA
        if percent >= 1.0:
            return 0.0
        low, high = math.log(self.sigma_min), math.log(self.sigma_max)
        return math.exp((high - low) * (1.0 - percent) + low)


def _like(values: Tensor, x: Tensor) -> Tensor:
    """`values` [B] or scalar as [B, 1, ...] beside `x` [B, ...], in its dtype."""
    return values.to(device=x.device, dtype=x.dtype).reshape(values.shape[:1] + (1,) * (x.ndim - 1))


def _shifted(time: Tensor, shift: float) -> Tensor:
    return time if shift == 1.0 else shift * time / (1.0 + (shift - 1.0) * time)
