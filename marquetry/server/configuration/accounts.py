"""Settings of people: sign-up, sessions, mail, sign-in through others."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from marquetry.marketplace.accounts.rates import Rate

RATES = {
    "read": "50/s+200",
    "write": "10/s+50",
    "run": "10/s+50",
    "upload": "5/s+20",
    "sign_in": "10/min+10",
    "register": "10/h+10",
    "reset": "5/15min",
    "anonymous": "20/s+100",
}
"""How often one caller, or where nobody is signed in one address, may use the routes of a class."""


class MailSettings(BaseModel):
    """How mails go out. Without a host each is written as a file below the data folder, in `mail`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sender: str = Field(default="Marquetry <marquetry@localhost>", description="whom mails come from")
    host: str = Field(default="", description="SMTP server")
    port: int = Field(default=587, ge=1, le=65535)
    user: str = ""
    password: SecretStr = SecretStr("")
    security: Literal["starttls", "tls", "none"] = Field(default="starttls", description="none only for a server on this machine")


class ProviderSettings(BaseModel):
    """Sign-in through another site. google, github, apple and microsoft need only an id and a secret; any other name is an OIDC issuer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    client_id: str
    client_secret: SecretStr = SecretStr("")
    issuer: str = Field(default="", description="address of the OIDC issuer; its configuration is found below it")
    title: str = Field(default="", description="name on the button")
    scopes: str = Field(default="", description="what is asked for; by default openid email profile")
    tenant: str = Field(default="", description="of Microsoft: the directory whose accounts may sign in; by default every one")
    team_id: str = Field(default="", description="of Apple: the team")
    key_id: str = Field(default="", description="of Apple: the id of the private key")
    private_key: SecretStr = Field(default=SecretStr(""), description="of Apple: the private key, from which secrets are made")


class AccountSettings(BaseModel):
    """See the module. Without accounts there is one user who may do everything, and only this machine can reach the server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(default=False, description="whether callers need an account")
    public_url: str = Field(
        default="", description="address under which people reach this server, for links in mails; by default host and port"
    )
    site_name: str = Field(default="Marquetry", max_length=100, description="how mails call this server")
    registration: Literal["open", "closed"] = Field(default="open", description="closed: only the operator adds people")
    confirm_email: bool = Field(
        default=True,
        description="whether an account counts once its e-mail was confirmed; without, registering tells which e-mails are known",
    )
    access_minutes: int = Field(default=15, ge=1, le=60, description="life of an access token")
    session_hours: int = Field(default=24, ge=1, le=24 * 90, description="life of a sign-in")
    idle_hours: int = Field(default=8, ge=1, le=24 * 90, description="life of a sign-in that is not used")
    admin_session_hours: int = Field(default=8, ge=1, le=24, description="life of an admin's sign-in")
    admin_second_factor: bool = Field(default=True, description="whether admins and moderators are such only after a second factor")
    admin_addresses: list[str] = Field(default=[], description="the only networks from which admins are such, when not empty")
    trusted_proxies: list[str] = Field(default=[], description="networks of proxies whose X-Forwarded-For and -Proto are believed")
    cookie_same_site: Literal["lax", "strict", "none"] = Field(
        default="lax", description="none: pages of sites in cors_origin may use the cookies"
    )
    keys_file: Path | None = Field(default=None, description="signing keys; by default keys/accounts.json in the data folder")
    keys: SecretStr | None = Field(default=None, description="signing keys as text, instead of a file")
    redis_url: SecretStr | None = Field(default=None, description="Redis in which several servers count rates together")
    rates: dict[str, str] = Field(
        default={}, description=f"other rates than {', '.join(f'{name}: {rate}' for name, rate in RATES.items())}"
    )
    monthly_calls: int | None = Field(
        default=None, ge=1, description="calls that one account may make in a month, where its plan says nothing"
    )
    breach_url: str = Field(default="", description="range service for breached passwords, e.g. https://api.pwnedpasswords.com/range/")
    alert_email: str = Field(default="", description="who is told of suspicious activity, besides the log")
    mail: MailSettings = MailSettings()
    providers: dict[str, ProviderSettings] = Field(default={}, description="sites to sign in through")
    clerk_webhook_secret: SecretStr | None = Field(default=None, description="secret of Clerk's webhooks, which add and change accounts")

    @field_validator("rates")
    @classmethod
    def _known_rates(cls, rates: dict[str, str]) -> dict[str, str]:
        unknown = sorted(set(rates) - set(RATES))
        if unknown:
            raise ValueError(f"there is no class of routes '{unknown[0]}'; there are {', '.join(RATES)}")
        for rate in rates.values():
            Rate.parse(rate)
        return rates

    @field_validator("admin_addresses", "trusted_proxies")
    @classmethod
    def _networks(cls, entries: list[str]) -> list[str]:
        for entry in entries:
            ipaddress.ip_network(entry, strict=False)
        return entries

    def rate(self, name: str) -> Rate:
        """The rate of a class of routes."""
        return Rate.parse(self.rates.get(name, RATES[name]))
