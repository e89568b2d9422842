"""Training nodes on the built-in model: their files go where loaders find them, they tell how far they are, and lose nothing when cancelled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL.Image import Image as Picture
from safetensors import safe_open
from torch import Tensor

from marquetry.engine.context import Context
from marquetry.engine.declare import node_type
from marquetry.engine.errors import Interrupted, NodeFailed, UnsafePath
from marquetry.engine.training.dataset import Dataset
from marquetry.engine.training.errors import TrainingFailed
from marquetry.nodes import dataset as datasets
from marquetry.nodes import training, training_pictures, training_steering
from marquetry.nodes.loaders import load_checkpoint
from marquetry.nodes.lora import load_lora
from tests.engine.training.studio import MODEL, SIDE, WORDS, context_in, painted


class Heard:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.previews: list[Picture] = []
        self.texts: list[str] = []

    def progress(self, node_id: str, value: float, total: float, preview: Picture | None) -> None:
        self.steps.append(value)
        if preview is not None:
            self.previews.append(preview)

    def text(self, node_id: str, text: str) -> None:
        self.texts.append(text)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    return painted(tmp_path_factory.mktemp("studio"))[:8]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def context(tmp_path: Path, heard: Heard) -> Context:
    made = context_in(tmp_path)
    made.reporter = heard
    return made


@pytest.fixture
def parts(context: Context) -> dict[str, Any]:
    model, clip, vae = load_checkpoint(MODEL, context)
    return {"model": model, "clip": clip, "vae": vae, "context": context}


@pytest.fixture(scope="module")
def dataset(pictures: Tensor) -> Dataset:
    found: Dataset = datasets.dataset_images(pictures, "\n".join(WORDS[:8]), "sketch")
    return found.split(0.25, seed=0)


SMALL: dict[str, Any] = {"steps": 3, "batch_size": 2, "resolution": SIDE}


def test_a_lora_is_trained_shown_and_found_by_its_loader(parts: dict[str, Any], dataset: Dataset, heard: Heard) -> None:
    done = training.train_lora(**parts, dataset=dataset, **SMALL, rank=4, sample_every=2, sample_prompts="sketch, a red car\nsketch, a cat")
    context: Context = parts["context"]
    assert done.NAME == "my_lora.safetensors"
    assert context.folders.list_files("loras") == ("my_lora.safetensors",)
    assert load_lora(parts["model"], parts["clip"], done.NAME, context=context).MODEL.adapters
    assert (done.LOSS_CURVE.shape[0], done.SAMPLES.shape) == (1, (2, SIDE, SIDE, 3))
    assert heard.steps[:3] == [1, 2, 2] and heard.steps[-2:] == [3, 3]
    assert [preview.size for preview in heard.previews] == [(2 * SIDE, SIDE)] * 2
    assert "held-out pictures" in done.REPORT and any(text.startswith("step 3 of 3") for text in heard.texts)
    with safe_open(context.folders.full_path("loras", done.NAME), framework="pt") as file:
        said = file.metadata()
    assert said["ss_sd_model_name"] == MODEL and len(said["ss_new_sd_model_hash"]) == 64


def test_the_same_training_is_found_finished_and_another_does_not_overwrite_it(
    parts: dict[str, Any], dataset: Dataset, heard: Heard
) -> None:
    first = training.train_lora(**parts, dataset=dataset, **SMALL, rank=4)
    count = len(heard.steps)
    again = training.train_lora(**parts, dataset=dataset, **SMALL, rank=4)
    assert again.NAME == first.NAME and "was finished before" in again.REPORT
    assert len(heard.steps) == count
    assert torch.equal(first.SAMPLES, again.SAMPLES)
    other = training.train_lora(**parts, dataset=dataset, **SMALL, rank=4, seed=1)
    assert other.NAME == "my_lora_2.safetensors"


def test_a_cancelled_training_waits_hidden_and_ends_as_if_it_had_not_been(parts: dict[str, Any], dataset: Dataset, heard: Heard) -> None:
    context: Context = parts["context"]
    whole = training.train_lora(**parts, dataset=dataset, **SMALL, rank=4, output_name="whole")
    expected = context.folders.full_path("loras", whole.NAME).read_bytes()
    context.folders.full_path("loras", whole.NAME).unlink()
    heard.steps.clear()
    context.cancelled = lambda: 2 in heard.steps
    with pytest.raises(Interrupted):
        training.train_lora(**parts, dataset=dataset, **SMALL, rank=4, output_name="whole")
    folder = context.folders.model_folders("loras")[0]
    assert len(list(folder.glob(".whole.*.training"))) == 1
    assert context.folders.list_files("loras") == ()
    context.cancelled = lambda: False
    heard.steps.clear()
    training.train_lora(**parts, dataset=dataset, **SMALL, rank=4, output_name="whole")
    assert heard.steps[0] == 3
    assert context.folders.full_path("loras", "whole.safetensors").read_bytes() == expected
    assert not list(folder.glob(".whole.*"))


@pytest.mark.parametrize(("name", "error"), [("../out", UnsafePath), ("", NodeFailed), ("a/.hidden", NodeFailed), ("a" * 300, NodeFailed)])
def test_a_name_never_leaves_its_folder(parts: dict[str, Any], dataset: Dataset, name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        training.train_lora(**parts, dataset=dataset, **SMALL, output_name=name)


def test_what_a_checkpoint_lacks_is_said(parts: dict[str, Any], dataset: Dataset) -> None:
    with pytest.raises(TrainingFailed, match="needs an autoencoder"):
        training.train_lora(**{**parts, "vae": None}, dataset=dataset, **SMALL)


@pytest.mark.parametrize(("purpose", "channels"), [("pictures", 4), ("inpainting", 9)])
def test_a_fine_tuned_checkpoint_loads(parts: dict[str, Any], dataset: Dataset, purpose: Any, channels: int) -> None:
    done = training.fine_tune(**parts, dataset=dataset, **SMALL, purpose=purpose)
    assert load_checkpoint(done.NAME, parts["context"]).MODEL.in_channels == channels


@pytest.mark.parametrize(("student", "kind"), [("lora", "loras"), ("whole", "checkpoints")])
def test_a_student_goes_to_the_folder_of_its_kind(parts: dict[str, Any], dataset: Dataset, student: Any, kind: str) -> None:
    done = training.distill_model(**parts, dataset=dataset, **SMALL, student=student, rank=4)
    assert done.NAME in parts["context"].folders.list_files(kind)


def test_what_steers_goes_to_the_folders_of_its_kinds(parts: dict[str, Any], dataset: Dataset, pictures: Tensor) -> None:
    context: Context = parts["context"]
    steered = datasets.dataset_hints(dataset, pictures[: len(dataset)])
    control = training_steering.train_control_net(**parts, dataset=steered, **SMALL)
    assert context.folders.list_files("controlnet") == (control.NAME,)
    eyes = training_steering.train_image_encoder(**parts, dataset=dataset, steps=2, batch_size=4, width=32, layers=1)
    assert context.folders.list_files("clip_vision") == (eyes.NAME,)
    adapter = training_steering.train_ip_adapter(**parts, dataset=dataset, encoder=eyes.NAME, **SMALL)
    assert (context.folders.models / "ipadapter" / adapter.NAME).exists()
    motion = training_steering.train_motion_module(
        **parts, frames=pictures, frames_per_clip=4, captions="one\nother", frames_at_once=2, steps=1, resolution=SIDE
    )
    assert (context.folders.models / "animatediff_models" / motion.NAME).exists()
    with pytest.raises(NodeFailed, match="8 frames can't be cut into clips of 3"):
        training_steering.train_motion_module(**parts, frames=pictures, frames_per_clip=3, captions="", steps=1)


def test_an_upscaler_tells_its_gain_on_held_out_pictures(context: Context, dataset: Dataset) -> None:
    done = training_pictures.train_upscaler(dataset, steps=2, batch_size=2, features=8, convolutions=1, crop=32, context=context)
    assert "dB over Lanczos" in done.REPORT
    assert context.folders.list_files("upscale_models") == (done.NAME,)


def test_readers_and_captioners_describe_a_dataset(context: Context, dataset: Dataset) -> None:
    truths = json.dumps([{"kind": "car" if number % 2 else "cat", "style": "flat"} for number in range(len(dataset))])
    reader = training_pictures.train_picture_reader(dataset, truths, steps=2, batch_size=2, side=32, context=context)
    captioner = training_pictures.train_caption_model(dataset, steps=2, batch_size=2, side=32, width=32, layers=1, context=context)
    bare = datasets.dataset_images(torch.rand(2, 32, 32, 3))
    tagged = datasets.auto_tag(bare, reader.NAME, 0.0, context=context)
    assert all("flat" in example.captions[0] for example in tagged.examples)
    assert datasets.auto_tag(dataset, reader.NAME, context=context).key() == dataset.key()
    assert len(datasets.auto_caption(bare, captioner.NAME, context=context)) == 2
    with pytest.raises(TrainingFailed, match="6 pictures and 1 truths"):
        training_pictures.train_picture_reader(dataset, "[[0, 0, 1]]", context=context)
    with pytest.raises(TrainingFailed, match="truth 1 is no direction"):
        training_pictures.train_picture_reader(dataset, json.dumps([[0, 0]] * 6), context=context)
    with pytest.raises(NodeFailed, match="no JSON"):
        training_pictures.train_picture_reader(dataset, "{", context=context)


def test_datasets_are_read_filtered_joined_split_and_previewed(context: Context, pictures: Tensor, heard: Heard) -> None:
    from PIL import Image

    folder = context.folders.input / "cats"
    folder.mkdir(parents=True)
    for number, picture in enumerate([pictures[0], pictures[0], pictures[1]]):
        Image.fromarray((picture * 255).byte().numpy()).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"cat {number}")
    read = datasets.dataset_folder("cats", "sks", 2, context=context)
    assert [example.captions for example in read.examples] == [("cat 0",), ("cat 1",), ("cat 2",)]
    kept, report = datasets.dataset_filter(read, smallest_side=32, least_sharpness=0.0, context=context)
    assert len(kept) == 2 and "1.png looks the same as 0.png" in report and heard.texts == [report]
    joined = datasets.dataset_join(kept, datasets.dataset_images(pictures[2:4], "a | b\nc", "old"))
    assert joined.examples[2].captions == ("old, a", "old, b") and joined.trigger == "sks"
    assert len(datasets.dataset_split(joined, 0.5).held_out) == 2
    assert datasets.dataset_preview(joined, 32, 3).shape == (3, 32, 32, 3)
    with pytest.raises(NodeFailed, match="no folder 'dogs'"):
        datasets.dataset_folder("dogs", context=context)
    with pytest.raises(UnsafePath):
        datasets.dataset_folder("../..", context=context)


def test_a_mask_for_each_picture_is_wanted(dataset: Dataset) -> None:
    assert datasets.dataset_masks(dataset, torch.ones(6, 64, 64)).examples[0].mask is not None
    with pytest.raises(NodeFailed, match="6 pictures and 2 masks"):
        datasets.dataset_masks(dataset, torch.ones(2, 64, 64))


def test_a_lora_is_counted_by_its_pictures(dataset: Dataset) -> None:
    rule = node_type(training.train_lora).usage
    assert rule is not None

    def counted(given: dict[str, Any]) -> list[tuple[str, int]]:
        return [(usage.operation, usage.quantity) for usage in rule(given)]

    assert counted({"dataset": dataset}) == [("train.lora50", 1)]
    assert counted({}) == [("train.lora200", 1)]
    large = datasets.dataset_images(torch.zeros(450, 2, 2, 3))
    assert counted({"dataset": large}) == [("train.lora200", 3)]
