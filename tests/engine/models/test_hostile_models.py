"""Headers and configurations that lie: recognised as nothing or refused, never a crash."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.folders import Folders
from marquetry.engine.models.families.registry import recognise
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.models.safetensors_file import Header, TensorInfo
from tests.checkpoints import FamilyName, header_of, networks, original_checkpoint, write_folder

FAMILIES: tuple[FamilyName, ...] = ("sd1", "sd2")
HEADERS = {name: header_of(original_checkpoint(networks(name))) for name in FAMILIES}
SHAPES = st.lists(st.integers(0, 70), max_size=5).map(tuple)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(FAMILIES), st.data())
def test_wrong_shapes_and_missing_tensors_never_break_recognition(name: FamilyName, data: st.DataObject) -> None:
    header = HEADERS[name]
    names = data.draw(st.lists(st.sampled_from(sorted(header)), max_size=6))
    changed = dict(header.tensors)
    for wrong in names:
        if data.draw(st.booleans()):
            changed[wrong] = TensorInfo("F32", data.draw(SHAPES))
        else:
            changed.pop(wrong, None)

    found = recognise(Header("fuzzed", changed))

    assert found is None or found.parts


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("unet", {"attention_head_dim": 0}),
        ("unet", {"norm_num_groups": 0}),
        ("unet", {"norm_num_groups": 7}),
        ("unet", {"act_fn": "__import__"}),
        ("text_encoder", {"hidden_act": "eval"}),
        ("text_encoder", {"num_attention_heads": 0}),
        ("text_encoder", {"num_attention_heads": 7}),
        ("vae", {"act_fn": 3}),
    ],
)
def test_configuration_that_makes_no_sense_is_refused(tmp_path: Path, part: str, change: dict[str, object]) -> None:
    folders = Folders(tmp_path)
    folder = write_folder(folders.models / "diffusers/some")
    path = folder / part / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    library = ModelLibrary(folders, device="cpu", budget_bytes=2**30)

    with pytest.raises(ModelFormatError, match="cannot be built"):
        model, clip, vae = library.load_checkpoint("some", "diffusers")
        assert clip is not None and vae is not None
        for loaded in (model, clip, vae):
            with loaded.loaded():
                pass


@pytest.mark.parametrize("text", ["{", "[]", "3"])
def test_configuration_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    folders = Folders(tmp_path)
    folder = write_folder(folders.models / "diffusers/some")
    (folder / "unet/config.json").write_text(text)

    with pytest.raises(ModelFormatError, match=r"some/unet/config\.json is not"):
        ModelLibrary(folders, device="cpu").load_checkpoint("some", "diffusers")


def test_folder_without_weights_is_refused(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    (folders.models / "diffusers/some").mkdir(parents=True)
    (folders.models / "diffusers/some/model_index.json").write_text("{}")

    with pytest.raises(ModelFormatError, match="holds no unet, vae or text_encoder"):
        ModelLibrary(folders, device="cpu").load_checkpoint("some", "diffusers")
