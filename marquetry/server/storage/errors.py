"""What can go wrong with stored files."""

from __future__ import annotations

from marquetry.marketplace.errors import Conflict, Missing, NotConfigured


class FileMissing(Missing):
    """There is no such file, or it is not the caller's."""

    code = "file_not_found"


class StorageFull(Conflict):
    """The owner's files would take more room than their plan allows."""

    code = "storage_full"


class FileInUse(Conflict):
    """A job that waits or runs still needs the file."""

    code = "file_in_use"


class UploadConflict(Conflict):
    """The part does not go on where the upload stands, or what came is not what was announced."""

    code = "upload_conflict"


class BlobGone(Conflict):
    """The bytes were deleted while a file with them was being kept; trying again helps."""

    code = "blob_gone"


class StoreNotConfigured(NotConfigured):
    """The settings of the store lack something."""

    code = "storage_not_configured"
