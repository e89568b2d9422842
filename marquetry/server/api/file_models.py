"""What routes on stored files take and give."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from marquetry.server.storage.file import StoredFile
from marquetry.server.storage.thumbnails import has_thumbnail

Purpose = Literal["input", "image", "reference", "mask", "avatar", "voice", "dataset", "weights"]
Kind = Literal["image", "video", "audio", "model", "archive", "text"]


class FileInfo(BaseModel):
    """A file. `name` is what nodes such as LoadImage take."""

    id: str
    name: str
    filename: str
    url: str
    thumbnail_url: str | None = Field(default=None, description="a small picture of it, where there can be one; ?size= chooses")
    media_type: str = Field(description="by its content, whatever it is called")
    size_bytes: int
    sha256: str
    purpose: str
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    created_ms: int
    expires_ms: int | None = Field(default=None, description="when it is deleted; nothing: never")
    job_id: str | None = Field(default=None, description="the job that made it")
    node_id: str | None = None


class FileList(BaseModel):
    """Files, newest first."""

    files: list[FileInfo]
    total: int
    offset: int
    limit: int


class FileDeleted(BaseModel):
    id: str
    deleted: bool


class StorageUsage(BaseModel):
    """What the caller keeps, and what their plan allows; nothing there: no bound."""

    bytes: int
    files: int
    quota_bytes: int | None
    retention_days: int | None


class SignedFile(FileInfo):
    """`signed_url` works for whoever has it, until `signed_until_ms`."""

    signed_url: str
    signed_until_ms: int


class FromUrl(BaseModel):
    """A file to fetch."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(max_length=2048, description="http or https, on the open internet")
    purpose: Purpose = "input"
    filename: str | None = Field(default=None, min_length=1, max_length=255, description="by default the last part of the address")
    subfolder: str = Field(default="", max_length=500)


class UploadBegun(BaseModel):
    """What is going to be uploaded in parts."""

    model_config = ConfigDict(extra="forbid")

    filename: str = Field(min_length=1, max_length=255)
    size_bytes: int = Field(gt=0, le=2**45)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-fA-F]{64}$", description="of the whole file; it is checked in the end")
    purpose: Purpose = "input"
    subfolder: str = Field(default="", max_length=500)


class UploadState(BaseModel):
    """`offset` is where the next part begins."""

    id: str
    offset: int
    size_bytes: int
    part_bytes: int = Field(description="how large one part may be")
    expires_ms: int


class UploadDone(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sha256: str | None = Field(default=None, pattern=r"^[0-9a-fA-F]{64}$", description="of the whole file")


def info(file: StoredFile) -> FileInfo:
    """A file as clients see it."""
    return FileInfo(
        id=file.id,
        name=file.filename if file.path is None else file.path if file.folder == "input" else f"{file.path} [{file.folder}]",
        filename=file.filename,
        url=f"/api/v1/files/{file.id}/content",
        thumbnail_url=f"/api/v1/files/{file.id}/thumbnail" if has_thumbnail(file) else None,
        media_type=file.media_type,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        purpose=file.purpose,
        width=file.width,
        height=file.height,
        duration_ms=file.duration_ms,
        created_ms=file.created_ms,
        expires_ms=file.expires_ms,
        job_id=file.job_id,
        node_id=file.node_id,
    )
