"""ModelStore: what files are, their hashes, and new ones noticed; without importing a model library."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from marquetry.engine.errors import ModelFormatError, ModelNotFound
from marquetry.engine.folders import Folders
from marquetry.engine.models.fingerprint import HashMemory, quick_fingerprint
from marquetry.engine.models.store import ModelStore
from tests.checkpoints import networks, write_checkpoint, write_folder


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    folders = Folders(tmp_path)
    folders.create()
    return ModelStore(folders)


def test_show_tells_family_parts_types_and_metadata(store: ModelStore) -> None:
    path = write_checkpoint(store.folders.models / "checkpoints/a.safetensors", networks("sd2"), metadata={"modelspec.title": "A"})

    shown = store.show("checkpoints", "a.safetensors", with_hash=True)

    assert (shown.family, shown.layout, shown.parts) == ("sd2", "original", ("denoiser", "text_encoder", "vae"))
    assert shown.dtypes == {"F32": len(store.header("checkpoints", "a.safetensors"))}
    assert (shown.size_bytes, shown.metadata) == (path.stat().st_size, {"modelspec.title": "A"})
    assert shown.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_show_describes_what_no_family_reads(store: ModelStore) -> None:
    save_file({"double_blocks.0.x.weight": torch.zeros(2)}, store.folders.models / "unet/f.safetensors")

    shown = store.show("diffusion_models", "f.safetensors")

    assert shown.family is None
    assert "double_blocks.0.*" in shown.layout


def test_show_reads_diffusers_folders(store: ModelStore) -> None:
    write_folder(store.folders.models / "diffusers/some", networks("sd1"))

    assert store.show("diffusers", "some", with_hash=True).family == "sd1"
    assert store.fingerprint("diffusers", "some") == store.show("diffusers", "some").sha256


def test_new_and_removed_files_are_noticed(store: ModelStore) -> None:
    folder = store.folders.models / "loras"
    assert store.names("loras") == ()
    save_file({"x": torch.zeros(1)}, folder / "a.safetensors")
    os.utime(folder, ns=(1, 1))
    assert store.names("loras") == ("a.safetensors",)
    (folder / "a.safetensors").unlink()
    os.utime(folder, ns=(2, 2))
    assert store.names("loras") == ()
    with pytest.raises(ModelNotFound):
        store.path("loras", "a.safetensors")


def test_fingerprint_is_quick_until_the_hash_is_known(store: ModelStore) -> None:
    path = store.folders.models / "loras/a.safetensors"
    save_file({"x": torch.zeros(1000)}, path)

    quick = store.fingerprint("loras", "a.safetensors")
    assert quick.startswith("quick:") and quick == store.fingerprint("loras", "a.safetensors")
    assert store.hash_all() == 1
    assert store.fingerprint("loras", "a.safetensors") == hashlib.sha256(path.read_bytes()).hexdigest()
    assert store.hash_all() == 0


def test_quick_fingerprint_follows_content_and_not_place(tmp_path: Path) -> None:
    for name, value in (("a", 0.0), ("b", 0.0), ("c", 1.0)):
        save_file({"x": torch.full((100_000,), value)}, tmp_path / name)
        os.utime(tmp_path / name, ns=(5, 5))

    first, same, other = (quick_fingerprint(tmp_path / name) for name in "abc")

    assert first == same != other
    os.utime(tmp_path / "b", ns=(6, 6))
    assert quick_fingerprint(tmp_path / "b") != first


def test_hashes_outlive_the_process_and_follow_changes(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"one")
    digest = HashMemory(tmp_path / "hashes.sqlite").sha256(file)
    again = HashMemory(tmp_path / "hashes.sqlite")

    assert again.known(file) == digest == hashlib.sha256(b"one").hexdigest()
    file.write_bytes(b"other")
    assert again.known(file) is None
    assert again.sha256(file) == hashlib.sha256(b"other").hexdigest()


def test_verify_finds_damage_without_a_change_of_time(store: ModelStore) -> None:
    path = store.folders.models / "vae/a.safetensors"
    save_file({"x": torch.zeros(10)}, path)
    assert store.verify("vae", "a.safetensors").problem is None
    stamp = path.stat().st_mtime_ns
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    os.utime(path, ns=(stamp, stamp))

    assert "SHA-256" in (store.verify("vae", "a.safetensors").problem or "")


def test_verify_names_a_wrong_hash_and_an_unsound_file(store: ModelStore) -> None:
    save_file({"x": torch.zeros(1)}, store.folders.models / "vae/a.safetensors")
    (store.folders.models / "vae/b.safetensors").write_bytes(b"b")

    assert "not 00ff" in (store.verify("vae", "a.safetensors", "00FF").problem or "")
    assert "b.safetensors is not a sound safetensors file" in (store.verify("vae", "b.safetensors").problem or "")
    with pytest.raises(ModelFormatError):
        store.show("vae", "b.safetensors")


def test_no_model_library_is_imported_to_list_and_show(store: ModelStore) -> None:
    write_checkpoint(store.folders.models / "checkpoints/a.safetensors")
    program = (
        "import sys; from pathlib import Path; from marquetry.engine.folders import Folders; from marquetry.engine.models.store import ModelStore;"
        "import marquetry.engine.models.download, marquetry.engine.models.extra_model_paths, marquetry.engine.models.library;"
        "import marquetry.nodes.loaders, marquetry.nodes.text_encode, marquetry.nodes.vae;"
        f"store = ModelStore(Folders(Path({str(store.folders.data)!r})));"
        "assert store.show('checkpoints', 'a.safetensors').family == 'sd1';"
        "print([name for name in ('torch', 'diffusers', 'transformers', 'safetensors') if name in sys.modules])"
    )

    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "[]"
