"""KSampler and its advanced form: noise, schedule, guidance and sampler in one node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.ports import ChoiceOf, Conditioning, Latent, Model, Range, Seed, Tip
from marquetry.engine.sampling.driver import StepCallback, sample_latent
from marquetry.engine.sampling.model import DiffusionModel
from marquetry.engine.sampling.names import SAMPLER_NAMES, SCHEDULE_NAMES
from marquetry.engine.sampling.preview import latent_preview
from marquetry.engine.sampling.run_memory import run_memory
from marquetry.engine.usage import same, sampling

if TYPE_CHECKING:
    from torch import Tensor

SamplerName = Annotated[str, ChoiceOf(lambda: SAMPLER_NAMES)]
ScheduleName = Annotated[str, ChoiceOf(lambda: SCHEDULE_NAMES)]
Steps = Annotated[int, Range(1, 10000)]
Guidance = Annotated[float, Range(0.0, 100.0, step=0.1, round=0.01)]
Share = Annotated[float, Range(0.0, 1.0, step=0.01)]


def reports(context: Context, model: DiffusionModel) -> StepCallback:
    """Tells the context of each step, with a picture of the estimate, and in the end of what was approximated; raises Interrupted when the job was cancelled."""

    def report(step: int, denoised: Tensor, x: Tensor, total: int) -> None:
        heard = context.reporter is not None and context.services.preview_size > 0
        preview = latent_preview(denoised, model.latent_format, context.services.preview_size) if heard else None
        context.progress(step + 1, total, preview)
        for told in run_memory().approximations.values() if step + 1 == total else ():
            context.text(told())

    return report


@node(id="KSampler", title="KSampler", category="sampling", lane="device", usage=sampling(), extent=same("latent_image"))
def ksampler(
    *,
    context: Context,
    model: Annotated[Model, Tip("The network that removes the noise.")],
    seed: Annotated[int, Seed(), Tip("Decides the noise: the same seed gives the same picture.")] = 0,
    steps: Annotated[Steps, Tip("How many steps the noise is removed in.")] = 20,
    cfg: Annotated[
        Guidance, Tip("How far to go from the negative prompt towards the positive one; 1 leaves the negative prompt out.")
    ] = 8.0,
    sampler_name: Annotated[SamplerName, Tip("The method that takes the steps.")],
    scheduler: Annotated[ScheduleName, Tip("How the steps are spread over the levels of noise.")],
    positive: Annotated[Conditioning, Tip("What the picture is to show.")],
    negative: Annotated[Conditioning, Tip("What it is not to show.")],
    latent_image: Annotated[Latent, Tip("Where to start from: an empty latent, or a picture to be changed.")],
    denoise: Annotated[Share, Tip("How much of the latent is made anew; below 1 keeps its composition.")] = 1.0,
) -> Latent:
    """Makes a latent from noise, guided by two prompts. A noise mask in the latent restricts the work to what it marks."""
    return sample_latent(
        model,
        seed=seed,
        steps=steps,
        cfg=cfg,
        sampler_name=sampler_name,
        scheduler=scheduler,
        positive=positive,
        negative=negative,
        latent=latent_image,
        denoise=denoise,
        callback=reports(context, model),
        check_cancelled=context.check,
    )


@node(id="KSamplerAdvanced", title="KSampler (Advanced)", category="sampling", lane="device", usage=sampling(), extent=same("latent_image"))
def ksampler_advanced(
    *,
    context: Context,
    model: Model,
    add_noise: Literal["enable", "disable"],
    noise_seed: Annotated[int, Seed()] = 0,
    steps: Steps = 20,
    cfg: Guidance = 8.0,
    sampler_name: SamplerName,
    scheduler: ScheduleName,
    positive: Conditioning,
    negative: Conditioning,
    latent_image: Latent,
    start_at_step: Annotated[int, Range(0, 10000)] = 0,
    end_at_step: Annotated[int, Range(0, 10000)] = 10000,
    return_with_leftover_noise: Literal["disable", "enable"],
) -> Latent:
    """KSampler over a part of a schedule: from `start_at_step` to `end_at_step` of `steps`.

    With leftover noise the latent stays as noisy as that step leaves it, for another sampler to continue without adding noise.
    """
    return sample_latent(
        model,
        seed=noise_seed,
        steps=steps,
        cfg=cfg,
        sampler_name=sampler_name,
        scheduler=scheduler,
        positive=positive,
        negative=negative,
        latent=latent_image,
        disable_noise=add_noise == "disable",
        start_step=start_at_step,
        last_step=end_at_step,
        force_full_denoise=return_with_leftover_noise == "disable",
        callback=reports(context, model),
        check_cancelled=context.check,
    )
