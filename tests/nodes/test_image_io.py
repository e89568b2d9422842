"""Loading and saving pictures: exact pixels, numbered names, graphs beside the pixels, and no way out of the folders."""

from __future__ import annotations

import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from marquetry.engine.context import Context, Services
from marquetry.engine.declare import node_type
from marquetry.engine.errors import Interrupted, InvalidPicture, NodeFailed, UnsafePath
from marquetry.engine.folders import Folders
from marquetry.engine.outcome import NodeOutput
from marquetry.engine.pictures import decode, encode_png, read_workflow
from marquetry.engine.registry import describe
from marquetry.engine.saving import FileSeries, expanded
from marquetry.nodes import image_io

PROMPT = {"9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "\u6728"}}}
EXTRA = {"workflow": {"nodes": [{"id": 9}], "version": 0.4}}


@pytest.fixture
def context(tmp_path: Path) -> Context:
    folders = Folders(tmp_path)
    folders.create()
    return Context(Services(folders), node_id="9", job_id="job", prompt=PROMPT, extra=EXTRA)


def pictures(batch: int = 1, height: int = 6, width: int = 8, channels: int = 3) -> torch.Tensor:
    return torch.rand(batch, height, width, channels, generator=torch.Generator().manual_seed(0))


def files(output: NodeOutput[None]) -> list[dict[str, Any]]:
    assert output.ui is not None
    return output.ui["images"]


class TestSaveImage:
    def test_pixels_are_truncated_as_comfyui_does(self, context: Context) -> None:
        image = torch.tensor([0.1, 0.25, 0.3, 0.5, 2 / 3]).reshape(1, 1, 5, 1).expand(-1, -1, -1, 3)
        saved = files(image_io.save_image(image, context=context))
        assert saved == [{"filename": "ComfyUI_00001_.png", "subfolder": "", "type": "output"}]
        assert decode(context.folders.output / "ComfyUI_00001_.png").pixels[0, 0, :, 0].tolist() == [25, 63, 76, 127, 170]

    def test_the_graph_is_read_back_from_the_file(self, context: Context) -> None:
        image_io.save_image(pictures(), context=context)
        path = context.folders.output / "ComfyUI_00001_.png"
        assert read_workflow(path.read_bytes()) == {"prompt": PROMPT, "workflow": EXTRA["workflow"]}
        with Image.open(path) as image:
            info = image.info
        assert info["prompt"] == json.dumps(PROMPT) and info["workflow"] == json.dumps(EXTRA["workflow"])

    def test_a_batch_is_numbered_and_a_second_run_goes_on(self, context: Context) -> None:
        first = files(image_io.save_image(pictures(2), "a/b[x]", context=context))
        second = files(image_io.save_image(pictures(1), "a/b[x]", context=context))
        assert [file["filename"] for file in first + second] == ["b[x]_00001_.png", "b[x]_00002_.png", "b[x]_00003_.png"]
        assert {file["subfolder"] for file in first + second} == {"a"}

    def test_numbers_go_on_from_the_highest_on_disk_of_the_same_prefix_only(self, context: Context) -> None:
        for name in ("cat_00041_.png", "cat_00007_.webp", "catalogue_00099_.png", "cat_x_.png", "cat_2_00500_.png"):
            (context.folders.output / name).touch()
        assert files(image_io.save_image(pictures(), "cat", context=context))[0]["filename"] == "cat_00042_.png"

    def test_the_batch_number_stands_in_the_name(self, context: Context) -> None:
        for numbers in ((1, 2), (3, 4)):
            saved = files(image_io.save_image(pictures(2), "f%batch_num%", context=context))
            assert [file["filename"] for file in saved] == [f"f0_{numbers[0]:05}_.png", f"f1_{numbers[1]:05}_.png"]

    def test_size_and_date_are_filled_in(self, context: Context) -> None:
        saved = files(image_io.save_image(pictures(), "%width%x%height%/%year%", context=context))
        assert saved[0]["subfolder"] == "8x6" and saved[0]["filename"].startswith(str(datetime.now().year))
        now = datetime(2026, 3, 4, 5, 6, 7)
        assert expanded("%year%-%month%-%day% %hour%:%minute%:%second% %other% 5%", 1, 2, now) == "2026-03-04 05:06:07 %other% 5%"

    @pytest.mark.parametrize("prefix", ["../x", "a/../../x", "/etc/x", "..\\x", "C:/x", "..", "a\x00b"])
    def test_no_prefix_leaves_the_folder(self, context: Context, prefix: str) -> None:
        with pytest.raises((UnsafePath, NodeFailed)):
            image_io.save_image(pictures(), prefix, context=context)
        assert not [path for path in context.folders.data.rglob("*") if path.is_file()]

    def test_a_link_does_not_lead_out_of_the_folder(self, context: Context, tmp_path_factory: pytest.TempPathFactory) -> None:
        outside = tmp_path_factory.mktemp("outside")
        (context.folders.output / "link").symlink_to(outside)
        with pytest.raises(UnsafePath):
            image_io.save_image(pictures(), "link/x", context=context)
        assert not list(outside.iterdir())

    @pytest.mark.parametrize("prefix", ["", ".", "a\nb", "x" * 250])
    def test_a_prefix_that_can_not_be_a_name_is_refused(self, context: Context, prefix: str) -> None:
        with pytest.raises(NodeFailed):
            image_io.save_image(pictures(), prefix, context=context)

    def test_jobs_that_save_at_once_get_different_numbers(self, context: Context) -> None:
        def save(index: int) -> list[str]:
            image = torch.full((3, 4, 4, 3), index / 255)
            return [file["filename"] for file in files(image_io.save_image(image, "same", context=context))]

        with ThreadPoolExecutor(8) as pool:
            names = [name for batch in pool.map(save, range(40)) for name in batch]
        assert sorted(names) == [f"same_{number:05}_.png" for number in range(1, 121)]
        assert sorted(os.listdir(context.folders.output)) == sorted(names)
        shades = sorted(int(decode(context.folders.output / name).pixels[0, 0, 0, 0]) for name in names)
        assert len(shades) == 120

    def test_a_name_that_another_took_meanwhile_is_left_alone(self, context: Context) -> None:
        series = FileSeries(context.folders, "output", "x")
        (context.folders.output / "x_00001_.png").write_bytes(b"mine")
        assert series.save(b"yours", ".png")["filename"] == "x_00002_.png"
        assert (context.folders.output / "x_00001_.png").read_bytes() == b"mine"

    def test_transparency_is_saved(self, context: Context) -> None:
        image = pictures(channels=4)
        image_io.save_image(image, context=context)
        assert decode(context.folders.output / "ComfyUI_00001_.png").has_alpha

    def test_an_empty_batch_is_refused(self, context: Context) -> None:
        with pytest.raises(NodeFailed, match="no pictures"):
            image_io.save_image(torch.zeros(0, 4, 4, 3), context=context)

    def test_a_cancelled_job_stops_between_pictures(self, context: Context) -> None:
        context.cancelled = lambda: True
        with pytest.raises(Interrupted):
            image_io.save_image(pictures(), context=context)

    def test_without_a_graph_nothing_is_written_beside_the_pixels(self, tmp_path: Path) -> None:
        context = Context(Services(Folders(tmp_path)))
        image_io.save_image(pictures(), context=context)
        assert read_workflow((tmp_path / "output/ComfyUI_00001_.png").read_bytes()) == {}


class TestPreviews:
    def test_they_go_to_the_temp_folder_and_each_run_has_its_own_names(self, context: Context) -> None:
        first = files(image_io.preview_image(pictures(2), context))
        context.job_id = "another"
        second = files(image_io.preview_image(pictures(1), context))
        assert {file["type"] for file in first + second} == {"temp"}
        assert len({file["filename"] for file in first + second}) == 3
        assert first[0]["filename"].rsplit("_", 2)[0] != second[0]["filename"].rsplit("_", 2)[0]
        assert all((context.folders.temp / file["filename"]).is_file() for file in first + second)

    @pytest.mark.parametrize("shape", [(4, 5), (2, 4, 5)])
    def test_masks_are_shown_as_grey_pictures(self, context: Context, shape: tuple[int, ...]) -> None:
        saved = files(image_io.preview_mask(torch.full(shape, 0.5), context))
        assert len(saved) == (shape[0] if len(shape) == 3 else 1)
        assert (decode(context.folders.temp / saved[0]["filename"]).pixels == 127).all()


class TestLoadImage:
    def test_a_picture_without_transparency_has_a_small_empty_mask(self, context: Context) -> None:
        levels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
        (context.folders.input / "x.png").write_bytes(encode_png(levels))
        image, mask = image_io.load_image("x.png", context)
        assert image.dtype == torch.float32
        assert torch.equal(image[0], torch.from_numpy(levels.astype(np.float32) / 255))
        assert mask.shape == (1, 64, 64) and not mask.any()

    def test_the_mask_is_one_where_the_picture_is_transparent(self, context: Context) -> None:
        levels = np.full((5, 7, 4), 255, np.uint8)
        levels[0, 0, 3] = 0
        (context.folders.input / "x.png").write_bytes(encode_png(levels))
        image, mask = image_io.load_image("x.png", context)
        assert image.shape == (1, 5, 7, 3) and mask.shape == (1, 5, 7)
        assert mask[0, 0, 0] == 1 and mask.sum() == 1

    def test_what_was_saved_is_loaded_from_the_output_folder(self, context: Context) -> None:
        image = pictures(channels=4)
        image_io.save_image(image, "sub/a", context=context)
        expected = (image * 255).trunc() / 255
        for loaded in (
            image_io.load_image("sub/a_00001_.png [output]", context),
            image_io.load_image_output("sub/a_00001_.png", context),
        ):
            assert torch.allclose(loaded.IMAGE, expected[..., :3]) and torch.allclose(loaded.MASK, 1 - expected[..., 3])

    def test_frames_become_a_batch(self, context: Context) -> None:
        frames = [Image.new("RGBA", (8, 6), (shade, 0, 0, 128)) for shade in (0, 100, 200)]
        frames[0].save(context.folders.input / "x.webp", save_all=True, append_images=frames[1:], lossless=True)
        image, mask = image_io.load_image("x.webp", context)
        assert image.shape == (3, 6, 8, 3) and mask.shape == (3, 6, 8)

    def test_sixteen_bit_grey_keeps_values_between_bytes(self, context: Context) -> None:
        Image.fromarray(np.full((4, 4), 300, np.uint16)).save(context.folders.input / "x.png")
        assert image_io.load_image("x.png", context).IMAGE[0, 0, 0, 0].item() == pytest.approx(300 / 65535)

    @pytest.mark.parametrize(("channel", "expected"), [("alpha", 1 - 40 / 255), ("red", 10 / 255), ("green", 20 / 255), ("blue", 30 / 255)])
    def test_a_channel_becomes_a_mask(self, context: Context, channel: Any, expected: float) -> None:
        (context.folders.input / "x.png").write_bytes(encode_png(np.full((3, 4, 4), (10, 20, 30, 40), np.uint8)))
        mask = image_io.load_image_mask("x.png", channel, context)
        assert mask.shape == (1, 3, 4)
        assert torch.allclose(mask, torch.tensor(expected))

    def test_alpha_of_a_picture_without_any_is_empty(self, context: Context) -> None:
        (context.folders.input / "x.png").write_bytes(encode_png(np.zeros((3, 4, 3), np.uint8)))
        mask = image_io.load_image_mask("x.png", "alpha", context)
        assert mask.shape == (1, 64, 64) and not mask.any()

    def test_names_that_leave_the_folder_are_refused(self, context: Context) -> None:
        for name in ("../secret.png", "/etc/passwd", "../input/x.png [output]"):
            with pytest.raises(UnsafePath):
                image_io.load_image(name, context)

    def test_a_file_that_is_no_picture_is_refused(self, context: Context) -> None:
        (context.folders.input / "x.png").write_bytes(b"<html>")
        with pytest.raises(InvalidPicture):
            image_io.load_image("x.png", context)


class TestAnimations:
    @pytest.mark.parametrize("lossless", [True, False])
    def test_a_webp_has_all_frames_their_duration_and_the_graph(self, context: Context, lossless: bool) -> None:
        batch = pictures(3)
        output = image_io.save_animated_webp(batch, "w", 8.0, lossless, 80, "fastest", context=context)
        assert output.ui == {"images": [{"filename": "w_00001_.webp", "subfolder": "", "type": "output"}], "animated": [True]}
        data = (context.folders.output / "w_00001_.webp").read_bytes()
        assert read_workflow(data) == {"prompt": PROMPT, "workflow": EXTRA["workflow"]}
        image = Image.open(io.BytesIO(data))
        image.load()
        assert image.info["duration"] == 125
        frames = decode(data).pixels
        assert frames.shape == (3, 6, 8, 3)
        if lossless:
            assert np.array_equal(frames, (batch * 255).to(torch.uint8).numpy())

    def test_a_png_has_all_frames_their_duration_and_the_graph(self, context: Context) -> None:
        batch = pictures(3)
        image_io.save_animated_png(batch, "p", 8.0, context=context)
        data = (context.folders.output / "p_00001_.png").read_bytes()
        assert read_workflow(data) == {"prompt": PROMPT, "workflow": EXTRA["workflow"]}
        assert Image.open(io.BytesIO(data)).info["duration"] == 125.0
        assert np.array_equal(decode(data).pixels, (batch * 255).to(torch.uint8).numpy())

    def test_one_still_frame_is_no_animation(self, context: Context) -> None:
        output = image_io.save_animated_webp(pictures(1), "w", context=context)
        assert output.ui is not None and "animated" not in output.ui


class TestDeclarations:
    def test_schemas_are_comfyuis(self, context: Context) -> None:
        (context.folders.input / "x.png").touch()
        shown = describe(node_type(image_io.load_image), context.folders)
        assert shown["input"] == {"required": {"image": [["x.png"], {"image_upload": True}]}}
        assert shown["output"] == ["IMAGE", "MASK"] and shown["output_name"] == ["IMAGE", "MASK"]
        saving = describe(node_type(image_io.save_image), context.folders)
        assert saving["input_order"] == {"required": ["images", "filename_prefix"], "hidden": ["prompt", "extra_pnginfo"]}
        assert saving["input"]["hidden"] == {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
        assert saving["output"] == [] and saving["output_node"]
        webp = describe(node_type(image_io.save_animated_webp), context.folders)
        assert webp["input_order"]["required"] == ["images", "filename_prefix", "fps", "lossless", "quality", "method"]
        assert describe(node_type(image_io.load_image_output), context.folders)["input"]["required"]["image"][0] == []

    def test_what_comes_from_a_persons_files_is_private(self) -> None:
        for function in (image_io.load_image, image_io.load_image_mask, image_io.load_image_output):
            assert node_type(function).private

    def test_saving_never_waits_for_the_accelerator(self) -> None:
        for function in (image_io.save_image, image_io.preview_image, image_io.save_animated_png, image_io.save_animated_webp):
            assert node_type(function).lane == "cpu"


def test_without_metadata_a_picture_is_saved_without_its_graph(tmp_path: Path) -> None:
    context = Context(Services(Folders(tmp_path), metadata=False), prompt={"1": {"class_type": "SaveImage", "inputs": {}}})
    context.folders.create()
    image_io.save_image(pictures(), "bare", context=context)
    assert read_workflow((context.folders.output / "bare_00001_.png").read_bytes()) == {}
