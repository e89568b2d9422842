"""ModelLibrary: what nodes load models through. Names of files in, objects for MODEL, CLIP and VAE wires out.

Loading only reads headers; weights come into memory when a network is first used, once for everybody.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from marquetry.engine.errors import ModelFormatError, NodeFailed
from marquetry.engine.folders import Folders
from marquetry.engine.lazy import torch
from marquetry.engine.models.budget import best_device, default_budget_bytes, default_dtype, dtype_named
from marquetry.engine.models.clip import Clip, EncodingCache
from marquetry.engine.models.families.family import Found
from marquetry.engine.models.families.registry import describe_layout, families, family, require
from marquetry.engine.models.folder import folder_hints
from marquetry.engine.models.model import Model
from marquetry.engine.models.network import NetworkRecipe, build
from marquetry.engine.models.residency import Residency, Resident
from marquetry.engine.models.store import ModelStore
from marquetry.engine.models.text.encoder import TextEncoder
from marquetry.engine.models.text.files import TextFile, text_file
from marquetry.engine.models.text.own_vocabulary import own_vocabulary
from marquetry.engine.models.text.part import TextEncoderPart
from marquetry.engine.models.text.textual_inversion import find_embedding
from marquetry.engine.models.text.vocabularies import qwen2
from marquetry.engine.models.vae import Vae
from marquetry.engine.models.weights import Weights, open_weights

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch import device as Device
    from torch import dtype as Dtype

    from marquetry.engine.models.control.control_net import ControlNet

OPEN_FILES = 64  # whose mapped weights are kept at hand

DtypeName: TypeAlias = str


class Checkpoint(NamedTuple):
    """What a checkpoint holds; a part that it lacks is None."""

    model: Model
    clip: Clip | None
    vae: Vae | None


@dataclass(frozen=True)
class _Opened:
    path: Path
    weights: Weights
    fingerprint: str
    hints: Mapping[str, Mapping[str, Any]]
    found: dict[str, Found] = field(default_factory=dict)  # by the part that was asked for


class ModelLibrary:
    """The models of one worker: its store, and its residency on one device.

    `dtype`, `text_dtype` and `vae_dtype` ("float32", "float16", "bfloat16") override what suits the device;
    `budget_bytes` is what networks may take of its memory.
    """

    def __init__(
        self,
        folders: Folders,
        *,
        device: str | None = None,
        dtype: DtypeName | None = None,
        text_dtype: DtypeName | None = None,
        vae_dtype: DtypeName | None = None,
        budget_bytes: int | None = None,
        store: ModelStore | None = None,
    ) -> None:
        self.folders = folders
        self.store = store or ModelStore(folders)
        self.device: Device = torch.device(device) if device is not None else best_device()
        self.residency = Residency(default_budget_bytes(self.device) if budget_bytes is None else budget_bytes, device=str(self.device))
        self._dtypes = {
            part: default_dtype(self.device, part) if name is None else dtype_named(name)
            for part, name in (("denoiser", dtype), ("text_encoder", text_dtype), ("vae", vae_dtype))
        }
        self._encodings = EncodingCache()
        self._opened: OrderedDict[Path, _Opened] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def numerics(self) -> str:
        """What results depend on beside their inputs: the device and the types that networks compute in."""
        from torch import __version__ as version

        types = " ".join(f"{part} {str(kind).removeprefix('torch.')}" for part, kind in self._dtypes.items())
        return f"{self.device.type} torch {version} {types}"

    def computes_in(self, part: str) -> Dtype:
        """The type in which networks of that part ("denoiser", "text_encoder", "vae") compute."""
        return self._dtypes[part]

    def load_checkpoint(self, name: str, kind: str = "checkpoints") -> Checkpoint:
        """The parts of a checkpoint file, or of a diffusers folder with `kind` "diffusers".

        Raises ModelNotFound, or ModelFormatError when no family reads a denoiser from the file.
        """
        path = self.store.path(kind, name)
        opened, found = self._recognised(path, "denoiser")
        clip = self._clip(opened, found) if found.text_encoders else None
        vae = self._vae(opened, found, path) if found.vae is not None else None
        return Checkpoint(self._model(opened, found, path, "default"), clip, vae)

    def load_diffusion_model(self, name: str, weight_dtype: str = "default") -> Model:
        """The denoiser of a separate file (with or without the checkpoint's prefix, original or diffusers' names), or of a checkpoint.

        `weight_dtype` is "default", or a type in which the weights are kept; float8 types keep them rounded to float8. Errors as above.
        """
        path = self.store.path("diffusion_models", name)
        opened, found = self._recognised(path, "denoiser")
        return self._model(opened, found, path, weight_dtype)

    def load_text_encoder(self, names: Sequence[str], type: str = "stable_diffusion") -> Clip:
        """The text encoders of separate files, for the family that `type` names, in any order. Raises NodeFailed where no family reads them."""
        serving = [known for known in families() if type in known.text.types]
        counts = sorted({count for known in serving for count in known.text.types[type]})
        if len(names) not in counts:
            served = ", ".join(sorted({each for known in families() for each in known.text.types}))
            what = f"type '{type}' takes {' or '.join(map(str, counts))}" if counts else f"types {served} are understood"
            raise NodeFailed(f"no installed family takes {len(names)} text encoder file{'s' * (len(names) > 1)} of type '{type}'; {what}")
        opened = [self._open(self.store.path("text_encoders", name)) for name in names]
        files = [_text_file(each) for each in opened]
        for known in serving:
            assigned = known.text.assign(files) if len(names) in known.text.types[type] else None
            if assigned is not None:
                parts = {role: (opened[number], part) for role, (number, part) in assigned.items()}
                found = Found(known.id, "separate", text_encoders={role: part for role, (_, part) in parts.items()})
                return self._encoders(found, parts)
        shown = ", ".join(f"{name} ({file.kind}, {file.width} wide)" for name, file in zip(names, files, strict=True))
        raise NodeFailed(f"{shown}: not the text encoder{'s' * (len(names) > 1)} of type '{type}'")

    def load_vae(self, name: str) -> Vae:
        """The autoencoder of a separate file or of a checkpoint, in the original or diffusers' layout."""
        path = self.store.path("vae", name)
        opened, found = self._recognised(path, "vae")
        return self._vae(opened, found, path)

    def load_control_net(self, name: str, base: Model | None = None) -> ControlNet:
        """The ControlNet or T2I-Adapter of a file; `base` is what those that are published as a difference are added to. Errors as above."""
        from marquetry.engine.models.control.loading import control_net

        opened = self._open(self.store.path("controlnet", name))
        registered = partial(self.residency.register, label=f"{opened.path.name} (control)")
        return control_net(opened.weights, opened.fingerprint, base, registered, self.device, self._dtypes["denoiser"])

    def load_state_dict(self, kind: str, name: str) -> dict[str, Tensor]:
        """The tensors of any weight file by name; mapped, so not to be written to. Errors as above."""
        weights = self._open(self.store.path(kind, name)).weights
        return {tensor: weights.tensor(tensor) for tensor in weights.header}

    def unload(self) -> None:
        """Let go of every network that is not in use, and of remembered prompts."""
        self._encodings.clear()
        self.residency.unload_all()
        with self._lock:
            self._opened.clear()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _open(self, path: Path) -> _Opened:
        fingerprint = self.store.fingerprint_of(path)
        with self._lock:
            known = self._opened.get(path)
            if known is not None and known.fingerprint == fingerprint:
                self._opened.move_to_end(path)
                return known
        opened = _Opened(path, open_weights(path), fingerprint, folder_hints(path))
        with self._lock:
            self._opened[path] = opened
            while len(self._opened) > OPEN_FILES:
                self._opened.popitem(last=False)
        return opened

    def _recognised(self, path: Path, part: str) -> tuple[_Opened, Found]:
        opened = self._open(path)
        if part not in opened.found:
            opened.found[part] = require(opened.weights.header, part, opened.hints)
        return opened, opened.found[part]

    def _resident(self, opened: _Opened, recipe: NetworkRecipe, part: str, path: Path, kept: Dtype | None = None) -> Resident[nn.Module]:
        computed = self._dtypes[part if part in self._dtypes else "text_encoder"]
        kept = kept or computed
        return self.residency.register(
            (opened.fingerprint, part, str(kept), str(computed)),
            label=f"{path.name} ({part.replace('_', ' ')})",
            size_bytes=recipe.parameters(opened.weights.header) * torch.empty(0, dtype=kept).element_size(),
            load=partial(build, recipe, opened.weights, computed, self.device, kept),
        )

    def _model(self, opened: _Opened, found: Found, path: Path, weight_dtype: str) -> Model:
        assert found.denoiser is not None
        known = family(found.family)
        return Model(
            resident=self._resident(opened, found.denoiser, "denoiser", path, _kept_dtype(weight_dtype)),
            sampling=known.sampling(found, opened.weights, opened.hints),
            latent_format=known.latent_format,
            device=self.device,
            dtype=self._dtypes["denoiser"],
            family=found.family,
            found=found,
            fingerprint=opened.fingerprint,
        )

    def _clip(self, opened: _Opened, found: Found) -> Clip:
        return self._encoders(found, {role: (opened, part) for role, part in found.text_encoders.items()})

    def _encoders(self, found: Found, parts: Mapping[str, tuple[_Opened, TextEncoderPart]]) -> Clip:
        encoders = {
            role: TextEncoder(
                part=part,
                resident=self._resident(opened, part.recipe, role, opened.path),
                device=self.device,
                dtype=self._dtypes["text_encoder"],
                find_embedding=partial(find_embedding, self.folders, part.width),
                fingerprint=opened.fingerprint,
                vocabulary=qwen2 if part.vocabulary == "qwen2" else partial(own_vocabulary, opened.path, opened.weights, part.prefix),
                eyes=None if part.eyes is None else self._resident(opened, part.eyes, f"{role} eyes", opened.path),
            )
            for role, (opened, part) in parts.items()
        }
        return Clip(encoders, found, found.family, self._encodings)

    def _vae(self, opened: _Opened, found: Found, path: Path) -> Vae:
        assert found.vae is not None
        return Vae(
            resident=self._resident(opened, found.vae, "vae", path),
            found=found,
            family=found.family,
            device=self.device,
            dtype=self._dtypes["vae"],
            relieve=self.residency.unload_all,
            fingerprint=opened.fingerprint,
        )


def _text_file(opened: _Opened) -> TextFile:
    """Raises ModelFormatError for a file without a text encoder of a known kind."""
    found = text_file(opened.weights.header, hints=opened.hints.get("text_encoder"))
    if found is None:
        name = opened.path.name
        raise ModelFormatError(f"{name} holds no known text encoder: {describe_layout(opened.weights.header)}", file=name)
    return found


def _kept_dtype(name: str) -> Dtype | None:
    if name == "default":
        return None
    if name.startswith("fp8_e4m3fn"):
        return torch.float8_e4m3fn
    return torch.float8_e5m2 if name == "fp8_e5m2" else dtype_named(name)
