"""Upscaling by model: what spandrel reads is run in tiles that can't be seen, within the memory there is."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from marquetry.engine.context import Context, Services
from marquetry.engine.declare import node_type
from marquetry.engine.errors import Interrupted, ModelFormatError, NodeFailed, OutOfMemory
from marquetry.engine.folders import Folders
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.models.upscaling import UpscaleModel, spandrel
from marquetry.engine.registry import describe
from marquetry.engine.training.compact import Compact
from marquetry.engine.training.upscaler import UpscalerRecipe, write_upscaler
from marquetry.engine.usage import Extent, Foreseen
from marquetry.nodes import upscale


@dataclass
class Heard:
    """Who hears of progress; after `most` steps nothing more is wanted."""

    steps: list[tuple[float, float]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    most: int = 10**6

    def progress(self, node_id: str, value: float, total: float, preview: Any) -> None:
        self.steps.append((value, total))

    def text(self, node_id: str, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def context(tmp_path: Path, heard: Heard) -> Context:
    folders = Folders(tmp_path)
    folders.create()
    library = ModelLibrary(folders, device="cpu", budget_bytes=2**30)
    return Context(Services(folders, library), reporter=heard, cancelled=lambda: len(heard.steps) >= heard.most)


def network(scale: int = 4) -> Compact:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        made = Compact(8, 3, scale).eval().requires_grad_(False)
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return made


def write(context: Context, name: str, scale: int = 4) -> Compact:
    made = network(scale)
    path = context.folders.models / "upscale_models" / name
    if path.suffix == ".pth":
        torch.save({"params_ema": made.state_dict(), "params": None}, path)
    else:
        write_upscaler(path, made.state_dict(), UpscalerRecipe(), "tiny")
    return made


def pictures(count: int, height: int, width: int, channels: int = 3) -> Tensor:
    return torch.rand(count, height, width, channels, generator=torch.Generator().manual_seed(2))


def whole(made: Any, images: Tensor) -> Tensor:
    with torch.no_grad():
        result: Tensor = made(images[..., :3].movedim(-1, 1)).clamp(0, 1).movedim(1, -1)
    return result


def loaded(context: Context, name: str = "x.safetensors", scale: int = 4) -> tuple[UpscaleModel, Compact]:
    made = write(context, name, scale)
    return upscale.load_upscale_model(name, context), made


def test_shapes_are_comfyuis(context: Context) -> None:
    loader, node = (describe(node_type(function), context.folders) for function in (upscale.load_upscale_model, upscale.upscale_with_model))
    assert (loader["name"], list(loader["input"]["required"]), loader["output"]) == (
        "UpscaleModelLoader",
        ["model_name"],
        ["UPSCALE_MODEL"],
    )
    assert (node["name"], list(node["input"]["required"])) == ("ImageUpscaleWithModel", ["upscale_model", "image"])
    assert node["output"] == ["IMAGE"]


@pytest.mark.parametrize("name", ["x.safetensors", "x.pth"])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_small_picture_is_what_the_network_makes_of_it(context: Context, name: str, scale: int) -> None:
    model, made = loaded(context, name, scale)
    images = pictures(2, 20, 27)
    enlarged = upscale.upscale_with_model(model, images, context)
    assert model.scale == scale and model.facts.architecture == "RealESRGAN Compact"
    torch.testing.assert_close(enlarged, whole(made, images), atol=1e-6, rtol=0)


@pytest.mark.parametrize("tile", [64, 96, 130])
def test_tiles_can_not_be_told_from_the_whole(context: Context, heard: Heard, tile: int) -> None:
    model, made = loaded(context, scale=2)
    images = pictures(2, 201, 150)
    enlarged = model.enlarge(images, tile=tile, progress=context.progress)
    torch.testing.assert_close(enlarged, whole(made, images), atol=1e-6, rtol=0)
    assert len(heard.steps) >= 8 and [step for step, _ in heard.steps] == list(range(1, len(heard.steps) + 1))
    assert heard.steps[-1][0] == heard.steps[-1][1]


def test_a_network_that_reaches_further_has_no_seams(context: Context) -> None:
    model, _ = loaded(context, scale=2)
    flat = torch.full((1, 200, 200, 3), 0.4)
    enlarged = model.enlarge(flat, tile=64)[:, 40:-40, 40:-40]  # the network sees its zero padding at the picture's own edges
    assert float((enlarged[:, ::2, ::2].amax((1, 2)) - enlarged[:, ::2, ::2].amin((1, 2))).max()) < 1e-6


def test_what_spandrel_builds_itself_is_read(context: Context) -> None:
    kind = spandrel().architectures.ESRGAN.ESRGAN
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        made = kind(num_filters=8, num_blocks=1, scale=2).eval()
    save_file(made.state_dict(), context.folders.models / "upscale_models/esrgan.safetensors")
    model = upscale.load_upscale_model("esrgan.safetensors", context)
    images = pictures(1, 24, 30)
    assert (model.facts.architecture, model.scale) == ("ESRGAN", 2)
    torch.testing.assert_close(model.enlarge(images), whole(made, images), atol=1e-6, rtol=0)


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_pictures_and_those_with_alpha_are_taken(context: Context, channels: int) -> None:
    model, made = loaded(context)
    images = pictures(1, 9, 11, channels)
    expected = whole(made, images.expand(-1, -1, -1, 3) if channels == 1 else images)
    torch.testing.assert_close(model.enlarge(images), expected, atol=1e-6, rtol=0)


def short_of_memory(model: UpscaleModel, side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a device where tiles longer than `side` don't fit."""
    run = UpscaleModel._run

    def limited(self: UpscaleModel, network: Any, tile: Tensor) -> Tensor:
        if max(tile.shape[-2:]) > side:
            raise torch.OutOfMemoryError("no memory for that")
        return run(self, network, tile)

    monkeypatch.setattr(UpscaleModel, "_run", limited)


