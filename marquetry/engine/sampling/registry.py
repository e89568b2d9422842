"""The samplers by name. A pack adds its own with `register_sampler`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from marquetry.engine.errors import NodeFailed
from marquetry.engine.sampling.names import SAMPLER_NAMES
from marquetry.engine.sampling.sampler import Sampler, SamplerChoice
from marquetry.engine.sampling.samplers import (
    adams,
    dpm_solver,
    dpmpp,
    dpmpp_sde,
    euler,
    few_step,
    heun,
    multistep,
    sa_solver,
    stochastic,
    uni_pc,
)

FRESH_NOISE_WHEN_INPAINTING = frozenset({"ddim"})

SAMPLERS: dict[str, Sampler] = {
    "euler": euler.euler,
    "euler_cfg_pp": euler.euler_cfg_pp,
    "euler_ancestral": euler.euler_ancestral,
    "euler_ancestral_cfg_pp": euler.euler_ancestral_cfg_pp,
    "heun": heun.heun,
    "heunpp2": heun.heunpp2,
    "dpm_2": heun.dpm_2,
    "dpm_2_ancestral": heun.dpm_2_ancestral,
    "lms": adams.lms,
    "dpm_fast": dpm_solver.dpm_fast,
    "dpm_adaptive": dpm_solver.dpm_adaptive,
    "dpmpp_2s_ancestral": dpmpp.dpmpp_2s_ancestral,
    "dpmpp_2s_ancestral_cfg_pp": dpmpp.dpmpp_2s_ancestral_cfg_pp,
    "dpmpp_sde": dpmpp_sde.dpmpp_sde,
    "dpmpp_sde_gpu": dpmpp_sde.dpmpp_sde,
    "dpmpp_2m": dpmpp.dpmpp_2m,
    "dpmpp_2m_cfg_pp": dpmpp.dpmpp_2m_cfg_pp,
    "dpmpp_2m_sde": dpmpp_sde.dpmpp_2m_sde,
    "dpmpp_2m_sde_gpu": dpmpp_sde.dpmpp_2m_sde,
    "dpmpp_2m_sde_heun": dpmpp_sde.dpmpp_2m_sde_heun,
    "dpmpp_2m_sde_heun_gpu": dpmpp_sde.dpmpp_2m_sde_heun,
    "dpmpp_3m_sde": dpmpp_sde.dpmpp_3m_sde,
    "dpmpp_3m_sde_gpu": dpmpp_sde.dpmpp_3m_sde,
    "ddpm": few_step.ddpm,
    "lcm": few_step.lcm,
    "ipndm": adams.ipndm,
    "ipndm_v": adams.ipndm_v,
    "deis": adams.deis,
    "res_multistep": multistep.res_multistep,
    "res_multistep_cfg_pp": multistep.res_multistep_cfg_pp,
    "res_multistep_ancestral": multistep.res_multistep_ancestral,
    "res_multistep_ancestral_cfg_pp": multistep.res_multistep_ancestral_cfg_pp,
    "gradient_estimation": multistep.gradient_estimation,
    "gradient_estimation_cfg_pp": multistep.gradient_estimation_cfg_pp,
    "er_sde": stochastic.er_sde,
    "seeds_2": stochastic.seeds_2,
    "seeds_3": stochastic.seeds_3,
    "sa_solver": sa_solver.sa_solver,
    "sa_solver_pece": sa_solver.sa_solver_pece,
    "ddim": euler.euler,
    "uni_pc": uni_pc.uni_pc,
    "uni_pc_bh2": uni_pc.uni_pc_bh2,
}


def register_sampler(name: str, sampler: Sampler) -> None:
    """Offer another sampler under `name`, last in the list; a name that is taken is replaced."""
    SAMPLERS[name] = sampler
    if name not in SAMPLER_NAMES:
        SAMPLER_NAMES.append(name)


def sampler_choice(name: str, options: Mapping[str, Any] | None = None) -> SamplerChoice:
    """The sampler called `name` with options for its function, as it travels as SAMPLER."""
    return SamplerChoice(name, dict(options or {}), inpaint_fresh_noise=name in FRESH_NOISE_WHEN_INPAINTING)


def sampler_of(choice: SamplerChoice) -> Sampler:
    """The function of a choice with its options bound. Raises NodeFailed for a name that nobody registered."""
    sampler = choice.function or SAMPLERS.get(choice.name)
    if sampler is None:
        raise NodeFailed(f"there is no sampler named '{choice.name}'; known are {', '.join(SAMPLER_NAMES)}", name=choice.name)
    return partial(sampler, **choice.options)
