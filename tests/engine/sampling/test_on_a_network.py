"""Sampling a real (tiny, random) network end to end, against the same network in diffusers' own loop."""

from __future__ import annotations

from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from marquetry.engine.sampling.driver import sample_latent
from marquetry.engine.sampling.latent_format import LatentFormat
from marquetry.engine.sampling.model import CONTEXT
from marquetry.engine.sampling.model_sampling import Prediction
from marquetry.engine.sampling.noise import draw_noise
from tests.engine.models.adapters import networks
from tests.engine.sampling.problems import VARIANCE_EXPLODING, GaussianModel

SCHEDULERS: Any = diffusers
BETAS: dict[str, Any] = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
NETWORK = networks.unet()
POSITIVE, NEGATIVE = torch.randn(2, 1, 5, networks.CROSS_WIDTH, generator=torch.Generator().manual_seed(1))
CFG, STEPS, SEED = 4.0, 10, 5


class NetworkModel(GaussianModel):
    """The tiny network behind the face that samplers know."""

    def denoise(self, x: Tensor, sigma: Tensor, conditioning: dict[str, Any]) -> Tensor:
        output = NETWORK(self.sampling.scale_input(x, sigma), self.sampling.timestep(sigma), encoder_hidden_states=conditioning[CONTEXT])
        return self.sampling.to_denoised(x, sigma, output.sample)


def model(prediction: Prediction = "epsilon") -> NetworkModel:
    levels = VARIANCE_EXPLODING.with_prediction(prediction)
    return NetworkModel(levels, LatentFormat(channels=4, scale_factor=0.18215))


def sampled(network: NetworkModel, latent: Tensor | None = None, **changes: Any) -> Tensor:
    options: dict[str, Any] = {"seed": SEED, "steps": STEPS, "cfg": CFG, "sampler_name": "euler", "scheduler": "normal"}
    samples: Tensor = sample_latent(
        network,
        **{**options, **changes},
        positive=[[POSITIVE, {}]],
        negative=[[NEGATIVE, {}]],
        latent={"samples": torch.zeros(2, 4, 8, 8) if latent is None else latent},
    )["samples"]
    return samples


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_text_to_image_is_what_diffusers_own_loop_makes(prediction: Prediction) -> None:
    scheduler = SCHEDULERS.EulerDiscreteScheduler(**BETAS, timestep_spacing="linspace", prediction_type=prediction)
    scheduler.set_timesteps(STEPS)
    noise = draw_noise(torch.zeros(2, 4, 8, 8), SEED)
    x = noise * scheduler.init_noise_sigma * (1 + scheduler.sigmas[0] ** 2).sqrt() / scheduler.sigmas[0]
    tokens = torch.cat([POSITIVE.expand(2, -1, -1), NEGATIVE.expand(2, -1, -1)])
    with torch.no_grad():
        for time in scheduler.timesteps:
            scaled = scheduler.scale_model_input(torch.cat([x, x]), time)
            positive, negative = NETWORK(scaled, time, encoder_hidden_states=tokens).sample.chunk(2)
            x = scheduler.step(negative + CFG * (positive - negative), time, x).prev_sample
    torch.testing.assert_close(sampled(model(prediction)), x / 0.18215, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("name", ["dpmpp_2m", "uni_pc", "res_multistep", "deis", "heun"])
def test_different_samplers_come_to_the_same_picture_with_many_steps(name: str) -> None:
    reference = sampled(model(), cfg=1.0, sampler_name="dpm_2", scheduler="karras", steps=24)
    result = sampled(model(), cfg=1.0, sampler_name=name, scheduler="karras", steps=24)
    assert (result - reference).abs().mean().item() < 0.05 * reference.std().item()


def test_image_to_image_starts_from_the_picture() -> None:
    picture = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(9))
    little = sampled(model(), picture, denoise=0.1)
    much = sampled(model(), picture, denoise=0.9)
    assert (little - picture).abs().mean() < (much - picture).abs().mean()
