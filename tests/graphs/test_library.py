"""The shipped graphs: what their manifests say is true, and each one runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image

import marquetry.nodes
from marquetry.engine.folders import Folders
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.registry import choices_of
from marquetry.graphs.library import SAMPLES, GraphNotFound, ShippedGraph, list_graphs, load_graph, place_samples
from tests.checkpoints import networks, write_checkpoint
from tests.engine.execution.workshop import Ended, Workshop

MODEL = "marquetry-mini.safetensors"
GRAPHS = list_graphs()
KINDS = {"text": "STRING", "integer": "INT", "number": "FLOAT"}


class Studio(Workshop):
    """A workshop with all built-in nodes and a tiny model under the built-in model's name."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.registry.scan(marquetry.nodes)
        self.folders.create()
        write_checkpoint(self.folders.models / "checkpoints" / MODEL, networks("sd1"))
        object.__setattr__(self.executor.services, "models", ModelLibrary(self.folders, device="cpu"))

    def pictures(self, ended: Ended) -> list[Any]:
        assert ended.state == "completed", (ended.last, ended.failures)
        files = [self.folders.output / entry["subfolder"] / entry["filename"] for ui in ended.ui.values() for entry in ui["images"]]
        return [numpy.asarray(Image.open(file).convert("RGB")) for file in files]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Any:
    studio = Studio(tmp_path_factory.mktemp("studio"))
    yield studio
    studio.close()


def test_the_first_graphs_are_there() -> None:
    names = {graph.name for graph in GRAPHS}
    assert names >= {"text_to_image", "image_to_image", "inpaint", "upscale_latent", "batch_variations"}
    assert {path.stem for path in SAMPLES.parent.glob("*.json")} == names


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.name)
def test_a_manifest_names_inputs_and_outputs_that_the_graph_has(graph: ShippedGraph, studio: Studio) -> None:
    nodes = load_graph(graph.name)
    assert graph.title and graph.description and graph.tags and graph.thumbnail.is_file()
    for place in graph.inputs.values():
        declared = studio.registry[nodes[place.node_id]["class_type"]].input(place.node_input)
        assert declared is not None and place.node_input in nodes[place.node_id]["inputs"]
        if place.kind in KINDS:
            assert declared.type == KINDS[place.kind]
        elif place.kind == "choice":
            assert choices_of(declared, studio.folders) is not None
        else:
            assert (place.kind, declared.file_kind) == ("image", "input")
    for output in graph.outputs.values():
        assert studio.registry[nodes[output.node_id]["class_type"]].is_output
    assert all((SAMPLES / sample).is_file() for sample in graph.samples)


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.name)
def test_a_shipped_graph_is_valid_and_gives_pictures(graph: ShippedGraph, studio: Studio) -> None:
    place_samples(graph.name, studio.folders)
    nodes = load_graph(graph.name, steps=2, seed=5)
    assert studio.check(nodes).ok
    pictures = studio.pictures(studio.run(nodes, job_id=graph.name))
    sizes = {"upscale_latent": (96, 96), "area_composition": (64, 128)}
    assert len(pictures) == (4 if graph.name == "batch_variations" else 1)
    assert {picture.shape[:2] for picture in pictures} == {sizes.get(graph.name, (64, 64))}


def test_inpainting_leaves_what_is_not_masked_as_it_was(studio: Studio) -> None:
    place_samples("inpaint", studio.folders)
    (made,) = studio.pictures(studio.run(load_graph("inpaint", steps=2), job_id="inpainting"))
    sample = numpy.asarray(Image.open(SAMPLES / "sample_beach_with_hole.png"))
    kept = sample[..., 3] == 255
    assert numpy.abs(made[kept].astype(int) - sample[..., :3][kept]).max() <= 1
    assert numpy.abs(made[~kept].astype(int) - sample[..., :3][~kept]).max() > 1


def test_inputs_are_filled_in_and_unknown_ones_refused() -> None:
    assert load_graph("text_to_image", prompt="a cat", width=128)["2"]["inputs"]["text"] == "a cat"
    with pytest.raises(GraphNotFound, match="takes no 'colour'"):
        load_graph("text_to_image", colour="red")
    with pytest.raises(GraphNotFound, match="text_to_image"):
        load_graph("nothing")


def test_samples_do_not_replace_a_persons_own_pictures(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    folders.create()
    (folders.input / "sample_car.png").write_bytes(b"mine")
    place_samples("image_to_image", folders)
    assert (folders.input / "sample_car.png").read_bytes() == b"mine"
