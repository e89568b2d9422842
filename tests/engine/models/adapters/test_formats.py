"""Every published format, written from one and the same change of weights, gives what changing the weights themselves gives."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.models.adapters.apply import applied
from marquetry.engine.models.adapters.read import read_adapter
from tests.engine.models.adapters import networks
from tests.engine.models.adapters.networks import CONV, LINEAR, OUT, POINTWISE, STRIDED, denoised, merged, random_factors

KOHYA = "lora_unet_" + LINEAR.replace(".", "_")
LDM = "input_blocks.1.1.transformer_blocks.0.attn2.to_k"


def shows_the_change(
    state: Mapping[str, Tensor], changes: Mapping[str, Tensor], strength: float = 1.0, metadata: Mapping[str, str] | None = None
) -> None:
    """Applying `state` equals adding `changes` to the weights; the base is as it was, before and after."""
    network = networks.unet()
    before = denoised(network)
    matched = read_adapter(state, content_hash="one", metadata=metadata).for_network(network)
    assert matched.misfits == ()
    with applied(network, [matched.applied(strength)]):
        adapted = denoised(network)
    expected = denoised(merged(network, changes, strength))
    assert not torch.allclose(expected, before, atol=1e-4), "the change is too small to prove anything"
    assert torch.allclose(adapted, expected, atol=1e-5)
    assert torch.equal(denoised(network), before)


UP, DOWN = random_factors(16, 24)
SPELLINGS = {
    "kohya": (f"{KOHYA}.lora_up.weight", f"{KOHYA}.lora_down.weight"),
    "kohya with original names": (
        f"lora_unet_{LDM.replace('.', '_')}.lora_up.weight",
        f"lora_unet_{LDM.replace('.', '_')}.lora_down.weight",
    ),
    "original names": (f"diffusion_model.{LDM}.lora_up.weight", f"diffusion_model.{LDM}.lora_down.weight"),
    "whole checkpoint names": (f"model.diffusion_model.{LDM}.lora_B.weight", f"model.diffusion_model.{LDM}.lora_A.weight"),
    "diffusers": (f"unet.{LINEAR}.lora_B.weight", f"unet.{LINEAR}.lora_A.weight"),
    "diffusers before PEFT": (f"unet.{LINEAR}.lora.up.weight", f"unet.{LINEAR}.lora.down.weight"),
    "diffusers with dots": (f"unet.{LINEAR}.lora_up.weight", f"unet.{LINEAR}.lora_down.weight"),
    "PEFT": (f"base_model.model.{LINEAR}.lora_B.weight", f"base_model.model.{LINEAR}.lora_A.weight"),
    "PEFT with the adapter's name": (
        f"base_model.model.{LINEAR}.lora_B.default.weight",
        f"base_model.model.{LINEAR}.lora_A.default.weight",
    ),
    "bare names": (f"{LINEAR}.lora_B.weight", f"{LINEAR}.lora_A.weight"),
    "attention processors": (
        "down_blocks.0.attentions.0.transformer_blocks.0.attn2.processor.to_k_lora.up.weight",
        "down_blocks.0.attentions.0.transformer_blocks.0.attn2.processor.to_k_lora.down.weight",
    ),
    "LyCORIS' wrapper": (f"lycoris_{LINEAR.replace('.', '_')}.lora_up.weight", f"lycoris_{LINEAR.replace('.', '_')}.lora_down.weight"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_low_rank_change_is_understood_in_every_spelling(spelling: str) -> None:
    up, down = SPELLINGS[spelling]
    shows_the_change({up: UP, down: DOWN}, {LINEAR: UP @ DOWN})


def test_alpha_is_divided_by_the_rank() -> None:
    state = {f"{KOHYA}.lora_up.weight": UP, f"{KOHYA}.lora_down.weight": DOWN, f"{KOHYA}.alpha": torch.tensor(6.0)}
    shows_the_change(state, {LINEAR: UP @ DOWN * 2})


def test_strength_scales_the_change_and_may_be_negative() -> None:
    state = {f"{KOHYA}.lora_up.weight": UP, f"{KOHYA}.lora_down.weight": DOWN}
    shows_the_change(state, {LINEAR: UP @ DOWN}, strength=-1.75)


@pytest.mark.parametrize(("stabilised", "scale"), [(False, 4 / 3), (True, 4 / 3**0.5)])
def test_alpha_in_the_metadata_of_diffusers_counts_also_rank_stabilised(stabilised: bool, scale: float) -> None:
    written = f'{{"unet.lora_alpha": 9, "unet.alpha_pattern": {{"attn2.to_k": 4}}, "unet.use_rslora": {str(stabilised).lower()}}}'
    state = {f"unet.{LINEAR}.lora_B.weight": UP, f"unet.{LINEAR}.lora_A.weight": DOWN}
    shows_the_change(state, {LINEAR: UP @ DOWN * scale}, metadata={"lora_adapter_metadata": written})


def test_the_output_projection_of_attention_is_found_without_its_index() -> None:
    up, down = random_factors(16, 16)
    name = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_out_lora"
    shows_the_change({f"{name}.up.weight": up, f"{name}.down.weight": down}, {OUT: up @ down})


@pytest.mark.parametrize("module", [CONV, STRIDED])
def test_convolutions_are_changed_by_a_kernel_and_a_pointwise_one(module: str) -> None:
    up, down = random_factors(16, 16 * 9)
    name = "lora_unet_" + module.replace(".", "_")
    state = {f"{name}.lora_up.weight": up[:, :, None, None], f"{name}.lora_down.weight": down.reshape(3, 16, 3, 3)}
    shows_the_change(state, {module: up @ down})


def test_a_linear_change_fits_a_pointwise_convolution() -> None:
    up, down = random_factors(16, 16)
    name = "lora_unet_" + POINTWISE.replace(".", "_")
    shows_the_change({f"{name}.lora_up.weight": up, f"{name}.lora_down.weight": down}, {POINTWISE: up @ down})


@pytest.mark.parametrize("module", [CONV, STRIDED])
def test_a_convolution_in_three_parts_has_its_kernel_in_the_middle(module: str) -> None:
    up, down = random_factors(16, 16)
    middle = torch.randn(3, 3, 3, 3, generator=torch.Generator().manual_seed(1)) * 0.5
    name = "lora_unet_" + module.replace(".", "_")
    state = {
        f"{name}.lora_up.weight": up[:, :, None, None],
        f"{name}.lora_down.weight": down[:, :, None, None],
        f"{name}.lora_mid.weight": middle,
        f"{name}.alpha": torch.tensor(1.5),
    }
    change = torch.zeros(16, 16, 3, 3)
    for r in range(3):
        for s in range(3):
            change += 0.5 * torch.outer(up[:, r], down[s])[:, :, None, None] * middle[r, s]
    shows_the_change(state, {module: change})


@pytest.mark.parametrize("rank", [1, 6])
def test_loha_is_an_elementwise_product_of_two_low_rank_matrices(rank: int) -> None:
    up, down = random_factors(16, 24, rank, 1)
    second_up, second_down = random_factors(16, 24, rank, 2)
    state = {
        f"{KOHYA}.hada_w1_a": up * 3,
        f"{KOHYA}.hada_w1_b": down,
        f"{KOHYA}.hada_w2_a": second_up * 3,
        f"{KOHYA}.hada_w2_b": second_down,
        f"{KOHYA}.alpha": torch.tensor(rank / 2),
    }
    shows_the_change(state, {LINEAR: 4.5 * (up @ down) * (second_up @ second_down)})


def test_loha_on_convolutions_has_kernels_in_the_middle() -> None:
    name = "lora_unet_" + CONV.replace(".", "_")
    generator = torch.Generator().manual_seed(3)
    a, b, c, d = (torch.randn(2, 16, generator=generator) * 0.6 for _ in range(4))
    t1, t2 = (torch.randn(2, 2, 3, 3, generator=generator) * 0.6 for _ in range(2))
    state = {
        f"{name}.hada_w1_a": a,
        f"{name}.hada_w1_b": b,
        f"{name}.hada_w2_a": c,
        f"{name}.hada_w2_b": d,
        f"{name}.hada_t1": t1,
        f"{name}.hada_t2": t2,
    }
    first = sum(torch.einsum("o,i,kl->oikl", a[i], b[j], t1[i, j]) for i in range(2) for j in range(2))
    second = sum(torch.einsum("o,i,kl->oikl", c[i], d[j], t2[i, j]) for i in range(2) for j in range(2))
    assert isinstance(first, Tensor) and isinstance(second, Tensor)
    shows_the_change(state, {CONV: first * second})


def test_loha_on_convolutions_may_be_flat() -> None:
    name = "lora_unet_" + CONV.replace(".", "_")
    up, down = random_factors(16, 144, 2, 1)
    second_up, second_down = random_factors(16, 144, 2, 2)
    state = {f"{name}.hada_w1_a": up * 3, f"{name}.hada_w1_b": down, f"{name}.hada_w2_a": second_up, f"{name}.hada_w2_b": second_down}
    shows_the_change(state, {CONV: 3 * (up @ down) * (second_up @ second_down)})


def test_lokr_is_a_kronecker_product_whose_factors_may_be_factored() -> None:
    generator = torch.Generator().manual_seed(4)
    first = torch.randn(4, 4, generator=generator) * 0.3
    up, down = random_factors(4, 6, 2, 5)
    whole = {f"{KOHYA}.lokr_w1": first, f"{KOHYA}.lokr_w2": up @ down, f"{KOHYA}.alpha": torch.tensor(77.0)}
    shows_the_change(whole, {LINEAR: torch.kron(first, up @ down)})
    half = {f"{KOHYA}.lokr_w1": first, f"{KOHYA}.lokr_w2_a": up, f"{KOHYA}.lokr_w2_b": down, f"{KOHYA}.alpha": torch.tensor(3.0)}
    shows_the_change(half, {LINEAR: 1.5 * torch.kron(first, up @ down)})
    both = {f"{KOHYA}.lokr_w1_a": first, f"{KOHYA}.lokr_w1_b": torch.eye(4), f"{KOHYA}.lokr_w2_a": up, f"{KOHYA}.lokr_w2_b": down}
    shows_the_change(both, {LINEAR: torch.kron(first, up @ down)})


@pytest.mark.parametrize("module", [CONV, STRIDED])
@pytest.mark.parametrize("form", ["whole", "flat", "tucker"])
def test_lokr_on_convolutions(module: str, form: str) -> None:
    name = "lora_unet_" + module.replace(".", "_")
    generator = torch.Generator().manual_seed(5)
    first = torch.randn(4, 2, generator=generator) * 0.4
    a, b, kernel = (torch.randn(*shape, generator=generator) * 0.4 for shape in ((4, 3), (3, 8), (3, 3, 3, 3)))
    second = torch.einsum("or,si,rskl->oikl", a, b, kernel)
    state = {f"{name}.lokr_w1": first}
    if form == "whole":
        state[f"{name}.lokr_w2"] = second
    elif form == "flat":
        u, s, v = torch.linalg.svd(second.flatten(1), full_matrices=False)
        state |= {f"{name}.lokr_w2_a": u * s, f"{name}.lokr_w2_b": v}
    else:
        state |= {f"{name}.lokr_w2_a": a.t(), f"{name}.lokr_w2_b": b, f"{name}.lokr_t2": kernel}
    change = torch.stack([torch.stack([torch.kron(first, second[:, :, y, x].contiguous()) for x in range(3)], -1) for y in range(3)], -2)
    shows_the_change(state, {module: change})


def test_differences_in_full_may_be_of_weight_and_of_bias() -> None:
    generator = torch.Generator().manual_seed(6)
    weight, bias = torch.randn(16, 16, 3, 3, generator=generator) * 0.1, torch.randn(16, generator=generator) * 0.5
    name = f"diffusion_model.{CONV}"
    shows_the_change({f"{name}.diff": weight, f"{name}.diff_b": bias}, {CONV: weight, f"{CONV}.bias": bias})
    shows_the_change({f"{name}.diff_b": bias}, {f"{CONV}.bias": bias})
    up, down = random_factors(16, 144)
    state = {f"{name}.lora_up.weight": up, f"{name}.lora_down.weight": down, f"{name}.diff_b": bias}
    shows_the_change(state, {CONV: up @ down, f"{CONV}.bias": bias})


def test_norms_are_changed_by_differences() -> None:
    generator = torch.Generator().manual_seed(8)
    layer, group = "down_blocks.0.attentions.0.transformer_blocks.0.norm1", "down_blocks.0.resnets.0.norm2"
    weight, bias = torch.randn(16, generator=generator), torch.randn(16, generator=generator)
    for module in (layer, group):
        name = "lora_unet_" + module.replace(".", "_")
        shows_the_change({f"{name}.w_norm": weight, f"{name}.b_norm": bias}, {module: weight, f"{module}.bias": bias})
        shows_the_change({f"{name}.b_norm": bias}, {f"{module}.bias": bias})


@pytest.mark.parametrize("module", [LINEAR, CONV])
@pytest.mark.parametrize("on_input", [False, True])
def test_ia3_multiplies_rows_or_input_channels(module: str, on_input: bool) -> None:
    weight = networks.unet().get_parameter(f"{module}.weight").detach()
    factor = torch.randn(weight.shape[1 if on_input else 0], generator=torch.Generator().manual_seed(9)) * 2
    name = "lora_unet_" + module.replace(".", "_")
    state = {f"{name}.weight": factor, f"{name}.on_input": torch.tensor(on_input)}
    shape = [1, -1] if on_input else [-1, 1]
    shows_the_change(state, {module: weight * factor.reshape(*shape, *[1] * (weight.ndim - 2))})


def test_glora_bends_the_base_weight_in_both_spellings() -> None:
    weight = networks.unet().get_parameter(f"{LINEAR}.weight").detach()
    a1, a2 = random_factors(24, 24, 3, 1)
    b1, b2 = random_factors(16, 24, 3, 2)
    change = weight @ a1 @ a2 + b1 @ b2
    shows_the_change(
        {f"{KOHYA}.{name}.weight": tensor for name, tensor in zip(("a1", "a2", "b1", "b2"), (a1, a2, b1, b2), strict=True)},
        {LINEAR: change},
    )
    shows_the_change(
        {f"{KOHYA}.{name}.weight": tensor for name, tensor in zip(("a2", "a1", "b2", "b1"), (a1, a2, b1, b2), strict=True)},
        {LINEAR: change},
    )


def test_half_precision_factors_are_used_at_the_network_s_precision() -> None:
    up, down = UP.half(), DOWN.bfloat16()
    state = {f"{KOHYA}.lora_up.weight": up, f"{KOHYA}.lora_down.weight": down}
    shows_the_change(state, {LINEAR: up.float() @ down.float()})


def test_factors_that_do_not_go_together_are_refused_by_name() -> None:
    with pytest.raises(ModelFormatError, match=f"{KOHYA}' do not go together"):
        read_adapter({f"{KOHYA}.lora_up.weight": UP, f"{KOHYA}.lora_down.weight": DOWN[:2]}, content_hash="x")


def test_an_alpha_that_is_no_number_is_refused() -> None:
    state = {f"{KOHYA}.lora_up.weight": UP, f"{KOHYA}.lora_down.weight": DOWN, f"{KOHYA}.alpha": torch.tensor(float("nan"))}
    with pytest.raises(ModelFormatError, match="alpha"):
        read_adapter(state, content_hash="x")
