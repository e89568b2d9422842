"""Noise from seeds."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from marquetry.engine.sampling.noise import NoiseSource, NoNoise, SeededNoise, draw_noise

LATENT = torch.zeros(4, 4, 8, 8)


@given(st.integers(0, 2**64 - 1))
def test_noise_is_the_generators_own_draw(seed: int) -> None:
    expected = torch.randn(LATENT.shape, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(draw_noise(LATENT, seed), expected)
    assert torch.equal(SeededNoise(seed).generate_noise({"samples": LATENT}), expected)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4))
def test_a_latent_taken_out_of_a_batch_gets_its_noise_again(batch_index: list[int]) -> None:
    whole = draw_noise(torch.zeros(6, 4, 8, 8), 7, list(range(6)))
    part = SeededNoise(7).generate_noise({"samples": torch.zeros(len(batch_index), 4, 8, 8), "batch_index": batch_index})
    assert torch.equal(part, whole[batch_index])


def test_a_batch_drawn_one_by_one_is_the_batch_drawn_at_once() -> None:
    assert torch.equal(draw_noise(LATENT, 7, [0, 1, 2, 3]), draw_noise(LATENT, 7))


def test_disabled_noise_is_zero() -> None:
    assert not NoNoise().generate_noise({"samples": torch.ones(1, 4, 2, 2)}).any()


def test_sequential_draws_don_t_repeat_the_starting_noise() -> None:
    source = NoiseSource(7, LATENT)
    first, second = source.draw(), source.draw()
    assert not torch.equal(first, second)
    assert not torch.equal(first, draw_noise(LATENT, 7))
    assert torch.equal(first, NoiseSource(7, LATENT).draw())


def test_draws_take_the_type_of_the_latent_but_not_its_values() -> None:
    doubles = NoiseSource(7, LATENT.double()).draw()
    assert doubles.dtype == torch.float64
    assert torch.equal(doubles.float(), NoiseSource(7, LATENT).draw())


def test_the_brownian_path_does_not_depend_on_where_it_is_asked() -> None:
    whole, parts = NoiseSource(7, LATENT).brownian(0.1, 10.0), NoiseSource(7, LATENT).brownian(0.1, 10.0)
    far = whole(10.0, 1.0) * 9.0**0.5
    near = parts(10.0, 4.0) * 6.0**0.5 + parts(4.0, 1.0) * 3.0**0.5
    torch.testing.assert_close(far, near, atol=1e-5, rtol=1e-5)


def test_increments_of_the_brownian_path_have_unit_variance() -> None:
    path = NoiseSource(7, torch.zeros(1, 1, 128, 128)).brownian(0.1, 10.0)
    for sigma, sigma_next in ((10.0, 9.0), (1.0, 0.1), (0.1, 0.2)):
        assert path(sigma, sigma_next).std().item() == pytest.approx(1.0, abs=0.03)


def test_the_path_may_be_asked_at_its_very_ends() -> None:
    path = NoiseSource(7, LATENT).brownian(0.029167158529162407, 14.614641189575195)
    assert path(14.614641189575195, 0.029167158529162407).isfinite().all()
