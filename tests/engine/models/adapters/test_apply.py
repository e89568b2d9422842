"""Applying adapters to a network that others use too."""

from __future__ import annotations

import copy
import gc
import threading
import weakref
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from marquetry.engine.models.adapters.adapter import AppliedAdapter
from marquetry.engine.models.adapters.apply import applied, prefetch, staged
from marquetry.engine.models.adapters.delta import LowRank
from marquetry.engine.models.adapters.read import read_adapter
from marquetry.engine.models.adapters.staging import STAGE, Stage
from tests.engine.models.adapters import networks
from tests.engine.models.adapters.networks import CONV, LINEAR, OUT, denoised, merged, random_factors


def adapter(
    network: nn.Module, seed: int, modules: tuple[str, ...] = (LINEAR, OUT, CONV), strength: float = 1.0
) -> tuple[AppliedAdapter, dict[str, Tensor]]:
    """A random adapter of some modules, and the changes of weights that it stands for."""
    state: dict[str, Tensor] = {}
    changes: dict[str, Tensor] = {}
    for index, module in enumerate(modules):
        weight = network.get_parameter(f"{module}.weight")
        up, down = random_factors(weight.shape[0], weight[0].numel(), seed=seed * 10 + index)
        state[f"{module}.lora_up.weight"] = up if weight.ndim == 2 else up[:, :, None, None]
        state[f"{module}.lora_down.weight"] = down.reshape(3, *weight.shape[1:])
        changes[module] = up @ down
    return read_adapter(state, content_hash=f"random {seed} {modules}").for_network(network).applied(strength), changes


def hooks(network: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in network.modules())


def test_strength_zero_equals_the_base_bit_for_bit() -> None:
    network = networks.unet()
    before = denoised(network)
    with applied(network, [adapter(network, 1, strength=0.0)[0]]):
        assert hooks(network) == 0
        assert torch.equal(denoised(network), before)


def test_adapters_on_the_same_modules_add_up() -> None:
    network = networks.unet()
    first, first_changes = adapter(network, 1, strength=0.5)
    second, second_changes = adapter(network, 2, (LINEAR,), strength=-2.0)
    with applied(network, [first, second]):
        both = denoised(network)
    assert torch.allclose(both, denoised(merged(merged(network, first_changes, 0.5), second_changes, -2.0)), atol=1e-5)


def test_the_same_adapter_twice_is_that_adapter_at_the_sum_of_both_strengths() -> None:
    network = networks.unet()
    matched = adapter(network, 1)[0]
    halves = [AppliedAdapter(matched.adapter, strength, matched.targets) for strength in (0.25, 0.5)]
    with applied(network, halves):
        twice = denoised(network)
    with applied(network, [AppliedAdapter(matched.adapter, 0.75, matched.targets)]):
        assert torch.allclose(denoised(network), twice, atol=1e-5)


def test_weights_are_never_written() -> None:
    network = networks.unet()
    before = networks.weights(network)
    with applied(network, [adapter(network, 1)[0]]):
        denoised(network)
        assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_an_exception_in_the_network_leaves_the_base_behind() -> None:
    network = networks.unet()
    before = denoised(network)
    with pytest.raises(RuntimeError, match="cannot be multiplied"), applied(network, [adapter(network, 1)[0]]):
        network(torch.zeros(1, 4, 8, 8), torch.tensor([1]), encoder_hidden_states=torch.zeros(1, 5, 3))
    assert hooks(network) == 0
    assert torch.equal(denoised(network), before)


def test_nested_blocks_see_their_own_adapters_and_then_those_around_again() -> None:
    network = networks.unet()
    base = denoised(network)
    first, _ = adapter(network, 1)
    second, _ = adapter(network, 2)
    with applied(network, [first]):
        outer = denoised(network)
        with applied(network, [first]):
            assert torch.equal(denoised(network), outer)
        with applied(network, [second]):
            inner = denoised(network)
        with applied(network, []):
            assert torch.equal(denoised(network), base)
        assert torch.equal(denoised(network), outer)
    with applied(network, [second]):
        assert torch.equal(denoised(network), inner)


def test_nothing_is_left_on_a_network_after_a_thousand_random_switches() -> None:
    network = networks.unet()
    linear = network.get_submodule(LINEAR)
    x = torch.randn(3, 24, generator=torch.Generator().manual_seed(1))
    choices = [adapter(network, seed, (LINEAR,)) for seed in range(4)]
    random = Random(5)
    with torch.no_grad():
        base = linear(x)
        for _ in range(1000):
            picked = random.choices(choices, k=random.randrange(4))
            strengths = [random.choice([-1.0, 0.0, 0.5, 2.0]) for _ in picked]
            with applied(network, [AppliedAdapter(one.adapter, s, one.targets) for (one, _), s in zip(picked, strengths, strict=True)]):
                expected = base + sum(s * x @ changes[LINEAR].T for (_, changes), s in zip(picked, strengths, strict=True))
                assert torch.allclose(linear(x), expected, atol=1e-4)
            assert torch.equal(linear(x), base)
    assert hooks(network) == 0


