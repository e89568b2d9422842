"""Stored files and their retention."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _files()
    _tasks()
    op.create_index("ix_blobs_sha256", "blobs", ["sha256"])
    op.create_index("ix_blobs_state", "blobs", ["state", "touched_ms"])
    op.create_index("ix_files_owner", "files", ["owner", "created_ms", "id"])
    op.create_index("ix_files_blob_key", "files", ["blob_key"])
    op.create_index("ix_files_expires_ms", "files", ["expires_ms"])
    op.create_index("ix_files_created_ms", "files", ["created_ms", "id"])
    op.create_index("ix_files_path", "files", ["owner", "folder", "path"])
    op.create_index("ix_local_copies_used_ms", "local_copies", ["host", "used_ms"])
    op.create_index("ix_local_copies_file_id", "local_copies", ["file_id"])
    op.create_index("ix_uploads_owner", "uploads", ["owner"])
    op.create_index("ix_uploads_expires_ms", "uploads", ["expires_ms"])
    op.create_index("ix_job_archives_owner", "job_archives", ["owner", "first_ms"])
    op.create_index("ix_people_requests_owner", "people_requests", ["owner", "created_ms"])
    op.create_index("ix_people_requests_state", "people_requests", ["state", "created_ms"])


def _files() -> None:
    op.create_table(
        "blobs",
        sa.Column("key", sa.String(100), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("touched_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_blobs"),
    )
    op.create_table(
        "files",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("blob_key", sa.String(100), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("filename", sa.String(255), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("media_type", sa.String(100), nullable=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("width", sa.Integer()),
        sa.Column("height", sa.Integer()),
        sa.Column("duration_ms", sa.BigInteger()),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger()),
        sa.Column("job_id", sa.String(128)),
        sa.Column("node_id", sa.String(512)),
        sa.Column("folder", sa.String(16)),
        sa.Column("path", sa.String(1024)),
        sa.PrimaryKeyConstraint("id", name="pk_files"),
        sa.ForeignKeyConstraint(["blob_key"], ["blobs.key"], name="fk_files_blob_key_blobs"),
        sa.UniqueConstraint("job_id", "folder", "path", name="uq_files_job_id"),
    )
    op.create_table(
        "storage_usage",
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", name="pk_storage_usage"),
    )
    op.create_table(
        "local_copies",
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("file_id", sa.String(40), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("host", "file_id", name="pk_local_copies"),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name="fk_local_copies_file_id_files", ondelete="CASCADE"),
    )


def _tasks() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("filename", sa.String(255), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64)),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("subfolder", sa.String(512), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
    )
    op.create_table(
        "storage_marks",
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("value", sa.String(1024), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_storage_marks"),
    )
    op.create_table(
        "job_archives",
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("jobs", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("first_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_job_archives"),
    )
    op.create_table(
        "people_requests",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("options", sa.LargeBinary(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_ms", sa.BigInteger()),
        sa.Column("file_id", sa.String(40)),
        sa.Column("report", sa.LargeBinary()),
        sa.Column("error", sa.String(500)),
        sa.PrimaryKeyConstraint("id", name="pk_people_requests"),
    )


def downgrade() -> None:
    for table in ("people_requests", "job_archives", "storage_marks", "uploads", "local_copies", "storage_usage", "files", "blobs"):
        op.drop_table(table)
