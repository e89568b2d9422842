"""Datasets: captioned pictures from folders or wires, looked over, split, captioned, given steering pictures."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.ports import Dataset, File, Image, Mask, Named, Range, Seed, Text, Tip

if TYPE_CHECKING:
    from marquetry.engine.training.dataset_checks import Fault

CATEGORY = "training/dataset"
FolderName = Annotated[str, Tip("A folder below the input folder. Each picture's caption is the .txt of the same name beside it.")]
Trigger = Annotated[str, Tip("Words that begin every caption, and later every prompt that is to show what was learnt.")]
Captions = Annotated[str, Text(multiline=True), Tip("One line for each picture, in their order; | between several wordings.")]


class Filtered(NamedTuple):
    DATASET: Dataset
    REPORT: Annotated[str, Tip("What was found, a line for each picture.")]


def always_anew(**literals: Any) -> str:
    """A folder's content may have changed since it was last read."""
    return uuid.uuid4().hex


@node(id="DatasetFolder", title="Dataset from Folder", category=CATEGORY, fingerprint=always_anew, aliases=("training", "DatasetUpload"))
def dataset_folder(folder: FolderName, trigger: Trigger = "", repeats: Annotated[int, Range(1, 1000)] = 1, *, context: Context) -> Dataset:
    """Reads the pictures of a folder and its subfolders. A subfolder called `10_name` comes up ten times as often."""
    from marquetry.engine.training.dataset import from_folder

    path = context.folders.inside(context.folders.input, folder)
    if not path.is_dir():
        raise NodeFailed(f"there is no folder '{folder}' among the inputs; upload the pictures into one, or name another")
    return from_folder(path, repeats=repeats).with_trigger(trigger)


@node(id="DatasetImages", title="Dataset from Images", category=CATEGORY, aliases=("training",))
def dataset_images(images: Image, captions: Captions = "", trigger: Trigger = "") -> Dataset:
    """A dataset of a batch of pictures. Without captions all are learnt under the trigger alone."""
    from marquetry.engine.training.dataset import as_bytes, from_memory

    lines = captions.splitlines() if captions.strip() else [""] * images.shape[0]
    wordings = [[part.strip() for part in line.split("|") if part.strip()] for line in lines]
    return from_memory([as_bytes(image) for image in images], wordings).with_trigger(trigger)


@node(id="DatasetJoin", title="Join Datasets", category=CATEGORY)
def dataset_join(dataset_1: Dataset, dataset_2: Dataset) -> Dataset:
    """Both datasets as one, under the first one's trigger; what is held out stays held out."""
    from dataclasses import replace

    def named(dataset: Any, number: int) -> Any:
        return [
            tuple(
                replace(each, name=f"{number}/{each.name}", captions=tuple(_worded(dataset, text) for text in each.captions))
                for each in part
            )
            for part in (dataset.examples, dataset.held_out)
        ]

    def _worded(dataset: Any, text: str) -> str:
        return text if dataset is dataset_1 else str(dataset.worded(text))

    (first, kept_first), (second, kept_second) = named(dataset_1, 1), named(dataset_2, 2)
    return replace(dataset_1, examples=first + second, held_out=kept_first + kept_second)


@node(id="DatasetHints", title="Steering Pictures for Dataset", category=CATEGORY, aliases=("controlnet", "conditioning"))
def dataset_hints(dataset: Dataset, hints: Annotated[Image, Tip("One for each picture to learn from, in their order.")]) -> Dataset:
    """Puts a steering picture beside each picture: edges, depth, a pose."""
    from marquetry.engine.training.dataset import with_hints

    return with_hints(dataset, list(hints))


@node(id="DatasetMasks", title="Masks for Dataset", category=CATEGORY, aliases=("inpaint",))
def dataset_masks(dataset: Dataset, masks: Annotated[Mask, Tip("One for each picture to learn from, in their order.")]) -> Dataset:
    """Says what of each picture is to be made anew, for training to inpaint; other masks are drawn beside it."""
    from dataclasses import replace

    if len(masks) != len(dataset):
        raise NodeFailed(f"there are {len(dataset)} pictures and {len(masks)} masks; give one for each picture")
    examples = tuple(replace(each, mask=(mask * 255.0).byte()) for each, mask in zip(dataset.examples, masks, strict=True))
    return replace(dataset, examples=examples)


