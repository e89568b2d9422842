"""EasyCache: fewer evaluations, nearly the same picture, nothing remembered from one run to the next, and the sampler says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from marquetry.engine.context import Context, Services
from marquetry.engine.declare import node_type
from marquetry.engine.folders import Folders
from marquetry.engine.registry import describe
from marquetry.engine.sampling.model_sampling import FlowSampling
from marquetry.nodes.easy_cache import easy_cache
from marquetry.nodes.sampling import ksampler
from tests.engine.sampling.problems import GaussianModel, prompt


@dataclass
class Heard:
    texts: list[str] = field(default_factory=list)

    def progress(self, node_id: str, value: float, total: float, preview: Any) -> None: ...

    def text(self, node_id: str, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def context(tmp_path: Path, heard: Heard) -> Context:
    return Context(Services(Folders(tmp_path), preview_size=0), reporter=heard)


def made(model: Any, context: Context, steps: int = 30, seed: int = 3) -> Tensor:
    result = ksampler(
        context=context, model=model, seed=seed, steps=steps, cfg=2.0, sampler_name="euler", scheduler="normal", positive=[prompt(1.0)],
        negative=[prompt(0.0)], latent_image={"samples": torch.zeros(1, 4, 8, 8)}, denoise=1.0,
    )  # fmt: skip
    samples: Tensor = result["samples"]
    return samples


class Counting:
    """A wrapper that somebody put on the model before."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, apply: Any, described: Any) -> Tensor:
        self.calls += 1
        answer: Tensor = apply(described["input"], described["timestep"], **described["c"])
        return answer


def test_shape_is_comfyuis(context: Context) -> None:
    described = describe(node_type(easy_cache), context.folders)
    assert (described["name"], described["output"]) == ("EasyCache", ["MODEL"])
    assert list(described["input"]["required"]) == ["model", "reuse_threshold", "start_percent", "end_percent", "verbose"]
    assert [entry[1]["default"] for entry in described["input"]["required"].values() if len(entry) > 1] == [
        0.2,
        0.15,
        0.95,
        False,
    ]


@pytest.mark.parametrize("kind", [GaussianModel(), GaussianModel(sampling=FlowSampling(3.0))], ids=["noise", "flow"])
def test_fewer_evaluations_make_nearly_the_same(context: Context, heard: Heard, kind: GaussianModel) -> None:
    counting = Counting()
    model = kind.with_options(model_function_wrapper=counting)
    exact = made(model, context)
    assert counting.calls == 30 and heard.texts == []
    counting.calls = 0
    quick = made(easy_cache(model, context=context), context)
    reused = 30 - counting.calls
    assert 5 <= reused <= 24
    assert heard.texts == [f"EasyCache: {reused} of 30 evaluations reused an earlier answer."]
    assert float((quick - exact).abs().mean()) < 0.1 * float(exact.abs().mean())


def test_nothing_is_reused_below_no_threshold_or_outside_the_time(context: Context, heard: Heard) -> None:
    exact = made(GaussianModel(), context)
    assert torch.equal(made(easy_cache(GaussianModel(), 0.0, context=context), context), exact)
    assert torch.equal(made(easy_cache(GaussianModel(), 0.2, 0.99, 1.0, context=context), context), exact)
    assert heard.texts == ["EasyCache: 0 of 30 evaluations reused an earlier answer."] * 2


def test_a_run_leaves_nothing_to_the_next(context: Context) -> None:
    model = easy_cache(GaussianModel(), 0.5, context=context)
    first = made(model, context)
    made(model, context, seed=9)
    assert torch.equal(made(model, context), first)


def test_verbose_says_what_it_was_set_to(context: Context, heard: Heard) -> None:
    easy_cache(GaussianModel(), verbose=True, context=context)
    assert len(heard.texts) == 1 and heard.texts[0].startswith("EasyCache reuses answers between the levels ")
