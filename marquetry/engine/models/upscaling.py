"""UpscaleModel: what travels as UPSCALE_MODEL: a network from picture to picture that spandrel knows, run in tiles within the memory there is."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import re
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from marquetry.engine.errors import ModelFormatError, NodeFailed, OutOfMemory
from marquetry.engine.lazy import torch
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.tiling import map_tiles
from marquetry.engine.models.vae import is_out_of_memory
from marquetry.engine.models.weights import Weights, open_weights
from marquetry.engine.pictures.limits import require_size

if TYPE_CHECKING:
    from torch import Tensor, device

    from marquetry.engine.models.library import ModelLibrary
    from marquetry.engine.models.residency import Resident

logger = logging.getLogger(__name__)
TILE = 512  # pixels along a side that go through the network at once
SMALLEST_TILE = 64
CONTEXT = 16  # pixels at a tile's inner edges that are only looked at
FADE = 16  # pixels over which neighbours blend, between what each only looks at
FLOAT_BYTES = 4
MAX_NUMBER = 4096  # of a layer in a tensor's name
REFUSALS = (
    ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, NotImplementedError, RuntimeError, TypeError, ValueError,
)  # fmt: skip

Notice = Callable[[str], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class UpscalerFacts:
    """What a network is. `whole`: it works on whole pictures only; `scale` is 1 for one that restores."""

    architecture: str
    purpose: str
    scale: int
    whole: bool = False


@dataclass(frozen=True, eq=False)
class UpscaleModel:
    """A network that enlarges pictures, or mends them at their size. `relieve` lets go of what is idle on the device."""

    resident: Resident[Any]
    facts: UpscalerFacts
    device: device
    name: str
    relieve: Callable[[], object] = field(repr=False)
    fingerprint: str = ""

    @property
    def scale(self) -> int:
        """How much longer each side becomes."""
        return self.facts.scale

    @contextmanager
    def loaded(self) -> Iterator[None]:
        """Keeps the weights on the device while the block runs."""
        with self.resident.use():
            yield

    def enlarge(self, pictures: Tensor, *, tile: int = TILE, progress: Progress | None = None, notice: Notice | None = None) -> Tensor:
        """Pictures `[B, H * scale, W * scale, 3]` in 0..1, float32 on the CPU, of pictures `[B, H, W, C]` in 0..1.

        In tiles of `tile` pixels, one at a time; a network whose reach is within CONTEXT gives what it gives of the whole. When
        memory runs out, tiles are halved and `notice` is told. Raises NodeFailed for what would be too large, OutOfMemory at the smallest tile.
        """
        count, height, width = pictures.shape[:3]
        require_size(width * self.scale, height * self.scale, count)
        made = torch.empty(count, height * self.scale, width * self.scale, 3)
        with self.resident.use() as network:
            for number in range(count):
                told = None if progress is None else partial(_told, progress, number, count)
                large, tile = self._one(network, pictures[number : number + 1].movedim(-1, 1), tile, told, notice)
                made[number] = _coloured(large)[0].movedim(0, -1)
        return made

    def _one(self, network: Any, picture: Tensor, tile: int, progress: Progress | None, notice: Notice | None) -> tuple[Tensor, int]:
        """One picture, and the tile that was small enough."""
        if self.facts.whole:
            tile = max(picture.shape[-2:])
        while True:
            try:
                return self._tiled(network, picture, tile, progress), tile
            except Exception as error:
                if isinstance(error, OutOfMemory) or not is_out_of_memory(error):
                    raise
                self._after_shortage(tile, error, notice)
            tile = max(SMALLEST_TILE, min(tile, max(picture.shape[-2:])) // 2)

    def _tiled(self, network: Any, picture: Tensor, tile: int, progress: Progress | None) -> Tensor:
        channels = _channels(picture, int(network.input_channels))
        return map_tiles(
            partial(self._run, network),
            channels,
            tile_height=tile,
            tile_width=tile,
            overlap=CONTEXT + FADE + CONTEXT,
            context=CONTEXT,
            scale=(self.scale, 1),
            progress=progress,
        )

    def _run(self, network: Any, tile: Tensor) -> Tensor:
        with torch.inference_mode():
            large: Tensor = network(tile.to(self.device, torch.float32))
        return large.clone()

    def _after_shortage(self, tile: int, error: Exception, notice: Notice | None) -> None:
        if self.facts.whole or tile <= SMALLEST_TILE:
            what = "whole pictures, and it knows no tiles" if self.facts.whole else f"tiles of {tile} pixels"
            raise OutOfMemory(f"not enough memory on {self.device} for {self.name} with {what}; use a smaller picture") from error
        message = f"Not enough memory on {self.device} for tiles of {tile} pixels; continuing in smaller ones."
        logger.warning(message)
        if notice is not None:
            notice(message)
        self.relieve()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def load_upscaler(library: ModelLibrary, name: str) -> UpscaleModel:
    """The upscaler of a file in `upscale_models`. What it is stands in its weights, so these come into memory.

    Raises ModelNotFound, or ModelFormatError for a file that is unsound or of no known architecture.
    """
    path = library.store.path("upscale_models", name)
    fingerprint = library.store.fingerprint_of(path)
    weights = open_weights(path)
    resident = library.residency.register(
        (fingerprint, "upscaler"),
        label=f"{path.name} (upscaler)",
        size_bytes=weights.header.parameters * FLOAT_BYTES,
        load=partial(build_upscaler, weights, library.device),
    )
    with resident.use() as network:
        facts = facts_of(network)
    return UpscaleModel(resident, facts, library.device, path.name, library.residency.unload_all, fingerprint)


def build_upscaler(weights: Weights, device: device) -> Any:
    """spandrel's descriptor of a weight file, in float32 on the device. Raises ModelFormatError for what it does not know."""
    name = weights.header.source
    _check_names(weights.header)
    library = spandrel()
    try:
        network = library.MAIN_REGISTRY.load({name: weights.tensor(name).float() for name in weights.header})
    except library.UnsupportedModelError as error:
        some = ", ".join(list(weights.header)[:3])
        raise ModelFormatError(
            f"{name} holds no upscaler of a known architecture: {len(weights.header)} tensors, such as {some}", file=name
        ) from error
    except REFUSALS as error:
        raise ModelFormatError(f"{name} is not a sound upscaler: {error}", file=name) from error
    if not isinstance(network, library.ImageModelDescriptor):
        raise NodeFailed(f"{name} ({network.architecture.name}) paints into masks; it enlarges nothing", name=name)
    network.model.requires_grad_(False)
    return network.to(device).eval()


