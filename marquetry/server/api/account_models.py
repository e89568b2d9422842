"""Bodies and answers of the routes on accounts."""

from __future__ import annotations

from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from marquetry.server.http.body import check, parse_json, read_bytes

MAX_BODY_BYTES = 64 * 1024
MAX_TOKEN = 4096


class Plain(BaseModel):
    """Built when it is first used: many of these are not, on a server without accounts."""

    model_config = ConfigDict(defer_build=True)


Model = TypeVar("Model", bound=BaseModel)


async def read_small(request: web.Request, model: type[Model]) -> Model:
    """A body that strangers may send, so it is small. An empty one is an object without fields. Raises RequestError and TooLarge."""
    text = await read_bytes(request, MAX_BODY_BYTES)
    return check(model, parse_json(text) if text else {}, "body")


class Registration(Plain):
    email: str = Field(max_length=320)
    password: str = Field(max_length=1024, description="12 characters or more")
    name: str = Field(default="", max_length=200)
    cookies: bool = Field(default=False, description="true: tokens come as cookies, as pages want them")


class LogIn(Plain):
    email: str = Field(max_length=320)
    password: str = Field(max_length=1024)
    code: str = Field(default="", max_length=64, description="of the authenticator app, or a recovery code, where one is set up")
    cookies: bool = Field(default=False, description="true: tokens come as cookies, as pages want them")


class ChallengeAnswer(Plain):
    challenge: str = Field(max_length=MAX_TOKEN, description="of the error second_factor_required")
    code: str = Field(max_length=64)
    cookies: bool = False


class Refresh(Plain):
    refresh_token: str = Field(default="", max_length=MAX_TOKEN, description="by default that of the cookie")


class Token(Plain):
    token: str = Field(max_length=MAX_TOKEN, description="from the mailed link")


class Email(Plain):
    email: str = Field(max_length=320)


class NewPassword(Plain):
    token: str = Field(max_length=MAX_TOKEN, description="from the mailed link")
    password: str = Field(max_length=1024)


class PasswordChange(Plain):
    current: str = Field(max_length=1024)
    password: str = Field(max_length=1024)


class EmailChange(Plain):
    password: str = Field(max_length=1024)
    email: str = Field(max_length=320)


class LogOutEverywhere(Plain):
    keep_this: bool = Field(default=False, description="true: all but the session that asks")


class Proof(Plain):
    password: str = Field(max_length=1024)


class CodeProof(Plain):
    code: str = Field(max_length=64)


class FullProof(Plain):
    password: str = Field(max_length=1024)
    code: str = Field(max_length=64)


class Me(Plain):
    """Who calls. On a server without accounts: its only user, who may do everything."""

    id: str
    accounts: bool = Field(description="whether this server keeps accounts")
    email: str | None = None
    name: str = ""
    avatar: str = ""
    roles: list[str] = Field(description="that are in force")
    dormant_roles: list[str] = Field(default=[], description="that count only after a second factor")
    scopes: list[str]
    key_id: str | None = None
    session_id: str | None = None
    second_factor: bool = Field(default=False, description="whether one is set up")
    signed_in_with_second_factor: bool = False
    has_password: bool = False
    providers: dict[str, str] = Field(default={}, description="e-mail by site that the account is linked to")
    recovery_codes_left: int = 0
    created_ms: int | None = None


class SignedIn(Plain):
    """Tokens are missing where they came as cookies. Refresh when a fifth of the access token's life is left."""

    access_token: str | None = None
    refresh_token: str | None = None
    token_type: str = "Bearer"
    expires_in_s: int
    refresh_in_s: int = Field(description="when to refresh at the latest, with time to spare")
    session_expires_ms: int
    csrf_token: str | None = Field(default=None, description="for the header X-CSRF-Token, with cookies")
    user_id: str
    session_id: str


class Sent(Plain):
    status: str = Field(description="what to do next; the same for e-mails that are known and that are not")


class Done(Plain):
    done: bool = True


class SessionView(Plain):
    id: str
    current: bool
    address: str
    user_agent: str
    second_factor: bool
    application: str | None = Field(description="the other application that it was made for")
    created_ms: int
    used_ms: int
    expires_ms: int


class Sessions(Plain):
    sessions: list[SessionView]


class SecondFactorSetup(Plain):
    secret: str = Field(description="for typing it in")
    uri: str
    qr_svg: str = Field(description="a picture of it for an authenticator app")


class RecoveryCodes(Plain):
    recovery_codes: list[str] = Field(description="each good once; they are shown this one time")


class Ticket(Plain):
    ticket: str = Field(description="for the query of a WebSocket's address: ?ticket=...; good once")
    expires_in_s: int


class ProviderView(Plain):
    id: str
    title: str
    url: str


class Options(Plain):
    accounts: bool
    registration: str
    confirm_email: bool
    providers: list[ProviderView]
    password_min_characters: int
    csrf_header: str
    csrf_cookie: str


class KeyView(Plain):
    """A key; its text is shown only when it is made."""

    id: str
    name: str
    prefix: str
    scopes: list[str]
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None
    last_used_ms: int | None
    spend_limit_microcredits: int | None
    spent_microcredits: int


class Keys(Plain):
    keys: list[KeyView]
    scopes: dict[str, str] = Field(description="what a key can be allowed")


class NewKeyBody(Plain):
    name: str = Field(max_length=200)
    scopes: list[str] = Field(default=["read", "run"], max_length=20)
    expires_ms: int | None = Field(default=None, ge=0, le=2**53, description="when it ends; null: when it is revoked")
    spend_limit_microcredits: int | None = Field(
        default=None, ge=0, le=2**53, description="how much may be spent with it; null: all there is"
    )


class KeyChange(Plain):
    name: str | None = Field(default=None, min_length=1, max_length=200)
    scopes: list[str] | None = Field(default=None, min_length=1, max_length=20)
    spend_limit_microcredits: int | None = Field(default=None, ge=0, le=2**53, description="null: no limit; left out: as it is")


class MadeKey(KeyView):
    key: str = Field(description="send it as Authorization: Bearer KEY; it is not shown again")


class EventView(Plain):
    sequence: int
    kind: str
    severity: str
    time_ms: int
    owner: str
    actor: str
    address: str
    user_agent: str
    details: dict[str, object]


class Events(Plain):
    events: list[EventView]


class EventsQuery(Plain):
    kind: str | None = Field(default=None, max_length=50)
    before: int | None = Field(default=None, ge=0, le=2**53, description="sequence of the last event that is known already")
    limit: int = Field(default=50, ge=1, le=200)


class Profile(Plain):
    """Names as clients of old know them are there too: externalId, createdAt, ..."""

    id: str
    email: str | None
    name: str
    avatar: str
    has_completed_beta_signup: bool
    external_id: str | None
    created_at: int = Field(description="milliseconds since 1970")
    updated_at: int
    roles: list[str]


class ProfileChange(Plain):
    name: str | None = Field(default=None, max_length=200)
    avatar: str | None = Field(default=None, max_length=2000, description="address of a picture: https, or a path of this server")
    has_completed_beta_signup: bool | None = None
