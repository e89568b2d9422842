"""Picture files: exact pixels, graphs that travel with them, nothing personal left in them, and hostile files refused."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, PngImagePlugin

from marquetry.engine.errors import InvalidPicture, NodeFailed
from marquetry.engine.pictures import (
    decode,
    encode_apng,
    encode_png,
    read_workflow,
    require_size,
    sniff,
    strip_metadata,
    thumbnail,
    to_tensor,
    to_uint8,
)
from marquetry.engine.pictures.metadata import exif_block
from marquetry.engine.pictures.png import chunk, filtered

GRAPH = {
    "prompt": json.dumps({"1": {"class_type": "SaveImage", "inputs": {}}}),
    "workflow": json.dumps({"nodes": [], "title": "\u00fcber"}),
}
ORIENTATION = 0x0112
FLAGS: dict[int, Callable[[Any], Any]] = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2),
    8: np.rot90,
}


def file_of(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def noise(height: int = 24, width: int = 32, channels: int = 3, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def camera_exif(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[0x010F] = "SECRETCAMERA"
    exif.get_ifd(0x8825)[2] = (48.0, 8.0, 1.0)  # GPS latitude
    exif.get_ifd(0x8825)[1] = "N"
    return exif


def pixels_of(data: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


class TestConversion:
    def test_bytes_are_truncated_not_rounded(self) -> None:
        assert to_uint8(torch.tensor([0.1, 0.25, 0.3, 0.5, 2 / 3, 1.0])).tolist() == [25, 63, 76, 127, 170, 255]

    def test_values_outside_the_range_are_clipped_and_nan_is_black(self) -> None:
        assert to_uint8(torch.tensor([-1.0, 2.0, float("nan"), float("inf"), -float("inf")])).tolist() == [0, 255, 0, 255, 0]

    def test_half_precision_gives_the_same_bytes_as_its_float_value(self) -> None:
        values = torch.rand(64).to(torch.bfloat16)
        assert to_uint8(values).tolist() == to_uint8(values.float()).tolist()

    def test_every_byte_survives_the_way_through_a_tensor(self) -> None:
        levels = np.arange(256, dtype=np.uint8)
        assert to_uint8(to_tensor(levels)).tolist() == levels.tolist()

    def test_sixteen_bits_become_fractions_of_65535(self) -> None:
        assert to_tensor(np.array([0, 65535], np.uint16)).tolist() == [0.0, 1.0]


class TestEncoding:
    @settings(max_examples=60, deadline=None)
    @given(
        arrays.arrays(
            np.uint8,
            st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4)),
            elements=st.integers(0, 255),
            fill=st.just(7),
        ),
        st.integers(0, 9),
    )
    def test_pillow_reads_back_exactly_the_pixels(self, pixels: np.ndarray[Any, np.dtype[np.uint8]], level: int) -> None:
        image = Image.open(io.BytesIO(encode_png(pixels, level=level)))
        image.load()
        assert np.array_equal(np.asarray(image).reshape(pixels.shape), pixels)

    @pytest.mark.parametrize("threads", [1, 2, 3])
    @pytest.mark.parametrize("kind", ["photograph", "drawing", "noise"])
    def test_every_strategy_and_number_of_strips_is_exact(self, kind: str, threads: int) -> None:
        y, x = np.mgrid[0:700, 0:900]
        smooth = np.stack([x // 5 % 256, y // 4 % 256, (x + y) // 9 % 256], -1)
        pixels = {
            "photograph": (smooth + noise(700, 900) // 40).astype(np.uint8),
            "drawing": (smooth // 64 * 64).astype(np.uint8),
            "noise": noise(700, 900),
        }[kind]
        data = encode_png(pixels, threads=threads)
        assert np.array_equal(pixels_of(data), pixels)
        assert len(data) <= 1.05 * len(file_of(Image.fromarray(pixels), "PNG", compress_level=4))

    @pytest.mark.parametrize("kind", range(4))
    def test_each_filter_is_undone_by_a_reader(self, kind: int) -> None:
        pixels = noise(9, 11)
        body = zlib.compress(filtered(pixels.reshape(9, 33), 3, kind).tobytes())
        plain = encode_png(pixels)
        head = plain[: plain.index(b"IDAT") - 4]
        assert np.array_equal(pixels_of(head + chunk(b"IDAT", body) + chunk(b"IEND", b"")), pixels)

    def test_texts_are_read_by_pillow_whatever_their_letters(self) -> None:
        texts = {"prompt": "{}", "latin": "caf\u00e9\nline", "wide": "\u6728 \U0001f333"}
        image = Image.open(io.BytesIO(encode_png(noise(), texts)))
        assert isinstance(image, PngImagePlugin.PngImageFile)
        assert dict(image.text) == texts

    @pytest.mark.parametrize("keyword", ["", "x" * 80, "a\x00b", "\u6728"])
    def test_a_keyword_that_png_does_not_allow_is_refused(self, keyword: str) -> None:
        with pytest.raises(ValueError, match="can't name a text"):
            encode_png(noise(), {keyword: "text"})

    @pytest.mark.parametrize("shape", [(0, 4, 3), (4, 0, 3), (4, 4, 5)])
    def test_shapes_that_are_no_picture_are_refused(self, shape: tuple[int, int, int]) -> None:
        with pytest.raises(ValueError, match="can't be a PNG"):
            encode_png(np.zeros(shape, np.uint8))

    def test_an_animation_keeps_every_frame_and_its_duration(self) -> None:
        frames = [noise(seed=seed) for seed in range(3)]
        image = Image.open(io.BytesIO(encode_apng(frames, 125)))
        assert getattr(image, "n_frames", 1) == 3
        for index, frame in enumerate(frames):
            image.seek(index)
            assert np.array_equal(np.asarray(image.convert("RGB")), frame)
            assert image.info["duration"] == 125.0


class TestDecoding:
    @pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "WEBP", "AVIF", "GIF", "JPEG"])
    def test_each_format_is_told_by_its_content(self, format: str) -> None:
        data = file_of(Image.fromarray(noise()), format)
        assert sniff(data) == format
        picture = decode(data)
        assert picture.pixels.shape == (1, 24, 32, 3)
        if format in ("PNG", "BMP", "TIFF"):
            assert np.array_equal(picture.pixels[0], noise())

    def test_the_file_name_does_not_matter(self, tmp_path: Path) -> None:
        path = tmp_path / "picture.jpg"
        path.write_bytes(encode_png(noise()))
        assert decode(path).format == "PNG"

    def test_sixteen_bit_grey_keeps_its_precision(self) -> None:
        levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
        picture = decode(file_of(Image.fromarray(levels), "PNG"))
        assert np.array_equal(picture.pixels[0, ..., 1], levels)

    def test_a_palette_with_transparency_becomes_colours_and_alpha(self) -> None:
        image = Image.new("P", (2, 1))
        image.putpalette([255, 0, 0, 0, 0, 255])
        image.putpixel((1, 0), 1)
        picture = decode(file_of(image, "PNG", transparency=1))
        assert picture.pixels[0, 0].tolist() == [[255, 0, 0, 255], [0, 0, 255, 0]]

    def test_a_transparent_colour_of_an_rgb_file_counts(self) -> None:
        image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
        assert decode(file_of(image, "PNG", transparency=(4, 5, 6))).pixels[0, 0, :, 3].tolist() == [255, 0]

    @pytest.mark.parametrize("mode", ["CMYK", "L", "LA", "1", "YCbCr", "F"])
    def test_other_colour_models_become_rgb(self, mode: str) -> None:
        image = Image.fromarray(noise()).convert(mode)
        format = "TIFF" if mode in ("CMYK", "YCbCr", "F") else "PNG"
        picture = decode(file_of(image, format))
        assert np.array_equal(picture.pixels[0, ..., :3], np.asarray(image.convert("RGB")))

    def test_a_cmyk_jpeg_is_not_inverted(self) -> None:
        image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # red
        red, green, blue = decode(file_of(image, "JPEG", quality=95)).pixels[0, 8, 8].tolist()
        assert red > 200 and green < 60 and blue < 60

    @pytest.mark.parametrize("flag", FLAGS)
    @pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
    def test_orientation_is_applied(self, format: str, flag: int) -> None:
        exif = Image.Exif()
        exif[ORIENTATION] = flag
        coarse = np.kron(noise(3, 4), np.ones((16, 16, 1), np.uint8))
        options = {"lossless": True} if format == "WEBP" else {"quality": 95, "subsampling": 0} if format == "JPEG" else {}
        data = file_of(Image.fromarray(coarse), format, exif=exif, **options)
        expected = FLAGS[flag](coarse).astype(int)
        actual = decode(data).pixels[0].astype(int)
        assert actual.shape == expected.shape
        assert np.abs(actual - expected).mean() < 6

    def test_damaged_exif_does_not_hide_the_picture(self) -> None:
        data = encode_png(noise())
        at = data.index(b"IDAT") - 4
        assert decode(data[:at] + chunk(b"eXIf", b"MM\x00*\xff\xff\xff\xff") + data[at:]).pixels.shape == (1, 24, 32, 3)

    @pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
    def test_all_frames_of_an_animation_are_given(self, format: str) -> None:
        frames = [Image.new("RGB", (8, 6), (shade, 0, 255 - shade)) for shade in (0, 100, 200)]
        data = file_of(frames[0], format, save_all=True, append_images=frames[1:])
        picture = decode(data)
        assert picture.pixels.shape[:3] == (3, 6, 8)
        for frame, shade in zip(picture.pixels, (0, 100, 200), strict=True):
            assert abs(int(frame[0, 0, 0]) - shade) < 12

    def test_pages_of_another_size_are_left_out(self) -> None:
        pages = [Image.new("RGB", size) for size in ((8, 6), (9, 6), (8, 6))]
        assert decode(file_of(pages[0], "TIFF", save_all=True, append_images=pages[1:])).pixels.shape == (2, 6, 8, 3)

    @pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
    def test_too_many_frames_are_refused(self, format: str) -> None:
        frames = [Image.new("RGB", (4, 4), (shade * 20, 0, 0)) for shade in range(9)]
        data = file_of(frames[0], format, save_all=True, append_images=frames[1:])
        with pytest.raises(InvalidPicture, match="more than 8 frames"):
            decode(data, max_frames=8)
        with pytest.raises(InvalidPicture, match="too large"):
            decode(data, max_pixels=4 * 4 * 8)

    def test_an_animation_that_announces_a_million_frames_is_refused_unread(self) -> None:
        data = encode_apng([noise(), noise(seed=1)], 100)
        lying = data.replace(chunk(b"acTL", struct.pack(">II", 2, 0)), chunk(b"acTL", struct.pack(">II", 1_000_000, 0)))
        with pytest.raises(InvalidPicture, match="frames"):
            decode(lying)

    def test_a_bomb_is_refused_by_its_header(self) -> None:
        header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
        bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")
        with pytest.raises(InvalidPicture):
            decode(bomb)
        with pytest.raises(InvalidPicture):
            strip_metadata(bomb)
        with pytest.raises(InvalidPicture):
            thumbnail(bomb, 64)

    def test_the_limit_of_pixels_is_exact(self) -> None:
        assert decode(encode_png(noise()), max_pixels=24 * 32).pixels.shape == (1, 24, 32, 3)
        with pytest.raises(InvalidPicture, match="32x24"):
            decode(encode_png(noise()), max_pixels=24 * 32 - 1)

    def test_too_many_bytes_are_refused(self) -> None:
        with pytest.raises(InvalidPicture, match="bytes"):
            decode(encode_png(noise()), max_bytes=100)

    @pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
    def test_a_file_that_is_cut_short_is_refused(self, format: str) -> None:
        data = file_of(Image.fromarray(noise(64, 64)), format)
        for part in (0.95, 0.6, 0.3):
            with pytest.raises(InvalidPicture):
                decode(data[: int(len(data) * part)])

    @pytest.mark.parametrize(
        "data", [b"", b"BM", b"\x89PNG\r\n\x1a\n", b"RIFF\x00\x00\x00\x00WEBP", b"<svg/>", b"GIF89a", b"II*\x00", b"\xff\xd8\xff"]
    )
    def test_what_only_begins_like_a_picture_is_refused(self, data: bytes) -> None:
        with pytest.raises(InvalidPicture):
            decode(data)
        assert read_workflow(data) == {}

    @settings(max_examples=150, deadline=None)
    @given(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"]), st.data())
    def test_damage_anywhere_gives_a_picture_or_a_clear_refusal(self, format: str, data: st.DataObject) -> None:
        raw = bytearray(file_of(Image.fromarray(noise(16, 16)), format))
        for _ in range(data.draw(st.integers(1, 6))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        read_workflow(bytes(raw))
        for action in (decode, strip_metadata):
            try:
                action(bytes(raw), max_pixels=2**20)
            except InvalidPicture as problem:
                assert problem.message


class TestMetadata:
    @pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
    @pytest.mark.parametrize("flag", [1, 6])
    def test_camera_place_and_comments_are_gone_and_the_picture_stays_upright(self, format: str, flag: int) -> None:
        coarse = np.kron(noise(3, 4), np.ones((16, 16, 1), np.uint8))
        options: dict[str, Any] = {"exif": camera_exif(flag)}
        if format == "PNG":
            options["pnginfo"] = PngImagePlugin.PngInfo()
            options["pnginfo"].add_text("Author", "SECRETAUTHOR")
        if format == "JPEG":
            options |= {"comment": b"SECRETCOMMENT", "xmp": b"<x:xmpmeta>SECRETXMP</x:xmpmeta>", "quality": 95, "subsampling": 0}
        if format == "WEBP":
            options |= {"lossless": True, "xmp": b"SECRETXMP"}
        if format == "AVIF":
            options["quality"] = 95
        data = file_of(Image.fromarray(coarse), format, **options)
        clean = strip_metadata(data)
        assert b"SECRET" in data and b"SECRET" not in clean
        image = Image.open(io.BytesIO(clean))
        assert ORIENTATION not in image.getexif() or image.getexif()[ORIENTATION] == 1
        assert not image.getexif().get_ifd(0x8825)
        before, after = decode(data).pixels[0].astype(int), decode(clean).pixels[0].astype(int)
        assert np.abs(before - after).mean() < 4
        assert np.asarray(image.convert("RGB")).shape == before.shape

    @pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF"])
    def test_pixels_are_not_coded_again_without_need(self, format: str) -> None:
        data = file_of(Image.fromarray(noise()), format, **({} if format == "GIF" else {"exif": camera_exif()}))
        clean = strip_metadata(data)
        assert np.array_equal(pixels_of(clean), pixels_of(data))
        assert strip_metadata(clean) == clean

    def test_an_animation_keeps_its_frames_and_only_its_orientation(self) -> None:
        frames = [Image.fromarray(noise(seed=seed)) for seed in range(3)]
        for format, options in (("WEBP", {"lossless": True}), ("PNG", {})):
            data = file_of(frames[0], format, save_all=True, append_images=frames[1:], exif=camera_exif(6), **options)
            clean = strip_metadata(data)
            assert b"SECRET" not in clean
            assert np.array_equal(decode(clean).pixels, decode(data).pixels)

    def test_graphs_stay_in_a_png_and_other_texts_go(self) -> None:
        data = encode_png(noise(), {**GRAPH, "parameters": "SECRET", "Comment": "SECRET"})
        clean = strip_metadata(data)
        assert b"SECRET" not in clean
        assert read_workflow(clean) == {key: json.loads(text) for key, text in GRAPH.items()}

    def test_a_graph_key_without_a_graph_goes_too(self) -> None:
        clean = strip_metadata(encode_png(noise(), {"prompt": "my SECRET diary", "workflow": '["SECRET"]'}))
        assert b"SECRET" not in clean and read_workflow(clean) == {}

    @pytest.mark.parametrize("format", ["WEBP", "JPEG"])
    @pytest.mark.parametrize("flag", [1, 3])
    def test_graphs_in_exif_stay_and_the_camera_goes(self, format: str, flag: int) -> None:
        exif = camera_exif(flag)
        exif[0x0110], exif[0x010F] = f"prompt:{GRAPH['prompt']}", "workflow:" + json.dumps(json.loads(GRAPH["workflow"]))
        exif[0x0131] = "SECRETSOFTWARE"
        clean = strip_metadata(file_of(Image.fromarray(noise()), format, exif=exif))
        assert b"SECRET" not in clean
        assert read_workflow(clean) == {key: json.loads(text) for key, text in GRAPH.items()}

    def test_what_we_write_into_exif_pillow_and_we_read(self) -> None:
        texts = {"prompt": '{"1": {}}', "workflow": '{"nodes": []}', "other": '"x"'}
        data = file_of(Image.fromarray(noise()), "WEBP", exif=exif_block(texts))
        assert Image.open(io.BytesIO(data)).getexif()[0x0110] == 'prompt:{"1": {}}'
        assert read_workflow(data) == {"prompt": {"1": {}}, "workflow": {"nodes": []}}

    @pytest.mark.parametrize("packed", [False, True])
    def test_graphs_in_compressed_and_international_texts_are_read(self, packed: bool) -> None:
        info = PngImagePlugin.PngInfo()
        info.add_text("prompt", '{"a": 1}', zip=packed)
        info.add_itxt("workflow", '{"b": "\u6728"}', zip=packed)
        assert read_workflow(file_of(Image.fromarray(noise()), "PNG", pnginfo=info)) == {"prompt": {"a": 1}, "workflow": {"b": "\u6728"}}

    def test_a_text_that_grows_without_end_is_not_read(self) -> None:
        data = encode_png(noise())
        at = data.index(b"IDAT") - 4
        bomb = zlib.compress(b'{"a": "' + bytes(2**26) + b'"}', 9)
        assert read_workflow(data[:at] + chunk(b"zTXt", b"prompt\x00\x00" + bomb) + data[at:]) == {}

    @pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF"])
    def test_what_hangs_behind_the_picture_is_cut_off(self, format: str) -> None:
        data = file_of(Image.fromarray(noise()), format)
        assert strip_metadata(data + b"PK\x03\x04 SECRET archive <script>") == strip_metadata(data)

    def test_a_comment_in_a_gif_goes_and_its_loop_stays(self) -> None:
        frames = [Image.new("P", (8, 8), shade) for shade in (0, 1, 2)]
        data = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:], loop=0, comment=b"SECRET")
        clean = strip_metadata(data)
        assert b"SECRET" in data and b"SECRET" not in clean
        assert Image.open(io.BytesIO(clean)).info["loop"] == 0
        assert np.array_equal(decode(clean).pixels, decode(data).pixels)

    def test_a_preview_inside_a_jpeg_goes(self) -> None:
        data = file_of(Image.fromarray(noise()), "JPEG")
        preview = b"\xff\xe0" + struct.pack(">H", 10) + b"JFXX\x00\x10SE"
        assert b"JFXX" not in strip_metadata(data[:2] + preview + data[2:])

    def test_a_colour_profile_stays(self) -> None:
        from PIL import ImageCms

        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        for format in ("PNG", "JPEG", "WEBP"):
            data = file_of(Image.fromarray(noise()), format, icc_profile=profile, exif=camera_exif(6))
            assert Image.open(io.BytesIO(strip_metadata(data))).info["icc_profile"] == profile

    def test_what_is_no_picture_is_refused(self) -> None:
        with pytest.raises(InvalidPicture, match="no picture"):
            strip_metadata(b"<html>")


class TestThumbnail:
    def test_the_longer_side_fits_and_nothing_personal_is_inside(self) -> None:
        data = file_of(Image.fromarray(noise(300, 600)), "JPEG", exif=camera_exif(6), comment=b"SECRET")
        small = thumbnail(data, 128)
        image = Image.open(io.BytesIO(small))
        assert image.format == "WEBP" and image.size == (64, 128)
        assert b"SECRET" not in small and b"EXIF" not in small

    def test_transparency_stays(self) -> None:
        small = thumbnail(encode_png(np.zeros((32, 32, 4), np.uint8)), 16)
        assert Image.open(io.BytesIO(small)).convert("RGBA").getpixel((3, 3))[3] == 0  # type: ignore[index]

    def test_a_small_picture_is_not_enlarged(self) -> None:
        assert Image.open(io.BytesIO(thumbnail(encode_png(noise()), 512))).size == (32, 24)


class TestLimits:
    @pytest.mark.parametrize("size", [(16385, 1, 1), (1, 16385, 1), (16384, 16384, 2), (0, 5, 1), (5, 0, 1), (5, 5, 0)])
    def test_sizes_beyond_the_limits_are_refused(self, size: tuple[int, int, int]) -> None:
        with pytest.raises(NodeFailed):
            require_size(*size)

    def test_the_largest_size_is_allowed(self) -> None:
        require_size(16384, 16384, 1)
