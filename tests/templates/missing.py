"""The open image templates that do not run yet, each with its reason. What stands here is checked: an entry must go when its reason has gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Missing:
    """`why` is for people. `nodes` are the node types that are not installed; `family` is what the ids of a family begin
    with that is not installed; `refusal` is what the engine says of a template whose nodes and families are all there."""

    why: str
    nodes: frozenset[str] = frozenset()
    family: str = ""
    refusal: str = ""


def nodes(why: str, *types: str, family: str = "") -> Missing:
    return Missing(why, frozenset(types), family)


HIDREAM = nodes("the HiDream family is not there yet", family="hidream")
OMNIGEN = nodes("the OmniGen2 family is not there yet", family="omnigen")
LOTUS = nodes(
    "Lotus is not there yet; its prompt is the fixed output of a text encoder, which would have to be shipped", "LotusConditioning"
)

MISSING: Mapping[str, Missing] = {
    "flux1_dev_uso_reference_image_gen": nodes("no open library carries USO's style projector", "ModelPatchLoader", "USOStyleReference"),
    "gligen_textbox_example": nodes("GLIGEN is not there yet", "GLIGENTextBoxApply"),
    "hidream_e1_1": HIDREAM,
    "hidream_e1_full": HIDREAM,
    "hidream_i1_dev": HIDREAM,
    "hidream_i1_fast": HIDREAM,
    "hidream_i1_full": HIDREAM,
    "image_chroma1_radiance_text_to_image": nodes(
        "diffusers does not carry Chroma Radiance", "ChromaRadianceOptions", "EmptyChromaRadianceLatentImage"
    ),
    "image_lotus_depth_v1_1": LOTUS,
    "image_omnigen2_image_edit": OMNIGEN,
    "image_omnigen2_t2i": OMNIGEN,
    "image_qwen_image_controlnet_patch": nodes(
        "no open library carries DiffSynth's patches", "ModelPatchLoader", "QwenImageDiffsynthControlnet"
    ),
    "image_qwen_image_instantx_controlnet": LOTUS,
}
