"""Where, when and how strongly prompts speak, on a model whose answers are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from marquetry.engine.sampling.conditioning import prepare, resolve
from marquetry.engine.sampling.control import controlled_alike
from marquetry.engine.sampling.forward import estimate
from tests.engine.sampling.problems import VARIANCE_EXPLODING, GaussianModel, gaussian_denoiser, prompt

SIGMA = 2.0
X = torch.randn(1, 4, 16, 32, generator=torch.Generator().manual_seed(0))


def denoised(model: GaussianModel, x: Tensor, sigma: float, *conditionings: Sequence[Sequence[Any]]) -> list[Tensor]:
    roles: Mapping[str, Any] = {str(index): conditioning for index, conditioning in enumerate(conditionings)}
    prompts = prepare(model, roles, torch.zeros_like(x), torch.zeros_like(x))
    answers = estimate(model, x, sigma, list(prompts.values()))
    return [answer for answer in answers if answer is not None]


def about(mean: float, x: Tensor = X, sigma: float = SIGMA) -> Tensor:
    return gaussian_denoiser(mean, 0.5)(x, sigma)


def test_one_prompt_is_the_models_own_answer() -> None:
    torch.testing.assert_close(denoised(GaussianModel(), X, SIGMA, [prompt(1.0)])[0], about(1.0))


def test_prompts_in_one_place_are_averaged_by_strength() -> None:
    answer = denoised(GaussianModel(), X, SIGMA, [prompt(1.0, strength=3.0), prompt(-1.0, strength=1.0)])[0]
    torch.testing.assert_close(answer, about(1.0) * 0.75 + about(-1.0) * 0.25)


def test_an_area_fades_into_the_rest_over_eight_pixels() -> None:
    answer = denoised(GaussianModel(), X, SIGMA, [prompt(0.0), prompt(1.0, area=(16, 16, 0, 16), strength=1e6)])[0]
    torch.testing.assert_close(answer[..., :16], about(0.0)[..., :16])
    torch.testing.assert_close(answer[..., 24:], about(1.0)[..., 24:], atol=1e-4, rtol=1e-4)
    weight = resolve([prompt(1.0, area=(16, 16, 0, 16))], VARIANCE_EXPLODING, X)[0].weight(X)
    torch.testing.assert_close(weight[0, 0, 0, :9], torch.tensor([0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]))
    wide = resolve([prompt(1.0, area=(16, 32, 0, 0))], VARIANCE_EXPLODING, X)[0].weight(X)
    assert torch.equal(wide, torch.ones(1, 1, 16, 32))


def test_an_area_in_shares_of_the_picture_is_turned_into_pixels() -> None:
    resolved = resolve([prompt(1.0, area=("percentage", 0.5, 0.25, 0.5, 0.75))], VARIANCE_EXPLODING, X)
    assert resolved[0].area == (8, 8, 8, 24)


def test_an_area_that_leaves_the_picture_is_cut_to_it() -> None:
    assert resolve([prompt(1.0, area=(64, 64, 8, 16))], VARIANCE_EXPLODING, X)[0].area == (8, 16, 8, 16)


def test_a_mask_is_resized_and_weighs_each_place() -> None:
    mask = torch.zeros(1, 128, 256)
    mask[..., 128:] = 1.0
    answer = denoised(GaussianModel(), X, SIGMA, [prompt(0.0), prompt(1.0, mask=mask, mask_strength=3.0)])[0]
    torch.testing.assert_close(answer[..., :16], about(0.0)[..., :16])
    torch.testing.assert_close(answer[..., 16:], (about(1.0) * 0.75 + about(0.0) * 0.25)[..., 16:])


def test_a_mask_can_be_the_area_too() -> None:
    mask = torch.zeros(1, 16, 32)
    mask[:, 2:14, 20:] = 1.0
    resolved = resolve([prompt(1.0, mask=mask, set_area_to_bounds=True)], VARIANCE_EXPLODING, X)
    assert resolved[0].area == (12, 12, 2, 20)
    empty = resolve([prompt(1.0, mask=torch.zeros(1, 16, 32), set_area_to_bounds=True)], VARIANCE_EXPLODING, X)
    assert empty[0].area == (8, 8, 0, 0)


def test_masks_of_a_batch_go_to_their_pictures() -> None:
    x = X.repeat(2, 1, 1, 1)
    masks = torch.stack([torch.zeros(16, 32), torch.ones(16, 32)])
    answer = denoised(GaussianModel(), x, SIGMA, [prompt(0.0), prompt(1.0, mask=masks, mask_strength=1e6)])[0]
    torch.testing.assert_close(answer[:1], about(0.0))
    torch.testing.assert_close(answer[1:], about(1.0), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("percent", "expected"), [(0.2, 1.0), (0.4, 1.0), (0.6, -1.0), (0.9, -1.0)])
def test_a_prompt_speaks_only_in_its_part_of_the_way(percent: float, expected: float) -> None:
    sigma = VARIANCE_EXPLODING.percent_to_sigma(percent)
    halves = [prompt(1.0, start_percent=0.0, end_percent=0.5), prompt(-1.0, start_percent=0.5, end_percent=1.0)]
    torch.testing.assert_close(denoised(GaussianModel(), X, sigma, halves)[0], about(expected, sigma=sigma))


def test_where_nobody_speaks_the_estimate_is_zero() -> None:
    late = [prompt(1.0, start_percent=0.9, end_percent=1.0)]
    assert not denoised(GaussianModel(), X, VARIANCE_EXPLODING.percent_to_sigma(0.1), late)[0].any()


def test_the_negative_prompt_is_asked_in_the_positive_ones_area_too() -> None:
    prompts = prepare(
        GaussianModel(), {"positive": [prompt(1.0, area=(8, 8, 4, 4))], "negative": [prompt(0.0)]}, torch.zeros_like(X), torch.zeros_like(X)
    )
    assert [entry.area for entry in prompts["negative"]] == [None, (8, 8, 4, 4)]
    assert prompts["negative"][1].values["context"].mean().item() == 0.0


def test_prompts_of_all_roles_share_one_forward_pass() -> None:
    model = GaussianModel()
    positive, negative = denoised(model, X, SIGMA, [prompt(1.0)], [prompt(-1.0)])
    assert model.calls == [(2, 3)]
    torch.testing.assert_close(positive, about(1.0))
    torch.testing.assert_close(negative, about(-1.0))


def test_prompts_of_different_length_are_repeated_to_share_a_pass() -> None:
    model = GaussianModel()
    positive, negative = denoised(model, X, SIGMA, [prompt(1.0, tokens=77)], [prompt(-1.0, tokens=154)])
    assert model.calls == [(2, 154)]
    torch.testing.assert_close(positive, about(1.0))
    torch.testing.assert_close(negative, about(-1.0))


def test_lengths_that_fit_badly_run_on_their_own() -> None:
    model = GaussianModel()
    denoised(model, X, SIGMA, [prompt(1.0, tokens=77)], [prompt(-1.0, tokens=7), prompt(0.0, tokens=8)])
    assert sorted(model.calls) == [(1, 7), (1, 8), (1, 77)]


class Steering:
    """A control that counts how often it is prepared."""

    def __init__(self) -> None:
        self.runs = 0

    def prepared(self, model: Any, latent: Tensor) -> Any:
        self.runs += 1
        return self


def test_different_controls_keep_prompts_apart_and_each_is_prepared_once() -> None:
    model, control, other = GaussianModel(), Steering(), Steering()
    denoised(model, X, SIGMA, [prompt(1.0, control=control), prompt(0.0, control=control)], [prompt(-1.0, control=other)])
    assert model.calls == [(2, 3), (1, 3)]
    assert (control.runs, other.runs) == (1, 1)


def test_control_of_positive_prompts_that_is_marked_counts_for_negative_ones_without_any() -> None:
    first, second = Steering(), Steering()
    marked = [prompt(1.0, control=each, control_apply_to_uncond=True) for each in (first, second)]
    taken = controlled_alike(marked, [prompt(-1.0)])
    assert [extras["control"] for _, extras in taken] == [first, second]
    own = [prompt(-1.0, control=first)]
    assert controlled_alike(marked, own) == own and controlled_alike([prompt(1.0, control=first)], [prompt(-1.0)])[0][1] == {}


def test_latent_shaped_conditioning_is_cut_with_the_area() -> None:
    seen: list[tuple[int, ...]] = []

    class Watching(GaussianModel):
        def denoise(self, x: Tensor, sigma: Tensor, conditioning: dict[str, Any]) -> Tensor:
            seen.append(tuple(conditioning["concat"].shape))
            return super().denoise(x, sigma, conditioning)

    denoised(Watching(), X, SIGMA, [prompt(1.0, area=(8, 12, 4, 4), concat=torch.zeros(1, 5, 16, 32))])
    assert seen == [(1, 5, 8, 12)]


def test_an_embedding_serves_a_whole_batch() -> None:
    x = torch.randn(3, 4, 16, 32, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(denoised(GaussianModel(), x, SIGMA, [prompt(1.0)])[0], about(1.0, x))
