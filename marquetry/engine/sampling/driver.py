"""The driver: serves a sampler's requests from a guider, step by step, until the latent is done or the job is cancelled."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from marquetry.engine.lazy import torch
from marquetry.engine.sampling.conditioning import prepare
from marquetry.engine.sampling.control import controls_loaded
from marquetry.engine.sampling.guiders import CFGGuider, Conditioning, Guider
from marquetry.engine.sampling.inpainting import Inpainting, latent_mask
from marquetry.engine.sampling.model import DiffusionModel
from marquetry.engine.sampling.model_sampling import ModelSampling
from marquetry.engine.sampling.noise import SEED_SPAN, NoiseSource, draw_noise
from marquetry.engine.sampling.registry import sampler_choice, sampler_of
from marquetry.engine.sampling.run_memory import fresh_memory
from marquetry.engine.sampling.sampler import Denoised, DenoiseRequest, SamplerChoice, Trajectory
from marquetry.engine.sampling.schedules import partial_schedule

if TYPE_CHECKING:
    from torch import Tensor

StepCallback = Callable[[int, "Tensor", "Tensor", int], None]
"""(step from 0, denoised [B, C, h, w], x [B, C, h, w], count of steps), both latents in the model's space, once a step."""

Check = Callable[[], None]
"""Raises when the job was cancelled."""


@dataclass(frozen=True, eq=False)
class Sampled:
    """The latent at the last level, and the last estimate of the clean latent; `[B, C, h, w]` on the CPU, in the autoencoder's space."""

    samples: Tensor
    denoised: Tensor


def sample(
    guider: Guider,
    choice: SamplerChoice,
    sigmas: Tensor,
    noise: Tensor,
    latent: Tensor,
    *,
    seed: int,
    noise_mask: Tensor | None = None,
    callback: StepCallback | None = None,
    check_cancelled: Check | None = None,
) -> Sampled:
    """Run a sampler from `latent` and `noise` [B, C, h, w] over `sigmas` [steps + 1].

    `noise_mask` is 1 where the latent is to be made anew and 0 where it is kept. `check_cancelled` is called before every evaluation.
    """
    if sigmas.numel() == 0:
        return Sampled(latent, latent)
    model = guider.model
    with torch.no_grad(), fresh_memory(), model.loaded(), controls_loaded(guider.conditionings()):
        return _run(guider, choice, sigmas, noise, latent, seed, noise_mask, callback, check_cancelled)


def _run(
    guider: Guider,
    choice: SamplerChoice,
    sigmas: Tensor,
    noise: Tensor,
    latent: Tensor,
    seed: int,
    noise_mask: Tensor | None,
    callback: StepCallback | None,
    check_cancelled: Check | None,
) -> Sampled:
    model = guider.model
    original = latent
    noise = noise.to(model.device, torch.float32)
    latent = latent.to(model.device, torch.float32)
    if bool(torch.count_nonzero(latent)):
        latent = model.latent_format.process_in(latent)
    levels = tuple(float(sigma) for sigma in sigmas.float())
    mask = None if noise_mask is None else latent_mask(noise_mask, latent)
    inpainting = None if mask is None else Inpainting(model, mask, latent, _kept_noise(noise, choice, seed), sigmas)
    prompts = prepare(model, guider.conditionings(), latent, noise, mask)
    trajectory = Trajectory(levels, model.sampling, NoiseSource(seed, latent))
    x = model.sampling.noise_scaling(levels[0], noise, latent, _is_max_denoise(model.sampling, levels[0]))

    def serve(request: DenoiseRequest) -> Denoised:
        if check_cancelled is not None:
            check_cancelled()
        if inpainting is None:
            return guider.predict(prompts, request.x, request.sigma, uncond=request.uncond)
        mask_now = inpainting.mask_at(request.sigma)
        restored = inpainting.restored_input(request.x, request.sigma, mask_now)
        return inpainting.restored_answer(guider.predict(prompts, restored, request.sigma, uncond=request.uncond), mask_now)

    run = sampler_of(choice)(x, trajectory)
    answer: Denoised | None = None
    denoised, reported = x, -1
    while True:
        try:
            request = next(run) if answer is None else run.send(answer)
        except StopIteration as finished:
            x = finished.value
            break
        answer = serve(request)
        if request.step != reported:
            reported, denoised = request.step, answer.denoised
            if callback is not None:
                callback(min(reported, trajectory.count - 1), denoised, request.x, trajectory.count)
    x = model.sampling.inverse_noise_scaling(levels[-1], x)
    samples = model.latent_format.process_out(x.float()).cpu()
    if mask is not None and levels[-1] == 0.0 and "denoise_mask_function" not in model.options:
        samples = torch.where(mask.cpu() == 0.0, original.float().cpu(), samples)  # what is kept is kept to the last bit
    return Sampled(samples, model.latent_format.process_out(denoised.float()).cpu())