def facts_of(network: Any) -> UpscalerFacts:
    """What a descriptor tells."""
    return UpscalerFacts(str(network.architecture.name), str(network.purpose), int(network.scale), network.tiling.name == "INTERNAL")


def spandrel() -> Any:
    """The package. Two of its architectures name functions of torchvision; where that is not installed, they are here."""
    if "spandrel" in sys.modules or importlib.util.find_spec("torchvision") is not None:
        return importlib.import_module("spandrel")
    names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    stand_ins = {name: types.ModuleType(name) for name in names}
    vars(stand_ins[names[2]]).update(InterpolationMode=types.SimpleNamespace(BILINEAR=2), rotate=None, normalize=_normalized)
    sys.modules.update(stand_ins)
    try:
        return importlib.import_module("spandrel")
    finally:
        for name in names:
            del sys.modules[name]


def _normalized(pictures: Tensor, mean: list[float], deviation: list[float]) -> Tensor:
    places = (-1, 1, 1)
    return (pictures - torch.tensor(mean).to(pictures).reshape(places)) / torch.tensor(deviation).to(pictures).reshape(places)


def _check_names(header: Header) -> None:
    """Architectures are as deep as the numbers in the names say: a file can't ask for millions of layers."""
    for name in header:
        if any(int(number) > MAX_NUMBER for number in re.findall(r"\d{1,18}", name)):
            raise ModelFormatError(
                f"{header.source} is not a sound upscaler: its tensor '{name[:80]}' has too large a number", file=header.source
            )


def _channels(pictures: Tensor, count: int) -> Tensor:
    """`[B, C, H, W]` with as many channels as a network takes: their mean, the colours, and ones beyond (opaque)."""
    if count == 1:
        return pictures[:, :3].mean(dim=1, keepdim=True)
    coloured = _coloured(pictures)
    rest = pictures[:, 3:count] if pictures.shape[1] >= count else torch.ones(len(pictures), max(0, count - 3), *pictures.shape[2:])
    return torch.cat([coloured, rest], dim=1)[:, :count]


def _coloured(pictures: Tensor) -> Tensor:
    return pictures.expand(-1, 3, -1, -1) if pictures.shape[1] == 1 else pictures[:, :3]


def _told(progress: Progress, number: int, count: int, done: int, total: int) -> None:
    progress(number * total + done, count * total)
