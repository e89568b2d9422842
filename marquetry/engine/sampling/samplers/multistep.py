"""Multistep samplers that reuse one earlier estimate: restart-free exponential (RES), gradient estimation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from marquetry.engine.sampling.sampler import DenoiseRequest, Sampling, Trajectory
from marquetry.engine.sampling.samplers.euler import toward
from marquetry.engine.sampling.snr import alpha, ancestral_step

if TYPE_CHECKING:
    from torch import Tensor


def _res(x: Tensor, trajectory: Trajectory, eta: float, s_noise: float, cfg_pp: bool) -> Sampling:
    """Second-order exponential multistep in t = -log(sigma) (Zhang et al. 2023, "Improved Order Analysis and Design of Exponential
    Integrator", section 3), with ancestral noise and, with `cfg_pp`, noise along the unconditional estimate (Chung et al. 2024).
    """
    sigmas = trajectory.sigmas
    previous: Tensor | None = None
    previous_down = 0.0
    for step, sigma, sigma_next in trajectory.steps():
        answer = yield DenoiseRequest(x, sigma, step, uncond=cfg_pp)
        part = ancestral_step(sigma, sigma_next, eta, trajectory.is_flow)
        noiseward = answer.unguided if cfg_pp else answer.denoised
        if part.down == 0.0:
            x = answer.denoised
        elif previous is None:
            x = toward(x, noiseward, part.down / sigma)
            x = x + (answer.denoised - noiseward) * alpha(part.down, trajectory.is_flow) if cfg_pp else x
        else:
            h = math.log(sigma / part.down)
            span = math.log(previous_down / sigmas[step - 1]) / h  # from this estimate back to the previous one, in steps of h
            phi_1 = -math.expm1(-h) / h
            phi_2 = (1.0 - phi_1) / h
            aim = noiseward + (previous - noiseward) * (phi_2 / (span * phi_1))
            x = x + (answer.denoised - noiseward) * alpha(sigma, trajectory.is_flow) if cfg_pp else x
            x = toward(x, aim, part.down / sigma)
        if part.up > 0.0:
            x = x * part.scale + trajectory.noise.draw() * (s_noise * part.up)
        previous, previous_down = noiseward, part.down
    return x


def res_multistep(x: Tensor, trajectory: Trajectory, *, s_noise: float = 1.0) -> Sampling:
    """RES multistep of second order (Zhang et al. 2023)."""
    return (yield from _res(x, trajectory, 0.0, s_noise, cfg_pp=False))


def res_multistep_cfg_pp(x: Tensor, trajectory: Trajectory, *, s_noise: float = 1.0) -> Sampling:
    """RES multistep (Zhang et al. 2023) with CFG++ (Chung et al. 2024)."""
    return (yield from _res(x, trajectory, 0.0, s_noise, cfg_pp=True))


def res_multistep_ancestral(x: Tensor, trajectory: Trajectory, *, eta: float = 1.0, s_noise: float = 1.0) -> Sampling:
    """RES multistep (Zhang et al. 2023) with fresh noise."""
    return (yield from _res(x, trajectory, eta, s_noise, cfg_pp=False))


def res_multistep_ancestral_cfg_pp(x: Tensor, trajectory: Trajectory, *, eta: float = 1.0, s_noise: float = 1.0) -> Sampling:
    """RES multistep (Zhang et al. 2023) with fresh noise and CFG++ (Chung et al. 2024)."""
    return (yield from _res(x, trajectory, eta, s_noise, cfg_pp=True))


def gradient_estimation(x: Tensor, trajectory: Trajectory, *, ge_gamma: float = 2.0, cfg_pp: bool = False) -> Sampling:
    """Gradient descent on the distance to the data, its direction extrapolated by `ge_gamma` (Permenter and Yuan 2023, algorithm 2)."""
    previous: Tensor | None = None
    for step, sigma, sigma_next in trajectory.steps():
        answer = yield DenoiseRequest(x, sigma, step, uncond=cfg_pp)
        noiseward = answer.unguided if cfg_pp else answer.denoised
        direction = (x - noiseward) / sigma
        if sigma_next == 0.0:
            x = answer.denoised
        else:
            x = x + direction * (sigma_next - sigma)
            x = x + (answer.denoised - noiseward) * alpha(sigma_next, trajectory.is_flow) if cfg_pp else x
            if previous is not None:
                x = x + (direction - previous) * ((ge_gamma - 1.0) * (sigma_next - sigma))
        previous = direction
    return x


def gradient_estimation_cfg_pp(x: Tensor, trajectory: Trajectory, *, ge_gamma: float = 2.0) -> Sampling:
    """Gradient estimation (Permenter and Yuan 2023) with CFG++ (Chung et al. 2024)."""
    return (yield from gradient_estimation(x, trajectory, ge_gamma=ge_gamma, cfg_pp=True))
