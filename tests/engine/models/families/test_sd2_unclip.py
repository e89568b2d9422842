"""Stable Diffusion 2.1 unCLIP against diffusers' own pipeline, and SDXL told pictures, on tiny weights."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from marquetry.engine.context import Context, Services
from marquetry.engine.errors import NodeFailed
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.models.save import checkpoint_state
from marquetry.engine.models.unclip import kept_at, picture_label
from marquetry.engine.models.vision import ImageEncoding
from marquetry.nodes import unclip
from tests.engine.models.families import test_sdxl
from tests.engine.models.families.tiny import clip_text, clip_words, library_at, ours, seeded, stirred
from tests.nodes.test_clip_vision import clip, open_clip

PICTURE = 48  # the width of a picture's embedding
LEVELS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "timestep_spacing": "linspace"}


@functools.cache
def pipeline() -> Any:
    import diffusers
    from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer

    classes, normalizer = (diffusers, StableUnCLIPImageNormalizer)  # type: tuple[Any, Any]
    with seeded(1):
        unet = classes.UNet2DConditionModel(
            block_out_channels=(32, 64), layers_per_block=1, sample_size=8, use_linear_projection=True, attention_head_dim=(1, 1),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=64, class_embed_type="projection", projection_class_embeddings_input_dim=2 * PICTURE,
        )  # fmt: skip
        measured = normalizer(PICTURE)
        measured.mean.data.normal_()
        measured.std.data.uniform_(0.5, 2.0)
        return classes.StableUnCLIPImg2ImgPipeline(
            feature_extractor=None, image_encoder=clip(), image_normalizer=measured, tokenizer=clip_words("!"),
            image_noising_scheduler=classes.DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
            text_encoder=clip_text(64, 2, "gelu", projected=False, pad=0), unet=stirred(unet),
            scheduler=classes.EulerDiscreteScheduler(prediction_type="v_prediction", **LEVELS),
            vae=classes.AutoencoderKL(block_out_channels=(32,), norm_num_groups=32, latent_channels=4),
        )  # fmt: skip


def published() -> dict[str, Tensor]:
    """The checkpoint in the original layout: the UNet by the names that diffusers knows for it, the encoder as OpenCLIP's."""
    from marquetry.engine.models.layout.unet import UNetSizes, unet_modules

    sizes = UNetSizes(4, 4, (32, 64), 1, (1, 0), 64, True, vector_width=2 * PICTURE)
    state, written = pipeline().unet.state_dict(), {}
    for target, source in unet_modules(sizes):
        for end in ("weight", "bias"):
            name = f"{target}.{end}".replace("add_embedding", "class_embedding")
            if name in state:
                written[f"model.diffusion_model.{source}.{end}"] = state[name].clone()
    assert len(written) == len(state)
    normal = pipeline().image_normalizer
    written |= {"noise_augmentor.data_mean": normal.mean.detach().clone(), "noise_augmentor.data_std": normal.std.detach().clone()}
    return written | {f"embedder.model.visual.{name}": tensor.clone() for name, tensor in open_clip(clip()).items()}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    library = library_at(tmp_path_factory.mktemp("data"))
    save_file(published(), library.folders.models / "checkpoints/unclip.safetensors")
    return library


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def encoded(seed: int, count: int = 1, width: int = PICTURE) -> ImageEncoding:
    return ImageEncoding(drawn(seed, count, width), torch.zeros(count, 1, 1), torch.zeros(count, 1, 1))


