"""Tiny files of Stable Diffusion 3.5 large: the checkpoint with its three text encoders, and the ControlNets that Stability published for it."""

from __future__ import annotations

from marquetry.engine.models.control.sd3 import CANNY, DEPTH
from tests.engine.models.control import test_sd3 as test_sd3_control
from tests.engine.models.families import test_sd3
from tests.templates.numbers import State, scaled_eighths

DENOISER = "model.diffusion_model."


def large() -> State:
    """Denoiser and T5 in eight bits with scales, as in the checkpoint that the templates name."""
    whole = scaled_eighths(test_sd3.original(test_sd3.pipeline(True)), DENOISER)
    return scaled_eighths(whole, "text_encoders.t5xxl.")


def control() -> State:
    """Stability's for 3.5 large, of blurred pictures: reads no prompt, says nothing of itself."""
    return test_sd3_control.published()


def canny_control() -> State:
    return test_sd3_control.published(CANNY)


def depth_control() -> State:
    return test_sd3_control.published(DEPTH)
