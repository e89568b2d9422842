"""Stores: the one that the settings name."""

from __future__ import annotations

from pathlib import Path

from marquetry.server.settings import Settings
from marquetry.server.storage.blob_store import BlobStore


def store_of(settings: Settings) -> BlobStore:
    """The store of an installation. Raises StoreNotConfigured for settings that lack something; nothing is reached yet."""
    if settings.storage.store == "s3":
        from marquetry.server.storage.s3_store import S3Store

        return S3Store(settings.storage.s3)
    from marquetry.server.storage.folder_store import FolderStore

    chosen = settings.storage.hard_links
    return FolderStore(folder_of(settings), hard_links=not settings.accounts.enabled if chosen is None else chosen)


def folder_of(settings: Settings) -> Path:
    """Where the bytes of a folder store, uploads under way and the signing key are."""
    return (settings.storage.folder or settings.data / "storage").absolute()


def incoming_of(settings: Settings) -> Path:
    """Where files are while they come in."""
    return folder_of(settings) / "incoming"


def thumbnails_of(settings: Settings) -> Path:
    """Where thumbnails are cached."""
    return settings.data.absolute() / "cache" / "thumbnails"
