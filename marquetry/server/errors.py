"""What can go wrong in the server; every error has a stable `code` and a message for a person."""

from __future__ import annotations


class ServerError(Exception):
    """Base of every error that the server raises on purpose."""

    code = "server_error"

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class SettingsError(ServerError):
    """The configuration has values that can't be used."""

    code = "invalid_settings"
