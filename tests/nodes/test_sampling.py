"""The sampling nodes: their faces as ComfyUI's graphs expect them, and what they do on a model that knows its answers."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, cast

import pytest
import torch
from PIL.Image import Image as Picture
from torch import Tensor

from marquetry.engine.context import Context, Services
from marquetry.engine.declare import node_type
from marquetry.engine.errors import Interrupted
from marquetry.engine.folders import Folders
from marquetry.engine.sampling.names import SAMPLER_NAMES, SCHEDULE_NAMES
from marquetry.nodes import custom_sampling, model_sampling, samplers, sampling, schedules
from tests.engine.sampling.problems import GaussianModel, prompt

MODULES = (sampling, custom_sampling, schedules, samplers, model_sampling)
DECLARED = {
    node_type(function).id: node_type(function)
    for module in MODULES
    for function in vars(module).values()
    if hasattr(function, "__node_type__") and function.__module__ == module.__name__
}
STEPS = ("steps", "INT", 20)
LIMITS = (("sigma_max", "FLOAT", 14.614642), ("sigma_min", "FLOAT", 0.0291675))
SDE = (("eta", "FLOAT", 1.0), ("s_noise", "FLOAT", 1.0))
DEVICE = ("noise_device", ["gpu", "cpu"], None)
FACES: dict[str, tuple[tuple[Any, ...], ...]] = {
    "KSampler": (
        ("model", "MODEL", None), ("seed", "INT", 0), STEPS, ("cfg", "FLOAT", 8.0), ("sampler_name", [], None), ("scheduler", [], None),
        ("positive", "CONDITIONING", None), ("negative", "CONDITIONING", None), ("latent_image", "LATENT", None), ("denoise", "FLOAT", 1.0),
    ),
    "KSamplerAdvanced": (
        ("model", "MODEL", None), ("add_noise", ["enable", "disable"], None), ("noise_seed", "INT", 0), STEPS, ("cfg", "FLOAT", 8.0),
        ("sampler_name", [], None), ("scheduler", [], None), ("positive", "CONDITIONING", None), ("negative", "CONDITIONING", None),
        ("latent_image", "LATENT", None), ("start_at_step", "INT", 0), ("end_at_step", "INT", 10000),
        ("return_with_leftover_noise", ["disable", "enable"], None),
    ),
    "SamplerCustom": (
        ("model", "MODEL", None), ("add_noise", "BOOLEAN", True), ("noise_seed", "INT", 0), ("cfg", "FLOAT", 8.0),
        ("positive", "CONDITIONING", None), ("negative", "CONDITIONING", None), ("sampler", "SAMPLER", None), ("sigmas", "SIGMAS", None),
        ("latent_image", "LATENT", None),
    ),
    "SamplerCustomAdvanced": (
        ("noise", "NOISE", None), ("guider", "GUIDER", None), ("sampler", "SAMPLER", None), ("sigmas", "SIGMAS", None),
        ("latent_image", "LATENT", None),
    ),
    "RandomNoise": (("noise_seed", "INT", 0),),
    "DisableNoise": (),
    "AddNoise": (("model", "MODEL", None), ("noise", "NOISE", None), ("sigmas", "SIGMAS", None), ("latent_image", "LATENT", None)),
    "KSamplerSelect": (("sampler_name", [], None),),
    "BasicScheduler": (("model", "MODEL", None), ("scheduler", [], None), STEPS, ("denoise", "FLOAT", 1.0)),
    "KarrasScheduler": (STEPS, *LIMITS, ("rho", "FLOAT", 7.0)),
    "ExponentialScheduler": (STEPS, *LIMITS),
    "PolyexponentialScheduler": (STEPS, *LIMITS, ("rho", "FLOAT", 1.0)),
    "LaplaceScheduler": (STEPS, *LIMITS, ("mu", "FLOAT", 0.0), ("beta", "FLOAT", 0.5)),
    "SDTurboScheduler": (("model", "MODEL", None), ("steps", "INT", 1), ("denoise", "FLOAT", 1.0)),
    "BetaSamplingScheduler": (("model", "MODEL", None), STEPS, ("alpha", "FLOAT", 0.6), ("beta", "FLOAT", 0.6)),
    "VPScheduler": (STEPS, ("beta_d", "FLOAT", 19.9), ("beta_min", "FLOAT", 0.1), ("eps_s", "FLOAT", 0.001)),
    "SplitSigmas": (("sigmas", "SIGMAS", None), ("step", "INT", 0)),
    "SplitSigmasDenoise": (("sigmas", "SIGMAS", None), ("denoise", "FLOAT", 1.0)),
    "FlipSigmas": (("sigmas", "SIGMAS", None),),
    "SetFirstSigma": (("sigmas", "SIGMAS", None), ("sigma", "FLOAT", 136.0)),
    "ExtendIntermediateSigmas": (
        ("sigmas", "SIGMAS", None), ("steps", "INT", 2), ("start_at_sigma", "FLOAT", -1.0), ("end_at_sigma", "FLOAT", 12.0),
        ("spacing", ["linear", "cosine", "sine"], None),
    ),
    "SamplingPercentToSigma": (("model", "MODEL", None), ("sampling_percent", "FLOAT", 0.0), ("return_actual_sigma", "BOOLEAN", False)),
    "BasicGuider": (("model", "MODEL", None), ("conditioning", "CONDITIONING", None)),
    "CFGGuider": (("model", "MODEL", None), ("positive", "CONDITIONING", None), ("negative", "CONDITIONING", None), ("cfg", "FLOAT", 8.0)),
    "DualCFGGuider": (
        ("model", "MODEL", None), ("cond1", "CONDITIONING", None), ("cond2", "CONDITIONING", None), ("negative", "CONDITIONING", None),
        ("cfg_conds", "FLOAT", 8.0), ("cfg_cond2_negative", "FLOAT", 8.0), ("style", ["regular", "nested"], None),
    ),
    "SamplerEulerAncestral": SDE,
    "SamplerEulerAncestralCFGPP": SDE,
    "SamplerDPMPP_2S_Ancestral": SDE,
    "SamplerDPMPP_2M_SDE": (("solver_type", ["midpoint", "heun"], None), *SDE, DEVICE),
    "SamplerDPMPP_3M_SDE": (*SDE, DEVICE),
    "SamplerDPMPP_SDE": (*SDE, ("r", "FLOAT", 0.5), DEVICE),
    "SamplerLMS": (("order", "INT", 4),),
    "SamplerDPMAdaptative": (
        ("order", "INT", 3), ("rtol", "FLOAT", 0.05), ("atol", "FLOAT", 0.0078), ("h_init", "FLOAT", 0.05), ("pcoeff", "FLOAT", 0.0),
        ("icoeff", "FLOAT", 1.0), ("dcoeff", "FLOAT", 0.0), ("accept_safety", "FLOAT", 0.81), ("eta", "FLOAT", 0.0), ("s_noise", "FLOAT", 1.0),
    ),
    "SamplerER_SDE": (("solver_type", ["ER-SDE", "Reverse-time SDE", "ODE"], None), ("max_stage", "INT", 3), *SDE),
    "SamplerSASolver": (
        ("model", "MODEL", None), ("eta", "FLOAT", 1.0), ("sde_start_percent", "FLOAT", 0.2), ("sde_end_percent", "FLOAT", 0.8),
        ("s_noise", "FLOAT", 1.0), ("predictor_order", "INT", 3), ("corrector_order", "INT", 4), ("use_pece", "BOOLEAN", False),
        ("simple_order_2", "BOOLEAN", False),
    ),
    "ModelSamplingDiscrete": (
        ("model", "MODEL", None), ("sampling", ["eps", "v_prediction", "lcm", "x0", "img_to_img"], None), ("zsnr", "BOOLEAN", False),
    ),
    "RescaleCFG": (("model", "MODEL", None), ("multiplier", "FLOAT", 0.7)),
}  # fmt: skip


class Listener:
    """Keeps what a context reports."""

    def __init__(self) -> None:
        self.reports: list[tuple[float, float, tuple[int, int] | None]] = []

    def progress(self, node_id: str, value: float, total: float, preview: Picture | None) -> None:
        self.reports.append((value, total, None if preview is None else preview.size))

    def text(self, node_id: str, text: str) -> None: ...


def context(listener: Listener | None = None, **changes: Any) -> Context:
    return Context(Services(cast(Folders, None)), reporter=listener, **changes)


def latent() -> dict[str, Any]:
    return {"samples": torch.zeros(1, 4, 8, 8)}


MODEL = GaussianModel(deviation=0.1)
POSITIVE, NEGATIVE = [prompt(0.5)], [prompt(0.0)]


def ksampler(**changes: Any) -> Tensor:
    options: dict[str, Any] = {"context": context(), "model": MODEL, "steps": 6, "cfg": 2.0, "sampler_name": "euler", "scheduler": "karras"}
    samples: Tensor = sampling.ksampler(**{**options, "positive": POSITIVE, "negative": NEGATIVE, "latent_image": latent(), **changes})[
        "samples"
    ]
    return samples


@pytest.mark.parametrize(("node_id", "face"), FACES.items())
def test_a_node_has_the_inputs_that_graphs_expect(node_id: str, face: tuple[tuple[Any, ...], ...]) -> None:
    assert tuple((entry.name, entry.type, entry.options.get("default")) for entry in DECLARED[node_id].inputs) == face


def test_outputs_have_the_names_that_graphs_expect() -> None:
    for node_id in ("SamplerCustom", "SamplerCustomAdvanced"):
        assert [output.name for output in DECLARED[node_id].outputs] == ["output", "denoised_output"]
    for node_id in ("SplitSigmas", "SplitSigmasDenoise"):
        assert [output.name for output in DECLARED[node_id].outputs] == ["high_sigmas", "low_sigmas"]


def test_the_lists_of_names_are_read_when_a_node_is_described() -> None:
    choices = {entry.name: entry.choices for entry in DECLARED["KSampler"].inputs if entry.choices is not None}
    assert choices["sampler_name"]() is SAMPLER_NAMES
    assert choices["scheduler"]() is SCHEDULE_NAMES


def test_describing_the_nodes_loads_no_model_library() -> None:
    names = ", ".join(module.__name__ for module in MODULES)
    code = f"import {names}; import sys; print([name for name in ('torch', 'numpy', 'scipy', 'PIL') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_ksampler_reports_each_step_with_a_picture() -> None:
    listener = Listener()
    ksampler(context=context(listener))
    assert listener.reports == [(step + 1, 6, (64, 64)) for step in range(6)]


def test_a_cancelled_ksampler_stops() -> None:
    with pytest.raises(Interrupted):
        ksampler(context=context(cancelled=lambda: True))


def test_the_taken_apart_form_makes_the_same_picture() -> None:
    sigmas = schedules.basic_scheduler(model=MODEL, scheduler="karras", steps=6)
    noise = custom_sampling.random_noise(0)
    guider = custom_sampling.cfg_guider(MODEL, POSITIVE, NEGATIVE, 2.0)
    parts = custom_sampling.sampler_custom_advanced(context(), noise, guider, samplers.ksampler_select("euler"), sigmas, latent())
    assert torch.equal(parts.output["samples"], ksampler())
    assert torch.equal(parts.output["samples"], parts.denoised_output["samples"])


def test_sampler_custom_is_the_same_too() -> None:
    made = custom_sampling.sampler_custom(
        context=context(), model=MODEL, cfg=2.0, positive=POSITIVE, negative=NEGATIVE, sampler=samplers.ksampler_select("euler"),
        sigmas=schedules.basic_scheduler(model=MODEL, scheduler="karras", steps=6), latent_image=latent(),
    )  # fmt: skip
    assert torch.equal(made.output["samples"], ksampler())


def test_two_advanced_samplers_share_a_schedule() -> None:
    shared: dict[str, Any] = {
        "context": context(), "model": MODEL, "steps": 6, "cfg": 2.0, "sampler_name": "dpmpp_2m", "scheduler": "karras",
        "positive": POSITIVE, "negative": NEGATIVE,
    }  # fmt: skip
    first = sampling.ksampler_advanced(
        **shared, add_noise="enable", latent_image=latent(), end_at_step=3, return_with_leftover_noise="enable"
    )
    second = sampling.ksampler_advanced(
        **shared, add_noise="disable", latent_image=first, start_at_step=3, return_with_leftover_noise="disable"
    )
    assert first["samples"].std() > 1.0
    assert second["samples"].mean().item() == pytest.approx(4.0, abs=0.2)  # cfg 2 goes twice as far as the prompt


def test_added_noise_takes_the_place_of_the_samplers_own() -> None:
    sigmas = schedules.basic_scheduler(model=MODEL, scheduler="karras", steps=6)
    picture = {"samples": torch.ones(1, 4, 8, 8)}
    noisy = custom_sampling.add_noise(MODEL, custom_sampling.random_noise(0), sigmas, picture)
    options: dict[str, Any] = {"context": context(), "model": MODEL, "positive": POSITIVE, "negative": NEGATIVE, "sigmas": sigmas}
    sampler = samplers.ksampler_select("euler")
    own = custom_sampling.sampler_custom(**options, sampler=sampler, latent_image=picture)
    added = custom_sampling.sampler_custom(**options, sampler=sampler, latent_image=noisy, add_noise=False)
    torch.testing.assert_close(added.output["samples"], own.output["samples"], atol=0.05, rtol=0.05)


def test_splitting_repeats_the_level_at_the_cut() -> None:
    levels = torch.tensor([4.0, 3.0, 2.0, 1.0, 0.0])
    for high, low in (schedules.split_sigmas(levels, 1), schedules.split_sigmas_denoise(levels, 0.75)):
        assert high.tolist() == [4.0, 3.0]
        assert low.tolist() == [3.0, 2.0, 1.0, 0.0]
    assert schedules.split_sigmas_denoise(levels, 0.0).high_sigmas.tolist() == levels.tolist()


def test_flipped_levels_start_above_zero() -> None:
    assert schedules.flip_sigmas(torch.tensor([4.0, 2.0, 0.0])).tolist() == pytest.approx([0.0001, 2.0, 4.0])
    assert schedules.flip_sigmas(torch.zeros(0)).numel() == 0


def test_steps_can_be_put_between() -> None:
    levels = torch.tensor([14.0, 13.0, 10.0, 0.0])
    assert schedules.extend_intermediate_sigmas(sigmas=levels, spacing="linear").tolist() == [14.0, 13.5, 13.0, 11.5, 10.0, 0.0]
    cosine = schedules.extend_intermediate_sigmas(sigmas=levels, spacing="cosine", start_at_sigma=13.5)
    assert cosine.tolist() == pytest.approx([14.0, 13.0, 13.0 - 3.0 * 0.5**0.5, 10.0, 0.0])


def test_levels_can_be_written_down() -> None:
    assert schedules.manual_sigmas("14.6, 3 .5,0").tolist() == pytest.approx([14.6, 3.0, 0.5, 0.0])
    assert schedules.set_first_sigma(torch.tensor([3.0, 0.0]), 7.0).tolist() == [7.0, 0.0]


def test_a_percentage_becomes_a_level() -> None:
    assert schedules.sampling_percent_to_sigma(MODEL, 0.0, True) == pytest.approx(14.6146, abs=1e-3)
    assert schedules.sampling_percent_to_sigma(MODEL, 0.0) > 1e8
    assert schedules.sampling_percent_to_sigma(MODEL, 1.0, True) == pytest.approx(0.02917, abs=1e-4)


@pytest.mark.parametrize(
    "choice",
    [
        samplers.sampler_euler_ancestral(0.5, 1.0),
        samplers.sampler_euler_ancestral_cfg_pp(0.5, 1.0),
        samplers.sampler_lms(2),
        samplers.sampler_dpmpp_2s_ancestral(0.5, 1.0),
        samplers.sampler_dpmpp_sde(eta=0.5, r=0.4, noise_device="gpu"),
        samplers.sampler_dpmpp_2m_sde(solver_type="heun", eta=0.5, noise_device="cpu"),
        samplers.sampler_dpmpp_3m_sde(eta=0.5, noise_device="cpu"),
        samplers.sampler_dpm_adaptive(order=2),
        samplers.sampler_er_sde(solver_type="ER-SDE"),
        samplers.sampler_er_sde(solver_type="Reverse-time SDE", eta=0.5),
        samplers.sampler_er_sde(solver_type="ODE"),
        samplers.sampler_sa_solver(MODEL, use_pece=True, predictor_order=2, corrector_order=0, simple_order_2=True),
        samplers.sampler_seeds_2(solver_type="phi_2", r=1.0),
    ],
    ids=lambda choice: choice.name,
)
def test_a_sampler_with_options_samples(choice: Any) -> None:
    made = custom_sampling.sampler_custom(
        context=context(), model=MODEL, cfg=1.0, positive=POSITIVE, negative=POSITIVE, sampler=choice,
        sigmas=schedules.karras_scheduler(12), latent_image=latent(),
    )  # fmt: skip
    assert made.denoised_output["samples"].mean().item() == pytest.approx(2.0, abs=0.25)


def test_what_a_network_predicts_can_be_said() -> None:
    assert model_sampling.model_sampling_discrete(model=MODEL, sampling="v_prediction", zsnr=True).sampling.prediction == "v_prediction"
    assert model_sampling.model_sampling_discrete(model=MODEL, sampling="eps", zsnr=True).sampling.sigma_max > 4000
    assert len(model_sampling.model_sampling_discrete(model=MODEL, sampling="lcm").sampling.sigmas) == 50
    assert model_sampling.model_sampling_discrete(model=MODEL, sampling="x0").sampling.prediction == "sample"
    edm = model_sampling.model_sampling_continuous_edm(model=MODEL, sampling="edm_playground_v2.5").sampling
    assert (edm.sigma_data, round(edm.sigma_max)) == (0.5, 120)
    assert model_sampling.model_sampling_continuous_v(model=MODEL, sampling="v_prediction").sampling.sigma_max == pytest.approx(
        500.0, rel=1e-4
    )
    assert model_sampling.model_sampling_sd3(MODEL).sampling.percent_to_sigma(0.5) == pytest.approx(0.75)


def test_rescaled_guidance_has_the_contrast_of_the_positive_answer() -> None:
    x, sigma = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)), 2.0
    cond, uncond = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    described = {"input": x, "sigma": torch.tensor([sigma]), "cond_scale": 9.0, "cond": x - cond, "uncond": x - uncond}

    def velocity(denoised: Tensor) -> Any:
        return (x / (sigma**2 + 1) - denoised) * (sigma**2 + 1) ** 0.5 / sigma

    def guided(multiplier: float) -> Any:
        return x - model_sampling.rescale_cfg(MODEL, multiplier).options["sampler_cfg_function"](described)

    torch.testing.assert_close(velocity(guided(1.0)).std(), velocity(cond).std())
    torch.testing.assert_close(guided(0.0), uncond + (cond - uncond) * 9.0, atol=1e-4, rtol=1e-4)


def test_a_grey_mask_lets_brighter_places_change_earlier() -> None:
    model = model_sampling.differential_diffusion(MODEL)
    mask_at = model.options["denoise_mask_function"]
    mask = torch.linspace(0, 1, 11).reshape(1, 1, 1, 11)
    levels = schedules.basic_scheduler(model=MODEL, scheduler="normal", steps=20)
    changing = [int(mask_at(levels[step : step + 1], mask, extra_options={"model": MODEL, "sigmas": levels}).sum()) for step in (0, 10, 19)]
    assert changing == [1, 6, 11]
    assert ksampler(model=model, latent_image=latent() | {"noise_mask": torch.ones(1, 1, 64, 64)}).isfinite().all()
