"""What families of diffusion transformers have in common: where their files keep the network, sixteen-channel autoencoders, token inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from marquetry.engine.lazy import functional, torch
from marquetry.engine.models.families.family import Found
from marquetry.engine.models.layout.table import Piece
from marquetry.engine.models.network import NetworkRecipe
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.stable_diffusion import vae_part, vae_table
from marquetry.engine.models.text.files import TextFile, text_file
from marquetry.engine.models.text.part import TextEncoderPart
from marquetry.engine.sampling.latent_format import LatentFormat

if TYPE_CHECKING:
    from torch import Tensor

PREFIXES = ("model.diffusion_model.", "diffusion_model.", "transformer.", "model.", "")
POOLED = "pooled"
TOKENS = "tokens"
"""The key of prompt tokens [B, T, D] that take part in self-attention: prompts of different lengths don't share a forward pass."""


class Sizes(Protocol):
    """The sizes of a network, from a header."""

    def config(self) -> dict[str, Any]:
        """The arguments of the network's class."""
        ...


class TransformerFamily:
    """A family whose denoiser is a transformer. Subclasses give the layouts, the text encoders and the forward pass."""

    id: str
    architecture: str  # of the denoiser
    latent_format: LatentFormat
    text_prefixes: Mapping[str, tuple[str, ...]] = {}  # role -> where a checkpoint keeps that encoder
    borrows_autoencoder = False  # whether an autoencoder by itself is said to be another family's

    def original_sizes(self, header: Header, prefix: str) -> Any:
        """The sizes of a denoiser in the original layout, or None."""
        raise NotImplementedError

    def diffusers_sizes(self, header: Header, prefix: str) -> Any:
        """The same for diffusers' layout."""
        raise NotImplementedError

    def original_pieces(self, sizes: Any, header: Header, prefix: str) -> dict[str, Piece]:
        """Where the denoiser's tensors stand in the original layout."""
        raise NotImplementedError

    def diffusers_pieces(self, header: Header, prefix: str) -> dict[str, Piece]:
        """The same for diffusers' layout."""
        return {name.removeprefix(prefix): Piece(name) for name in header if name.startswith(prefix)}

    def read_text(self, file: TextFile, role: str) -> TextEncoderPart:
        """How the family reads the encoder of that role."""
        raise NotImplementedError

    def find_vae(self, header: Header, options: Mapping[str, Any]) -> tuple[NetworkRecipe, str, str] | None:
        """The autoencoder, what its names begin with, and its layout."""
        return vae_part(header, options, self.latent_format.channels)

    def vae_pieces(self, recipe: NetworkRecipe, names: Mapping[str, Any]) -> Mapping[str, Piece]:
        """Where its tensors, `names`, are written."""
        return vae_table(recipe, names)

    def options(self, hints: Mapping[str, Any]) -> dict[str, Any]:
        """Those of a diffusers folder's values that a header can't show."""
        return {}

    def recognise(self, header: Header, hints: Mapping[str, Any]) -> Found | None:
        """An encoder by itself is left to CLIPLoader's type."""
        prefixes: dict[str, str] = {}
        denoiser, layout = self._denoiser(header, hints, prefixes)
        vae = self.find_vae(header, hints.get("vae", {}))
        if denoiser is None and (vae is None or self.borrows_autoencoder):
            return None
        encoders: dict[str, TextEncoderPart] = {}
        for role, places in self.text_prefixes.items() if denoiser is not None else ():
            file = text_file(header, places, hints.get(places[-1].partition(".")[0]))
            if file is not None:
                encoders[role], prefixes[role] = self.read_text(file, role), file.prefix
        if vae is not None:
            prefixes["vae"], layout = vae[1], layout or vae[2]
        return Found(self.id, layout, denoiser, encoders, None if vae is None else vae[0], prefixes)

    def original_table(self, found: Found, part: str, names: Mapping[str, Any]) -> dict[str, Any]:
        """Saving: the denoiser under the checkpoint's prefix, encoders in their own names, as the large families are published."""
        if part == "vae" and found.vae is not None:
            table: Mapping[str, Piece] = self.vae_pieces(found.vae, names)
        elif part == "denoiser":
            table = self.written_pieces(found)
        else:
            table = {name: Piece(f"text_encoders.{part}.transformer.{_above(name)}{name}") for name in names}
        return {name: piece for name, piece in table.items() if name in names}

    def written_pieces(self, found: Found) -> dict[str, Piece]:
        """Where the denoiser's tensors are written."""
        assert found.denoiser is not None
        if found.layout == "original":
            old = found.prefixes["denoiser"]
            return {
                name: Piece(f"model.diffusion_model.{piece.source.removeprefix(old)}", piece.form, piece.rows)
                for name, piece in found.denoiser.table.items()
            }
        return {name: Piece(f"model.diffusion_model.{name}") for name in found.denoiser.table}

    def _denoiser(self, header: Header, hints: Mapping[str, Any], prefixes: dict[str, str]) -> tuple[NetworkRecipe | None, str]:
        options = self.options(hints.get("transformer", {}))
        for prefix in PREFIXES:
            layout, sizes = "original", self.original_sizes(header, prefix)
            if sizes is not None:
                pieces = self.original_pieces(sizes, header, prefix)
            else:
                layout, sizes = "diffusers", self.diffusers_sizes(header, prefix)
                pieces = self.diffusers_pieces(header, prefix)
            if sizes is not None:
                prefixes["denoiser"] = prefix
                return NetworkRecipe(self.architecture, sizes.config() | options, pieces), layout
        return None, ""


