"""The pictures that each template saves once it is turned down, as (width, height)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.templates.package import names
from tests.templates.studio import SIZE

SQUARE = 128  # an eighth of 1024
SCALED_DOWN = (112, 88)  # a picture of 5 to 4 that is brought to the least area there is, cropped to what latents can show
MEGAPIXEL = (136, 112)  # a 64th of a megapixel in those proportions, cropped likewise
Sizes = Sequence[tuple[int, int]]
DIFFERENT: Mapping[str, Sizes] = {
    "default": [(64, 64)],
    "image2image": [SCALED_DOWN],
    "lora": [(96, 96)],
    "inpaint_example": [SCALED_DOWN],
    "inpaint_model_outpainting": [(SCALED_DOWN[0] + 32, SCALED_DOWN[1] + 32)],
    "embedding_example": [(96, 96)],
    "area_composition": [(96, 160), (128, 240)],
    "area_composition_square_area_for_subject": [(64, 64), (128, 128)],
    "hiresfix_latent_workflow": [(96, 96)],
    "latent_upscale_different_prompt_model": [(64, 64), (96, 96)],
    "flux_kontext_dev_basic": [(144, 112)],
    "image_flux.1_fill_dev_OneReward": [SIZE],
    "flux_fill_inpaint_example": [SIZE],
    "flux_fill_outpaint_example": [(SIZE[0] + 96, SIZE[1] + 48)],
    "sdxlturbo_example": [(64, 64)],
    "esrgan_example": [(256, 256)],
    "hiresfix_esrgan_workflow": [(64, 64), (128, 128)],
    "2_pass_pose_worship": [(192, 192)],
    "flux_canny_model_example": [SIZE],
    "flux_depth_lora_example": [SIZE],
    "image_qwen_image": [(160, 160)],
    "image_qwen_image_edit": [MEGAPIXEL],
    "image_qwen_image_edit_2509": [MEGAPIXEL],
    "image_qwen_image_union_control_lora": [MEGAPIXEL],
    "image_qwen_image_instantx_inpainting_controlnet": [SIZE, SIZE],
}
SIZES: Mapping[str, Sizes] = {name: DIFFERENT.get(name, [(SQUARE, SQUARE)]) for name in names()}
