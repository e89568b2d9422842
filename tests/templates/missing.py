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


CONTROL = nodes("ControlNets are not applied yet", "ControlNetApplyAdvanced")
CANNY = nodes("edges are not found yet", "Canny")
CANNY_CONTROL = nodes("ControlNets are not applied yet", "ControlNetApplyAdvanced", "Canny")
REVISION = nodes("CLIP does not read pictures yet", "CLIPVisionEncode", "unCLIPConditioning")
HIDREAM = nodes("the HiDream family is not there yet", family="hidream")
OMNIGEN = nodes("the OmniGen2 family is not there yet", family="omnigen")
QWEN = "editing and controlling Qwen-Image lacks nodes yet"
LOTUS = "its prompt is the fixed output of a text encoder whose weights would have to be shipped"

MISSING: Mapping[str, Missing] = {
    "2_pass_pose_worship": CONTROL,
    "controlnet_example": CANNY_CONTROL,
    "depth_controlnet": CONTROL,
    "depth_t2i_adapter": CONTROL,
    "mixing_controlnets": CONTROL,
    "sd3.5_large_blur": CONTROL,
    "sd3.5_large_canny_controlnet_example": CANNY_CONTROL,
    "sd3.5_large_depth": CONTROL,
    "flux_canny_model_example": CANNY,
    "sdxl_revision_text_prompts": REVISION,
    "sdxl_revision_zero_positive": REVISION,
    "flux_redux_model_example": nodes("style models are not read yet", "CLIPVisionEncode", "StyleModelApply"),
    "flux1_dev_uso_reference_image_gen": nodes(
        "no open library carries USO's style projector", "CLIPVisionEncode", "EasyCache", "ModelPatchLoader", "USOStyleReference"
    ),
    "flux_depth_lora_example": Missing("LoRAs in Flux's original names are not read yet", refusal="nothing in .* fits this model"),
    "gligen_textbox_example": nodes("GLIGEN is not there yet", "GLIGENTextBoxApply"),
    "hidream_e1_1": nodes("the HiDream family is not there yet", "CFGNorm", family="hidream"),
    "hidream_e1_full": HIDREAM,
    "hidream_i1_dev": HIDREAM,
    "hidream_i1_fast": HIDREAM,
    "hidream_i1_full": HIDREAM,
    "image_chroma1_radiance_text_to_image": nodes(
        "diffusers does not carry Chroma Radiance", "ChromaRadianceOptions", "EmptyChromaRadianceLatentImage"
    ),
    "image_chroma_text_to_image": nodes("the Chroma family is not there yet", family="chroma"),
    "image_lotus_depth_v1_1": nodes(LOTUS, "LotusConditioning"),
    "image_netayume_lumina_t2i": nodes("the Lumina 2 family is not there yet", family="lumina"),
    "image_omnigen2_image_edit": OMNIGEN,
    "image_omnigen2_t2i": OMNIGEN,
    "image_qwen_image_edit": nodes(QWEN, "CFGNorm", "TextEncodeQwenImageEdit"),
    "image_qwen_image_edit_2509": nodes(QWEN, "CFGNorm", "TextEncodeQwenImageEditPlus"),
    "image_qwen_image_union_control_lora": nodes(QWEN, "Canny"),
    "image_qwen_image_controlnet_patch": nodes(
        "no open library carries DiffSynth's patches", "Canny", "ModelPatchLoader", "QwenImageDiffsynthControlnet"
    ),
    "image_qwen_image_instantx_controlnet": nodes(f"of the depth model in it, {LOTUS}", "ControlNetApplyAdvanced", "LotusConditioning"),
    "image_qwen_image_instantx_inpainting_controlnet": nodes(QWEN, "ControlNetInpaintingAliMamaApply"),
}
