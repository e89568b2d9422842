"""Samplers against diffusers' schedulers of the same name, on the schedulers' own noise levels, with a denoiser that is not linear."""

from __future__ import annotations

from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from marquetry.engine.sampling import schedules
from marquetry.engine.sampling.noise import NoiseSource
from tests.engine.sampling.problems import VARIANCE_EXPLODING, sample, toy_denoiser

BETAS: dict[str, Any] = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
SEED = 11
SCHEDULERS: Any = diffusers


def start(sigma: float) -> Tensor:
    return torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * sigma


def noise_seen(x: Tensor, sigma: float) -> Tensor:
    return (x - toy_denoiser(x, sigma)) / sigma


def levels_of(scheduler: Any) -> list[float]:
    levels: list[float] = scheduler.sigmas.double().tolist()
    return levels


def run_variance_exploding(scheduler: Any, x: Any, **options: Any) -> Tensor:
    """diffusers' result for schedulers that work on x itself; those with inner points hold them in `sigmas_interpol`."""
    inner: Any = getattr(scheduler, "sigmas_interpol", None)
    for index, time in enumerate(scheduler.timesteps):
        levels = inner if inner is not None and index % 2 == 1 else scheduler.sigmas
        sigma = float(levels[index])
        scheduler.scale_model_input(x, time)
        x = scheduler.step(noise_seen(x.double(), sigma), time, x, **options).prev_sample
    result: Tensor = x.double()
    return result


def run_variance_preserving(scheduler: Any, x: Tensor, levels: list[float], increments: Any = None, steps: int | None = None) -> Tensor:
    """diffusers' result, after that many steps, for schedulers that work on x / sqrt(1 + sigma**2)."""
    scaled: Any = x / (1 + levels[0] ** 2) ** 0.5
    for index, time in enumerate(scheduler.timesteps[:steps]):
        sigma = levels[index]
        eps = noise_seen(scaled * (1 + sigma**2) ** 0.5, sigma)
        options = {} if increments is None else {"variance_noise": increments(index)}
        scaled = scheduler.step(eps, time, scaled, **options).prev_sample
    result: Tensor = scaled.double()
    return result


SPACINGS: list[dict[str, Any]] = [
    {"timestep_spacing": "linspace"},
    {"timestep_spacing": "leading", "steps_offset": 1},
    {"timestep_spacing": "linspace", "use_karras_sigmas": True},
]


@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")  # numpy 2 and diffusers' KDPM2
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(
    ("name", "scheduler_class"),
    [
        ("euler", SCHEDULERS.EulerDiscreteScheduler),
        ("heun", SCHEDULERS.HeunDiscreteScheduler),
        ("lms", SCHEDULERS.LMSDiscreteScheduler),
        ("dpm_2", SCHEDULERS.KDPM2DiscreteScheduler),
    ],
)
def test_a_sampler_of_k_diffusion_agrees_with_diffusers(name: str, scheduler_class: Any, spacing: dict[str, Any]) -> None:
    scheduler = scheduler_class(**BETAS, **spacing)
    scheduler.set_timesteps(12)
    levels = levels_of(scheduler)
    visited = list(dict.fromkeys(levels))  # methods of two evaluations list a level for each
    x = start(levels[0])
    expected = run_variance_exploding(scheduler, x, **({"s_noise": 1.0} if name == "euler" else {}))
    if name == "lms":  # the last step of diffusers' LMS extrapolates past the last estimate; ours ends on it
        before = run_variance_exploding_until_last(scheduler_class(**BETAS, **spacing), x)
        torch.testing.assert_close(sample("lms", x, levels[:-1], toy_denoiser), before, atol=2e-5, rtol=0)
        return
    torch.testing.assert_close(sample(name, x, visited, toy_denoiser), expected, atol=5e-6, rtol=0)


def run_variance_exploding_until_last(scheduler: Any, x: Tensor) -> Tensor:
    scheduler.set_timesteps(12)
    for index, time in enumerate(scheduler.timesteps[:-1]):
        scheduler.scale_model_input(x, time)
        x = scheduler.step(noise_seen(x, float(scheduler.sigmas[index])), time, x).prev_sample
    return x.double()


