"""S3Store: bytes in a bucket of S3, or of what speaks its protocol."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from marquetry.server.configuration.storage import S3Settings
from marquetry.server.storage.blob_store import PART_BYTES, Found, Shown
from marquetry.server.storage.errors import FileMissing, StoreNotConfigured

DELETED_AT_ONCE = 1000
CONNECT_S, READ_S, ATTEMPTS = 10, 60, 4
CONNECTIONS = 16
GONE = frozenset({"404", "NoSuchKey", "NotFound"})


class S3Store:
    """See `BlobStore`."""

    kind = "s3"

    def __init__(self, settings: S3Settings) -> None:
        if not settings.bucket:
            raise StoreNotConfigured("storage.store is s3, but there is no bucket; name one in storage.s3.bucket")
        self._settings = settings

    def check(self) -> None:
        try:
            self._client.head_bucket(Bucket=self._settings.bucket)
        except (self._failures.BotoCoreError, self._failures.ClientError) as error:
            raise StoreNotConfigured(f"the bucket '{self._settings.bucket}' can't be reached: {error}; see storage.s3") from error

    def put(self, name: str, source: Path, *, share: bool = False) -> None:
        self._client.upload_file(str(source), self._settings.bucket, self._key(name))

    def size_bytes(self, name: str) -> int | None:
        try:
            return int(self._client.head_object(Bucket=self._settings.bucket, Key=self._key(name))["ContentLength"])
        except self._failures.ClientError as error:
            if _is_gone(error):
                return None
            raise

    def path(self, name: str) -> Path | None:
        return None

    def fetch(self, name: str, into: Path) -> bool:
        try:
            self._client.download_file(self._settings.bucket, self._key(name), str(into))
        except self._failures.ClientError as error:
            if _is_gone(error):
                return False
            raise
        return True

    def read(self, name: str, start: int, length: int) -> Iterator[bytes]:
        try:
            wanted = {"Range": f"bytes={start}-{start + length - 1}"} if length else {}
            body = self._client.get_object(Bucket=self._settings.bucket, Key=self._key(name), **wanted)["Body"]
        except self._failures.ClientError as error:
            if _is_gone(error):
                raise FileMissing("the bytes of this file are gone") from error
            raise
        with body:
            yield from body.iter_chunks(PART_BYTES)

    def delete(self, names: Sequence[str]) -> None:
        for first in range(0, len(names), DELETED_AT_ONCE):
            keys = [{"Key": self._key(name)} for name in names[first : first + DELETED_AT_ONCE]]
            answer = self._client.delete_objects(Bucket=self._settings.bucket, Delete={"Objects": keys, "Quiet": True})
            if answer.get("Errors"):
                raise OSError(f"S3 did not delete {len(answer['Errors'])} objects: {answer['Errors'][0].get('Message')}")

    def listed(self, prefix: str, after: str, limit: int) -> list[Found]:
        start = {"StartAfter": self._key(after)} if after else {}
        answer = self._client.list_objects_v2(Bucket=self._settings.bucket, Prefix=self._key(prefix), MaxKeys=limit, **start)
        skipped = len(self._settings.prefix)
        return [
            Found(entry["Key"][skipped:], int(entry["Size"]), int(entry["LastModified"].timestamp() * 1000))
            for entry in answer.get("Contents", ())
        ]

    def link(self, name: str, shown: Shown, expires_s: int) -> str | None:
        if not self._settings.redirect:
            return None
        wanted = {
            "Bucket": self._settings.bucket,
            "Key": self._key(name),
            "ResponseContentType": shown.media_type,
            "ResponseContentDisposition": shown.disposition,
        }
        return str(self._client.generate_presigned_url("get_object", Params=wanted, ExpiresIn=expires_s))

    def _key(self, name: str) -> str:
        return self._settings.prefix + name

    @cached_property
    def _failures(self) -> Any:
        return _module("botocore.exceptions")

    @cached_property
    def _client(self) -> Any:
        """Made when first needed: importing boto3 takes a third of a second."""
        settings = self._settings
        config = _module("botocore.config").Config(
            signature_version="s3v4",
            connect_timeout=CONNECT_S,
            read_timeout=READ_S,
            max_pool_connections=CONNECTIONS,
            retries={"max_attempts": ATTEMPTS, "mode": "standard"},
        )
        return (
            _module("boto3.session")
            .Session()
            .client(
                "s3",
                region_name=settings.region,
                endpoint_url=settings.endpoint_url,
                aws_access_key_id=None if settings.access_key_id is None else settings.access_key_id.get_secret_value(),
                aws_secret_access_key=None if settings.secret_access_key is None else settings.secret_access_key.get_secret_value(),
                config=config,
            )
        )


def _is_gone(error: Any) -> bool:
    return str(error.response.get("Error", {}).get("Code")) in GONE


def _module(name: str) -> Any:
    """A part of boto3, which not every installation has. Raises StoreNotConfigured."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise StoreNotConfigured("S3 needs the package boto3: pip install 'marquetry[s3]'") from error
