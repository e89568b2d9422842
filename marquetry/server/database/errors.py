"""What can go wrong with the database."""

from __future__ import annotations

from marquetry.server.errors import ServerError


class DatabaseError(ServerError):
    """Base of the errors of this room."""

    code = "database_error"


class UnknownDatabase(DatabaseError):
    """The URL names a database that isn't supported, or whose driver isn't installed."""

    code = "unknown_database"


class NewerDatabase(DatabaseError):
    """The database was written by a newer version of this program."""

    code = "newer_database"


class DatabaseClosed(DatabaseError):
    """The database was closed before the operation was done."""

    code = "database_closed"