def _above(name: str) -> str:
    """transformers' CLIP stands below `text_model`, its projection and T5 don't; language models stand below `model`."""
    if name.startswith(("layers.", "embed_tokens.", "norm.")):
        return "model."
    return "text_model." if name.startswith(("embeddings.", "encoder.layers.", "final_layer_norm.")) else ""


def padded_to(x: Tensor, multiple: int) -> Tensor:
    """`x` [B, C, h, w] with sides that are multiples, continued from the other edge as on a torus."""
    rows, columns = (-x.shape[-2]) % multiple, (-x.shape[-1]) % multiple
    if not rows and not columns:
        return x
    return functional.pad(x, (0, columns, 0, rows), mode="circular")


def packed(latent: Tensor) -> Tensor:
    """`[B, C, h, w]` as tokens of 2 x 2 pixels, `[B, h/2 * w/2, 4 * C]`; channels come first within a token."""
    batch, channels, height, width = latent.shape
    cut = latent.reshape(batch, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return cut.reshape(batch, (height // 2) * (width // 2), channels * 4)


def unpacked(tokens: Tensor, height: int, width: int) -> Tensor:
    """The inverse, for a latent of that size in pixels."""
    batch, _, channels = tokens.shape
    cut = tokens.reshape(batch, height // 2, width // 2, channels // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return cut.reshape(batch, channels // 4, height, width)


def lengthened(residuals: Mapping[str, Any], tokens: int) -> dict[str, Any]:
    """What control adds to the picture's tokens, and zeros for those of the reference pictures behind it."""
    return {
        name: [functional.pad(part, (0, 0, 0, tokens - part.shape[1])) for part in parts] if isinstance(parts, list) else parts
        for name, parts in residuals.items()
    }


def grid(height: int, width: int, *, index: int = 0, top: int = 0, left: int = 0) -> Tensor:
    """The places (index, row, column) of a picture's tokens, float32 `[height * width, 3]`."""
    rows = torch.arange(top, top + height, dtype=torch.float32)[:, None].expand(height, width)
    columns = torch.arange(left, left + width, dtype=torch.float32)[None].expand(height, width)
    return torch.stack([torch.full((height, width), float(index)), rows, columns], dim=-1).reshape(-1, 3)
