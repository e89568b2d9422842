"""Tiny text encoders and what runs our way of sampling beside a pipeline of diffusers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from marquetry.engine.folders import Folders
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.models.text import clip_tokenizer, vocabularies
from marquetry.engine.sampling.driver import sample
from marquetry.engine.sampling.guiders import BasicGuider, CFGGuider
from marquetry.engine.sampling.registry import sampler_choice

CLIP: dict[str, Any] = {"vocab_size": 49408, "max_position_embeddings": 77, "bos_token_id": 49406, "eos_token_id": 49407}
WORDS, NEGATIVE = "a red (cat) on the beach", "blurry"


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def stirred(network: nn.Module) -> nn.Module:
    """Norms and biases at random too, so that none of them can be mixed up unseen."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
            elif not parameter.any():
                parameter.normal_(std=0.05)
    return network.eval()


def clip_text(width: int, layers: int, activation: str, *, projected: bool, pad: int = 49407) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        **CLIP,
        hidden_size=width,
        intermediate_size=width * 2,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        hidden_act=activation,
        projection_dim=width,
        pad_token_id=pad,
    )
    return stirred((CLIPTextModelWithProjection if projected else CLIPTextModel)(config))


def t5_text(width: int = 64, layers: int = 2) -> Any:
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        vocab_size=32128, d_model=width, d_kv=16, d_ff=128, num_layers=layers, num_heads=4, feed_forward_proj="gated-gelu", dropout_rate=0.0
    )
    return stirred(T5EncoderModel(config))


def clip_words(pad: str = "<|endoftext|>") -> Any:
    """transformers' own tokenizer of CLIP."""
    import transformers

    kind: Any = transformers.CLIPTokenizer
    merges = [tuple(merge.split()) for merge in clip_tokenizer.merges()]
    return kind(vocab=clip_tokenizer.vocabulary(), merges=merges, pad_token=pad, model_max_length=77)


def t5_words() -> Any:
    import transformers

    classes: Any = transformers
    return classes.T5TokenizerFast(tokenizer_object=vocabularies.t5(), model_max_length=512)


def qwen_words() -> Any:
    import transformers

    classes: Any = transformers
    return classes.Qwen2TokenizerFast(tokenizer_object=vocabularies.qwen2(), pad_token="<|endoftext|>")


def qwen_sight() -> Any:
    """Qwen2.5-VL with a single head of 128, whose words take most of its memory."""
    import transformers

    classes: Any = transformers
    text = {
        "vocab_size": 151680, "hidden_size": 128, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 1, "num_key_value_heads": 1,
        "rms_norm_eps": 1e-6, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}, "pad_token_id": None,
    }  # fmt: skip
    vision = {
        "depth": 2, "hidden_size": 80, "intermediate_size": 64, "num_heads": 1, "out_hidden_size": 128, "fullatt_block_indexes": [],
    }  # fmt: skip
    config = classes.Qwen2_5_VLConfig(
        text_config=text, vision_config=vision, tie_word_embeddings=True, image_token_id=151655, video_token_id=151656,
        vision_start_token_id=151652, vision_end_token_id=151653,
    )  # fmt: skip
    return stirred(classes.Qwen2_5_VLForConditionalGeneration(config))


def flux_autoencoder() -> Any:
    from diffusers import AutoencoderKL

    kind: Any = AutoencoderKL
    return stirred(
        kind(
            block_out_channels=(32, 32, 32, 64), layers_per_block=1, latent_channels=16, scaling_factor=0.3611, shift_factor=0.1159,
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
            use_quant_conv=False, use_post_quant_conv=False,
        )
    )  # fmt: skip


def library_at(folder: Path) -> ModelLibrary:
    folders = Folders(folder)
    folders.create()
    return ModelLibrary(folders, device="cpu", budget_bytes=2**30)


def ours(model: Any, positive: Any, negative: Any, noise: Tensor, sigmas: Sequence[float], cfg: float) -> Tensor:
    """Euler over those levels, the latent in the model's own space."""
    guider = CFGGuider(model, positive, negative, cfg) if negative is not None else BasicGuider(model, positive)
    result = sample(guider, sampler_choice("euler"), torch.tensor(sigmas), noise, torch.zeros_like(noise), seed=0)
    return model.latent_format.process_in(result.samples)  # type: ignore[no-any-return]
