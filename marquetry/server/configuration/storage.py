"""Settings of where results are kept, and how long."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

GIB = 2**30


class S3Settings(BaseModel):
    """Where and as whom to reach S3, or what speaks its protocol. Without keys, those of the environment or the machine's role are used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bucket: str = Field(default="", description="bucket; it must be there")
    prefix: str = Field(default="", description="what every name in the bucket begins with, as in marquetry/")
    region: str | None = Field(default=None, description="region of the bucket")
    endpoint_url: str | None = Field(default=None, description="address of the service, where it is not Amazon's")
    access_key_id: SecretStr | None = Field(default=None, description="access key")
    secret_access_key: SecretStr | None = Field(default=None, description="its secret")
    redirect: bool = Field(
        default=True, description="send callers to signed addresses of the bucket; false: pass the bytes through this server"
    )


class StorageSettings(BaseModel):
    """See the module. By default everything stays in the data folder, without a bound and for ever."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: Literal["folder", "s3"] = Field(default="folder", description="where the bytes of files are")
    folder: Path | None = Field(default=None, description="the folder; by default `storage` in the data folder")
    s3: S3Settings = S3Settings()
    quota_bytes: int | None = Field(default=None, ge=0, description="what one owner may keep, where no plan says; nothing: no bound")
    retention_days: int | None = Field(default=None, ge=1, description="days that files are kept, where no plan says; nothing: for ever")
    record_results: bool = Field(default=True, description="whether what jobs save becomes files of their owners")
    hard_links: bool | None = Field(
        default=None,
        description="share the bytes of results between output folder and store, where both are on one disk, so that a program that changes "
        "a saved file in place changes both; by default only where there are no accounts",
    )
    local_results_bytes: int = Field(
        default=20 * GIB, ge=0, description="results kept on this machine's disk too when the store is elsewhere"
    )
    thumbnail_cache_bytes: int = Field(default=GIB, ge=0, description="thumbnails kept on this machine's disk")
    resumable_bytes: int = Field(default=4 * GIB, gt=0, description="size of one file that is uploaded in parts")
    upload_hours: float = Field(default=24.0, gt=0, description="how long an upload in parts may take")
    signing_secret: SecretStr | None = Field(
        default=None, min_length=16, description="signs addresses of files; by default made once and kept in the data folder"
    )
    link_minutes: int = Field(default=60, ge=1, le=7 * 24 * 60, description="how long signed addresses are good")
    fetch_timeout_s: float = Field(default=60.0, gt=0, description="how long fetching a file by its address may take")
    cleaning_minutes: float = Field(default=60.0, gt=0, description="how often expired files are deleted")
    orphan_minutes: float = Field(default=60.0, ge=0, description="age at which bytes that belong to no file are deleted")
    finished_jobs: Literal["keep", "archive", "delete"] = Field(default="keep", description="what becomes of the rows of old jobs")
    finished_job_days: int = Field(default=90, ge=1, description="days after which a finished job is old")
    export_days: int = Field(default=7, ge=1, description="days that the export of a person's data can be fetched")
