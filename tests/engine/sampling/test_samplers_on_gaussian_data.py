"""Samplers where the truth is known: for Gaussian data the exact denoiser, the exact flow and the exact marginals have closed forms."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from marquetry.engine.sampling.sampler import Trajectory
from marquetry.engine.sampling.samplers.adams import lagrange_weights
from tests.engine.sampling.problems import (
    FLOW,
    VARIANCE_EXPLODING,
    gaussian_denoiser,
    gaussian_flow,
    geometric,
    marginal,
    sample,
    toy_denoiser,
)

MEAN, DEVIATION = 0.7, 0.5

WITHOUT_NOISE: dict[str, dict[str, Any]] = {
    "er_sde": {"s_noise": 0.0, "noise_scaler": lambda level: level},
    "sa_solver": {"tau_func": lambda sigma: 0.0},
    "sa_solver_pece": {"tau_func": lambda sigma: 0.0},
}
STOCHASTIC = {
    "euler_ancestral", "euler_ancestral_cfg_pp", "dpm_2_ancestral", "dpmpp_2s_ancestral", "dpmpp_2s_ancestral_cfg_pp", "dpmpp_sde",
    "dpmpp_2m_sde", "dpmpp_2m_sde_heun", "dpmpp_3m_sde", "res_multistep_ancestral", "res_multistep_ancestral_cfg_pp", "seeds_2", "seeds_3",
}  # fmt: skip
ORDERS = {
    "euler": 1, "euler_cfg_pp": 1, "euler_ancestral": 1, "euler_ancestral_cfg_pp": 1, "ddim": 1, "heunpp2": 1,
    "gradient_estimation": 1, "gradient_estimation_cfg_pp": 1,
    "heun": 2, "dpm_2": 2, "dpm_2_ancestral": 2, "dpmpp_2s_ancestral": 2, "dpmpp_2s_ancestral_cfg_pp": 2, "dpmpp_sde": 2,
    "dpmpp_2m": 2, "dpmpp_2m_cfg_pp": 2, "dpmpp_2m_sde": 2, "dpmpp_2m_sde_heun": 2, "dpmpp_3m_sde": 2, "er_sde": 2,
    "res_multistep": 2, "res_multistep_cfg_pp": 2, "res_multistep_ancestral": 2, "res_multistep_ancestral_cfg_pp": 2, "seeds_2": 2,
    "ipndm": 2, "ipndm_v": 2, "lms": 2, "deis": 2,
    "seeds_3": 3, "sa_solver": 3, "sa_solver_pece": 3, "uni_pc": 3, "uni_pc_bh2": 3,
}  # fmt: skip
"""Orders of the whole way, start included: a multistep method of order 3 that starts with an Euler step shows order 2."""


def quiet(name: str) -> dict[str, Any]:
    """Options that take the noise out."""
    return WITHOUT_NOISE.get(name, {"eta": 0.0} if name in STOCHASTIC else {})


@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize(("name", "order"), sorted(ORDERS.items()))
def test_without_noise_a_sampler_converges_to_the_exact_flow_at_its_order(name: str, order: int, flow: bool) -> None:
    high, low = (0.95, 0.1) if flow else (10.0, 0.1)
    denoise = gaussian_denoiser(MEAN, DEVIATION, flow)
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * high
    exact = denoise(gaussian_flow(x, high, low, MEAN, DEVIATION, flow), low)  # the last step, to 0, lands on the last estimate

    def error(count: int) -> float:
        result = sample(name, x, [*geometric(count, high, low), 0.0], denoise, sampling=FLOW if flow else VARIANCE_EXPLODING, **quiet(name))
        return float((result - exact).abs().max())

    shown = math.log2(error(60) / error(120))
    assert shown > order - 0.3, f"order {shown:.2f}"


def test_third_order_methods_show_it_once_their_start_is_taken_out() -> None:
    """Errors of the first steps hide the order of lms and deis above; a start at almost pure noise has hardly any."""
    denoise = gaussian_denoiser(MEAN, DEVIATION)
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 500.0
    exact = denoise(gaussian_flow(x, 500.0, 0.1, MEAN, DEVIATION), 0.1)
    for name, order in (("lms", 3.0), ("ipndm_v", 3.0), ("deis", 2.7)):
        errors = [
            float((sample(name, x, [*geometric(count, 500.0, 0.1), 0.0], denoise, **quiet(name)) - exact).abs().max())
            for count in (80, 160)
        ]
        assert math.log2(errors[0] / errors[1]) > order, (name, errors)


@pytest.mark.parametrize("evaluations", [20, 50])
def test_dpm_fast_is_near_the_exact_flow_with_as_many_evaluations_as_steps(evaluations: int) -> None:
    denoise = gaussian_denoiser(MEAN, DEVIATION)
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 10.0
    levels = geometric(evaluations, 10.0, 0.1)
    asked: list[float] = []

    def counted(at: Tensor, sigma: float) -> Tensor:
        asked.append(sigma)
        return denoise(at, sigma)

    result = sample("dpm_fast", x, levels, counted)
    assert len(asked) == evaluations
    assert (result - gaussian_flow(x, 10.0, 0.1, MEAN, DEVIATION)).abs().max().item() < 0.4 * (10 / evaluations) ** 3


def test_dpm_adaptive_comes_as_near_as_its_tolerance_asks() -> None:
    denoise = gaussian_denoiser(MEAN, DEVIATION)
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 10.0
    exact = gaussian_flow(x, 10.0, 0.1, MEAN, DEVIATION)
    for order in (2, 3):
        rough, fine = (
            float((sample("dpm_adaptive", x, [10.0, 0.1], denoise, order=order, rtol=rtol, atol=rtol / 10) - exact).abs().max())
            for rtol in (0.05, 0.0005)
        )
        assert fine < 0.01
        assert fine < rough / 5


@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("euler_ancestral", {}),
        ("euler_ancestral", {"eta": 0.5}),
        ("euler_ancestral_cfg_pp", {}),
        ("dpm_2_ancestral", {}),
        ("dpmpp_2s_ancestral", {}),
        ("dpmpp_sde", {}),
        ("dpmpp_sde", {"eta": 0.5}),
        ("dpmpp_2m_sde", {}),
        ("dpmpp_2m_sde_heun", {}),
        ("dpmpp_3m_sde", {}),
        ("dpmpp_3m_sde", {"eta": 0.5}),
        ("ddpm", {}),
        ("res_multistep_ancestral", {"eta": 0.5}),
        ("er_sde", {}),
        ("er_sde", {"max_stage": 1}),
        ("er_sde", {"noise_scaler": lambda level: level**2}),
        ("seeds_2", {}),
        ("seeds_2", {"solver_type": "phi_2", "r": 1.0}),
        ("seeds_2", {"eta": 0.5, "r": 0.3}),
        ("seeds_3", {}),
        ("seeds_3", {"eta": 0.5}),
        ("sa_solver", {"tau_func": lambda sigma: 1.0}),
        ("sa_solver", {"tau_func": lambda sigma: 0.5, "simple_order_2": True, "predictor_order": 2, "corrector_order": 2}),
        ("sa_solver", {}),
        ("sa_solver_pece", {"tau_func": lambda sigma: 1.0}),
    ],
)
def test_a_stochastic_sampler_keeps_mean_and_spread_of_the_data(name: str, options: dict[str, Any], flow: bool) -> None:
    high, low = (0.95, 0.1) if flow else (10.0, 0.1)
    centre, spread = marginal(high, MEAN, DEVIATION, flow)
    x = torch.randn(1, 1, 96, 96, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * spread + centre
    denoise = gaussian_denoiser(MEAN, DEVIATION, flow)
    result = sample(name, x, geometric(100, high, low), denoise, sampling=FLOW if flow else VARIANCE_EXPLODING, **options)
    expected_mean, expected_spread = marginal(low, MEAN, DEVIATION, flow)
    assert result.mean().item() == pytest.approx(expected_mean, abs=0.02)
    assert result.std().item() == pytest.approx(expected_spread, rel=0.03)


def test_consistency_sampling_denoises_and_renoises() -> None:
    x = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0)) * 10
    result = sample("lcm", x, [10.0, 3.0, 0.0], toy_denoiser, seed=5)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(6))
    torch.testing.assert_close(result, toy_denoiser(toy_denoiser(x, 10.0) + 3.0 * noise, 3.0))


@pytest.mark.parametrize(
    ("guided", "plain"),
    [
        ("euler_cfg_pp", "euler"),
        ("euler_ancestral_cfg_pp", "euler_ancestral"),
        ("dpmpp_2s_ancestral_cfg_pp", "dpmpp_2s_ancestral"),
        ("dpmpp_2m_cfg_pp", "dpmpp_2m"),
        ("res_multistep_cfg_pp", "res_multistep"),
        ("res_multistep_ancestral_cfg_pp", "res_multistep_ancestral"),
        ("gradient_estimation_cfg_pp", "gradient_estimation"),
    ],
)
def test_cfg_pp_without_guidance_is_the_plain_sampler(guided: str, plain: str) -> None:
    x = torch.randn(2, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 10
    levels = [*geometric(8, 10.0, 0.1), 0.0]
    torch.testing.assert_close(sample(guided, x, levels, toy_denoiser), sample(plain, x, levels, toy_denoiser))


@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize("name", ["euler_cfg_pp", "dpmpp_2m_cfg_pp", "res_multistep_cfg_pp", "gradient_estimation_cfg_pp"])
def test_cfg_pp_joins_the_guided_estimate_with_the_noise_of_the_unconditional_one(name: str, flow: bool) -> None:
    x, sigma, sigma_next = torch.full((1, 1, 1, 1), 4.0, dtype=torch.float64), 0.8, 0.4
    result = sample(
        name,
        x,
        [sigma, sigma_next],
        lambda at, level: at * 0 + 3.0,
        unconditional=lambda at, level: at * 0 + 1.0,
        sampling=FLOW if flow else VARIANCE_EXPLODING,
    )
    scale, scale_next = (1 - sigma, 1 - sigma_next) if flow else (1.0, 1.0)
    assert result.item() == pytest.approx(scale_next * 3.0 + (4.0 - scale * 1.0) / sigma * sigma_next)


def test_on_even_steps_ipndm_and_its_variable_form_are_one() -> None:
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 10
    levels = torch.linspace(10.0, 1.0, 10, dtype=torch.float64).tolist()
    torch.testing.assert_close(sample("ipndm", x, levels, toy_denoiser), sample("ipndm_v", x, levels, toy_denoiser))


def test_lagrange_weights_integrate_polynomials_exactly() -> None:
    weights = lagrange_weights([3.0, 4.0, 6.0], 3.0, 1.0)
    assert sum(weight * node**2 for weight, node in zip(weights, [3.0, 4.0, 6.0], strict=True)) == pytest.approx((1 - 27) / 3)


def test_pure_noise_of_a_flow_is_a_level_that_every_sampler_can_start_from() -> None:
    from marquetry.engine.sampling.names import SAMPLER_NAMES

    x = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    denoise = gaussian_denoiser(MEAN, 0.1, flow=True)
    for name in SAMPLER_NAMES:
        result = sample(name, x, torch.linspace(1.0, 0.0, 11).tolist(), denoise, sampling=FLOW)
        assert result.isfinite().all(), name
        assert result.mean().item() == pytest.approx(MEAN, abs=0.1), name


def test_a_trajectory_names_its_lowest_level_above_zero() -> None:
    assert Trajectory((3.0, 1.0, 0.0), VARIANCE_EXPLODING, noise=None).lowest == 1.0  # type: ignore[arg-type]
