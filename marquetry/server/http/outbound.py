"""Outbound: what this server fetches from, and sends to, addresses that strangers name. They never lead it into its own network.

A host's name is resolved once for each hop, every address that it has must be permitted, and those addresses are the only ones that are
connected to; redirects are new hops. Sizes and times are limited; nothing is unpacked, guessed or kept when it fails.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from marquetry import __version__
from marquetry.server.http.addresses import PrivateHosts, address_of
from marquetry.server.http.errors import RequestError, TooLarge

USER_AGENT = f"Marquetry/{__version__}"
MAX_URL_CHARACTERS = 2048
MAX_REDIRECTS = 5
MAX_ADDRESSES = 32
CONNECT_S = 10.0
SHOWN_BYTES = 2048
PART_BYTES = 1 << 20
REDIRECTS = frozenset({301, 302, 303, 307, 308})


class AddressRefused(RequestError):
    """This server does not go to that address."""

    code = "address_refused"


class RemoteFailed(RequestError):
    """The other server could not be reached, or did not answer as it must."""

    code = "remote_failed"


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was fetched into `path`. `media_type` is what the other server says, lower case and without parameters; believe what you sniff."""

    path: Path
    size_bytes: int
    sha256: str
    media_type: str
    url: str  # after redirects


@dataclass(frozen=True, slots=True)
class Sent:
    """The answer to what was sent: its status and how its body begins."""

    status: int
    body: bytes
    duration_ms: int
    retry_after: str = ""


def checked_url(text: str) -> URL:
    """An address as strangers may name it. Raises AddressRefused, which says what is wrong; where it leads is checked when it is called."""
    if len(text) > MAX_URL_CHARACTERS:
        raise AddressRefused(f"the address has {len(text)} characters; at most {MAX_URL_CHARACTERS} are allowed")
    if any(ord(character) < 33 or ord(character) == 127 for character in text):
        raise AddressRefused("the address has blanks or control characters in it")
    try:
        url = URL(text)
        host, port = url.host, url.port
    except ValueError as error:
        raise AddressRefused(f"that is no address: {error}") from error
    if url.scheme not in ("http", "https") or not host or not port:
        raise AddressRefused("the address must begin with https:// or http:// and name a host")
    if url.user is not None or url.password is not None:
        raise AddressRefused("the address must not have a name or a password in it")
    return url


