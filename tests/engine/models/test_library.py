"""ModelLibrary: one loading for everybody, storage types, and models that are saved and read again."""

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from marquetry.engine.errors import EngineError, ModelNotFound, NodeFailed, OutOfMemory
from marquetry.engine.folders import Folders
from marquetry.engine.models.adapters.adapter import Adapter, PublishedDelta
from marquetry.engine.models.adapters.delta import Difference
from marquetry.engine.models.builtin import BUILTIN_FOLDER, add_builtin_models
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.models.save import checkpoint_state, metadata_of, save_safetensors
from tests.checkpoints import FamilyName, networks, original_checkpoint, write_checkpoint, write_parts

LATENT = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
SIGMA = torch.tensor([2.0])


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    folders = Folders(tmp_path)
    folders.create()
    write_checkpoint(folders.models / "checkpoints/sd1.safetensors")
    return folders


@pytest.fixture
def library(folders: Folders) -> ModelLibrary:
    return ModelLibrary(folders, device="cpu", budget_bytes=2**30)


def denoised(model: Any) -> torch.Tensor:
    embedding = torch.randn(1, 77, model.config["cross_attention_dim"], generator=torch.Generator().manual_seed(2))
    made: torch.Tensor = model.denoise(LATENT, SIGMA, model.conditioning(embedding, {}, batch=1, latent_shape=(1, 4, 8, 8)))
    return made


def test_loading_reads_no_weights_until_a_network_is_used(library: ModelLibrary) -> None:
    model, _, _ = library.load_checkpoint("sd1.safetensors")
    assert library.residency.used_bytes == 0

    with model.loaded():
        assert library.residency.used_bytes == sum(parameter.nbytes for parameter in networks().unet.parameters())


def test_threads_that_load_the_same_file_share_one_network(library: ModelLibrary) -> None:
    seen: list[int] = []

    def use() -> None:
        with library.load_checkpoint("sd1.safetensors").model.resident.use() as network:
            seen.append(id(network))

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(seen) == 6 and len(set(seen)) == 1
    assert [entry.loads for entry in library.residency.snapshot()["networks"]] == [1]


def test_same_content_under_two_names_is_one_network(library: ModelLibrary, folders: Folders) -> None:
    (folders.models / "checkpoints/again.safetensors").write_bytes((folders.models / "checkpoints/sd1.safetensors").read_bytes())
    library.store.hash_all()

    first, second = (library.load_checkpoint(name).model for name in ("sd1.safetensors", "again.safetensors"))

    assert first.resident.key == second.resident.key


def test_file_that_is_replaced_is_loaded_anew(library: ModelLibrary, folders: Folders) -> None:
    before = denoised(library.load_checkpoint("sd1.safetensors").model)
    path = folders.models / "checkpoints/sd1.safetensors"
    path.unlink()
    write_checkpoint(path, networks(seed=5))

    assert not torch.equal(denoised(library.load_checkpoint("sd1.safetensors").model), before)


def test_models_leave_and_come_back_within_the_budget(folders: Folders) -> None:
    small = ModelLibrary(folders, device="cpu", budget_bytes=15_000_000)
    model, clip, vae = small.load_checkpoint("sd1.safetensors")
    assert clip is not None and vae is not None

    for _ in range(2):
        clip.encode_tokens(clip.tokenize("a cat"))
        denoised(model)
        vae.decode(LATENT)

    assert small.residency.peak_bytes <= 15_000_000
    assert sum(entry.loads for entry in small.residency.snapshot()["networks"]) > 3


def test_model_beyond_the_budget_is_refused_with_the_numbers(folders: Folders) -> None:
    model = ModelLibrary(folders, device="cpu", budget_bytes=1_000_000).load_checkpoint("sd1.safetensors").model

    with pytest.raises(OutOfMemory, match=r"sd1\.safetensors \(denoiser\) needs 0\.00 GiB"), model.loaded():
        pass


def test_copies_share_weights_and_leave_the_original_alone(library: ModelLibrary) -> None:
    model = library.load_checkpoint("sd1.safetensors").model
    before = denoised(model)
    adapter = Adapter("a", "h", (PublishedDelta("x", "unet", "conv_in", Difference(torch.randn(32, 4, 3, 3))),))

    changed = model.with_adapter(adapter, 1.0).with_options(a=1).with_sampling(model.sampling)

    assert changed.resident.key == model.resident.key
    assert (changed.options["a"], dict(model.options)) == (1, {})
    assert not torch.equal(denoised(changed), before)
    assert torch.equal(denoised(model), before)


