"""Outbound requests: strangers' addresses never lead into the operator's network, nor take more time and room than they may."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from marquetry.server.configuration.automation import AutomationSettings
from marquetry.server.http.addresses import PrivateHosts, address_of, is_public
from marquetry.server.http.errors import TooLarge
from marquetry.server.http.outbound import AddressRefused, RemoteFailed, checked_url, fetch, send

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LIMITS: dict[str, Any] = {"max_bytes": 1000, "timeout_s": 10.0}


@asynccontextmanager
async def remote(handler: Handler) -> AsyncIterator[int]:
    """A server on this machine that answers everything; its port."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def says_hello(request: web.Request) -> web.Response:
    return web.Response(body=b"hello", content_type="image/png")


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.8.9.1", "10.0.0.1", "172.16.5.5", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "0.0.0.0",
     "168.63.129.16", "192.0.0.192", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fd00:ec2::254", "fc00::1", "ff02::1",
     "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1", "2001:db8::1"],
)  # fmt: skip
def test_addresses_inside_are_not_public(address: str) -> None:
    found = address_of(address)
    assert found is not None and not is_public(found)
    assert not PrivateHosts().permits("example.org", [found], 443)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_addresses_of_the_open_internet_are_public(address: str) -> None:
    found = address_of(address)
    assert found is not None and is_public(found)


def test_a_name_that_leads_inside_and_outside_is_refused() -> None:
    addresses = [found for text in ("1.1.1.1", "10.0.0.1") if (found := address_of(text)) is not None]
    assert not PrivateHosts().permits("example.org", addresses, 443)


def test_ports_of_mail_and_shells_are_refused_everywhere() -> None:
    public = address_of("1.1.1.1")
    assert public is not None
    assert [PrivateHosts().permits("example.org", [public], port) for port in (22, 25, 80, 443, 8080)] == [False, False, True, True, True]


def test_an_operator_names_hosts_addresses_and_networks_with_or_without_a_port() -> None:
    allowed = PrivateHosts.read(["n8n.internal:5678", "10.1.0.0/16", "[fd00::5]:80", "Box"])
    inside = {text: address_of(text) for text in ("10.1.2.3", "10.2.0.1", "fd00::5")}
    asked = [("n8n.internal", "10.2.0.1", 5678), ("n8n.internal", "10.2.0.1", 80), ("10.1.2.3", "10.1.2.3", 9000), ("x", "10.2.0.1", 443),
             ("fd00::5", "fd00::5", 80), ("fd00::5", "fd00::5", 81), ("box.", "10.2.0.1", 1)]  # fmt: skip
    answers = [allowed.permits(host, [found], port) for host, text, port in asked if (found := inside[text]) is not None]
    assert answers == [True, False, True, False, True, False, True]


def test_settings_refuse_private_hosts_that_are_none() -> None:
    with pytest.raises(ValueError, match="neither a host's name"):
        AutomationSettings(private_hosts=("10.0.0.0/99",))


@pytest.mark.parametrize(
    "wrong",
    ["ftp://example.org/", "file:///etc/passwd", "//example.org", "https://", "https://user:secret@example.org/", "https://a b/",
     "https://example.org/\r\nX: y", "javascript:alert(1)", "https://example.org:99999/", "http://[::1", "x" * 3000, "gopher://h:70/_"],
)  # fmt: skip
def test_what_is_no_web_address_is_refused(wrong: str) -> None:
    with pytest.raises(AddressRefused):
        checked_url(wrong)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://127.1:{port}/", "http://2130706433:{port}/", "http://0x7f.1:{port}/",
     "http://[::ffff:127.0.0.1]:{port}/", "http://0:{port}/", "http://localhost.:{port}/"],
)  # fmt: skip
async def test_no_spelling_of_this_machine_is_fetched(url: str, tmp_path: Path) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(text="secret")

    async with remote(answer) as port:
        with pytest.raises((AddressRefused, RemoteFailed)):
            await fetch(url.format(port=port), into=tmp_path / "file", **LIMITS)
        with pytest.raises((AddressRefused, RemoteFailed)):
            await send(url.format(port=port), b"{}", {}, timeout_s=5)
    assert not asked
    assert not (tmp_path / "file").exists()


async def test_a_file_comes_from_a_host_that_the_operator_named(tmp_path: Path) -> None:
    async with remote(says_hello) as port:
        found = await fetch(f"http://127.0.0.1:{port}/a", into=tmp_path / "file", allow=[f"127.0.0.1:{port}"], **LIMITS)
    assert (found.path.read_bytes(), found.size_bytes, found.media_type) == (b"hello", 5, "image/png")
    assert found.sha256 == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


async def test_a_redirect_is_checked_as_any_address(tmp_path: Path) -> None:
    async def away(request: web.Request) -> web.Response:
        raise web.HTTPFound(f"http://127.0.0.1:{inner}/secret")

    async with remote(says_hello) as inner, remote(away) as port:
        with pytest.raises(AddressRefused):
            await fetch(f"http://127.0.0.1:{port}/", into=tmp_path / "file", allow=[f"127.0.0.1:{port}"], **LIMITS)
        both = [f"127.0.0.1:{port}", f"127.0.0.1:{inner}"]
        found = await fetch(f"http://127.0.0.1:{port}/", into=tmp_path / "file", allow=both, **LIMITS)
    assert found.url == f"http://127.0.0.1:{inner}/secret"


