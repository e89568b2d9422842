"""SAMPLER: a sampling method with its options."""

from __future__ import annotations

from typing import Annotated, Literal

from marquetry.engine.declare import node
from marquetry.engine.ports import ChoiceOf, Model, Range, Sampler, Tip
from marquetry.engine.sampling.names import SAMPLER_NAMES
from marquetry.engine.sampling.registry import sampler_choice
from marquetry.engine.sampling.samplers.sa_solver import tau_between

SAMPLERS = "sampling/custom_sampling/samplers"

Amount = Annotated[float, Range(0.0, 100.0, step=0.01, round=False)]
NoiseDevice = Annotated[Literal["gpu", "cpu"], Tip("Both draw the same noise, on the CPU, so that a seed means one picture everywhere.")]


@node(id="KSamplerSelect", title="KSamplerSelect", category=SAMPLERS)
def ksampler_select(sampler_name: Annotated[str, ChoiceOf(lambda: SAMPLER_NAMES)]) -> Sampler:
    """A sampler by name, with its usual options."""
    return sampler_choice(sampler_name)


@node(id="SamplerEulerAncestral", title="SamplerEulerAncestral", category=SAMPLERS)
def sampler_euler_ancestral(eta: Amount = 1.0, s_noise: Amount = 1.0) -> Sampler:
    """Euler steps with fresh noise; `eta` 0 adds none."""
    return sampler_choice("euler_ancestral", {"eta": eta, "s_noise": s_noise})


@node(id="SamplerEulerAncestralCFGPP", title="SamplerEulerAncestralCFG++", category=SAMPLERS)
def sampler_euler_ancestral_cfg_pp(
    eta: Annotated[float, Range(0.0, 1.0, step=0.01, round=False)] = 1.0,
    s_noise: Annotated[float, Range(0.0, 10.0, step=0.01, round=False)] = 1.0,
) -> Sampler:
    """Euler ancestral that takes its noise along the unconditional estimate; works at low cfg, about 0.6 to 2."""
    return sampler_choice("euler_ancestral_cfg_pp", {"eta": eta, "s_noise": s_noise})


@node(id="SamplerLMS", title="SamplerLMS", category=SAMPLERS)
def sampler_lms(order: Annotated[int, Range(1, 100)] = 4) -> Sampler:
    """Linear multistep of an order."""
    return sampler_choice("lms", {"order": order})


@node(id="SamplerDPMPP_2S_Ancestral", title="SamplerDPMPP_2S_Ancestral", category=SAMPLERS)
def sampler_dpmpp_2s_ancestral(eta: Amount = 1.0, s_noise: Amount = 1.0) -> Sampler:
    """DPM-Solver++(2S) with fresh noise."""
    return sampler_choice("dpmpp_2s_ancestral", {"eta": eta, "s_noise": s_noise})


@node(id="SamplerDPMPP_SDE", title="SamplerDPMPP_SDE", category=SAMPLERS)
def sampler_dpmpp_sde(*, eta: Amount = 1.0, s_noise: Amount = 1.0, r: Amount = 0.5, noise_device: NoiseDevice) -> Sampler:
    """DPM-Solver++ for the SDE, with its inner evaluation at the part `r` of each step."""
    return sampler_choice(_spelled("dpmpp_sde", noise_device), {"eta": eta, "s_noise": s_noise, "r": r})


@node(id="SamplerDPMPP_2M_SDE", title="SamplerDPMPP_2M_SDE", category=SAMPLERS)
def sampler_dpmpp_2m_sde(
    *, solver_type: Literal["midpoint", "heun"], eta: Amount = 1.0, s_noise: Amount = 1.0, noise_device: NoiseDevice
) -> Sampler:
    """DPM-Solver++(2M) for the SDE."""
    return sampler_choice(_spelled("dpmpp_2m_sde", noise_device), {"eta": eta, "s_noise": s_noise, "solver_type": solver_type})


@node(id="SamplerDPMPP_3M_SDE", title="SamplerDPMPP_3M_SDE", category=SAMPLERS)
def sampler_dpmpp_3m_sde(*, eta: Amount = 1.0, s_noise: Amount = 1.0, noise_device: NoiseDevice) -> Sampler:
    """DPM-Solver++(3M) for the SDE."""
    return sampler_choice(_spelled("dpmpp_3m_sde", noise_device), {"eta": eta, "s_noise": s_noise})


