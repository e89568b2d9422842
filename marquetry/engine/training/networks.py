"""The three networks of an SD1 model, built at small sizes from diffusers and transformers classes."""

from typing import Any, TypeAlias

from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from marquetry.engine.models.text.clip_tokenizer import END_TOKEN, START_TOKEN
from marquetry.engine.training.recipe import NetworkSizes

Network: TypeAlias = Any
"""A network of diffusers or transformers, whose lazy imports hide its class from type checkers."""

LATENT_SCALE = 0.18215
PIXELS_PER_LATENT = 8
TOKENS_MAX = 77
VOCABULARY_SIZE = 49408


def build_autoencoder(sizes: NetworkSizes) -> Network:
    """Pictures `[B, 3, H, W]` in -1..1 to latents `[B, 4, H/8, W/8]` and back."""
    levels = len(sizes.autoencoder_channels)
    autoencoder: Network = AutoencoderKL
    return autoencoder(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=sizes.autoencoder_channels,
        layers_per_block=sizes.autoencoder_layers,
        latent_channels=4,
        norm_num_groups=32,
        sample_size=sizes.resolution,
        scaling_factor=LATENT_SCALE,
    )


def build_unet(sizes: NetworkSizes) -> Network:
    """The noise predictor, with cross-attention on the levels that the sizes name, and in the middle."""
    attention = sizes.attention()
    unet: Network = UNet2DConditionModel
    return unet(
        in_channels=sizes.unet_inputs,
        sample_size=sizes.resolution // PIXELS_PER_LATENT,
        block_out_channels=sizes.unet_channels,
        layers_per_block=sizes.unet_layers,
        cross_attention_dim=sizes.text_width,
        attention_head_dim=8,
        norm_num_groups=32,
        down_block_types=tuple("CrossAttnDownBlock2D" if has else "DownBlock2D" for has in attention),
        up_block_types=tuple("CrossAttnUpBlock2D" if has else "UpBlock2D" for has in reversed(attention)),
    )


def build_text_encoder(sizes: NetworkSizes, vocabulary_size: int = VOCABULARY_SIZE) -> Network:
    """Token ids `[B, 77]` to hidden states `[B, 77, width]`; training gives a smaller vocabulary than CLIP's."""
    known = vocabulary_size == VOCABULARY_SIZE
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary_size,
            hidden_size=sizes.text_width,
            intermediate_size=sizes.text_width * 4,
            num_hidden_layers=sizes.text_layers,
            num_attention_heads=max(1, sizes.text_width // 64),
            max_position_embeddings=TOKENS_MAX,
            hidden_act="quick_gelu",
            bos_token_id=START_TOKEN if known else None,
            eos_token_id=END_TOKEN if known else 0,
            pad_token_id=END_TOKEN if known else None,
        )
    )