async def test_redirects_end_and_lead_to_web_addresses_only(tmp_path: Path) -> None:
    async def around(request: web.Request) -> web.Response:
        target = "file:///etc/passwd" if request.path == "/file" else f"/{len(request.path)}{request.path}"
        return web.Response(status=302, headers={"Location": target})

    async with remote(around) as port:
        allow = [f"127.0.0.1:{port}"]
        with pytest.raises(RemoteFailed, match="more than 5 times"):
            await fetch(f"http://127.0.0.1:{port}/", into=tmp_path / "file", allow=allow, **LIMITS)
        with pytest.raises(AddressRefused):
            await fetch(f"http://127.0.0.1:{port}/file", into=tmp_path / "file", allow=allow, **LIMITS)


async def test_headers_are_for_the_first_host_only(tmp_path: Path) -> None:
    seen: list[str | None] = []

    async def second(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response(body=b"x")

    async def first(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        raise web.HTTPFound(f"http://127.0.0.1:{other}/")

    async with remote(second) as other, remote(first) as port:
        await fetch(f"http://127.0.0.1:{port}/", into=tmp_path / "file", allow=["127.0.0.1"], headers={"Authorization": "mine"}, **LIMITS)
    assert seen == ["mine", None]


async def test_a_name_is_resolved_once_and_that_address_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = socket.getaddrinfo

    def rebinding(host: str, port: int, *args: Any, **more: Any) -> Any:
        if host != "rebinding.test":
            return real(host, port, *args, **more)
        asked.append(host)
        return real("127.0.0.1" if len(asked) == 1 else "127.0.0.9", port, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    async with remote(says_hello) as port:
        url = f"http://rebinding.test:{port}/"
        found = await fetch(url, into=tmp_path / "file", allow=[f"127.0.0.1:{port}"], **LIMITS)
        assert found.size_bytes == 5 and asked == ["rebinding.test"]
        with pytest.raises(AddressRefused):  # the second answer of the name server leads elsewhere
            await fetch(url, into=tmp_path / "file", allow=[f"127.0.0.1:{port}"], **LIMITS)


@pytest.mark.parametrize("announced", [True, False])
async def test_what_is_too_large_is_not_kept(announced: bool, tmp_path: Path) -> None:
    async def large(request: web.Request) -> web.StreamResponse:
        if announced:
            return web.Response(body=b"x" * 1001)
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(11):
            await response.write(b"x" * 100)
        return response

    async with remote(large) as port:
        with pytest.raises(TooLarge):
            await fetch(f"http://127.0.0.1:{port}/", into=tmp_path / "file", allow=["127.0.0.1"], **LIMITS)
    assert not (tmp_path / "file").exists()


async def test_what_is_too_slow_is_given_up(tmp_path: Path) -> None:
    over = asyncio.Event()

    async def drips(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x")
        await over.wait()
        return response

    async with remote(drips) as port:
        with pytest.raises(RemoteFailed, match="longer than"):
            await fetch(f"http://127.0.0.1:{port}/", into=tmp_path / "file", max_bytes=1000, timeout_s=0.3, allow=["127.0.0.1"])
        with pytest.raises(RemoteFailed, match="no whole answer"):
            await send(f"http://127.0.0.1:{port}/", b"{}", {}, timeout_s=0.3, allow=["127.0.0.1"])
        over.set()
    assert not (tmp_path / "file").exists()


async def test_a_packed_file_is_refused_and_not_unpacked(tmp_path: Path) -> None:
    async def packed(request: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(b"x" * 100_000), headers={"Content-Encoding": "gzip"})

    async with remote(packed) as port:
        with pytest.raises(RemoteFailed, match="packed"):
            await fetch(f"http://127.0.0.1:{port}/", into=tmp_path / "file", allow=["127.0.0.1"], **LIMITS)


async def test_a_status_other_than_200_is_no_file(tmp_path: Path) -> None:
    async def gone(request: web.Request) -> web.Response:
        return web.Response(status=410, text="gone")

    async with remote(gone) as port:
        with pytest.raises(RemoteFailed, match="410"):
            await fetch(f"http://127.0.0.1:{port}/", into=tmp_path / "file", allow=["127.0.0.1"], **LIMITS)


async def test_a_body_is_sent_once_and_redirects_are_only_told(tmp_path: Path) -> None:
    got: list[tuple[str, bytes, str | None]] = []

    async def take(request: web.Request) -> web.Response:
        got.append((request.method, await request.read(), request.headers.get("X-Word")))
        return web.Response(status=307, headers={"Location": "/elsewhere", "Retry-After": "7"}, body=b"y" * 5000)

    async with remote(take) as port:
        sent = await send(f"http://127.0.0.1:{port}/", b"{}", {"X-Word": "a"}, timeout_s=10, allow=["127.0.0.1"])
    assert got == [("POST", b"{}", "a")]
    assert (sent.status, len(sent.body), sent.retry_after) == (307, 2048, "7")


async def test_who_does_not_answer_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(RemoteFailed, match=r"127\.0\.0\.1 can't be reached"):
            await fetch(f"http://127.0.0.1:{port}/", into=tmp_path / "file", allow=["127.0.0.1"], **LIMITS)
