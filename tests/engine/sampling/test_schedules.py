"""Schedules against diffusers' schedulers with the same option, or against closed forms."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import diffusers
import pytest
import torch
from diffusers.pipelines.mochi import pipeline_mochi
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta as beta_distribution
from torch import Tensor

from marquetry.engine.errors import NodeFailed
from marquetry.engine.sampling import schedules
from marquetry.engine.sampling.model_sampling import FlowSampling, ModelSampling
from marquetry.engine.sampling.names import SCHEDULE_NAMES
from tests.engine.sampling.problems import VARIANCE_EXPLODING

SCHEDULERS: Any = diffusers
MOCHI: Any = pipeline_mochi
LEVELS = VARIANCE_EXPLODING
SHIFTED = FlowSampling(3.0)


def reference(steps: int, **options: Any) -> Tensor:
    """The levels of diffusers' Euler scheduler."""
    scheduler = SCHEDULERS.EulerDiscreteScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, **options)
    scheduler.set_timesteps(steps)
    levels: Tensor = scheduler.sigmas
    return levels


@pytest.mark.parametrize(
    ("name", "options", "steps"),
    [
        ("karras", {"timestep_spacing": "linspace", "use_karras_sigmas": True}, 20),
        ("exponential", {"timestep_spacing": "linspace", "use_exponential_sigmas": True}, 20),
        ("normal", {"timestep_spacing": "linspace"}, 28),
        ("normal", {"timestep_spacing": "linspace"}, 10),
        ("simple", {"timestep_spacing": "trailing"}, 20),
        ("simple", {"timestep_spacing": "trailing"}, 8),
        ("ddim_uniform", {"timestep_spacing": "leading", "steps_offset": 1}, 20),
        ("ddim_uniform", {"timestep_spacing": "leading", "steps_offset": 1}, 50),
    ],
)
def test_a_schedule_agrees_with_diffusers(name: str, options: dict[str, Any], steps: int) -> None:
    torch.testing.assert_close(schedules.schedule(name, LEVELS, steps), reference(steps, **options), rtol=2e-4, atol=1e-6)


def test_ddim_uniform_visits_the_times_of_ddim() -> None:
    scheduler = SCHEDULERS.DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, steps_offset=1)
    scheduler.set_timesteps(25)
    torch.testing.assert_close(schedules.ddim_uniform(LEVELS, 25)[:-1], LEVELS.sigmas[scheduler.timesteps])


def test_ddim_uniform_takes_a_step_more_where_the_stride_leaves_room() -> None:
    assert len(schedules.ddim_uniform(LEVELS, 15)) == 17


def test_sgm_uniform_leaves_the_lowest_time_out() -> None:
    times = torch.linspace(999, 0, 28)[:-1]
    torch.testing.assert_close(schedules.sgm_uniform(LEVELS, 27)[:-1], LEVELS.sigmas[times.round().long()])


def test_beta_takes_quantiles_of_the_beta_distribution() -> None:
    expected = [round(beta_distribution.ppf(1 - step / 12, 0.6, 0.6) * 999) for step in range(12)]
    torch.testing.assert_close(schedules.beta(LEVELS, 12)[:-1], LEVELS.sigmas[expected])


def test_beta_drops_levels_that_come_twice() -> None:
    few = FlowSampling(1.0, count=10)
    levels = schedules.beta(few, 30)
    assert len(levels) < 31
    assert (levels.diff() < 0).all()


@pytest.mark.parametrize("steps", [2, 5, 20, 33])
def test_linear_quadratic_agrees_with_diffusers(steps: int) -> None:
    expected = torch.tensor([*MOCHI.linear_quadratic_schedule(steps, 0.025), 0.0], dtype=torch.float32)
    torch.testing.assert_close(schedules.linear_quadratic(FlowSampling(1.0), steps), expected)


def test_kl_optimal_spaces_angles_evenly() -> None:
    angles = schedules.schedule("kl_optimal", LEVELS, 9)[:-1].atan()
    torch.testing.assert_close(angles.diff(), angles.diff()[:1].expand(8), rtol=1e-4, atol=1e-5)


def test_the_variance_preserving_schedule_is_the_continuous_process() -> None:
    levels = schedules.variance_preserving(5)
    assert levels[0].item() == pytest.approx(math.sqrt(math.exp(19.9 / 2 + 0.1) - 1), rel=1e-5)
    assert levels[-1].item() == 0.0


def test_turbo_starts_at_the_last_time_and_skips_with_denoise() -> None:
    torch.testing.assert_close(schedules.turbo(LEVELS, 2), torch.cat([LEVELS.sigmas[[999, 899]], torch.zeros(1)]))
    torch.testing.assert_close(schedules.turbo(LEVELS, 1, 0.5), torch.cat([LEVELS.sigmas[[499]], torch.zeros(1)]))


def test_laplace_stays_within_its_limits_and_has_no_zero() -> None:
    levels = schedules.laplace(11, 0.03, 14.0)
    assert len(levels) == 11
    assert levels[5].item() == pytest.approx(1.0)
    assert levels.max().item() <= 14.0
    assert levels.min().item() == pytest.approx(0.03)


@given(name=st.sampled_from(SCHEDULE_NAMES), steps=st.integers(1, 60), sampling=st.sampled_from([LEVELS, SHIFTED]))
def test_every_schedule_falls_strictly_to_zero(name: str, steps: int, sampling: ModelSampling) -> None:
    levels = schedules.schedule(name, sampling, steps)
    assert levels.dtype == torch.float32
    assert (levels.diff() < 0).all()
    assert levels[-1].item() == 0.0
    assert levels[0].item() <= sampling.sigma_max * (1 + 1e-5)
    if name != "ddim_uniform":
        assert len(levels) == steps + 1


@given(name=st.sampled_from(SCHEDULE_NAMES), steps=st.integers(1, 30), denoise=st.floats(0.05, 0.99))
def test_denoise_keeps_the_end_of_a_longer_schedule(name: str, steps: int, denoise: float) -> None:
    whole = schedules.schedule(name, LEVELS, int(steps / denoise))
    assert torch.equal(schedules.partial_schedule(name, LEVELS, steps, denoise), whole[-(steps + 1) :])


def test_denoise_zero_leaves_nothing_to_do() -> None:
    assert schedules.partial_schedule("normal", LEVELS, 20, 0.0).numel() == 0


@pytest.mark.parametrize("sampler_name", sorted(schedules.DISCARDS_PENULTIMATE))
def test_some_samplers_leave_the_level_before_the_last_out(sampler_name: str) -> None:
    levels = schedules.partial_schedule("karras", LEVELS, 10, sampler_name=sampler_name)
    longer = schedules.schedule("karras", LEVELS, 11)
    assert torch.equal(levels, torch.cat([longer[:-2], longer[-1:]]))


@pytest.fixture
def registered() -> Iterator[str]:
    schedules.register_schedule("halves", lambda sampling, steps: torch.tensor([sampling.sigma_max, sampling.sigma_max / 2, 0.0]))
    yield "halves"
    SCHEDULE_NAMES.remove("halves")
    del schedules.SCHEDULES["halves"]


def test_a_pack_can_register_a_schedule(registered: str) -> None:
    assert SCHEDULE_NAMES[-1] == registered
    assert schedules.schedule(registered, SHIFTED, 2).tolist() == [1.0, 0.5, 0.0]


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(NodeFailed, match="no schedule named 'steep'; known are simple"):
        schedules.schedule("steep", LEVELS, 4)
