"""Sites that people can sign in through: what each needs, from a preset or from the configuration that an OIDC issuer publishes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from marquetry.marketplace.accounts.errors import ProviderMissing
from marquetry.server.configuration.accounts import AccountSettings, ProviderSettings

ISSUERS: Mapping[str, str] = {"google": "https://accounts.google.com", "apple": "https://appleid.apple.com"}
MICROSOFT = "https://login.microsoftonline.com/{tenant}/v2.0"
GITHUB, GITHUB_API = "https://github.com", "https://api.github.com"
OIDC_SCOPES, GITHUB_SCOPES = "openid email profile", "read:user user:email"
REMEMBERED_S = 3600.0
FORCED_EVERY_S = 60.0  # signing keys are asked for again at most that often when a token names an unknown one
TIMEOUT_S = 10
MAX_ANSWER_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class Site:
    """One site, ready to use. `is_oidc`: who signed in is told by a signed token, else by its API."""

    name: str
    settings: ProviderSettings
    is_oidc: bool
    issuer: str
    authorize_url: str
    token_url: str
    keys_url: str
    api_url: str
    scopes: str
    posts_back: bool  # the browser comes back with a POST from that site's page
    trusts_emails: bool  # e-mails without a word on whether they were confirmed are the operator's own people's


class Sites:
    """The sites of the settings; what their issuers publish is remembered for an hour."""

    def __init__(self, settings: AccountSettings) -> None:
        self._settings = settings
        self._known: dict[str, tuple[float, Any]] = {}
        self._lock = asyncio.Lock()

    async def find(self, name: str) -> Site:
        """Raises ProviderMissing."""
        settings = self._settings.providers.get(name)
        if settings is None:
            raise ProviderMissing(
                f"sign-in through '{name[:50]}' is not set up; an operator sets accounts.providers.{name[:50]} with client_id and client_secret"
            )
        if name == "github":
            return _github(settings)
        issuer = _issuer(name, settings)
        published = await self._get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        told = str(published.get("issuer", ""))
        if told.rstrip("/") != issuer.rstrip("/") and not (name == "microsoft" and "{tenantid}" in told):
            raise ProviderMissing(f"the configuration of {name} is of another issuer, {told[:200]}")
        urls = [_checked(str(published.get(key, ""))) for key in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
        trusts = name == "microsoft" and bool(settings.tenant)
        return Site(name, settings, True, told, urls[0], urls[1], urls[2], "", settings.scopes or OIDC_SCOPES, name == "apple", trusts)

    async def keys(self, site: Site, *, anew: bool = False) -> list[dict[str, Any]]:
        """The keys that an issuer signs with. Raises ProviderMissing."""
        found = (await self._get(site.keys_url, anew=anew)).get("keys", [])
        return [key for key in found if isinstance(key, dict)] if isinstance(found, list) else []

    async def _get(self, url: str, *, anew: bool = False) -> dict[str, Any]:
        async with self._lock:
            known = self._known.get(url)
            lasting_s = FORCED_EVERY_S if anew else REMEMBERED_S
            if known is None or time.monotonic() - known[0] > lasting_s:
                known = (time.monotonic(), await ask("GET", _checked(url)))
                self._known[url] = known
        if not isinstance(known[1], dict):
            raise ProviderMissing(f"{urlsplit(url).hostname} answered with something else than an object")
        return known[1]


async def ask(method: str, url: str, **request: Any) -> Any:
    """The JSON that a site answers. Raises ProviderMissing when it does not."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(method, url, allow_redirects=False, **request) as answer,
        ):
            body = await _whole(answer)
            if answer.status != 200:
                raise ProviderMissing(
                    f"{urlsplit(url).hostname} answered with status {answer.status}; try again, or sign in in another way"
                )
            return orjson.loads(body)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise ProviderMissing(f"{urlsplit(url).hostname} does not answer as it must; try again, or sign in in another way") from error


async def _whole(answer: aiohttp.ClientResponse) -> bytes:
    found = bytearray()
    async for part in answer.content.iter_any():
        found += part
        if len(found) > MAX_ANSWER_BYTES:
            raise ValueError("the answer is too large")
    return bytes(found)


def _github(settings: ProviderSettings) -> Site:
    base = (settings.issuer or GITHUB).rstrip("/")
    api = f"{base}/api/v3" if settings.issuer else GITHUB_API
    urls = f"{base}/login/oauth/authorize", f"{base}/login/oauth/access_token"
    return Site("github", settings, False, base, *urls, "", api, settings.scopes or GITHUB_SCOPES, False, False)


def _issuer(name: str, settings: ProviderSettings) -> str:
    if settings.issuer:
        return settings.issuer
    if name == "microsoft":
        return MICROSOFT.format(tenant=settings.tenant or "common")
    if name not in ISSUERS:
        raise ProviderMissing(f"accounts.providers.{name} needs the address of its issuer")
    return ISSUERS[name]


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")):
        return url
    raise ProviderMissing(f"'{url[:100]}' is not an https address")
