"""Sampling as a whole: noise, schedule, sampler and guidance on a model that knows its answers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from marquetry.engine.errors import Interrupted, NodeFailed
from marquetry.engine.sampling.driver import fitted_latent, sample, sample_latent
from marquetry.engine.sampling.guiders import BasicGuider
from marquetry.engine.sampling.model_sampling import ModelSampling
from marquetry.engine.sampling.names import SAMPLER_NAMES, SCHEDULE_NAMES
from marquetry.engine.sampling.registry import SAMPLERS, sampler_choice
from marquetry.engine.sampling.sampler import SamplerChoice
from tests.engine.sampling.problems import FLOW, VARIANCE_EXPLODING, GaussianModel, prompt

EMPTY = {"samples": torch.zeros(2, 4, 8, 8)}
PICTURE = {"samples": torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(5))}
TARGET = 0.5 / 0.25  # the prompt's mean in the autoencoder's space


def run(latent: dict[str, Any] | None = None, model: GaussianModel | None = None, **changes: Any) -> Tensor:
    """The samples of a KSampler run towards a prompt around 0.5."""
    options: dict[str, Any] = {
        "seed": 3, "steps": 8, "cfg": 2.0, "sampler_name": "euler", "scheduler": "karras",
        "positive": [prompt(0.5)], "negative": [prompt(0.0)], "latent": EMPTY if latent is None else latent,
    }  # fmt: skip
    samples: Tensor = sample_latent(model or GaussianModel(deviation=0.1), **{**options, **changes})["samples"]
    return samples


def test_the_registry_has_every_name_and_no_other() -> None:
    assert list(SAMPLERS) == SAMPLER_NAMES


@pytest.mark.parametrize("sampling", [VARIANCE_EXPLODING, FLOW], ids=["discrete", "flow"])
@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_every_sampler_reaches_the_prompt_with_a_batch_and_repeats_itself_to_the_bit(name: str, sampling: ModelSampling) -> None:
    model = GaussianModel(deviation=0.1, sampling=sampling)
    options: dict[str, Any] = {"sampler_name": name, "scheduler": "normal", "steps": 12, "negative": [prompt(0.5)]}
    first = run(model=model, **options)
    assert first.shape == EMPTY["samples"].shape
    assert first.mean().item() == pytest.approx(TARGET, abs=0.15)
    assert torch.equal(first, run(model=model, **options))
    assert not torch.equal(first, run(model=model, **options, seed=4))


@pytest.mark.parametrize("scheduler", SCHEDULE_NAMES)
def test_every_schedule_reaches_the_prompt(scheduler: str) -> None:
    assert run(scheduler=scheduler, cfg=1.0).mean().item() == pytest.approx(TARGET, abs=0.15)


@pytest.mark.parametrize("sampling", [VARIANCE_EXPLODING, FLOW], ids=["discrete", "flow"])
@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_inpainting_keeps_the_unmasked_part_to_the_bit_and_changes_the_rest(name: str, sampling: ModelSampling) -> None:
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 32:] = 1.0
    latent = PICTURE | {"noise_mask": mask}
    samples = run(latent, GaussianModel(deviation=0.1, sampling=sampling), sampler_name=name, negative=[prompt(0.5)])
    assert torch.equal(samples[..., :4], PICTURE["samples"][..., :4])
    assert samples[..., 4:].mean().item() == pytest.approx(TARGET, abs=0.15)


def test_the_kept_part_reaches_the_network_noised_to_the_current_level() -> None:
    seen: list[Tensor] = []

    class Watching(GaussianModel):
        def denoise(self, x: Tensor, sigma: Tensor, conditioning: dict[str, Any]) -> Tensor:
            seen.append((x[:1] - PICTURE["samples"][:1] * 0.25) / sigma[0])
            return super().denoise(x, sigma, conditioning)

    run(PICTURE | {"noise_mask": torch.zeros(1, 1, 8, 8)}, Watching(), cfg=1.0, sampler_name="heun")
    assert len(seen) == 15
    for noise in seen[1:]:
        torch.testing.assert_close(noise, seen[0], atol=2e-4, rtol=1e-4)


def test_ddim_noises_the_kept_part_anew_but_samples_like_euler() -> None:
    assert torch.equal(run(sampler_name="ddim"), run(sampler_name="euler"))
    mask = torch.full((1, 1, 8, 8), 0.5)
    assert not torch.equal(
        run(PICTURE | {"noise_mask": mask}, sampler_name="ddim"), run(PICTURE | {"noise_mask": mask}, sampler_name="euler")
    )


@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_a_cancelled_job_stops_before_the_next_evaluation(name: str) -> None:
    model = GaussianModel()
    checks = 0

    def check() -> None:
        nonlocal checks
        checks += 1
        if checks == 3:
            raise Interrupted("the job was cancelled")

    with pytest.raises(Interrupted):
        run(model=model, sampler_name=name, cfg=1.0, check_cancelled=check)
    assert len(model.calls) == 2


@pytest.mark.parametrize("name", ["euler", "heun", "dpmpp_2m", "dpmpp_sde", "seeds_3", "uni_pc"])
def test_each_step_is_reported_once(name: str) -> None:
    reports: list[tuple[int, int]] = []
    run(sampler_name=name, callback=lambda step, denoised, x, total: reports.append((step, total)))
    assert reports == [(step, 8) for step in range(8)]


def test_a_run_cut_in_two_is_the_whole_run() -> None:
    first = run(last_step=3)
    second = run({"samples": first}, disable_noise=True, start_step=3)
    torch.testing.assert_close(second, run(), atol=1e-4, rtol=1e-4)


def test_a_cut_run_keeps_its_noise_unless_told_otherwise() -> None:
    assert run(last_step=2).std().item() > 5.0
    assert run(last_step=2, force_full_denoise=True).std().item() < 1.0


def test_a_start_past_the_end_leaves_the_latent_alone() -> None:
    assert torch.equal(run(PICTURE, start_step=8), PICTURE["samples"])


def test_denoise_zero_leaves_the_latent_alone() -> None:
    assert torch.equal(run(PICTURE, denoise=0.0), PICTURE["samples"])


def test_less_denoise_stays_nearer_to_the_latent() -> None:
    model = GaussianModel(deviation=2.0)
    little, much = (float((run(PICTURE, model, denoise=share) - PICTURE["samples"]).abs().mean()) for share in (0.2, 0.9))
    assert little < much / 2


def test_other_entries_of_the_latent_are_passed_on() -> None:
    result = sample_latent(
        GaussianModel(), seed=0, steps=2, cfg=1.0, sampler_name="euler", scheduler="normal", positive=[prompt(0.0)], negative=[prompt(0.0)],
        latent=EMPTY | {"batch_index": [4, 5]},
    )  # fmt: skip
    assert result["batch_index"] == [4, 5]


def test_a_picture_of_a_batch_can_be_made_again_alone() -> None:
    whole = run()
    again = run({"samples": torch.zeros(1, 4, 8, 8), "batch_index": [1]})
    torch.testing.assert_close(again, whole[1:], atol=1e-5, rtol=1e-5)


def test_an_empty_latent_of_another_family_is_given_the_models_channels() -> None:
    assert run({"samples": torch.zeros(1, 16, 8, 8)}).shape == (1, 4, 8, 8)
    full = torch.ones(1, 16, 8, 8)
    assert fitted_latent(GaussianModel(), full) is full


def test_the_last_estimate_is_given_beside_the_noisy_result() -> None:
    result = sample(
        BasicGuider(GaussianModel(deviation=0.1), [prompt(0.5)]), sampler_choice("euler"), torch.tensor([14.6, 5.0, 2.0]),
        torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.zeros(1, 4, 8, 8), seed=0,
    )  # fmt: skip
    assert result.samples.std().item() > 4.0
    assert result.denoised.std().item() < 0.5


def test_no_levels_means_no_work() -> None:
    model, latent = GaussianModel(), torch.ones(1, 4, 8, 8)
    result = sample(BasicGuider(model, [prompt(0.0)]), sampler_choice("euler"), torch.zeros(0), latent, latent, seed=0)
    assert torch.equal(result.samples, latent)
    assert model.calls == []


def test_a_choice_may_bring_its_own_function() -> None:
    result = sample(
        BasicGuider(GaussianModel(), [prompt(0.5)]), SamplerChoice("mine", function=SAMPLERS["euler"]), torch.tensor([14.6, 0.0]),
        torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 8, 8), seed=0,
    )  # fmt: skip
    assert result.samples.isfinite().all()


def test_an_unknown_sampler_is_refused_with_the_known_ones() -> None:
    with pytest.raises(NodeFailed, match="no sampler named 'leap'; known are euler"):
        run(sampler_name="leap")
