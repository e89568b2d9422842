"""Storage: files of people by content, with an owner-scoped row for each, on a folder or on S3."""
