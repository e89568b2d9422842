"""How answers are mixed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from marquetry.engine.sampling.conditioning import prepare
from marquetry.engine.sampling.guiders import BasicGuider, CFGGuider, DualCFGGuider, Guider
from marquetry.engine.sampling.sampler import Denoised
from tests.engine.sampling.problems import GaussianModel, gaussian_denoiser, prompt

SIGMA = 2.0
X = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))


def about(mean: float) -> Tensor:
    return gaussian_denoiser(mean, 0.5)(X, SIGMA)


def predicted(guider: Guider, uncond: bool = False) -> Denoised:
    prompts = prepare(guider.model, guider.conditionings(), torch.zeros_like(X), torch.zeros_like(X))
    return guider.predict(prompts, X, SIGMA, uncond=uncond)


@given(st.floats(0.0, 20.0))
def test_guidance_goes_from_the_negative_towards_the_positive(scale: float) -> None:
    answer = predicted(CFGGuider(GaussianModel(), [prompt(1.0)], [prompt(-0.5)], scale)).denoised
    torch.testing.assert_close(answer, about(-0.5) + (about(1.0) - about(-0.5)) * scale, atol=1e-5, rtol=1e-5)


def test_scale_one_leaves_the_negative_prompt_out() -> None:
    model = GaussianModel()
    torch.testing.assert_close(predicted(CFGGuider(model, [prompt(1.0)], [prompt(-0.5)], 1.0)).denoised, about(1.0))
    assert model.calls == [(1, 3)]


@pytest.mark.parametrize(("options", "uncond"), [({"disable_cfg1_optimization": True}, False), ({}, True)])
def test_scale_one_asks_the_negative_prompt_if_somebody_needs_it(options: dict[str, Any], uncond: bool) -> None:
    model = GaussianModel().with_options(**options)
    answer = predicted(CFGGuider(model, [prompt(1.0)], [prompt(-0.5)], 1.0), uncond)
    assert model.calls == [(2, 3)]
    torch.testing.assert_close(answer.unguided, about(-0.5))


def test_the_basic_guider_asks_one_prompt() -> None:
    answer = predicted(BasicGuider(GaussianModel(), [prompt(1.0)]), uncond=True)
    torch.testing.assert_close(answer.denoised, about(1.0))
    assert torch.equal(answer.unguided, answer.denoised)


def test_dual_guidance_adds_the_difference_of_two_prompts() -> None:
    answer = predicted(DualCFGGuider(GaussianModel(), [prompt(1.0)], [prompt(0.5)], [prompt(-1.0)], 3.0, 2.0)).denoised
    torch.testing.assert_close(answer, about(-1.0) + (about(0.5) - about(-1.0)) * 2.0 + (about(1.0) - about(0.5)) * 3.0)


def test_nested_dual_guidance_guides_the_outcome() -> None:
    answer = predicted(DualCFGGuider(GaussianModel(), [prompt(1.0)], [prompt(0.5)], [prompt(-1.0)], 3.0, 2.0, nested=True)).denoised
    inner = about(0.5) + (about(1.0) - about(0.5)) * 3.0
    torch.testing.assert_close(answer, about(-1.0) + (inner - about(-1.0)) * 2.0)


def test_dual_guidance_at_scale_one_asks_only_what_counts() -> None:
    model = GaussianModel()
    answer = predicted(DualCFGGuider(model, [prompt(1.0)], [prompt(0.5)], [prompt(-1.0)], 1.0, 1.0)).denoised
    torch.testing.assert_close(answer, about(1.0))
    assert model.calls == [(1, 3)]


def test_a_cfg_function_replaces_the_mixing_and_post_functions_follow_in_order() -> None:
    seen: list[str] = []

    def cfg(described: Mapping[str, Any]) -> Tensor:
        torch.testing.assert_close(described["input"] - described["cond"], about(1.0))
        torch.testing.assert_close(described["uncond_denoised"], about(-0.5))
        assert described["cond_scale"] == 4.0
        assert described["sigma"].tolist() == [SIGMA]
        seen.append("cfg")
        return X - about(1.0) * 2

    def post(described: Mapping[str, Any]) -> Tensor:
        seen.append("post")
        denoised: Tensor = described["denoised"]
        return denoised + len(seen)

    model = GaussianModel().with_options(sampler_cfg_function=cfg, sampler_post_cfg_function=[post, post])
    answer = predicted(CFGGuider(model, [prompt(1.0)], [prompt(-0.5)], 4.0)).denoised
    assert seen == ["cfg", "post", "post"]
    torch.testing.assert_close(answer, about(1.0) * 2 + 5)


def test_a_pre_cfg_function_sees_and_changes_both_answers() -> None:
    model = GaussianModel().with_options(sampler_pre_cfg_function=[lambda described: list(reversed(described["conds_out"]))])
    answer = predicted(CFGGuider(model, [prompt(1.0)], [prompt(-0.5)], 1.5)).denoised
    torch.testing.assert_close(answer, about(1.0) + (about(-0.5) - about(1.0)) * 1.5)


def test_a_function_wrapper_stands_between_guider_and_network() -> None:
    def wrapper(apply_model: Any, described: Mapping[str, Any]) -> Tensor:
        assert described["cond_or_uncond"] == [0, 1]
        answer: Tensor = apply_model(described["input"], described["timestep"], **described["c"])
        return answer + 1

    model = GaussianModel().with_options(model_function_wrapper=wrapper)
    torch.testing.assert_close(
        predicted(CFGGuider(model, [prompt(1.0)], [prompt(0.0)], 3.0)).denoised, about(0.0) + (about(1.0) - about(0.0)) * 3 + 1
    )
