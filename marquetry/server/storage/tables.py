"""Tables of stored files. A file points at its blob by a foreign key, so no row can outlive the bytes that it stands for."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, UniqueConstraint

from marquetry.server.database.tables import metadata

blobs = Table(
    "blobs",
    metadata,
    Column("key", String(100), primary_key=True),  # the name in the store: the hash, or with more behind it while an older one is deleted
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),  # pending, stored, deleting
    Column("created_ms", BigInteger, nullable=False),
    Column("touched_ms", BigInteger, nullable=False),  # when somebody last began to keep a file with it
)
Index("ix_blobs_sha256", blobs.c.sha256)
Index("ix_blobs_state", blobs.c.state, blobs.c.touched_ms)

files = Table(
    "files",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("owner", String(256), nullable=False),
    Column("blob_key", String(100), ForeignKey("blobs.key"), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("filename", String(255), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("media_type", String(100), nullable=False),
    Column("purpose", String(16), nullable=False),
    Column("width", Integer),
    Column("height", Integer),
    Column("duration_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("job_id", String(128)),  # that made it
    Column("node_id", String(512)),
    Column("folder", String(16)),  # input or output, where graphs and ComfyUI's clients find it by `path`
    Column("path", String(1024)),
    UniqueConstraint("job_id", "folder", "path", name="uq_files_job_id"),
)
Index("ix_files_owner", files.c.owner, files.c.created_ms, files.c.id)
Index("ix_files_blob_key", files.c.blob_key)
Index("ix_files_expires_ms", files.c.expires_ms)
Index("ix_files_created_ms", files.c.created_ms, files.c.id)
Index("ix_files_path", files.c.owner, files.c.folder, files.c.path)

storage_usage = Table(
    "storage_usage",
    metadata,
    Column("owner", String(256), primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    Column("files", BigInteger, nullable=False),
)

local_copies = Table(  # files that a machine also has on its own disk, where the store is elsewhere
    "local_copies",
    metadata,
    Column("host", String(255), primary_key=True),
    Column("file_id", String(40), ForeignKey("files.id", ondelete="CASCADE"), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("used_ms", BigInteger, nullable=False),
)
Index("ix_local_copies_used_ms", local_copies.c.host, local_copies.c.used_ms)
Index("ix_local_copies_file_id", local_copies.c.file_id)

uploads = Table(  # that come in parts; how much has come is the size of the file on disk
    "uploads",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("owner", String(256), nullable=False),
    Column("filename", String(255), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64)),
    Column("purpose", String(16), nullable=False),
    Column("subfolder", String(512), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
)
Index("ix_uploads_owner", uploads.c.owner)
Index("ix_uploads_expires_ms", uploads.c.expires_ms)

storage_marks = Table(  # how far tasks have come
    "storage_marks",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("value", String(1024), nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)

job_archives = Table(  # rows of old jobs, packed away in the store
    "job_archives",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("owner", String(256), nullable=False),
    Column("jobs", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("first_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)
Index("ix_job_archives_owner", job_archives.c.owner, job_archives.c.first_ms)

people_requests = Table(  # to export what is kept of somebody, or to erase it
    "people_requests",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("kind", String(16), nullable=False),  # export, erasure
    Column("owner", String(256), nullable=False),  # of an erasure that is done: nobody
    Column("state", String(16), nullable=False),  # waiting, running, done, failed
    Column("options", LargeBinary, nullable=False),  # JSON
    Column("created_ms", BigInteger, nullable=False),
    Column("finished_ms", BigInteger),
    Column("file_id", String(40)),
    Column("report", LargeBinary),  # JSON: rows by table
    Column("error", String(500)),
)
Index("ix_people_requests_owner", people_requests.c.owner, people_requests.c.created_ms)
Index("ix_people_requests_state", people_requests.c.state, people_requests.c.created_ms)
