"""ControlNets where sizes, areas and denoisers are not the plain ones."""

from __future__ import annotations

from typing import Any

import torch

from marquetry.engine.models.control.control_net import AppliedControl, ControlNet
from marquetry.engine.models.library import ModelLibrary
from tests import checkpoints
from tests.engine.models.control.test_stable_diffusion import run
from tests.engine.models.control.tiny import noise, picture, with_control, written
from tests.engine.models.families.tiny import ours


def test_pictures_and_latents_of_any_size_go_together(library: ModelLibrary, nets: list[ControlNet], prompts: tuple[Any, Any]) -> None:
    adapter = AppliedControl(nets[0], torch.rand(1, 37, 91, 4), mask=torch.rand(1, 10, 10))
    for height, width in ((7, 9), (8, 5)):
        made = run(library, prompts, adapter, torch.randn(1, 4, height, width))
        assert made.shape == (1, 4, height, width) and torch.isfinite(made).all()


def test_a_prompt_with_an_area_is_steered_within_it(library: ModelLibrary, nets: list[ControlNet], prompts: tuple[Any, Any]) -> None:
    model, levels = library.load_checkpoint("sd1.safetensors").model, (2.0, 0.0)
    inside = [[words, {**extras, "area": (8, 8, 0, 0)}] for words, extras in prompts[0]]
    plain, steered = (
        ours(model, [*area, *prompts[0]], prompts[1], noise(), levels, 1.0)
        for area in (inside, with_control(inside, AppliedControl(nets[0], picture())))
    )
    assert (plain - steered)[..., :8].abs().max() > 1e-3
    torch.testing.assert_close(plain[..., 8:], steered[..., 8:], atol=1e-5, rtol=0)


def test_nets_steer_inpainting_models_by_the_latent_alone(library: ModelLibrary, nets: list[ControlNet], prompts: tuple[Any, Any]) -> None:
    checkpoints.write_checkpoint(library.folders.models / "checkpoints/nine.safetensors", checkpoints.networks("sd1", in_channels=9))
    model = library.load_checkpoint("nine.safetensors").model
    plain, steered = (
        ours(model, words, prompts[1], noise(), (2.0, 0.0), 1.0)
        for words in (prompts[0], with_control(prompts[0], AppliedControl(nets[0], picture())))
    )
    assert (plain - steered).abs().max() > 1e-3


def test_a_net_without_attention_is_read(library: ModelLibrary) -> None:
    """As the small ones of SDXL."""
    from diffusers import ControlNetModel

    kind: Any = ControlNetModel
    plain = kind(
        block_out_channels=(32, 64), layers_per_block=1, down_block_types=("DownBlock2D",) * 2, mid_block_type="UNetMidBlock2D",
        conditioning_embedding_out_channels=(16, 16, 16, 16), use_linear_projection=True, addition_embed_type="text_time",
        addition_time_embed_dim=256, projection_class_embeddings_input_dim=128 + 6 * 256, cross_attention_dim=64,
    )  # fmt: skip
    loaded = written(library, "small", plain)
    assert loaded.found.families == ("sdxl",)
    with loaded.resident.use() as network:
        assert all(torch.equal(tensor, plain.state_dict()[name]) for name, tensor in network.state_dict().items())
