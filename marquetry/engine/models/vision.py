"""ImageEncoder: what travels as CLIP_VISION, and ImageEncoding, what it makes of pictures: CLIP_VISION_OUTPUT."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.lazy import functional, torch
from marquetry.engine.models.families.registry import describe_layout
from marquetry.engine.models.layout import image_encoder as layout
from marquetry.engine.models.network import NetworkRecipe, build
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.weights import Weights, open_weights

if TYPE_CHECKING:
    from torch import Tensor, device, dtype, nn

    from marquetry.engine.models.library import ModelLibrary
    from marquetry.engine.models.residency import Resident

CLIP_COLOURS = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))  # mean and deviation
SIGLIP_COLOURS = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
TOGETHER = 8  # pictures in one pass
CLASSES = {
    ("clip", True): "transformers:CLIPVisionModelWithProjection:CLIPVisionConfig",
    ("clip", False): "transformers:CLIPVisionModel:CLIPVisionConfig",
    ("siglip", False): "transformers:SiglipVisionModel:SiglipVisionConfig",
}


@dataclass(frozen=True, eq=False)
class ImageEncoding:
    """Pictures as an encoder sees them, float32 on the CPU. Its values go by name too, as packs ask for them.

    `image_embeds` [B, P] are what is compared with words; `last_hidden_state` and `penultimate_hidden_states` [B, T, D] the tokens after
    the last layer and the one before; `image_sizes` what went in, (channels, height, width) of each.
    """

    image_embeds: Tensor
    last_hidden_state: Tensor
    penultimate_hidden_states: Tensor
    image_sizes: tuple[tuple[int, int, int], ...] = ()

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def __contains__(self, name: str) -> bool:
        return name in self.__dataclass_fields__


@dataclass(frozen=True)
class FoundEncoder:
    """An encoder in a file: how its network is made, and what it sees."""

    recipe: NetworkRecipe = field(repr=False)
    sizes: layout.ImageEncoderSizes


@dataclass(frozen=True, eq=False)
class ImageEncoder:
    """A network that turns pictures into vectors. Immutable."""

    resident: Resident[nn.Module]
    found: FoundEncoder
    device: device
    dtype: dtype
    name: str
    fingerprint: str = ""

    @property
    def sizes(self) -> layout.ImageEncoderSizes:
        """What it is and the side of the pictures that it takes."""
        return self.found.sizes

    @contextmanager
    def loaded(self) -> Iterator[None]:
        """Keeps the weights on the device while the block runs."""
        with self.resident.use():
            yield

    def encode_image(self, image: Tensor, crop: bool = True) -> ImageEncoding:
        """The encoding of pictures `[B, H, W, C]` in 0..1; with `crop` their middle square is seen, else they are squeezed into it."""
        seen = self.seen(image, crop)
        with self.resident.use() as network:
            parts = [self._encoded(network, part) for part in torch.split(seen, TOGETHER)]
        embeds, last, before = (torch.cat(same) for same in zip(*parts, strict=True))
        shape = (int(image.shape[3]), int(image.shape[1]), int(image.shape[2]))
        return ImageEncoding(embeds, last, before, (shape,) * len(image))

    def seen(self, image: Tensor, crop: bool = True) -> Tensor:
        """`[B, 3, S, S]` as the network takes them: resized by cubics without aliasing, rounded to 8 bits, normalised."""
        colours = CLIP_COLOURS if self.sizes.kind == "clip" else SIGLIP_COLOURS
        mean, deviation = (torch.tensor(values).reshape(1, 3, 1, 1) for values in colours)
        pictures = image.float().cpu()[..., :3].movedim(-1, 1)
        square = squared(pictures.expand(-1, 3, -1, -1), self.sizes.side, crop)
        return ((square * 255.0).clamp(0, 255).round() / 255.0 - mean) / deviation

    def _encoded(self, network: Any, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with torch.inference_mode():
            output = network(pixel_values=seen.to(self.device, self.dtype), output_hidden_states=True)
        embeds = output.image_embeds if self.sizes.projection else output.pooler_output
        if embeds is None:  # without a head, the mean of all places stands for the picture
            embeds = output.last_hidden_state.mean(dim=1)
        made = (embeds, output.last_hidden_state, output.hidden_states[-2])
        embeds, last, before = (tensor.float().cpu().clone() for tensor in made)
        return embeds, last, before


def squared(pictures: Tensor, side: int, crop: bool) -> Tensor:
    """`[B, C, H, W]` as `[B, C, side, side]`: the shorter side made that long and the middle kept, or both sides."""
    height, width = pictures.shape[-2:]
    if (height, width) == (side, side):
        return pictures
    scale = side / min(height, width)
    size = (max(side, round(scale * height)), max(side, round(scale * width))) if crop else (side, side)
    resized = functional.interpolate(pictures, size=size, mode="bicubic", antialias=True)
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    return resized[..., top : top + side, left : left + side]


def find_encoder(header: Header) -> FoundEncoder | None:
    """The image encoder that a file holds, by names and shapes."""
    said = layout.said_of(header)
    for prefix in (f"{outer}{inner}" for outer in layout.PREFIXES for inner in ("vision_model.", "")):
        sizes = layout.transformers_sizes(header, prefix)
        if sizes is not None:
            return _found(sizes, layout.transformers_table(sizes, header, prefix), said)
    for prefix in layout.OPEN_PREFIXES:
        sizes = layout.open_clip_sizes(header, prefix)
        if sizes is not None:
            return _found(sizes, layout.open_clip_table(sizes, prefix), said)
    return None


def load_image_encoder(library: ModelLibrary, name: str, kind: str = "clip_vision") -> ImageEncoder:
    """The image encoder of a file, or of a checkpoint that holds one. Raises ModelNotFound, or ModelFormatError where there is none."""
    path = library.store.path(kind, name)
    weights = open_weights(path)
    found = find_encoder(weights.header)
    if found is None:
        layout_words = describe_layout(weights.header)
        raise ModelFormatError(f"no known image encoder is in {path.name}: detected {layout_words}", file=path.name)
    return encoder_of(library, weights, found, library.store.fingerprint_of(path))


def encoder_of(library: ModelLibrary, weights: Weights, found: FoundEncoder, fingerprint: str) -> ImageEncoder:
    """The encoder that was found in a file's weights."""
    name, computed = weights.header.source, library.computes_in("text_encoder")
    resident = library.residency.register(
        (fingerprint, "image_encoder", str(computed)),
        label=f"{name} (image encoder)",
        size_bytes=found.recipe.parameters(weights.header) * torch.empty(0, dtype=computed).element_size(),
        load=partial(build, found.recipe, weights, computed, library.device),
    )
    return ImageEncoder(resident, found, library.device, computed, name, fingerprint)


def _found(sizes: layout.ImageEncoderSizes, table: Mapping[str, Any], said: Mapping[str, Any]) -> FoundEncoder:
    architecture = CLASSES[sizes.kind, bool(sizes.projection)]
    return FoundEncoder(NetworkRecipe(architecture, sizes.config(said), table), sizes)
