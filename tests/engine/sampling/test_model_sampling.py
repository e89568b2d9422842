"""Noise levels and predictions."""

from __future__ import annotations

from typing import Any

import diffusers
import pytest
import torch
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr
from hypothesis import given
from hypothesis import strategies as st

from marquetry.engine.sampling.model_sampling import ContinuousSampling, DiscreteSampling, DistilledSampling, FlowSampling, Prediction

SCHEDULERS: Any = diffusers
LEVELS = DiscreteSampling.scaled_linear()


def test_the_discrete_levels_are_those_of_the_reference_betas() -> None:
    reference: Any = SCHEDULERS.DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    expected = ((1 - reference.alphas_cumprod) / reference.alphas_cumprod).sqrt()
    torch.testing.assert_close(LEVELS.sigmas, expected, rtol=1e-4, atol=0)
    assert LEVELS.sigma_max == pytest.approx(14.6146, abs=1e-4)
    assert LEVELS.sigma_min == pytest.approx(0.029167, abs=1e-6)


def test_zero_terminal_snr_follows_the_paper() -> None:
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    alphas_cumprod = (1 - rescale_zero_terminal_snr(betas)).cumprod(0)
    rescaled = LEVELS.with_zero_terminal_snr()
    torch.testing.assert_close(rescaled.sigmas[:-1], ((1 - alphas_cumprod) / alphas_cumprod).sqrt()[:-1], rtol=2e-3, atol=0)
    assert rescaled.sigma_max == pytest.approx(4518.76, abs=0.1)


@given(st.integers(0, 999))
def test_times_and_levels_invert_each_other(time: int) -> None:
    sigma = LEVELS.sigma(torch.tensor([time]))
    assert LEVELS.timestep(sigma).tolist() == [time]
    assert sigma.item() == pytest.approx(float(LEVELS.sigmas[time]), rel=1e-5)


@given(st.floats(0.01, 0.99))
def test_percentages_fall_from_the_highest_level_to_zero(percent: float) -> None:
    for sampling in (LEVELS, FlowSampling(3.0), ContinuousSampling()):
        assert sampling.percent_to_sigma(0.0) >= sampling.sigma_max
        assert sampling.percent_to_sigma(0.0) > sampling.percent_to_sigma(percent) > sampling.percent_to_sigma(percent + 0.01)
        assert sampling.percent_to_sigma(1.0) == 0.0


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@given(sigma=st.floats(0.03, 14.0))
def test_the_right_answer_gives_back_the_clean_latent(prediction: Prediction, sigma: float) -> None:
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 2, 3, 4, 4, dtype=torch.float64, generator=generator)
    root = (1 + sigma**2) ** 0.5
    answers = {"epsilon": noise, "v_prediction": noise / root - clean * sigma / root, "sample": clean}
    sampling = LEVELS.with_prediction(prediction)
    x = sampling.noise_scaling(sigma, noise, clean)
    level = torch.full((2,), sigma, dtype=torch.float64)
    torch.testing.assert_close(sampling.to_denoised(x, level, answers[prediction]), clean)
    assert sampling.scale_input(x, level).std().item() < 3.0


def test_a_flow_goes_straight_from_latent_to_noise() -> None:
    flow = FlowSampling(3.0)
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 2, 3, 4, 4, generator=generator)
    x = flow.noise_scaling(0.3, noise, clean)
    torch.testing.assert_close(flow.to_denoised(x, torch.tensor([0.3, 0.3]), noise - clean), clean)
    torch.testing.assert_close(flow.inverse_noise_scaling(0.3, clean * 0.7), clean)
    assert flow.percent_to_sigma(0.5) == pytest.approx(0.75)
    assert flow.timestep(torch.tensor([0.75])).item() == pytest.approx(750.0)


def test_at_the_highest_level_the_latent_does_not_shine_through() -> None:
    noise, latent = torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    assert LEVELS.noise_scaling(2.0, noise, latent, max_denoise=True).max().item() == pytest.approx(5.0**0.5)
    assert LEVELS.noise_scaling(2.0, noise, latent).max().item() == 2.0


def test_distilled_levels_are_every_twentieth() -> None:
    distilled = DistilledSampling(LEVELS.sigmas)
    assert torch.equal(distilled.sigmas, LEVELS.sigmas[19::20])
    assert distilled.timestep(distilled.sigmas[[0, 49]]).tolist() == [19, 999]
    torch.testing.assert_close(distilled.sigma(torch.tensor([19, 999])), distilled.sigmas[[0, 49]])
