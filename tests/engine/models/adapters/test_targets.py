"""Published names find their modules in networks of any size, and what finds none is reported."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.models.adapters.apply import applied
from marquetry.engine.models.adapters.read import read_adapter
from marquetry.engine.models.adapters.targets import slots_of
from tests.engine.models.adapters import networks
from tests.engine.models.adapters.networks import LINEAR, encoded, merged, random_factors

QUERY = "encoder.layers.1.self_attn.q_proj"


def low_rank(*names: str, rows: int = 16, columns: int = 16) -> dict[str, Tensor]:
    up, down = random_factors(rows, columns)
    return {f"{name}.lora_up.weight": up for name in names} | {f"{name}.lora_down.weight": down for name in names}


@pytest.fixture(scope="module")
def full_size() -> nn.Module:
    """The UNet of Stable Diffusion 1, without memory for its weights."""
    with torch.device("meta"):
        network: nn.Module = UNet2DConditionModel(cross_attention_dim=768)  # type: ignore[no-untyped-call, assignment]
    return network


def test_original_names_of_stable_diffusion_1_are_those_that_its_files_have(full_size: nn.Module) -> None:
    slots = slots_of(full_size)
    attentions = {name.removesuffix("_proj_in") for name in slots if name.endswith("_proj_in") and "put_blocks" in name}
    downward, upward = (1, 2, 4, 5, 7, 8), range(3, 12)
    assert attentions == {f"input_blocks_{index}_1" for index in downward} | {f"output_blocks_{index}_1" for index in upward}
    assert slots["middle_block_1_proj_in"][0].path == "mid_block.attentions.0.proj_in"
    for name, path in {
        "input_blocks_0_0": "conv_in",
        "input_blocks_3_0_op": "down_blocks.0.downsamplers.0.conv",
        "input_blocks_7_1_transformer_blocks_0_attn2_to_k": "down_blocks.2.attentions.0.transformer_blocks.0.attn2.to_k",
        "input_blocks_8_0_emb_layers_1": "down_blocks.2.resnets.1.time_emb_proj",
        "input_blocks_11_0_out_layers_3": "down_blocks.3.resnets.1.conv2",
        "middle_block_2_in_layers_2": "mid_block.resnets.1.conv1",
        "output_blocks_2_1_conv": "up_blocks.0.upsamplers.0.conv",
        "output_blocks_5_2_conv": "up_blocks.1.upsamplers.0.conv",
        "output_blocks_6_0_skip_connection": "up_blocks.2.resnets.0.conv_shortcut",
        "output_blocks_11_1_proj_out": "up_blocks.3.attentions.2.proj_out",
        "time_embed_2": "time_embedding.linear_2",
        "out_2": "conv_out",
    }.items():
        assert [slot.path for slot in slots[name]] == [path]


def test_every_weight_of_a_network_has_an_original_name_of_its_own(full_size: nn.Module) -> None:
    starts = ("input_blocks_", "middle_block_", "output_blocks_", "time_embed_", "out_")
    named = [slots[0].path for name, slots in slots_of(full_size).items() if name.startswith(starts)]
    targets = {name.rpartition(".")[0] for name, _ in full_size.named_parameters()}
    assert sorted(set(named)) == sorted(targets)


@pytest.mark.parametrize(
    "name",
    [
        "lora_te_text_model_" + QUERY.replace(".", "_"),
        "lora_te1_text_model_" + QUERY.replace(".", "_"),
        "lora_te_" + QUERY.replace(".", "_"),
        f"text_encoder.text_model.{QUERY}",
        f"text_encoder.{QUERY}",
        f"text_model.{QUERY}",
        f"base_model.model.text_model.{QUERY}",
        f"text_encoders.clip_l.transformer.text_model.{QUERY}",
        f"clip_l.text_model.{QUERY}",
    ],
)
def test_a_text_encoder_s_adapter_may_have_queries_alone(name: str) -> None:
    network = networks.text_encoder()
    before = encoded(network)
    state = low_rank(name)
    matched = read_adapter(state, content_hash=name).for_network(network, "text_encoder")
    change = state[f"{name}.lora_up.weight"] @ state[f"{name}.lora_down.weight"]
    with applied(network, [matched.applied(1.0)]):
        adapted = encoded(network)
    assert torch.allclose(adapted, encoded(merged(network, {QUERY: change})), atol=1e-5)
    assert not torch.allclose(adapted, before, atol=1e-4)
    assert torch.equal(encoded(network), before)


def test_openclip_s_fused_projection_is_split_into_three() -> None:
    network = networks.text_encoder()
    name = "lora_te_transformer_resblocks_0_attn_in_proj"
    state = low_rank(name, rows=48) | low_rank("lora_te_transformer_resblocks_1_mlp_c_fc", rows=32)
    bias = torch.randn(48, generator=torch.Generator().manual_seed(1))
    matched = read_adapter(state | {f"{name}.diff_b": bias}, content_hash="fused").for_network(network, "text_encoder")
    assert matched.misfits == ()
    fused = state[f"{name}.lora_up.weight"] @ state[f"{name}.lora_down.weight"]
    changes: dict[str, Tensor] = {"encoder.layers.1.mlp.fc1": low_rank_change(state, "lora_te_transformer_resblocks_1_mlp_c_fc")}
    for index, part in enumerate("qkv"):
        changes[f"encoder.layers.0.self_attn.{part}_proj"] = fused[16 * index : 16 * index + 16]
        changes[f"encoder.layers.0.self_attn.{part}_proj.bias"] = bias[16 * index : 16 * index + 16]
    with applied(network, [matched.applied(1.0)]):
        assert torch.allclose(encoded(network), encoded(merged(network, changes)), atol=1e-5)


def low_rank_change(state: dict[str, Tensor], name: str) -> Tensor:
    return state[f"{name}.lora_up.weight"] @ state[f"{name}.lora_down.weight"]


@pytest.mark.parametrize("kind", ["lokr", "hada", "dora"])
def test_fused_projections_split_in_every_format(kind: str) -> None:
    network = networks.text_encoder()
    name = "text_encoder.transformer.resblocks.0.attn.in_proj"
    up, down = random_factors(48, 16, 2)
    first, second = random_factors(6, 4, 4, 1)[0], random_factors(8, 4, 4, 2)[0]
    base = torch.cat([network.get_parameter(f"encoder.layers.0.self_attn.{part}_proj.weight").detach() for part in "qkv"])
    magnitude = torch.rand(48, 1, generator=torch.Generator().manual_seed(3)) + 0.5
    state, change = {
        "lokr": ({"lokr_w1": first, "lokr_w2": second}, torch.kron(first, second)),
        "hada": ({"hada_w1_a": up, "hada_w1_b": down, "hada_w2_a": up, "hada_w2_b": down}, (up @ down) ** 2),
        "dora": (
            {"lora_up.weight": up, "lora_down.weight": down, "dora_scale": magnitude},
            magnitude * (base + up @ down) / (base + up @ down).norm(dim=1, keepdim=True) - base,
        ),
    }[kind]
    matched = read_adapter({f"{name}.{end}": tensor for end, tensor in state.items()}, content_hash=kind).for_network(
        network, "text_encoder"
    )
    changes = {f"encoder.layers.0.self_attn.{part}_proj": change[16 * index : 16 * index + 16] for index, part in enumerate("qkv")}
    with applied(network, [matched.applied(1.0)]):
        assert torch.allclose(encoded(network), encoded(merged(network, changes)), atol=1e-5)


def test_token_embeddings_may_be_adapted_as_peft_writes_them() -> None:
    network = networks.text_encoder()
    up, down = random_factors(50, 16)
    name = "text_encoder.embeddings.token_embedding"
    state = {f"{name}.lora_embedding_A": up.t().contiguous(), f"{name}.lora_embedding_B": down.t().contiguous()}
    matched = read_adapter(state, content_hash="embedding").for_network(network, "text_encoder")
    with applied(network, [matched.applied(0.5)]):
        adapted = encoded(network)
    assert torch.allclose(adapted, encoded(merged(network, {"embeddings.token_embedding": up @ down}, 0.5)), atol=1e-5)


def test_each_network_gets_its_own_part_of_an_adapter() -> None:
    kohya = "lora_unet_" + LINEAR.replace(".", "_")
    state = low_rank(kohya, columns=24) | low_rank("lora_te_text_model_" + QUERY.replace(".", "_"))
    adapter = read_adapter(state, content_hash="both")
    denoiser, text = adapter.for_network(networks.unet()), adapter.for_network(networks.text_encoder(), "text_encoder")
    assert list(denoiser.targets) == [LINEAR]
    assert list(text.targets) == [QUERY]
    assert adapter.unmatched(denoiser, text) == ()
    assert adapter.unmatched(text) == (kohya,)


def test_what_finds_no_place_is_reported_with_the_reason() -> None:
    known, foreign = "lora_unet_" + LINEAR.replace(".", "_"), "lora_unet_middle_block_1_transformer_blocks_9_attn2_to_k"
    other = "lora_unet_" + LINEAR.replace(".", "_").replace("to_k", "to_v")
    state = low_rank(known, foreign, columns=24) | low_rank(other, columns=99) | {"sigma_table": torch.zeros(3)}
    state |= {f"{known}.oft_blocks": torch.zeros(2, 2), "lora_unet_conv_in.bias_values": torch.zeros(1)}
    adapter = read_adapter(state, content_hash="mixed")
    matched = adapter.for_network(networks.unet())
    unmatched = adapter.unmatched(matched)
    assert foreign in unmatched
    assert f"{other} (made for a weight [16, 99], this one is [16, 24])" in unmatched
    assert {"sigma_table", f"{known}.oft_blocks", "lora_unet_conv_in.bias_values"} <= set(unmatched)
    assert len(unmatched) == 5


@pytest.mark.parametrize(
    ("state", "metadata", "base"),
    [
        (low_rank("lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k", columns=768), {}, "Stable Diffusion 1"),
        (low_rank("unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k", columns=1024), {}, "Stable Diffusion 2"),
        (low_rank("lora_unet_output_blocks_0_1_transformer_blocks_0_attn2_to_v", columns=2048), {}, "Stable Diffusion XL"),
        (low_rank("transformer.single_transformer_blocks.0.attn.to_q"), {}, "FLUX"),
        (low_rank("lora_unet_double_blocks_0_img_attn_qkv"), {}, "FLUX"),
        (low_rank("diffusion_model.blocks.0.cross_attn.k"), {}, "Wan"),
        (low_rank("lora_te2_text_model_encoder_layers_30_mlp_fc1"), {}, "Stable Diffusion XL"),
        (low_rank("lora_te_text_model_encoder_layers_0_mlp_fc1"), {}, "a text encoder only"),
        (low_rank("lora_unet_x"), {"ss_base_model_version": "sd_v2_768_v"}, "Stable Diffusion 2"),
        (low_rank("lora_unet_x"), {"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}, "Stable Diffusion XL"),
        (low_rank("lora_unet_x"), {}, "an unknown base model"),
    ],
)
def test_an_adapter_says_which_base_it_seems_made_for(state: dict[str, Tensor], metadata: dict[str, str], base: str) -> None:
    assert read_adapter(state, content_hash="x", metadata=metadata).base == base


def test_files_are_read_with_their_metadata_and_pickles_only_as_plain_tensors(tmp_path: Path) -> None:
    state = low_rank("lora_unet_" + LINEAR.replace(".", "_"), columns=24)
    save_file(state, tmp_path / "style.safetensors", {"ss_base_model_version": "sd_v1"})
    torch.save({"state_dict": state}, tmp_path / "style.pt")
    torch.save({"weights": torch.nn.Linear(2, 2)}, tmp_path / "code.pt")
    (tmp_path / "torn.safetensors").write_bytes(b"\xff" * 40)
    adapter = read_adapter(tmp_path / "style.safetensors", content_hash="a")
    assert (adapter.name, adapter.base, len(adapter.deltas)) == ("style.safetensors", "Stable Diffusion 1", 1)
    assert adapter.nbytes == (16 + 24) * 3 * 4
    assert len(read_adapter(tmp_path / "style.pt", content_hash="b").deltas) == 1
    for name in ("code.pt", "torn.safetensors", "absent.safetensors"):
        with pytest.raises(ModelFormatError, match=name):
            read_adapter(tmp_path / name, content_hash="c")


def test_a_file_without_any_adapter_is_refused_with_what_it_holds() -> None:
    with pytest.raises(ModelFormatError, match="emb_params"):
        read_adapter({"emb_params": torch.zeros(2, 3)}, content_hash="x", name="embedding")
