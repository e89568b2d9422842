"""Euler's method in its variants: plain, with fresh noise (ancestral), and guided on the data manifold (CFG++)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from marquetry.engine.lazy import torch
from marquetry.engine.sampling.sampler import DenoiseRequest, Sampling, Trajectory
from marquetry.engine.sampling.snr import alpha, ancestral_step

if TYPE_CHECKING:
    from torch import Tensor


def toward(x: Tensor, denoised: Tensor, ratio: float) -> Tensor:
    """`denoised + (x - denoised) * ratio`: the exact way along a straight line to `ratio` of the noise; `denoised` itself at 0."""
    return torch.lerp(denoised, x, ratio)


def churned(
    x: Tensor, sigma: float, trajectory: Trajectory, s_churn: float, s_tmin: float, s_tmax: float, s_noise: float
) -> tuple[Tensor, float]:
    """`x` with a little noise added, and its new level (Karras et al. 2022, algorithm 2); unchanged outside of `s_tmin..s_tmax`."""
    gamma = min(s_churn / trajectory.count, math.sqrt(2.0) - 1.0) if s_tmin <= sigma <= s_tmax else 0.0
    if gamma <= 0.0:
        return x, sigma
    raised = sigma * (gamma + 1.0)
    return x + trajectory.noise.draw() * (s_noise * math.sqrt(raised**2 - sigma**2)), raised


def euler(
    x: Tensor, trajectory: Trajectory, *, s_churn: float = 0.0, s_tmin: float = 0.0, s_tmax: float = math.inf, s_noise: float = 1.0
) -> Sampling:
    """Euler's method on the probability flow (Karras et al. 2022, algorithm 2 without the correction). DDIM at eta 0 is the same map."""
    for step, sigma, sigma_next in trajectory.steps():
        x, sigma = churned(x, sigma, trajectory, s_churn, s_tmin, s_tmax, s_noise)
        answer = yield DenoiseRequest(x, sigma, step)
        x = toward(x, answer.denoised, sigma_next / sigma)
    return x


def euler_ancestral(x: Tensor, trajectory: Trajectory, *, eta: float = 1.0, s_noise: float = 1.0) -> Sampling:
    """Euler steps below the aim, then fresh noise up to it (DDIM with eta: Song et al. 2020)."""
    for step, sigma, sigma_next in trajectory.steps():
        answer = yield DenoiseRequest(x, sigma, step)
        part = ancestral_step(sigma, sigma_next, eta, trajectory.is_flow)
        x = toward(x, answer.denoised, part.down / sigma)
        if part.up > 0.0:
            x = x * part.scale + trajectory.noise.draw() * (s_noise * part.up)
    return x


def euler_ancestral_cfg_pp(x: Tensor, trajectory: Trajectory, *, eta: float = 1.0, s_noise: float = 1.0) -> Sampling:
    """CFG++ (Chung et al. 2024): the guided estimate is renoised in the direction of the unconditional one."""
    flow = trajectory.is_flow
    for step, sigma, sigma_next in trajectory.steps():
        answer = yield DenoiseRequest(x, sigma, step, uncond=True)
        if sigma_next == 0.0:
            x = answer.denoised
            continue
        scale, scale_next = alpha(sigma, flow), alpha(sigma_next, flow)
        direction = (x - answer.unguided * scale) / sigma
        if scale > 0.0:
            part = ancestral_step(sigma / scale, sigma_next / scale_next, eta)
            down, up = part.down * scale_next, part.up * scale_next
        else:  # from pure noise the ratio of levels is infinite: all that eta leaves is fresh noise
            up = min(1.0, eta) * sigma_next
            down = math.sqrt(sigma_next**2 - up**2)
        x = answer.denoised * scale_next + direction * down
        if up > 0.0 and s_noise > 0.0:
            x = x + trajectory.noise.draw() * (s_noise * up)
    return x


def euler_cfg_pp(x: Tensor, trajectory: Trajectory) -> Sampling:
    """CFG++ (Chung et al. 2024) without fresh noise."""
    return (yield from euler_ancestral_cfg_pp(x, trajectory, eta=0.0, s_noise=0.0))