@node(id="DatasetFilter", title="Check and Filter Dataset", category=CATEGORY, aliases=("duplicates", "blur", "curate"))
def dataset_filter(
    dataset: Dataset,
    smallest_side: Annotated[int, Range(0, 4096)] = 256,
    least_sharpness: Annotated[float, Range(0.0, 1000.0, step=1.0)] = 12.0,
    drop_small: bool = True,
    drop_blurred: bool = True,
    drop_duplicates: bool = True,
    drop_uncaptioned: bool = False,
    *,
    context: Context,
) -> Filtered:
    """Looks every picture over, and leaves out those with the faults that are chosen; the report names all of them."""
    from marquetry.engine.training.dataset_checks import findings, without

    found = findings(dataset, side_min=smallest_side, sharpness_min=least_sharpness)
    chosen: dict[Fault, bool] = {
        "too_small": drop_small, "blurred": drop_blurred, "duplicate": drop_duplicates, "no_caption": drop_uncaptioned
    }  # fmt: skip
    kept = without(dataset, found, frozenset(fault for fault, dropped in chosen.items() if dropped))
    report = "\n".join([f"{len(kept)} of {len(dataset)} pictures are kept", *(finding.message for finding in found)])
    context.text(report)
    return Filtered(kept, report)


@node(id="DatasetSplit", title="Split Dataset", category=CATEGORY, aliases=("validation",))
def dataset_split(
    dataset: Dataset, held_out_share: Annotated[float, Range(0.0, 0.9, step=0.01)] = 0.1, seed: Annotated[int, Seed(control=False)] = 0
) -> Dataset:
    """Holds a share of the pictures back, so that what was learnt can be measured on pictures never seen."""
    return dataset.split(held_out_share, seed)


@node(id="AutoCaption", title="Caption Dataset", category=CATEGORY, lane="device", aliases=("caption",))
def auto_caption(
    dataset: Dataset,
    captioner: Annotated[str, File("classifiers"), Tip("A caption model, as Train Caption Model writes them.")],
    only_missing: bool = True,
    *,
    context: Context,
) -> Dataset:
    """Writes captions for pictures that lack one, or for all."""
    from marquetry.engine.training.captioner import describe, read_captioner

    model = read_captioner(context.folders.full_path("classifiers", captioner))
    return _recaptioned(dataset, only_missing, context, lambda pictures: describe(model, pictures))


@node(id="AutoTag", title="Tag Dataset", category=CATEGORY, lane="device", aliases=("tag", "attributes"))
def auto_tag(
    dataset: Dataset,
    reader: Annotated[str, File("classifiers"), Tip("A reader of attributes, as Train Picture Reader writes them.")],
    least_sureness: Annotated[float, Range(0.0, 1.0, step=0.01)] = 0.6,
    only_missing: bool = True,
    *,
    context: Context,
) -> Dataset:
    """Writes what a reader of attributes is sure of as captions, commas between."""
    from marquetry.engine.training.readers import read_attributes, read_reader

    model = read_reader(context.folders.full_path("classifiers", reader))
    if model.facts.kind != "attributes":
        raise NodeFailed(f"{reader} reads the direction of light; choose a reader of attributes")

    def tags(pictures: list[Any]) -> list[str]:
        answers = read_attributes(model, pictures)
        return [", ".join(answer for answer, sure in found.values() if sure >= least_sureness) for found in answers]

    return _recaptioned(dataset, only_missing, context, tags)


@node(id="DatasetPreview", title="Dataset to Images", category=CATEGORY)
def dataset_preview(
    dataset: Dataset, side: Annotated[int, Range(16, 2048, step=8)] = 256, count: Annotated[int, Range(1, 256)] = 16
) -> Annotated[Image, Named("IMAGE")]:
    """The first pictures to learn from, cut square."""
    import torch

    from marquetry.engine.training.buckets import Bucket, fitted

    return torch.stack([fitted(each.picture, Bucket(side, side)) for each in dataset.examples[:count]]).float() / 255.0


def _recaptioned(dataset: Any, only_missing: bool, context: Context, say: Any) -> Any:
    from dataclasses import replace

    def one(example: Any) -> Any:
        context.check()
        if only_missing and any(text.strip() for text in example.captions):
            return example
        return replace(example, captions=(say([example.picture])[0],))

    return replace(dataset, examples=tuple(map(one, dataset.examples)), held_out=tuple(map(one, dataset.held_out)))
