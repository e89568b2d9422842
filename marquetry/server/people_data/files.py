"""Stored files: the rows; `people_work` deletes the bytes before."""

from __future__ import annotations

from marquetry.server.people_data.owned import Below, Owned, OwnedRows

ROOM = OwnedRows(
    "files",
    Owned("files"),
    Owned("storage_usage"),
    Owned("uploads"),
    Owned("people_requests", way="keep"),
    below=(Below("local_copies", "file_id", "files"),),
)