def test_euler_ancestral_agrees_with_diffusers_on_the_same_noise() -> None:
    scheduler = SCHEDULERS.EulerAncestralDiscreteScheduler(**BETAS, timestep_spacing="linspace")
    scheduler.set_timesteps(12)
    levels = levels_of(scheduler)
    x = start(levels[0]).float()
    generator = torch.Generator().manual_seed(SEED + 1)
    expected = x
    for index, time in enumerate(scheduler.timesteps):
        scheduler.scale_model_input(expected, time)
        expected = scheduler.step(noise_seen(expected, levels[index]), time, expected, generator=generator).prev_sample
    torch.testing.assert_close(sample("euler_ancestral", x, levels, toy_denoiser, seed=SEED), expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_dpmpp_2m_agrees_with_diffusers(spacing: dict[str, Any]) -> None:
    scheduler = SCHEDULERS.DPMSolverMultistepScheduler(**BETAS, **spacing, solver_order=2, final_sigmas_type="zero")
    scheduler.set_timesteps(12)
    levels = levels_of(scheduler)
    x = start(levels[0])
    expected = run_variance_preserving(scheduler, x, levels)
    torch.testing.assert_close(sample("dpmpp_2m", x, levels, toy_denoiser), expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize(("name", "solver_type"), [("dpmpp_2m_sde", "midpoint"), ("dpmpp_2m_sde_heun", "heun")])
def test_dpmpp_2m_sde_agrees_with_diffusers_on_the_same_noise(name: str, solver_type: str) -> None:
    scheduler = SCHEDULERS.DPMSolverMultistepScheduler(
        **BETAS, use_karras_sigmas=True, algorithm_type="sde-dpmsolver++", solver_type=solver_type, final_sigmas_type="zero"
    )
    scheduler.set_timesteps(12)
    levels = levels_of(scheduler)
    x = start(levels[0])
    path = NoiseSource(SEED, x).brownian(levels[-2], levels[0])

    def increments(index: int) -> Tensor:
        return path(levels[index], levels[index + 1]) if levels[index + 1] > 0 else torch.zeros_like(x)

    expected = run_variance_preserving(scheduler, x, levels, increments)
    torch.testing.assert_close(sample(name, x, levels, toy_denoiser, seed=SEED), expected, atol=3e-5, rtol=0)


def test_dpmpp_sde_agrees_with_diffusers_on_the_same_noise() -> None:
    scheduler = SCHEDULERS.DPMSolverSDEScheduler(**BETAS, use_karras_sigmas=True)
    scheduler.set_timesteps(12)
    levels = levels_of(scheduler)
    visited = list(dict.fromkeys(levels))
    x = start(levels[0])
    path = NoiseSource(SEED, x).brownian(visited[-2], visited[0])
    scheduler.noise_sampler = lambda sigma, sigma_next: path(float(sigma), float(sigma_next))
    expected = x
    for index, time in enumerate(scheduler.timesteps):
        sigma, sigma_next = float(scheduler.sigmas[index - index % 2]), float(scheduler.sigmas[index + 1 - index % 2])
        at = (sigma * sigma_next) ** 0.5 if index % 2 else sigma
        expected = scheduler.step(noise_seen(expected, at), time, expected).prev_sample
    torch.testing.assert_close(sample("dpmpp_sde", x, visited, toy_denoiser, seed=SEED), expected, atol=5e-4, rtol=0)


@pytest.mark.parametrize(("name", "solver_type"), [("uni_pc", "bh1"), ("uni_pc_bh2", "bh2")])
@pytest.mark.parametrize("spacing", SPACINGS)
def test_uni_pc_agrees_with_diffusers(name: str, solver_type: str, spacing: dict[str, Any]) -> None:
    scheduler = SCHEDULERS.UniPCMultistepScheduler(**BETAS, **spacing, solver_order=3, solver_type=solver_type, final_sigmas_type="zero")
    scheduler.set_timesteps(12)
    levels = levels_of(scheduler)
    x = start(levels[0])
    before = run_variance_preserving(scheduler, x, levels, steps=-1)  # diffusers' bh1 can't step to level 0
    before = before * (1 + levels[-2] ** 2) ** 0.5
    torch.testing.assert_close(sample(name, x, levels, toy_denoiser), toy_denoiser(before, levels[-2]), atol=5e-5, rtol=0)


def test_ddim_on_its_uniform_schedule_agrees_with_diffusers() -> None:
    scheduler = SCHEDULERS.DDIMScheduler(**BETAS, steps_offset=1, set_alpha_to_one=True, clip_sample=False)
    scheduler.set_timesteps(20)
    levels = schedules.ddim_uniform(VARIANCE_EXPLODING, 20).double().tolist()
    x = start(levels[0])
    expected = run_variance_preserving(scheduler, x, levels)
    torch.testing.assert_close(sample("ddim", x, levels, toy_denoiser), expected, atol=2e-5, rtol=0)


def test_ddpm_agrees_with_diffusers_on_the_same_noise() -> None:
    scheduler = SCHEDULERS.DDPMScheduler(
        **BETAS, steps_offset=1, timestep_spacing="leading", clip_sample=False, variance_type="fixed_small"
    )
    scheduler.set_timesteps(20)
    levels = schedules.ddim_uniform(VARIANCE_EXPLODING, 20).double().tolist()
    x = start(levels[0]).float()
    generator = torch.Generator().manual_seed(SEED + 1)
    scaled = x / (1 + levels[0] ** 2) ** 0.5
    for index, time in enumerate(scheduler.timesteps):
        eps = noise_seen(scaled * (1 + levels[index] ** 2) ** 0.5, levels[index])
        scaled = scheduler.step(eps, time, scaled, generator=generator).prev_sample
    torch.testing.assert_close(sample("ddpm", x, levels, toy_denoiser, seed=SEED), scaled, atol=1e-4, rtol=0)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_dpmpp_3m_sde_without_noise_agrees_with_diffusers_third_order(spacing: dict[str, Any]) -> None:
    scheduler = SCHEDULERS.DPMSolverMultistepScheduler(
        **BETAS, **spacing, solver_order=3, final_sigmas_type="zero", lower_order_final=False, euler_at_final=True
    )
    scheduler.set_timesteps(12)
    levels = levels_of(scheduler)
    x = start(levels[0])
    expected = run_variance_preserving(scheduler, x, levels)
    torch.testing.assert_close(
        sample("dpmpp_3m_sde", x, levels, toy_denoiser, eta=0.0), expected, atol=1e-4, rtol=0
    )  # diffusers counts in float32


@pytest.mark.parametrize("tau", [0.0, 1.0])
@pytest.mark.parametrize("spacing", SPACINGS)
def test_sa_solver_agrees_with_diffusers_on_the_same_noise(monkeypatch: pytest.MonkeyPatch, spacing: dict[str, Any], tau: float) -> None:
    scheduler = SCHEDULERS.SASolverScheduler(
        **BETAS, **spacing, predictor_order=3, corrector_order=4, lower_order_final=False, tau_func=lambda time: tau
    )
    scheduler.set_timesteps(12)
    levels = levels_of(scheduler)
    if levels[-1] == levels[-2]:  # with Karras' levels diffusers ends on the lowest twice
        scheduler.sigmas = scheduler.sigmas[:-1]
        scheduler.timesteps = scheduler.timesteps[:-1]
        levels = levels[:-1]
    x = start(levels[0])
    noise = NoiseSource(SEED, x)
    monkeypatch.setattr("diffusers.schedulers.scheduling_sasolver.randn_tensor", lambda shape, **options: noise.draw())
    expected = run_variance_preserving(scheduler, x, levels) * (1 + levels[-1] ** 2) ** 0.5
    made = sample("sa_solver", x, levels, toy_denoiser, seed=SEED, tau_func=lambda sigma: tau, simple_order_2=True)
    torch.testing.assert_close(made, expected, atol=5e-5, rtol=0)
