"""Packs with V3 schemas."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from marquetry.custom_nodes.host import load_packs
from marquetry.engine.registry import describe
from tests.engine.execution.workshop import Workshop, n

SOURCE = """
from enum import Enum
from comfy_api.latest import ComfyExtension, io, ui

class Mode(Enum):
    A = "a"
    B = "b"

class Sizes(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Sizes", display_name="All sizes", category="v3/test", description="Says sizes.", is_output_node=True,
            search_aliases=["big"], something_newer=3,
            inputs=[
                io.Int.Input("width", default=4, min=1, max=9, display_mode=io.NumberDisplay.slider, tooltip="How wide."),
                io.Combo.Input("mode", options=Mode, default=Mode.A),
                io.MultiType.Input(io.Float.Input("factor", default=1.0), types=[io.Int]),
                io.AnyType.Input("more", optional=True, lazy=False),
                io.Custom("PIPE").Input("pipe", optional=True),
            ],
            outputs=[io.Int.Output("area", display_name="Area"), io.String.Output(is_output_list=True)],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, width):
        return True if width != 7 else "seven is not allowed"

    @classmethod
    def execute(cls, width, mode, factor, more=None, pipe=None):
        return io.NodeOutput(width * width, [mode, cls.hidden.unique_id, str(sorted(cls.hidden.prompt))], ui=ui.PreviewText("hi"))

class Waits(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="Waits", inputs=[], outputs=[io.Image.Output()])
    @classmethod
    async def execute(cls):
        return io.NodeOutput(block_execution="not today")
"""
ENTRYPOINT = """
class Pack(ComfyExtension):
    async def get_node_list(self):
        return [Sizes, Waits]
async def comfy_entrypoint():
    return Pack()
"""


@pytest.fixture(params=[ENTRYPOINT, 'NODE_CLASS_MAPPINGS = {"Sizes": Sizes, "Waits": Waits}\n'], ids=["entrypoint", "mapping"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workshop]:
    shop = Workshop(tmp_path)
    place = tmp_path / "custom_nodes" / "pack.py"
    place.parent.mkdir()
    place.write_text(textwrap.dedent(SOURCE) + request.param)
    (report,) = load_packs(shop.registry, shop.folders)
    assert report.error is None and not report.skipped, report
    yield shop
    shop.close()


def test_a_schema_is_described_as_clients_expect_it(shop: Workshop) -> None:
    described: dict[str, Any] = describe(shop.registry["Sizes"], shop.folders)
    required, optional = described["input"]["required"], described["input"]["optional"]
    assert required["width"] == ["INT", {"default": 4, "min": 1, "max": 9, "display": "slider", "tooltip": "How wide."}]
    assert required["mode"] == ["COMBO", {"default": "a", "options": ["a", "b"]}]
    assert required["factor"][0] == "FLOAT,INT"
    assert (optional["more"][0], optional["pipe"][0]) == ("*", "PIPE")
    assert described["output_name"] == ["Area", "STRING"]
    assert described["output_is_list"] == [False, True]
    assert (described["display_name"], described["category"], described["output_node"]) == ("All sizes", "v3/test", True)
    assert described["search_aliases"] == ["big"]


def test_a_v3_node_runs_with_its_hidden_values_and_its_checks(shop: Workshop) -> None:
    graph = {"1": n("Sizes", width=3, mode="b", factor=2.0), "2": n("Show", value=["1", 0]), "3": n("Show", value=["1", 1])}
    ended = shop.run(graph)
    assert ended.seen("2") == [9]
    assert ended.seen("3") == ["b", "1", "['1', '2', '3']"]
    assert list(ended.ui["1"]["text"]) == ["hi"]
    graph["1"]["inputs"]["width"] = 7
    assert "seven is not allowed" in shop.check(graph).problems[0].details


def test_an_async_v3_node_may_block_what_follows(shop: Workshop) -> None:
    ended = shop.run({"1": n("Waits"), "2": n("Show", value=["1", 0])})
    assert "2" not in ended.ui
