"""Prompts to conditioning."""

from pathlib import Path
from typing import Any

import pytest
import torch

from marquetry.engine.context import Context, Services
from marquetry.engine.declare import node_type
from marquetry.engine.errors import NodeFailed
from marquetry.engine.folders import Folders
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.registry import describe
from marquetry.nodes.text_encode import encode_text, set_last_layer
from tests.checkpoints import write_checkpoint


class Heard:
    """A reporter that keeps what nodes say."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def progress(self, node_id: str, value: float, total: float, preview: Any) -> None: ...

    def text(self, node_id: str, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    folders = Folders(tmp_path)
    folders.create()
    write_checkpoint(folders.models / "checkpoints/a.safetensors")
    return Context(Services(folders, ModelLibrary(folders, device="cpu", budget_bytes=2**30)), reporter=Heard())


@pytest.fixture
def clip(context: Context) -> Any:
    return context.models.load_checkpoint("a.safetensors").clip


def test_shape_is_comfyuis(context: Context) -> None:
    described = describe(node_type(encode_text), context.folders)

    assert described["input"]["required"]["text"][0] == "STRING"
    assert described["input"]["required"]["text"][1]["dynamicPrompts"] is True
    assert (list(described["input"]["required"]), described["output"]) == (["text", "clip"], ["CONDITIONING"])
    layer = describe(node_type(set_last_layer), context.folders)["input"]["required"]["stop_at_clip_layer"]
    assert layer == ["INT", {"default": -1, "min": -24, "max": -1, "step": 1}]


def test_prompt_becomes_one_entry_with_pooled_output(context: Context, clip: Any) -> None:
    [[embedding, options]] = encode_text("a (red:1.3) cat", clip, context)

    assert embedding.shape == (1, 77, 64)
    assert torch.equal(options["pooled_output"], clip.encode("a (red:1.3) cat").pooled)


def test_last_layer_is_set_on_a_copy(context: Context, clip: Any) -> None:
    stopped = set_last_layer(clip, -2)

    assert (stopped.stop_layer, clip.stop_layer) == (-2, None)
    assert not torch.equal(encode_text("a", stopped, context)[0][0], encode_text("a", clip, context)[0][0])


def test_missing_textual_inversion_is_said_on_the_node(context: Context, clip: Any) -> None:
    encode_text("a embedding:nowhere cat", clip, context)

    assert isinstance(context.reporter, Heard)
    assert context.reporter.texts == ["Left out, since no file among the embeddings fits: nowhere"]


def test_missing_text_encoder_says_what_to_do(context: Context) -> None:
    with pytest.raises(NodeFailed, match="CLIPLoader"):
        encode_text("a", None, context)
