"""Bodies and answers of the routes for admins."""

from __future__ import annotations

from pydantic import Field

from marquetry.server.api.account_models import Plain


class UsersQuery(Plain):
    q: str = Field(default="", max_length=200, description="part of the name or e-mail, or the id")
    limit: int = Field(default=50, ge=1, le=200)
    offset: int = Field(default=0, ge=0, le=10_000_000)


class UserView(Plain):
    id: str
    email: str | None
    email_confirmed: bool
    name: str
    roles: list[str]
    second_factor: bool
    external_id: str | None
    created_ms: int
    signed_in_ms: int | None
    suspended_ms: int | None
    suspended_reason: str


class Users(Plain):
    users: list[UserView]
    total: int


class Roles(Plain):
    roles: list[str] = Field(max_length=10, description="user is always among them")


class Suspension(Plain):
    suspended: bool
    reason: str = Field(default="", max_length=500, description="told to the person")


class NewServiceToken(Plain):
    name: str = Field(max_length=200)
    scopes: list[str] = Field(default=["read"], max_length=20)
    expires_ms: int | None = Field(default=None, ge=0, le=2**53)


class ApplicationBody(Plain):
    name: str = Field(min_length=1, max_length=200)
    redirect_uris: list[str] = Field(min_length=1, max_length=20)
    logout_uri: str = Field(default="", max_length=2000, description="told when a person signs out here")
    confidential: bool = Field(default=True, description="whether it can keep a secret, as servers can and apps can't")


class ApplicationView(Plain):
    client_id: str
    name: str
    redirect_uris: list[str]
    logout_uri: str
    confidential: bool
    client_secret: str | None = Field(default=None, description="shown this one time")


class Applications(Plain):
    applications: list[ApplicationView]
