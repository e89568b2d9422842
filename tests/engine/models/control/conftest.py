"""A tiny SD1 with four ControlNets, and two prompts."""

from __future__ import annotations

from typing import Any

import pytest

from marquetry.engine.models.control.control_net import ControlNet
from marquetry.engine.models.library import ModelLibrary
from tests import checkpoints
from tests.engine.models.control.tiny import net_of, written
from tests.engine.models.families.tiny import library_at


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    library = library_at(tmp_path_factory.mktemp("data"))
    checkpoints.write_checkpoint(library.folders.models / "checkpoints/sd1.safetensors")
    return library


@pytest.fixture(scope="module")
def nets(library: ModelLibrary) -> list[ControlNet]:
    return [written(library, f"net{seed}", net_of(checkpoints.networks("sd1").unet, seed)) for seed in range(4)]


@pytest.fixture(scope="module")
def prompts(library: ModelLibrary) -> tuple[Any, Any]:
    clip = library.load_checkpoint("sd1.safetensors").clip
    assert clip is not None
    return clip.encode_conditioning("a red cat"), clip.encode_conditioning("blurry")
