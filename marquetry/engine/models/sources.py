"""Sources of weights: what `URL`, `huggingface:owner/repo/path/file[@revision]` and `civitai:version` stand for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from marquetry.engine.errors import EngineError

if TYPE_CHECKING:
    from aiohttp import ClientSession

HUGGINGFACE_URL = "https://huggingface.co"
CIVITAI_URL = "https://civitai.com"
MAX_ANSWER_BYTES = 4 * 2**20
NAME_PART = re.compile(r"^(?!\.+$)[\w.\-]+$")
CIVITAI_KINDS: Mapping[str, str] = {
    "Checkpoint": "checkpoints",
    "LORA": "loras",
    "LoCon": "loras",
    "DoRA": "loras",
    "TextualInversion": "embeddings",
    "VAE": "vae",
    "Controlnet": "controlnet",
    "Upscaler": "upscale_models",
    "Hypernetwork": "hypernetworks",
}


class SourceError(EngineError):
    """A source of weights can't be understood, found or reached."""

    code = "invalid_model_source"


@dataclass(frozen=True)
class Source:
    """A file to fetch: its address, its name, and what is known of it. `token` is sent to `token_host` and to nobody else."""

    url: str
    file_name: str
    sha256: str | None = None
    size_bytes: int | None = None
    kind: str | None = None
    token: str | None = field(default=None, repr=False)
    token_host: str | None = None


@dataclass(frozen=True)
class Sites:
    """Where the sites are, and the tokens for them."""

    huggingface_url: str = HUGGINGFACE_URL
    civitai_url: str = CIVITAI_URL
    huggingface_token: str | None = field(default=None, repr=False)
    civitai_token: str | None = field(default=None, repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Sites:
        """Tokens from `HF_TOKEN` and `CIVITAI_API_TOKEN`, addresses from `HF_ENDPOINT` and `CIVITAI_ENDPOINT`."""
        return cls(
            huggingface_url=environment.get("HF_ENDPOINT") or HUGGINGFACE_URL,
            civitai_url=environment.get("CIVITAI_ENDPOINT") or CIVITAI_URL,
            huggingface_token=environment.get("HF_TOKEN") or None,
            civitai_token=environment.get("CIVITAI_API_TOKEN") or None,
        )


async def resolve(source: str, session: ClientSession, sites: Sites) -> Source:
    """The file that a source stands for; asks the site where the address alone does not say. Raises SourceError."""
    if source.startswith("huggingface:"):
        return huggingface_source(source.removeprefix("huggingface:"), sites)
    if source.startswith("civitai:"):
        return await _civitai_source(source.removeprefix("civitai:"), session, sites)
    parts = urlsplit(source)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SourceError(f"'{source}' is no source; give an http(s) address, huggingface:owner/repo/file or civitai:version")
    return Source(source, safe_file_name(unquote(parts.path.rsplit("/", 1)[-1])))


def huggingface_source(place: str, sites: Sites) -> Source:
    """`owner/repo/path/file[@revision]` as an address of the hub. Raises SourceError."""
    place, _, revision = place.partition("@")
    owner, _, rest = place.partition("/")
    repository, _, path = rest.partition("/")
    segments = path.split("/")
    if not all(NAME_PART.match(part) for part in (owner, repository)) or not path or any(part in ("", ".", "..") for part in segments):
        raise SourceError(f"'huggingface:{place}' is not of the form huggingface:owner/repo/path/file[@revision]")
    url = f"{sites.huggingface_url.rstrip('/')}/{owner}/{repository}/resolve/{quote(revision or 'main', safe='')}/{quote(path)}"
    host = urlsplit(sites.huggingface_url).hostname
    return Source(url, safe_file_name(segments[-1]), token=sites.huggingface_token, token_host=host)


def safe_file_name(name: str) -> str:
    """`name` if it is a plain file name. Raises SourceError for one with folders, control characters, or that hides itself."""
    from pathvalidate import ValidationError, validate_filename

    try:
        validate_filename(name, platform="universal")
    except ValidationError as error:
        raise SourceError(f"'{name}' is not a safe file name: {error.description}") from error
    if name.startswith(".") or "/" in name or "\\" in name:
        raise SourceError(f"'{name}' is not a safe file name")
    return name


async def _civitai_source(version: str, session: ClientSession, sites: Sites) -> Source:
    if not version.isdecimal():
        raise SourceError(f"'civitai:{version}' is not of the form civitai:VERSION, a number")
    base = sites.civitai_url.rstrip("/")
    headers = {"Authorization": f"Bearer {sites.civitai_token}"} if sites.civitai_token else {}
    document = await _json(session, f"{base}/api/v1/model-versions/{version}", headers)
    files = [file for file in document.get("files") or [] if isinstance(file, dict) and isinstance(file.get("downloadUrl"), str)]
    if not files:
        raise SourceError(f"version {version} on {base} has no files to fetch")
    chosen = max(files, key=lambda file: (file.get("primary") is True, str(file.get("name", "")).endswith(".safetensors")))
    hashes = _object(chosen.get("hashes"))
    size_kilobytes = chosen.get("sizeKB")
    model = _object(document.get("model"))
    return Source(
        chosen["downloadUrl"],
        safe_file_name(str(chosen.get("name", ""))),
        sha256=str(hashes["SHA256"]).lower() if hashes.get("SHA256") else None,
        size_bytes=round(size_kilobytes * 1024) if isinstance(size_kilobytes, (int, float)) else None,
        kind=CIVITAI_KINDS.get(str(model.get("type"))),
        token=sites.civitai_token,
        token_host=urlsplit(base).hostname,
    )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


async def _json(session: ClientSession, url: str, headers: Mapping[str, str]) -> dict[str, Any]:
    import json

    from aiohttp import ClientError

    try:
        async with session.get(url, headers=headers) as response:
            if response.status != 200:
                raise SourceError(f"{url} answered {response.status} {response.reason}")
            text = bytearray()
            async for block in response.content.iter_any():
                text.extend(block)
                if len(text) > MAX_ANSWER_BYTES:
                    raise SourceError(f"{url} answered with more than {MAX_ANSWER_BYTES:,} bytes")
        document = json.loads(text)
    except ClientError as error:
        raise SourceError(f"{url} cannot be reached: {error}") from error
    except ValueError as error:
        raise SourceError(f"{url} did not answer with JSON") from error
    if not isinstance(document, dict):
        raise SourceError(f"{url} did not answer with a JSON object")
    return document
