"""Folders: where files are. Every name that comes from outside is resolved here, and none leaves its folder."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from marquetry.engine.errors import ModelNotFound, UnsafePath

WEIGHT_SUFFIXES = frozenset({".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft", ".gguf"})

MODEL_KINDS: Mapping[str, frozenset[str]] = {
    "checkpoints": WEIGHT_SUFFIXES,
    "configs": frozenset({".yaml"}),
    "loras": WEIGHT_SUFFIXES,
    "vae": WEIGHT_SUFFIXES,
    "text_encoders": WEIGHT_SUFFIXES,
    "diffusion_models": WEIGHT_SUFFIXES,
    "clip_vision": WEIGHT_SUFFIXES,
    "style_models": WEIGHT_SUFFIXES,
    "embeddings": WEIGHT_SUFFIXES,
    "diffusers": frozenset({"folder"}),
    "vae_approx": WEIGHT_SUFFIXES,
    "controlnet": WEIGHT_SUFFIXES,
    "gligen": WEIGHT_SUFFIXES,
    "upscale_models": WEIGHT_SUFFIXES,
    "hypernetworks": WEIGHT_SUFFIXES,
    "photomaker": WEIGHT_SUFFIXES,
    "classifiers": frozenset({""}),
    "model_patches": WEIGHT_SUFFIXES,
    "audio_encoders": WEIGHT_SUFFIXES,
}
SUBFOLDERS: Mapping[str, tuple[str, ...]] = {
    "text_encoders": ("text_encoders", "clip"),
    "diffusion_models": ("unet", "diffusion_models"),
    "controlnet": ("controlnet", "t2i_adapter"),
}
LEGACY_KINDS: Mapping[str, str] = {"unet": "diffusion_models", "clip": "text_encoders"}
DATA_FOLDERS = frozenset({"input", "output", "temp"})
MAX_FILES_PER_KIND = 200_000
MAX_OWNERS_KEPT = 4096
OWNERS = ".owners"  # below input, output and temp
SOUND_OWNER = re.compile(r"[A-Za-z0-9_-]{1,100}")
PRIVATE_WEIGHTS = (
    ".private-weights"  # folder below those of models: no list shows it, and graphs name its files only where that is permitted
)
ANNOTATION = re.compile(r"^(?P<name>.*?) ?\[(?P<kind>input|output|temp)\]$", re.DOTALL)


@dataclass
class Folders:
    """The data folder with `input`, `output`, `temp`, `user` and `models` below it, and the folders of each kind of model."""

    data: Path
    input: Path = field(default=Path())
    output: Path = field(default=Path())
    temp: Path = field(default=Path())
    user: Path = field(default=Path())
    models: Path = field(default=Path())
    kinds: dict[str, tuple[list[Path], set[str]]] = field(default_factory=dict)
    custom_nodes: list[Path] = field(default_factory=list)
    apart: bool = False  # whether each owner has an input, output and temp folder of their own
    permitted: frozenset[tuple[str, str]] = frozenset()  # private weights that may be named, by kind and name

    def __post_init__(self) -> None:
        self.data = self.data.absolute()
        for name in ("input", "output", "temp", "user", "models"):
            if getattr(self, name) == Path():
                setattr(self, name, self.data / name)
        for kind, suffixes in MODEL_KINDS.items():
            places = [self.models / part for part in SUBFOLDERS.get(kind, (kind,))]
            self.kinds.setdefault(kind, (places, set(suffixes)))
        if not self.custom_nodes:
            self.custom_nodes.append(self.data / "custom_nodes")
        self._owned: dict[str, Folders] = {}
        self._listings: dict[str, tuple[dict[str, int], tuple[str, ...]]] = {}
        self._lock = threading.Lock()

    def create(self) -> None:
        """Make the folders that a first run needs."""
        for path in (self.input, self.output, self.temp, self.user, *self.custom_nodes[:1]):
            path.mkdir(parents=True, exist_ok=True)
        for places, _ in self.kinds.values():
            if self.models in places[0].parents:
                places[0].mkdir(parents=True, exist_ok=True)

    def of(self, owner: str) -> Folders:
        """The folders as an owner sees them: where owners are kept apart, with `input`, `output` and `temp` that are theirs alone."""
        if not self.apart or not owner:
            return self
        with self._lock:
            known = self._owned.get(owner)
            if known is None:
                if len(self._owned) >= MAX_OWNERS_KEPT:
                    self._owned.clear()
                known = self._owned[owner] = self._view(owner)
            return known

    def permitting(self, weights: Iterable[tuple[str, str]]) -> Folders:
        """The same folders for who may name these private weights."""
        view = copy(self)
        view.permitted = frozenset(weights)
        return view

    def _view(self, owner: str) -> Folders:
        place = owner if SOUND_OWNER.fullmatch(owner) else sha256(owner.encode()).hexdigest()
        view = copy(self)
        view.input, view.output, view.temp = (root / OWNERS / place for root in (self.input, self.output, self.temp))
        view.apart = False
        for path in (view.input, view.output, view.temp):
            path.mkdir(parents=True, exist_ok=True)
        return view

    def add_model_folder(self, kind: str, path: Path, *, first: bool = False, suffixes: Iterable[str] = ()) -> None:
        """Let `kind` also be found below `path`; `first` makes it the default place for new files."""
        kind = LEGACY_KINDS.get(kind, kind)
        places, known = self.kinds.setdefault(kind, ([], set(suffixes) or set(WEIGHT_SUFFIXES)))
        if path in places:
            places.remove(path)
        if first:
            places.insert(0, path)
        else:
            places.append(path)
        known.update(suffixes)
        with self._lock:
            self._listings.pop(kind, None)

    def model_folders(self, kind: str) -> Sequence[Path]:
        """The folders of a kind of model, in the order in which they are searched. Raises ModelNotFound for an unknown kind."""
        kind = LEGACY_KINDS.get(kind, kind)
        if kind not in self.kinds:
            raise ModelNotFound(f"there is no kind of model called '{kind}'; known are {', '.join(sorted(self.kinds))}")
        return self.kinds[kind][0]

    def list_files(self, kind: str) -> tuple[str, ...]:
        """The names of all files of a kind, relative to their folder with `/`, sorted. Cached until a folder changes."""
        kind = LEGACY_KINDS.get(kind, kind)
        places = self.model_folders(kind)
        with self._lock:
            known = self._listings.get(kind)
            if known is not None and all(_mtime(path) == stamp for path, stamp in known[0].items()):
                return known[1]
        stamps: dict[str, int] = {str(place): _mtime(str(place)) for place in places}
        names: set[str] = set()
        suffixes = self.kinds[kind][1]
        for place in places:
            for name in _walk(place, suffixes, stamps):
                names.add(name)
                if len(names) >= MAX_FILES_PER_KIND:
                    break
        listing = tuple(sorted(names))
        with self._lock:
            self._listings[kind] = (stamps, listing)
        return listing

    def find(self, kind: str, name: str) -> Path | None:
        """The file of that name, or None. A name that leaves its folder is never found."""
        relative = _clean(name)
        if relative is None:
            return None
        for place in self.model_folders(kind):
            path = place / relative
            if path.exists() and (path.is_file() or "folder" in self.kinds[LEGACY_KINDS.get(kind, kind)][1]):
                return path
        return None

    def full_path(self, kind: str, name: str) -> Path:
        """As `find`, but raises ModelNotFound with what is there instead."""
        path = self.find(kind, name)
        if path is None:
            near = ", ".join(self.list_files(kind)[:5]) or "none"
            places = ", ".join(str(place) for place in self.model_folders(kind))
            raise ModelNotFound(f"no file '{name}' among the {kind} (looked in {places}; there is: {near})", kind=kind, name=name)
        return path

    def directory(self, kind: str) -> Path:
        """The folder that `input`, `output` or `temp` names. Raises UnsafePath for any other word."""
        if kind == "input":
            return self.input
        if kind == "output":
            return self.output
        if kind == "temp":
            return self.temp
        raise UnsafePath(f"'{kind}' is not a folder; use input, output or temp")

    def annotated(self, name: str, default: str = "input") -> Path:
        """The path of `picture.png [output]`-style names; without a mark it stands in `default`. Raises UnsafePath."""
        match = ANNOTATION.match(name)
        kind, bare = (match["kind"], match["name"]) if match else (default, name)
        return self.inside(self.directory(kind), bare)

    def inside(self, folder: Path, name: str) -> Path:
        """`folder / name`, links followed; raises UnsafePath when that is not inside `folder`."""
        relative = _clean(name)
        if relative is None:
            raise UnsafePath(f"'{name}' is not a path inside its folder")
        root = folder.resolve()
        path = (root / relative).resolve()
        if path != root and root not in path.parents:
            raise UnsafePath(f"'{name}' leads out of its folder")
        return path


def _clean(name: str) -> str | None:
    name = name.replace("\\", "/")
    if not name or "\x00" in name or name.startswith("/") or re.match(r"^[A-Za-z]:", name):
        return None
    if any(part == ".." for part in name.split("/")):
        return None
    return name


def _mtime(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return -1


def _walk(root: Path, suffixes: set[str], stamps: dict[str, int]) -> Iterator[str]:
    seen: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        try:
            status = os.stat(folder)
        except OSError:
            continue
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        stamps[folder] = status.st_mtime_ns
        folders[:] = [name for name in folders if not name.startswith(".")]
        relative = os.path.relpath(folder, root).replace(os.sep, "/")
        prefix = "" if relative == "." else relative + "/"
        if "folder" in suffixes:
            for name in list(folders):
                if os.path.exists(os.path.join(folder, name, "model_index.json")):
                    folders.remove(name)
                    yield prefix + name
            continue
        for name in files:
            if not name.startswith(".") and (os.path.splitext(name)[1].lower() in suffixes or "" in suffixes):
                yield prefix + name