def test_threads_with_different_adapters_use_one_network_at_the_same_time() -> None:
    network = networks.unet()
    settings: list[list[AppliedAdapter]] = [[], [adapter(network, 1)[0]], [adapter(network, 2)[0], adapter(network, 3, (LINEAR,))[0]]]
    expected: list[Tensor] = []
    for adapters in settings:
        with applied(network, adapters):
            expected.append(denoised(network))
    barrier = threading.Barrier(len(settings))
    wrong: list[int] = []

    def work(index: int) -> None:
        barrier.wait()
        for _ in range(8):
            with applied(network, settings[index]):
                if not torch.equal(denoised(network), expected[index]):
                    wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(settings))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert hooks(network) == 0


def test_a_staged_adapter_is_ready_but_changes_nothing_until_it_is_applied() -> None:
    network = networks.unet()
    before = denoised(network)
    one, changes = adapter(network, 1)
    with staged(network, [one]):
        assert torch.equal(denoised(network), before)
        with applied(network, [one]):
            assert torch.allclose(denoised(network), denoised(merged(network, changes)), atol=1e-5)
        assert hooks(network) == 3
    assert hooks(network) == 0


def test_a_network_in_lower_precision_keeps_its_precision() -> None:
    network = networks.unet().bfloat16()
    one, changes = adapter(network, 1, (LINEAR,))
    linear = network.get_submodule(LINEAR)
    x = torch.randn(5, 24, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), applied(network, [one]):
        changed = linear(x.bfloat16())
    assert changed.dtype == torch.bfloat16
    weight = network.get_parameter(f"{LINEAR}.weight").float()
    assert torch.allclose(changed.float(), x @ (weight + changes[LINEAR]).T, atol=0.05)


def test_what_inference_mode_prepared_may_be_differentiated_afterwards() -> None:
    network = networks.unet()
    one, _ = adapter(network, 77)
    with torch.inference_mode(), applied(network, [one]):
        network(torch.zeros(1, 4, 8, 8), torch.tensor([1]), encoder_hidden_states=torch.zeros(1, 5, 24))
    x = torch.randn(2, 24, requires_grad=True)
    with applied(network, [one]):
        network.get_submodule(LINEAR)(x).sum().backward()
    assert x.grad is not None


def test_a_network_that_is_let_go_takes_its_staged_factors_with_it() -> None:
    network = networks.unet().double()
    one, _ = adapter(network, 78)
    with applied(network, [one]), torch.no_grad():
        network.get_submodule(LINEAR)(torch.zeros(1, 24, dtype=torch.float64))
    held = STAGE.nbytes
    gone = weakref.ref(network)
    del network
    gc.collect()
    assert gone() is None
    assert STAGE.nbytes < held


def test_the_stage_keeps_to_its_budget_and_lets_the_oldest_go() -> None:
    network = networks.unet()
    stage = Stage(limit_bytes=3000)
    linear = network.get_submodule(LINEAR)
    for seed in range(6):
        one, _ = adapter(network, seed, (LINEAR,))
        stage.get(network, one, torch.device("cpu"), torch.float64).delta(LINEAR, linear)
    last = adapter(network, 6, (LINEAR,))[0]
    stage.get(network, last, torch.device("cpu"), torch.float64)
    assert 0 < stage.nbytes <= 3000
    stage.clear()
    assert stage.nbytes == 0


def test_prefetching_moves_factors_before_they_are_needed() -> None:
    network = networks.unet()
    one, _ = adapter(network, 79)
    prefetch(network, [one], torch.device("cpu"), torch.bfloat16)
    ready = STAGE.get(network, one, torch.device("cpu"), torch.bfloat16)
    assert ready.nbytes > 0
    delta = ready.delta(LINEAR, network.get_submodule(LINEAR))
    assert isinstance(delta, LowRank)
    assert delta.up.dtype == torch.bfloat16


@pytest.mark.parametrize("rebuild", [copy.deepcopy, lambda network: networks.unet()])
def test_an_adapter_matched_on_one_copy_of_a_network_applies_to_another(rebuild: Callable[[Any], nn.Module]) -> None:
    network = networks.unet()
    one, _ = adapter(network, 1)
    with applied(network, [one]):
        expected = denoised(network)
    other = rebuild(network)
    with applied(other, [one]):
        assert torch.equal(denoised(other), expected)