def _kept_noise(noise: Tensor, choice: SamplerChoice, seed: int) -> Tensor:
    """The noise for the part of an inpainted latent that is kept."""
    return draw_noise(noise.cpu(), (seed + 1) % SEED_SPAN).to(noise) if choice.inpaint_fresh_noise else noise


def _is_max_denoise(sampling: ModelSampling, sigma: float) -> bool:
    """Whether a level is the highest that the model knows, or above."""
    return math.isclose(sampling.sigma_max, sigma, rel_tol=1e-5) or sigma > sampling.sigma_max


def sample_latent(
    model: DiffusionModel,
    *,
    seed: int,
    steps: int,
    cfg: float,
    sampler_name: str,
    scheduler: str,
    positive: Conditioning,
    negative: Conditioning,
    latent: Mapping[str, Any],
    denoise: float = 1.0,
    disable_noise: bool = False,
    start_step: int | None = None,
    last_step: int | None = None,
    force_full_denoise: bool = False,
    callback: StepCallback | None = None,
    check_cancelled: Check | None = None,
) -> dict[str, Any]:
    """What a KSampler node does to a LATENT: noise from the seed, a schedule by name, classifier-free guidance.

    `start_step` and `last_step` cut the schedule; `force_full_denoise` ends the cut with level 0; `disable_noise` takes the latent to be
    noisy already. `denoise` below 1 keeps that much of the latent. Returns a copy with new samples.
    """
    samples = fitted_latent(model, latent["samples"])
    sigmas = partial_schedule(scheduler, model.sampling, steps, denoise, sampler_name=sampler_name)
    if last_step is not None and last_step < len(sigmas) - 1:
        sigmas = sigmas[: last_step + 1].clone()
        if force_full_denoise:
            sigmas[-1] = 0.0
    if start_step is not None:
        sigmas = sigmas[start_step:] if start_step < len(sigmas) - 1 else sigmas[:0]
    noise = torch.zeros_like(samples) if disable_noise else draw_noise(samples, seed, latent.get("batch_index"))
    result = sample(
        CFGGuider(model, positive, negative, cfg),
        sampler_choice(sampler_name),
        sigmas,
        noise,
        samples,
        seed=seed,
        noise_mask=latent.get("noise_mask"),
        callback=callback,
        check_cancelled=check_cancelled,
    )
    return {**latent, "samples": result.samples}


def fitted_latent(model: DiffusionModel, samples: Tensor) -> Tensor:
    """`samples` [B, C, h, w], or zeros with the model's channels and dimensions where an empty latent of another family came in."""
    wanted = model.latent_format
    if bool(torch.count_nonzero(samples)):
        return samples
    if samples.ndim - 2 < wanted.dimensions:
        samples = samples.unsqueeze(2)
    if samples.shape[1] != wanted.channels:
        samples = samples.new_zeros((samples.shape[0], wanted.channels, *samples.shape[2:]))
    return samples
