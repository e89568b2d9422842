"""Changes to how a MODEL is sampled: its noise levels, its prediction and its guidance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from marquetry.engine.declare import node
from marquetry.engine.lazy import torch
from marquetry.engine.ports import Model, Optional, Range
from marquetry.engine.sampling.model_sampling import (
    ContinuousSampling,
    DiscreteSampling,
    DistilledSampling,
    FlowSampling,
    ModelSampling,
    Prediction,
)

if TYPE_CHECKING:
    from torch import Tensor

ADVANCED = "advanced/model"
PREDICTIONS: Mapping[str, Prediction] = {"eps": "epsilon", "v_prediction": "v_prediction", "edm": "edm", "edm_playground_v2.5": "edm"}
PLAYGROUND_SIGMA_DATA = 0.5


@node(id="ModelSamplingDiscrete", title="ModelSamplingDiscrete", category=ADVANCED)
def model_sampling_discrete(
    *, model: Model, sampling: Literal["eps", "v_prediction", "lcm", "x0", "img_to_img"], zsnr: bool = False
) -> Model:
    """Says what the network predicts, on the usual thousand levels; `zsnr` rescales them to end in pure noise."""
    levels = DiscreteSampling.scaled_linear()
    match sampling:
        case "lcm":
            levels = DistilledSampling(levels.sigmas)
        case "x0":
            levels = levels.with_prediction("sample")
        case "img_to_img":
            levels = levels.with_prediction("image")
        case _:
            levels = levels.with_prediction(PREDICTIONS[sampling])
    return model.with_sampling(levels.with_zero_terminal_snr() if zsnr else levels)


@node(id="ModelSamplingContinuousEDM", title="ModelSamplingContinuousEDM", category=ADVANCED)
def model_sampling_continuous_edm(
    *,
    model: Model,
    sampling: Literal["v_prediction", "edm", "edm_playground_v2.5", "eps", "cosmos_rflow"],
    sigma_max: Annotated[float, Range(0.0, 1000.0, step=0.001, round=False)] = 120.0,
    sigma_min: Annotated[float, Range(0.0, 1000.0, step=0.001, round=False)] = 0.002,
) -> Model:
    """Levels without a table, log-uniform between two ends, for networks that are told `log(sigma) / 4`."""
    if sampling == "cosmos_rflow":
        levels: ModelSampling = ContinuousSampling("rectified_edm", sigma_min=sigma_min, sigma_max=sigma_max)
    else:
        sigma_data = PLAYGROUND_SIGMA_DATA if sampling == "edm_playground_v2.5" else 1.0
        levels = ContinuousSampling(PREDICTIONS[sampling], sigma_min=sigma_min, sigma_max=sigma_max, sigma_data=sigma_data)
    return model.with_sampling(levels)


@node(id="ModelSamplingContinuousV", title="ModelSamplingContinuousV", category=ADVANCED)
def model_sampling_continuous_v(
    *,
    model: Model,
    sampling: Literal["v_prediction"],
    sigma_max: Annotated[float, Range(0.0, 1000.0, step=0.001, round=False)] = 500.0,
    sigma_min: Annotated[float, Range(0.0, 1000.0, step=0.001, round=False)] = 0.03,
) -> Model:
    """Levels without a table for networks that are told the angle `atan(sigma)`."""
    return model.with_sampling(ContinuousSampling("v_prediction", sigma_min=sigma_min, sigma_max=sigma_max, angles=True))


@node(id="ModelSamplingSD3", title="ModelSamplingSD3", category=ADVANCED)
def model_sampling_sd3(model: Model, shift: Annotated[float, Range(0.0, 100.0, step=0.01)] = 3.0) -> Model:
    """Rectified flow with more steps at high noise, by `shift`."""
    return model.with_sampling(FlowSampling(shift))


@node(id="RescaleCFG", title="RescaleCFG", category=ADVANCED)
def rescale_cfg(model: Model, multiplier: Annotated[float, Range(0.0, 1.0, step=0.01)] = 0.7) -> Model:
    """Gives the guided velocity the contrast of the positive one (Lin et al. 2023, section 3.4), mixed in by `multiplier`."""

    def guide(described: Mapping[str, Any]) -> Tensor:
        x: Tensor = described["input"]
        sigma: Tensor = described["sigma"].reshape(-1, *(1,) * (x.ndim - 1)).to(x.dtype)
        variance = sigma**2 + 1.0

        def velocity(difference: Tensor) -> Tensor:
            """v [B, C, h, w] of an estimate that differs from x by `difference`."""
            scaled: Tensor = (x / variance - (x - difference)) * variance.sqrt() / sigma
            return scaled

        cond, uncond = velocity(described["cond"]), velocity(described["uncond"])
        mixed = torch.lerp(uncond, cond, float(described["cond_scale"]))
        dims = tuple(range(1, x.ndim))
        rescaled = mixed * (cond.std(dim=dims, keepdim=True) / mixed.std(dim=dims, keepdim=True))
        denoised = x / variance - torch.lerp(mixed, rescaled, multiplier) * (sigma / variance.sqrt())
        return x - denoised

    return model.with_options(sampler_cfg_function=guide)


@node(id="DifferentialDiffusion", title="Differential Diffusion", category="_for_testing")
def differential_diffusion(model: Model, strength: Annotated[float, Range(0.0, 1.0, step=0.01), Optional] = 1.0) -> Model:
    """Lets a grey mask say when each place begins to change: the brighter, the earlier (Levin and Fried 2023)."""

    def mask_at(sigma: Tensor, denoise_mask: Tensor, extra_options: Mapping[str, Any]) -> Tensor:
        sampling: ModelSampling = extra_options["model"].sampling
        levels: Tensor = extra_options["sigmas"]
        first, last = levels[0], levels[-1].clamp_min(sampling.sigma_min)
        start, end, now = (float(sampling.timestep(level.reshape(1).cpu())) for level in (first, last, sigma[0]))
        binary = (denoise_mask >= (now - end) / (start - end)).to(denoise_mask.dtype)
        return torch.lerp(denoise_mask, binary, strength)

    return model.with_options(denoise_mask_function=mask_at)
