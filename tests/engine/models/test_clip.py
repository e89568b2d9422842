"""Clip: weights, layers, textual inversions, long prompts and adapters, against transformers' own encoder."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.folders import Folders
from marquetry.engine.models.clip import Clip, EncodedPrompt, EncodingCache
from marquetry.engine.models.library import ModelLibrary
from tests.checkpoints import FamilyName, networks, write_checkpoint


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    folders = Folders(tmp_path_factory.mktemp("data"))
    folders.create()
    for name in ("sd1", "sd2"):
        write_checkpoint(folders.models / f"checkpoints/{name}.safetensors", networks(name))
    return folders


@pytest.fixture(scope="module")
def library(folders: Folders) -> ModelLibrary:
    return ModelLibrary(folders, device="cpu", budget_bytes=2**30)


def clip_of(library: ModelLibrary, name: FamilyName = "sd1") -> Clip:
    clip = library.load_checkpoint(f"{name}.safetensors").clip
    assert clip is not None
    return clip


def reference(name: FamilyName, clip: Clip, text: str) -> Any:
    encoder: Any = networks(name).text_encoder
    ids = torch.tensor([[token for token, _ in chunk] for chunk in clip.first.tokenize(text).chunks])
    return encoder(ids, output_hidden_states=True)


def test_weight_moves_an_embedding_away_from_the_empty_prompt(library: ModelLibrary) -> None:
    clip = clip_of(library)
    words, empty = reference("sd1", clip, "a red cat").last_hidden_state, reference("sd1", clip, "").last_hidden_state
    weights = torch.ones(77)
    weights[2] = 1.4  # after the mark of start and "a"

    encoded = clip.encode("a (red:1.4) cat").embedding

    assert torch.allclose(encoded, empty + (words - empty) * weights[None, :, None], atol=1e-6)
    assert torch.allclose(encoded[:, 1], words[:, 1], atol=1e-6)


def test_long_prompt_is_encoded_in_chunks_side_by_side(library: ModelLibrary) -> None:
    clip = clip_of(library)
    hidden = reference("sd1", clip, "cat " * 100).last_hidden_state

    encoded = clip.encode("cat " * 100)

    assert encoded.embedding.shape == (1, 154, 64)
    assert torch.allclose(encoded.embedding[0], hidden.reshape(154, 64), atol=1e-6)


@pytest.mark.parametrize("layer", [-1, -2, -3])
@pytest.mark.parametrize("name", ["sd1", "sd2"])
def test_stop_layer_gives_hidden_states_with_final_norm(library: ModelLibrary, name: FamilyName, layer: int) -> None:
    clip = clip_of(library, name)
    encoder: Any = networks(name).text_encoder

    encoded = clip.with_stop_layer(layer).encode("a red cat").embedding

    assert torch.allclose(encoded, encoder.final_layer_norm(reference(name, clip, "a red cat").hidden_states[layer]), atol=1e-5)


def test_stop_layer_before_the_first_reads_the_last(library: ModelLibrary) -> None:
    clip = clip_of(library)

    assert torch.equal(clip.with_stop_layer(-24).encode("a cat").embedding, clip.encode("a cat").embedding)


def test_sd2_is_read_before_its_last_layer(library: ModelLibrary) -> None:
    clip = clip_of(library, "sd2")

    assert torch.equal(clip.encode("a cat").embedding, clip.with_stop_layer(-2).encode("a cat").embedding)


def test_pooled_output_is_the_last_layer_at_the_end_of_the_prompt(library: ModelLibrary) -> None:
    clip = clip_of(library)

    pooled = clip.with_stop_layer(-2).encode("a cat").pooled
    assert pooled is not None and torch.allclose(pooled, reference("sd1", clip, "a cat").pooler_output, atol=1e-6)


def test_pooled_output_of_open_clip_is_projected(library: ModelLibrary) -> None:
    clip = clip_of(library, "sd2")
    projection = networks("sd2").text_projection
    assert projection is not None

    pooled = clip.encode("a cat").pooled

    assert pooled is not None and torch.allclose(pooled, reference("sd2", clip, "a cat").pooler_output @ projection, atol=1e-5)


VECTORS = torch.randn(2, 64, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("style.safetensors", {"emb_params": VECTORS}),
        ("style.pt", {"string_to_param": {"*": VECTORS}, "string_to_token": {"*": 265}, "name": "style", "step": 9}),
        ("style.bin", {"<style>": VECTORS}),
        ("style.safetensors", {"clip_g": torch.zeros(2, 128), "clip_l": VECTORS}),
    ],
)
def test_textual_inversion_of_every_layout_takes_the_place_of_tokens(tmp_path: Path, file: str, content: dict[str, Any]) -> None:
    folders = Folders(tmp_path)
    folders.create()
    write_checkpoint(folders.models / "checkpoints/sd1.safetensors")
    path = folders.models / "embeddings" / file
    (save_file if path.suffix == ".safetensors" else torch.save)(content, path)
    clip = clip_of(ModelLibrary(folders, device="cpu"))
    encoder: Any = networks().text_encoder
    table = encoder.embeddings.token_embedding.weight
    inside = clip.first.tokenize("a embedding:style cat").chunks[0]
    tokens = torch.stack([table[token] if isinstance(token, int) else token for token, _ in inside])

    encoded = clip.encode("a embedding:style cat")

    assert torch.equal(torch.stack([token for token, _ in inside if isinstance(token, Tensor)]), VECTORS)
    hidden = encoder.embeddings(inputs_embeds=tokens[None])
    for layer in encoder.encoder.layers:
        hidden = layer(hidden, None, is_causal=True)
    assert torch.allclose(encoded.embedding, encoder.final_layer_norm(hidden), atol=1e-6)
    assert encoded.missing == ()


def test_textual_inversion_of_another_width_or_outside_its_folder_is_missing(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    folders.create()
    write_checkpoint(folders.models / "checkpoints/sd1.safetensors")
    save_file({"emb_params": torch.ones(1, 32)}, folders.models / "embeddings/narrow.safetensors")
    save_file({"emb_params": VECTORS}, folders.models / "secret.safetensors")
    clip = clip_of(ModelLibrary(folders, device="cpu"))

    assert clip.encode("embedding:narrow embedding:../secret x").missing == ("narrow", "../secret")


def test_unsound_textual_inversion_is_an_error(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    folders.create()
    write_checkpoint(folders.models / "checkpoints/sd1.safetensors")
    (folders.models / "embeddings/bad.safetensors").write_bytes(b"bad")

    with pytest.raises(ModelFormatError, match=r"bad\.safetensors"):
        clip_of(ModelLibrary(folders, device="cpu")).encode("embedding:bad")


def test_encoded_prompts_are_remembered_by_layer_and_text(library: ModelLibrary) -> None:
    clip = clip_of(library)

    assert clip.encode("a blue dog") is clip_of(library).encode("a blue dog")
    assert clip.encode("a blue dog") is not clip.with_stop_layer(-2).encode("a blue dog")


def test_remembered_prompts_keep_to_their_budget() -> None:
    cache = EncodingCache(budget_bytes=1000)
    for number in range(20):
        cache.put((number,), EncodedPrompt(torch.zeros(1, 25, 4), torch.zeros(1)))

    assert cache.get((19,)) is not None
    assert sum(cache.get((number,)) is not None for number in range(20)) == 2


def test_adapter_changes_what_is_encoded_and_leaves_the_base(library: ModelLibrary) -> None:
    from marquetry.engine.models.adapters.adapter import Adapter, PublishedDelta
    from marquetry.engine.models.adapters.delta import Difference

    change = torch.randn(64, 64) * 0.1
    delta = Difference(change)
    adapter = Adapter("a", "hash", (PublishedDelta("lora_te_x", "text_encoder", "encoder_layers_0_self_attn_q_proj", delta),))
    clip = clip_of(library)
    before = clip.encode("a cat").embedding.clone()

    adapted = clip.with_adapter(adapter, 0.5)

    assert not torch.equal(adapted.encode("a cat").embedding, before)
    assert torch.equal(clip.encode("a cat").embedding, before)
    assert adapted.first.resident.key == clip.first.resident.key