def test_diffusers_reads_the_original_layout_as_it_is_written_here() -> None:
    from diffusers.loaders import single_file_utils

    convert: Any = single_file_utils.convert_ldm_unet_checkpoint
    state = pipeline().unet.state_dict()
    read = convert(published(), dict(pipeline().unet.config))
    assert read.keys() == state.keys() and all(torch.equal(read[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("augmentation", [0.0, 0.3, 1.0])
def test_four_steps_of_euler_equal_diffusers(library: ModelLibrary, augmentation: float, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = pipeline()
    model = library.load_checkpoint("unclip.safetensors").model
    assert model.family == "sd2_unclip" and model.sampling.prediction == "v_prediction"
    noise, words, blank, picture = drawn(2, 1, 4, 8, 16), drawn(3, 1, 77, 64), drawn(4, 1, 77, 64), encoded(5)
    pipe.scheduler.set_timesteps(4)
    highest = float(pipe.scheduler.sigmas[0])
    label = picture_label([entry(picture, augmentation)], noise, pipe.image_normalizer.mean.data, pipe.image_normalizer.std.data)
    add_noise = type(pipe).noise_image_embeddings

    def with_our_noise(self: Any, image_embeds: Tensor, noise_level: int, noise: Any = None, generator: Any = None) -> Tensor:
        from marquetry.engine.models.unclip import seeded_by

        same = torch.randn(image_embeds.shape, generator=seeded_by(start))
        made: Tensor = add_noise(self, image_embeds, noise_level, noise=same)
        torch.testing.assert_close(made, label, atol=1e-4, rtol=1e-4)
        return made

    start = noise
    monkeypatch.setattr(type(pipe), "noise_image_embeddings", with_our_noise)
    with torch.no_grad():
        expected = pipe(
            prompt_embeds=words, negative_prompt_embeds=blank, image_embeds=picture.image_embeds, noise_level=round(999 * augmentation),
            height=64 // 8, width=128 // 8, num_inference_steps=4, guidance_scale=4.0, output_type="latent",
            latents=noise * (1 + highest**2) ** 0.5,
        ).images  # fmt: skip
    positive = unclip.unclip_conditioning([[words, {}]], picture, 1.0, augmentation)
    made = ours(model, positive, [[blank, {}]], noise, pipe.scheduler.sigmas.tolist(), 4.0)
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)


def entry(picture: ImageEncoding, augmentation: float = 0.0, strength: float = 1.0) -> dict[str, Any]:
    return unclip.unclip_conditioning([[torch.zeros(1), {}]], picture, strength, augmentation)[0][1]["unclip_conditioning"][0]  # type: ignore[no-any-return]


def test_the_schedule_of_the_noise_is_diffusers_own() -> None:
    kept = pipeline().image_noising_scheduler.alphas_cumprod
    assert [kept_at(level) for level in (0, 300, 700, 999)] == pytest.approx([float(kept[level]) for level in (0, 300, 700, 999)], abs=1e-5)


def test_several_pictures_are_added_up_with_a_little_noise() -> None:
    mean, deviation, start = torch.zeros(1, PICTURE), torch.ones(1, PICTURE), drawn(6, 1, 4, 8, 8)
    first, second = encoded(7), encoded(8)
    label = picture_label([entry(first, strength=0.5), entry(second)], start, mean, deviation, 0.0)
    assert label.shape == (1, 2 * PICTURE)
    torch.testing.assert_close(label[:, :PICTURE], first.image_embeds * 0.5 + second.image_embeds, atol=0.1, rtol=0)
    assert torch.equal(label, picture_label([entry(first, strength=0.5), entry(second)], start, mean, deviation, 0.0))
    assert not torch.equal(label, picture_label([entry(first, strength=0.5), entry(second)], start + 1, mean, deviation, 0.0))


def test_without_a_picture_the_label_is_nothing_and_no_strength_changes_nothing(library: ModelLibrary) -> None:
    model, embedding = library.load_checkpoint("unclip.safetensors").model, drawn(3, 1, 77, 64)
    values = model.conditioning(embedding, {"noise": drawn(2, 2, 4, 8, 8)}, batch=2, latent_shape=(2, 4, 8, 8))
    assert values["label"].shape == (2, 2 * PICTURE) and not values["label"].any()
    words: list[Any] = [[embedding, {}]]
    assert unclip.unclip_conditioning(words, encoded(5), 0.0) is words


def test_an_encoder_of_another_width_is_named(library: ModelLibrary) -> None:
    model = library.load_checkpoint("unclip.safetensors").model
    extras = {"unclip_conditioning": [entry(encoded(5, width=20))], "noise": drawn(2, 1, 4, 8, 8)}
    with pytest.raises(NodeFailed, match="embeddings 48 wide; the image encoder gives 20 wide ones"):
        model.conditioning(drawn(3, 1, 77, 64), extras, batch=1, latent_shape=(1, 4, 8, 8))


def test_the_checkpoint_brings_its_image_encoder(library: ModelLibrary) -> None:
    loaded = unclip.load_unclip_checkpoint("unclip.safetensors", Context(Services(library.folders, library)))
    assert loaded.MODEL.family == "sd2_unclip" and loaded.CLIP_VISION.encode_image(torch.rand(1, 30, 40, 3)).image_embeds.shape == (
        1,
        PICTURE,
    )


def test_a_saved_denoiser_is_the_published_one(library: ModelLibrary) -> None:
    written = checkpoint_state(model=library.load_checkpoint("unclip.safetensors").model)
    expected = {name: tensor for name, tensor in published().items() if not name.startswith("embedder.")}
    assert written.keys() == expected.keys() and all(torch.equal(written[name], tensor) for name, tensor in expected.items())


def test_sdxl_takes_pictures_in_the_place_of_pooled_words(tmp_path_factory: pytest.TempPathFactory) -> None:
    library = library_at(tmp_path_factory.mktemp("xl"))
    save_file(test_sdxl.original(test_sdxl.pipeline()), library.folders.models / "checkpoints/xl.safetensors")
    model = library.load_checkpoint("xl.safetensors").model
    picture = encoded(9, width=128)
    extras = {"pooled_output": torch.ones(1, 128), "noise": drawn(2, 1, 4, 8, 8), "unclip_conditioning": [entry(picture)]}
    values = model.conditioning(drawn(3, 1, 77, 192), extras, batch=1, latent_shape=(1, 4, 8, 8))
    torch.testing.assert_close(values["pooled"], picture.image_embeds, atol=0.05, rtol=0)