def test_short_of_memory_tiles_become_smaller_and_the_node_says_so(context: Context, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    model, made = loaded(context)
    short_of_memory(model, 100, monkeypatch)
    images = pictures(2, 150, 210)
    enlarged = upscale.upscale_with_model(model, images, context)
    torch.testing.assert_close(enlarged, whole(made, images), atol=1e-6, rtol=0)
    assert heard.texts == [f"Not enough memory on cpu for tiles of {side} pixels; continuing in smaller ones." for side in (512, 105)]


def test_where_no_tile_fits_the_error_says_it(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = loaded(context)
    short_of_memory(model, 10, monkeypatch)
    with pytest.raises(OutOfMemory, match=r"not enough memory on cpu for x\.safetensors with tiles of 64 pixels"):
        model.enlarge(pictures(1, 80, 80))
    with pytest.raises(OutOfMemory, match="knows no tiles"):
        replace(model, facts=replace(model.facts, whole=True)).enlarge(pictures(1, 80, 80))


def test_cancelling_stops_between_tiles(context: Context, heard: Heard) -> None:
    model, _ = loaded(context, scale=1)
    heard.most = 3
    with pytest.raises(Interrupted):
        model.enlarge(pictures(1, 300, 300), tile=64, progress=context.progress)
    assert len(heard.steps) == 3


def test_results_that_are_too_large_are_refused_before_any_work(context: Context) -> None:
    model, _ = loaded(context)
    with pytest.raises(NodeFailed, match="the result would be 20000x40"):
        model.enlarge(torch.zeros(1, 10, 5000, 3))


def test_equal_files_share_their_weights_which_leave_under_pressure(context: Context) -> None:
    first, _ = loaded(context)
    again = upscale.load_upscale_model("x.safetensors", context)
    library = context.models
    assert first.resident.key == again.resident.key and library.residency.used_bytes == sum(p.numel() * 4 for p in network().parameters())
    library.unload()
    assert library.residency.used_bytes == 0
    assert first.enlarge(pictures(1, 8, 8)).shape == (1, 32, 32, 3)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"some.block.weight": torch.zeros(1)}, "holds no upscaler of a known architecture: 1 tensors, such as some.block.weight"),
        ({"body.0.weight": torch.zeros(8, 3, 3, 3), "body.1.weight": torch.zeros(8)}, "is not a sound upscaler"),
        ({"body.0.weight": torch.zeros(8, 3, 3, 3), "body.1.weight": torch.zeros(8), "body.99999999.bias": torch.zeros(12)}, "too large a number"),
    ],
)  # fmt: skip
def test_what_is_no_upscaler_is_named(context: Context, tensors: dict[str, Tensor], words: str) -> None:
    save_file(tensors, context.folders.models / "upscale_models/x.safetensors")
    with pytest.raises(ModelFormatError, match=words):
        upscale.load_upscale_model("x.safetensors", context)


def test_a_pickle_that_runs_code_is_refused(context: Context, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "gone_off",))

    torch.save({"params": Bomb()}, context.folders.models / "upscale_models/x.pth")
    with pytest.raises(ModelFormatError, match="could run code"):
        upscale.load_upscale_model("x.pth", context)
    assert not (tmp_path / "gone_off").exists()


def test_usage_goes_by_the_scale_and_is_foreseen_at_its_largest(context: Context) -> None:
    described = node_type(upscale.upscale_with_model)
    assert described.usage is not None and described.extent is not None
    for scale, operation in ((2, "upscale.4x"), (4, "upscale.4x"), (8, "upscale.8x")):
        model, _ = loaded(context, f"{scale}.safetensors", scale)
        inputs = {"upscale_model": model, "image": pictures(3, 5, 6)}
        assert [(used.operation, used.quantity) for used in described.usage(inputs)] == [(operation, 3)]
        assert described.extent(inputs) == Extent(6 * scale, 5 * scale, 3)
    foreseen = {"upscale_model": Foreseen(Extent(1, 1), 0), "image": Foreseen(Extent(64, 32, 2), 0)}
    assert [(used.operation, used.quantity) for used in described.usage(foreseen)] == [("upscale.8x", 2)]
    assert described.extent(foreseen) == Extent(512, 256, 2)


def test_torchvision_without_its_libraries_is_importable_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision/_C.so").write_bytes(b"needs what is not there")
    described = '@torch.library.register_fake("torchvision::{0}")\ndef meta_{0}(dets, scores, iou_threshold): ...\n'
    (tmp_path / "torchvision/__init__.py").write_text("import torch\n" + described.format("nms") + described.format("qnms"))

    words = (
        "import marquetry, sys; assert 'torch' not in sys.modules; import torchvision; assert torchvision.__file__.startswith(sys.argv[1])"
    )
    done = subprocess.run([sys.executable, "-c", words, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