def test_float8_storage_quarters_memory_and_changes_little(folders: Folders, library: ModelLibrary) -> None:
    paths = write_parts(folders.data / "parts")
    folders.add_model_folder("diffusion_models", paths["unet"].parent)
    whole = library.load_diffusion_model(paths["unet"].name)
    narrow = library.load_diffusion_model(paths["unet"].name, "fp8_e4m3fn")

    difference = (denoised(narrow) - denoised(whole)).abs().mean() / denoised(whole).abs().mean()

    assert 0 < float(difference) < 0.1
    sizes = [entry.size_bytes for entry in library.residency.snapshot()["networks"]]
    assert max(sizes) == 4 * min(sizes)
    with narrow.resident.use() as network:
        assert network.get_submodule("conv_in").weight.dtype == torch.float8_e4m3fn


@pytest.mark.parametrize("name", ["bfloat16", "fp16"])
def test_networks_compute_in_the_type_that_is_asked_for(folders: Folders, name: str) -> None:
    library = ModelLibrary(folders, device="cpu", dtype=name, text_dtype=name, vae_dtype=name)
    model, clip, vae = library.load_checkpoint("sd1.safetensors")
    assert clip is not None and vae is not None

    assert model.dtype == clip.first.dtype == vae.dtype
    assert library.numerics != ModelLibrary(folders, device="cpu").numerics
    assert denoised(model).dtype == clip.encode("a cat").embedding.dtype == vae.decode(LATENT).dtype == torch.float32
    exact = ModelLibrary(folders, device="cpu").load_checkpoint("sd1.safetensors").model
    assert torch.allclose(denoised(model), denoised(exact), atol=0.2)


def test_unknown_type_is_refused(folders: Folders) -> None:
    with pytest.raises(EngineError, match="int3"):
        ModelLibrary(folders, device="cpu", dtype="int3")


def test_types_of_text_encoder_that_no_family_serves_are_refused(library: ModelLibrary) -> None:
    with pytest.raises(NodeFailed, match="no installed family takes 2 text encoder files of type 'nothing'"):
        library.load_text_encoder(("a", "b"), "nothing")
    with pytest.raises(NodeFailed, match="type 'sdxl' takes 1 or 2"):
        library.load_text_encoder(("a", "b", "c"), "sdxl")


def test_missing_file_says_what_is_there(library: ModelLibrary) -> None:
    with pytest.raises(ModelNotFound, match=r"there is: sd1\.safetensors"):
        library.load_checkpoint("other.safetensors")


def test_state_dict_gives_the_files_tensors(library: ModelLibrary) -> None:
    state = library.load_state_dict("checkpoints", "sd1.safetensors")

    assert state.keys() == original_checkpoint(networks()).keys()


def test_unload_lets_go_of_everything_idle(library: ModelLibrary) -> None:
    denoised(library.load_checkpoint("sd1.safetensors").model)

    library.unload()

    assert library.residency.used_bytes == 0


def test_builtin_folder_is_searched_for_checkpoints(folders: Folders) -> None:
    add_builtin_models(folders)

    assert folders.model_folders("checkpoints")[-1] == BUILTIN_FOLDER
    assert BUILTIN_FOLDER.parts[-3:] == ("marquetry", "models", "builtin")


@pytest.mark.parametrize("name", ["sd1", "sd2"])
def test_saved_checkpoint_is_read_again_bit_for_bit(library: ModelLibrary, folders: Folders, name: FamilyName) -> None:
    write_checkpoint(folders.models / f"checkpoints/{name}.safetensors", networks(name), metadata={"modelspec.prediction_type": "v"})
    model, clip, vae = library.load_checkpoint(f"{name}.safetensors")
    path = folders.models / "checkpoints/saved.safetensors"

    save_safetensors(checkpoint_state(model=model, clip=clip, vae=vae), path, metadata_of(model, {"1": {}}, {"workflow": {}}))

    saved, original = load_file(path), original_checkpoint(networks(name))
    assert saved.keys() == original.keys()
    assert all(torch.equal(saved[key], original[key]) for key in saved)
    again = library.load_checkpoint("saved.safetensors").model
    assert (again.family, again.sampling.prediction) == (name, "v_prediction")
    assert library.store.header("checkpoints", "saved.safetensors").metadata["prompt"] == '{"1": {}}'
    assert torch.allclose(denoised(again), denoised(model), atol=1e-5)  # kernels may round otherwise where memory is aligned otherwise


def test_adapters_are_merged_into_what_is_saved(library: ModelLibrary, folders: Folders) -> None:
    model = library.load_checkpoint("sd1.safetensors").model
    adapter = Adapter("a", "h", (PublishedDelta("x", "unet", "conv_in", Difference(torch.randn(32, 4, 3, 3))),))
    adapted = model.with_adapter(adapter, 0.5)
    path = folders.models / "unet/merged.safetensors"

    save_safetensors(checkpoint_state(model=adapted), path, {})

    assert torch.allclose(denoised(library.load_diffusion_model("merged.safetensors")), denoised(adapted), atol=1e-4)