async def fetch(
    url: str,
    *,
    into: Path,
    max_bytes: int,
    timeout_s: float,
    allow: Iterable[str] = (),
    max_redirects: int = MAX_REDIRECTS,
    headers: Mapping[str, str] | None = None,
) -> Fetched:
    """GET into the file `into`, which is not there afterwards if this fails. `allow` are the operator's private hosts.

    `headers` are sent to the first host only. Raises AddressRefused, RemoteFailed and TooLarge.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await _follow(checked_url(url), into, max_bytes, PrivateHosts.read(allow), max_redirects, dict(headers or {}))
    except TimeoutError as error:
        into.unlink(missing_ok=True)
        raise RemoteFailed(f"fetching took longer than {timeout_s:g} s") from error
    except BaseException:
        into.unlink(missing_ok=True)
        raise


async def send(
    url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float, allow: Iterable[str] = (), method: str = "POST"
) -> Sent:
    """Send a body; the answer, whatever its status, a redirect too. Raises AddressRefused and RemoteFailed."""
    started = time.monotonic()
    try:
        async with (
            asyncio.timeout(timeout_s),
            _hop(checked_url(url), method, PrivateHosts.read(allow), headers, body) as response,
        ):
            shown = await _beginning(response)
            took_ms = int((time.monotonic() - started) * 1000)
            return Sent(response.status, shown, took_ms, response.headers.get("Retry-After", ""))
    except TimeoutError as error:
        raise RemoteFailed(f"there was no whole answer within {timeout_s:g} s") from error


async def _follow(url: URL, into: Path, max_bytes: int, allow: PrivateHosts, redirects: int, headers: dict[str, str]) -> Fetched:
    origin = url.origin()
    for _ in range(redirects + 1):
        async with _hop(url, "GET", allow, headers if url.origin() == origin else {}) as response:
            if response.status in REDIRECTS and "Location" in response.headers:
                url = _next_url(url, response.headers["Location"])
                continue
            if response.status != 200:
                raise RemoteFailed(f"{url.host} answered with status {response.status}", status=response.status)
            return await _take(response, into, max_bytes)
    raise RemoteFailed(f"{origin.host} redirects more than {redirects} times")


def _next_url(url: URL, location: str) -> URL:
    try:
        target = checked_url(str(url.join(URL(location))))
    except ValueError as error:
        raise RemoteFailed(f"{url.host} redirects to something that is no address") from error
    if url.scheme == "https" and target.scheme == "http":
        raise AddressRefused(f"{url.host} redirects from https to http; that is not followed")
    return target.with_fragment(None)


async def _take(response: aiohttp.ClientResponse, into: Path, max_bytes: int) -> Fetched:
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise RemoteFailed(f"{response.url.host} sent the file packed ({coding[:40]}) although that was not asked for")
    if response.content_length is not None and response.content_length > max_bytes:
        raise TooLarge(f"the file has {response.content_length:,} bytes; at most {max_bytes:,} are allowed", limit_bytes=max_bytes)
    size, digest, waiting = 0, hashlib.sha256(), bytearray()
    with await asyncio.to_thread(into.open, "wb") as file:
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > max_bytes:
                raise TooLarge(f"the file has more than the {max_bytes:,} bytes that are allowed", limit_bytes=max_bytes)
            waiting += chunk
            if len(waiting) >= PART_BYTES:
                part, waiting = bytes(waiting), bytearray()
                await asyncio.to_thread(_keep, file, digest, part)
        await asyncio.to_thread(_keep, file, digest, bytes(waiting))
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()[:100]
    return Fetched(into, size, digest.hexdigest(), media_type, str(response.url))


def _keep(file: Any, digest: Any, part: bytes) -> None:
    file.write(part)
    digest.update(part)


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    found = bytearray()
    async for chunk in response.content.iter_any():
        found += chunk
        if len(found) >= SHOWN_BYTES:
            break
    return bytes(found[:SHOWN_BYTES])


@asynccontextmanager
async def _hop(
    url: URL, method: str, allow: PrivateHosts, headers: Mapping[str, str], body: bytes | None = None
) -> AsyncIterator[aiohttp.ClientResponse]:
    """One request to one host, over a connection of its own that nobody uses after."""
    addresses = await _resolve(url, allow)
    connector = aiohttp.TCPConnector(
        resolver=_Resolver(addresses), socket_factory=_Sockets(addresses), force_close=True, use_dns_cache=False
    )
    limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
    given = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
    try:
        async with (
            aiohttp.ClientSession(
                connector=connector, timeout=limits, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
            ) as session,
            session.request(method, url, headers=given, data=body, allow_redirects=False) as response,
        ):
            yield response
    except (aiohttp.ClientError, OSError) as error:
        if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError):
            raise
        raise RemoteFailed(f"{url.host} can't be reached, or broke off: {type(error).__name__}") from error


@dataclass(frozen=True, slots=True)
class _Found:
    """What a host's name leads to: permitted addresses."""

    host: str
    port: int
    addresses: tuple[tuple[int, str], ...]  # family, address


async def _resolve(url: URL, allow: PrivateHosts) -> _Found:
    host, port = url.raw_host or "", url.port or 0
    ask: Callable[[], Any] = lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)  # noqa: E731
    try:
        entries = await asyncio.get_running_loop().run_in_executor(_resolvers(), ask)
    except (OSError, UnicodeError) as error:
        raise RemoteFailed(f"there is no host '{host[:100]}'") from error
    found = tuple(dict.fromkeys((entry[0], str(entry[4][0])) for entry in entries))[:MAX_ADDRESSES]
    addresses = [address for _, text in found if (address := address_of(text)) is not None]
    if len(addresses) != len(found) or not allow.permits(host, addresses, port):
        raise AddressRefused(
            f"'{host[:100]}' port {port} is not on the open internet; an operator can permit it in the setting automation.private_hosts"
        )
    return _Found(host, port, found)


@cache
def _resolvers() -> ThreadPoolExecutor:
    """Threads of their own: a name server that never answers holds up nothing else."""
    return ThreadPoolExecutor(8, thread_name_prefix="outbound-names")


class _Resolver(AbstractResolver):
    """What a connection is given instead of a way to ask: it knows one host."""

    def __init__(self, found: _Found) -> None:
        self._found = found

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for kind, address in self._found.addresses
        ]

    async def close(self) -> None:
        pass


class _Sockets:
    """Makes sockets for the addresses that were found, and for no others."""

    def __init__(self, found: _Found) -> None:
        self._known = {address_of(address) for _, address in found.addresses}
        self._port = found.port

    def __call__(self, entry: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, (address, port, *_) = entry
        if address_of(str(address)) not in self._known or port != self._port:
            raise OSError(f"{address} port {port} was not permitted")
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made