@node(id="SamplerDPMAdaptative", title="SamplerDPMAdaptative", category=SAMPLERS)
def sampler_dpm_adaptive(
    order: Annotated[int, Range(2, 3)] = 3,
    rtol: Amount = 0.05,
    atol: Amount = 0.0078,
    h_init: Amount = 0.05,
    pcoeff: Amount = 0.0,
    icoeff: Amount = 1.0,
    dcoeff: Amount = 0.0,
    accept_safety: Amount = 0.81,
    eta: Amount = 0.0,
    s_noise: Amount = 1.0,
) -> Sampler:
    """DPM-Solver that chooses its steps itself; of a schedule it uses only the two ends."""
    options = {
        "order": order,
        "rtol": rtol,
        "atol": atol,
        "h_init": h_init,
        "pcoeff": pcoeff,
        "icoeff": icoeff,
        "dcoeff": dcoeff,
        "accept_safety": accept_safety,
        "eta": eta,
        "s_noise": s_noise,
    }
    return sampler_choice("dpm_adaptive", options)


@node(id="SamplerER_SDE", title="SamplerER_SDE", category=SAMPLERS)
def sampler_er_sde(
    *,
    solver_type: Literal["ER-SDE", "Reverse-time SDE", "ODE"],
    max_stage: Annotated[int, Range(1, 3)] = 3,
    eta: Annotated[Amount, Tip("How much noise the reverse-time SDE adds; 0 makes it the ODE. ER-SDE does not use it.")] = 1.0,
    s_noise: Amount = 1.0,
) -> Sampler:
    """Extended reverse-time SDE solver of up to three stages."""
    if solver_type == "ER-SDE":
        return sampler_choice("er_sde", {"s_noise": s_noise, "max_stage": max_stage})
    power = 1.0 + (eta if solver_type == "Reverse-time SDE" else 0.0)
    options = {"s_noise": s_noise if power > 1.0 else 0.0, "max_stage": max_stage, "noise_scaler": lambda level: level**power}
    return sampler_choice("er_sde", options)


@node(id="SamplerSASolver", title="SamplerSASolver", category=SAMPLERS)
def sampler_sa_solver(
    model: Model,
    eta: Annotated[float, Range(0.0, 10.0, step=0.01, round=False)] = 1.0,
    sde_start_percent: Annotated[float, Range(0.0, 1.0, step=0.001)] = 0.2,
    sde_end_percent: Annotated[float, Range(0.0, 1.0, step=0.001)] = 0.8,
    s_noise: Amount = 1.0,
    predictor_order: Annotated[int, Range(1, 6)] = 3,
    corrector_order: Annotated[int, Range(0, 6)] = 4,
    use_pece: bool = False,
    simple_order_2: bool = False,
) -> Sampler:
    """Stochastic Adams solver with noise of strength `eta` between two parts of the way."""
    start, end = model.sampling.percent_to_sigma(sde_start_percent), model.sampling.percent_to_sigma(sde_end_percent)
    options = {
        "tau_func": tau_between(start, end, eta),
        "s_noise": s_noise,
        "predictor_order": predictor_order,
        "corrector_order": corrector_order,
        "use_pece": use_pece,
        "simple_order_2": simple_order_2,
    }
    return sampler_choice("sa_solver", options)


@node(id="SamplerSEEDS2", title="SamplerSEEDS2", category=SAMPLERS)
def sampler_seeds_2(
    *,
    solver_type: Literal["phi_1", "phi_2"],
    eta: Amount = 1.0,
    s_noise: Amount = 1.0,
    r: Annotated[float, Range(0.01, 1.0, step=0.01, round=False)] = 0.5,
) -> Sampler:
    """SEEDS of two stages, the second at the part `r` of each step; `phi_2` weighs a linear change exactly."""
    return sampler_choice("seeds_2", {"eta": eta, "s_noise": s_noise, "r": r, "solver_type": solver_type})


def _spelled(name: str, noise_device: str) -> str:
    return name if noise_device == "cpu" else f"{name}_gpu"
