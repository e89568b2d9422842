"""extra_model_paths.yaml is understood as ComfyUI understands it."""

from pathlib import Path

import pytest

from marquetry.engine.folders import Folders
from marquetry.engine.models.extra_model_paths import ExtraPathsError, apply_extra_model_paths, read_extra_model_paths

EXAMPLE = """
# comment
a111:
    base_path: stable-diffusion-webui/
    checkpoints: models/Stable-diffusion
    loras: |
        models/Lora
        models/LyCORIS
    unet: models/unet
comfyui:
    base_path: /srv/comfyui
    is_default: true
    checkpoints: models/checkpoints/
    clip: |
         models/text_encoders/
         models/clip/
    custom_nodes: custom_nodes/
    my_kind: models/mine
empty:
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "extra_model_paths.yaml"
    path.write_text(text)
    return path


def test_sections_add_folders_below_their_base(tmp_path: Path) -> None:
    folders = Folders(tmp_path / "data")

    apply_extra_model_paths(folders, written(tmp_path, EXAMPLE))

    webui = tmp_path / "stable-diffusion-webui/models"
    assert folders.model_folders("checkpoints") == [
        Path("/srv/comfyui/models/checkpoints"), tmp_path / "data/models/checkpoints", webui / "Stable-diffusion",
    ]  # fmt: skip
    assert folders.model_folders("loras") == [tmp_path / "data/models/loras", webui / "Lora", webui / "LyCORIS"]
    assert webui / "unet" in folders.model_folders("diffusion_models")
    assert Path("/srv/comfyui/models/clip") in folders.model_folders("text_encoders")
    assert folders.model_folders("my_kind") == [Path("/srv/comfyui/models/mine")]
    assert folders.custom_nodes == [Path("/srv/comfyui/custom_nodes"), tmp_path / "data/custom_nodes"]


def test_files_in_an_extra_folder_are_found(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/a.safetensors").write_bytes(b"")
    folders = Folders(tmp_path / "data")

    apply_extra_model_paths(folders, written(tmp_path, "mine:\n  loras: weights\n"))

    assert folders.list_files("loras") == ("a.safetensors",)


def test_home_and_environment_are_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIGHTS", "/mnt/weights")
    monkeypatch.setenv("HOME", "/home/someone")

    paths = read_extra_model_paths(written(tmp_path, "a:\n  base_path: $WEIGHTS\n  vae: v\nb:\n  vae: ~/v\n"))

    assert [extra.path for extra in paths] == [Path("/mnt/weights/v"), Path("/home/someone/v")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("- a\n", "must map"),
        ("a: 3\n", "section 'a'"),
        ("a:\n  base_path: 3\n", "base_path"),
        ("a:\n  is_default: maybe\n", "is_default"),
        ("a:\n  loras: 3\n", "'loras' of section 'a'"),
        ("a: [", "not YAML"),
        ("a: !!python/object/apply:os.system ['true']\n", "not YAML"),
    ],
)
def test_other_forms_are_refused_with_the_place(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ExtraPathsError, match=reason):
        read_extra_model_paths(written(tmp_path, text))


def test_empty_and_missing_files(tmp_path: Path) -> None:
    assert read_extra_model_paths(written(tmp_path, "# nothing\n")) == []
    with pytest.raises(ExtraPathsError, match="cannot be read"):
        read_extra_model_paths(tmp_path / "none.yaml")
