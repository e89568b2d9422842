"""`comfy.samplers` for packs: the names of samplers and schedules. The lists are the engine's own, so that what a pack adds is offered."""

from __future__ import annotations

from marquetry.engine.sampling.names import SAMPLER_NAMES, SCHEDULE_NAMES

SCHEDULER_NAMES = SCHEDULE_NAMES


class KSampler:
    """The lists of names, where most packs look for them."""

    SAMPLERS = SAMPLER_NAMES
    SCHEDULERS = SCHEDULE_NAMES
    DISCARD_PENULTIMATE_SIGMA_SAMPLERS = {"dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2"}
