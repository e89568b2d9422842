"""Sampling taken apart: noise, guiders, and the nodes that put them together with a sampler and a schedule."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.lazy import torch
from marquetry.engine.ports import Conditioning, Guider, Latent, Model, Noise, Range, Sampler, Seed, Sigmas
from marquetry.engine.sampling import guiders
from marquetry.engine.sampling.driver import fitted_latent, sample
from marquetry.engine.sampling.noise import LatentNoise, NoNoise, SeededNoise
from marquetry.engine.sampling.sampler import SamplerChoice
from marquetry.engine.usage import same, sampling
from marquetry.nodes.sampling import Guidance, reports

CUSTOM = "sampling/custom_sampling"


class SampledLatents(NamedTuple):
    output: Latent
    denoised_output: Latent


@node(
    id="SamplerCustom", title="SamplerCustom", category=CUSTOM, lane="device", usage=sampling(steps="sigmas"), extent=same("latent_image")
)
def sampler_custom(
    *,
    context: Context,
    model: Model,
    add_noise: bool = True,
    noise_seed: Annotated[int, Seed()] = 0,
    cfg: Guidance = 8.0,
    positive: Conditioning,
    negative: Conditioning,
    sampler: Sampler,
    sigmas: Sigmas,
    latent_image: Latent,
) -> SampledLatents:
    """KSampler with a sampler and a schedule of one's own. `denoised_output` is the last estimate of the clean latent."""
    noise: LatentNoise = SeededNoise(noise_seed) if add_noise else NoNoise(noise_seed)
    return _sampled(context, noise, guiders.CFGGuider(model, positive, negative, cfg), sampler, sigmas, latent_image)


@node(
    id="SamplerCustomAdvanced",
    title="SamplerCustomAdvanced",
    category=CUSTOM,
    lane="device",
    usage=sampling(steps="sigmas", model="guider"),
    extent=same("latent_image"),
)
def sampler_custom_advanced(
    context: Context, noise: Noise, guider: Guider, sampler: Sampler, sigmas: Sigmas, latent_image: Latent
) -> SampledLatents:
    """Samples with all parts chosen: noise, guider, sampler and schedule."""
    return _sampled(context, noise, guider, sampler, sigmas, latent_image)


def _sampled(
    context: Context, noise: LatentNoise, guider: guiders.Guider, sampler: SamplerChoice, sigmas: Any, latent_image: dict[str, Any]
) -> SampledLatents:
    latent = {**latent_image, "samples": fitted_latent(guider.model, latent_image["samples"])}
    result = sample(
        guider,
        sampler,
        sigmas,
        noise.generate_noise(latent),
        latent["samples"],
        seed=noise.seed,
        noise_mask=latent.get("noise_mask"),
        callback=reports(context, guider.model),
        check_cancelled=context.check,
    )
    return SampledLatents({**latent, "samples": result.samples}, {**latent, "samples": result.denoised})


@node(id="RandomNoise", title="RandomNoise", category=f"{CUSTOM}/noise")
def random_noise(noise_seed: Annotated[int, Seed()] = 0) -> Noise:
    """Noise that a seed decides."""
    return SeededNoise(noise_seed)


@node(id="DisableNoise", title="DisableNoise", category=f"{CUSTOM}/noise")
def disable_noise() -> Noise:
    """No noise: the latent is noisy already, or is to be left as it is."""
    return NoNoise()


@node(id="AddNoise", title="AddNoise", category="_for_testing/custom_sampling/noise", experimental=True)
def add_noise(model: Model, noise: Noise, sigmas: Sigmas, latent_image: Latent) -> Latent:
    """Adds the noise that lies between the first and the last level of `sigmas` to a latent."""
    if not len(sigmas):
        return latent_image
    span = float((sigmas[0] - sigmas[-1]).abs()) if len(sigmas) > 1 else float(sigmas[0])
    samples = latent_image["samples"]
    if bool(torch.count_nonzero(samples)):
        samples = model.latent_format.process_in(samples)
    noisy = model.sampling.noise_scaling(span, noise.generate_noise(latent_image), samples)
    return {**latent_image, "samples": model.latent_format.process_out(noisy).nan_to_num(0.0, 0.0, 0.0)}


@node(id="BasicGuider", title="BasicGuider", category=f"{CUSTOM}/guiders")
def basic_guider(model: Model, conditioning: Conditioning) -> Guider:
    """One prompt, no guidance: for models that need none."""
    return guiders.BasicGuider(model, conditioning)


@node(id="CFGGuider", title="CFGGuider", category=f"{CUSTOM}/guiders")
def cfg_guider(model: Model, positive: Conditioning, negative: Conditioning, cfg: Guidance = 8.0) -> Guider:
    """Guidance from a negative prompt towards a positive one."""
    return guiders.CFGGuider(model, positive, negative, cfg)


@node(id="DualCFGGuider", title="DualCFGGuider", category=f"{CUSTOM}/guiders")
def dual_cfg_guider(
    *,
    model: Model,
    cond1: Conditioning,
    cond2: Conditioning,
    negative: Conditioning,
    cfg_conds: Annotated[float, Range(0.0, 100.0, step=0.1, round=0.01)] = 8.0,
    cfg_cond2_negative: Annotated[float, Range(0.0, 100.0, step=0.1, round=0.01)] = 8.0,
    style: Literal["regular", "nested"],
) -> Guider:
    """Guidance between two prompts and a negative one: `cfg_conds` from `cond2` to `cond1`, the other from negative to `cond2`.

    Nested: the outcome of the first is guided away from the negative prompt as a whole.
    """
    return guiders.DualCFGGuider(model, cond1, cond2, negative, cfg_conds, cfg_cond2_negative, nested=style == "nested")
