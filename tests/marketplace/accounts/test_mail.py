"""Mails: rendered as text and as a page, dropped as files, or spoken over SMTP to a real server on loopback."""

from __future__ import annotations

import email
import socketserver
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from marquetry.marketplace.accounts.breaches import check_breaches
from marquetry.marketplace.accounts.errors import WeakPassword
from marquetry.marketplace.accounts.mail import SUBJECTS, FileDrop, MailFailed, Smtp, render

VALUES = {"site": "Studio & Co", "link": "https://x.example/#token=a&b", "what": "<b>odd</b>", "whom": "u_1", "address": "192.0.2.1", "time": "now", "email": "new@example.org", "plan": "Pro", "pay": "https://pay.example/1", "until": "2027-01-01"}  # fmt: skip


class Peer(socketserver.ThreadingTCPServer):
    """As much of an SMTP server as RFC 5321 asks of one that takes mail; `code` is its answer to RCPT."""

    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Conversation)
        self.code = 250
        self.mails: list[tuple[str, str, EmailMessage]] = []


class Conversation(socketserver.StreamRequestHandler):
    server: Peer

    def handle(self) -> None:
        self.say(220)
        sender = recipient = ""
        for line in self.rfile:
            verb, _, rest = line.decode().strip().partition(" ")
            match verb.upper():
                case "EHLO" | "HELO" | "RSET" | "NOOP":
                    self.say(250)
                case "MAIL":
                    sender = rest
                    self.say(250)
                case "RCPT":
                    recipient = rest
                    self.say(self.server.code)
                case "DATA":
                    self.say(354)
                    self.server.mails.append((sender, recipient, self.message()))
                    self.say(250)
                case "QUIT":
                    self.say(221)
                    return
                case _:
                    self.say(502)

    def say(self, code: int) -> None:
        self.wfile.write(f"{code} said\r\n".encode())

    def message(self) -> EmailMessage:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b"..") else line)
        return email.message_from_bytes(b"".join(lines), policy=default)


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("kind", SUBJECTS)
def test_every_mail_is_a_text_and_a_page_that_say_the_same(kind: str) -> None:
    mail = render(kind, "ann@example.org", **VALUES)
    assert mail.subject == f"{SUBJECTS[kind]} - Studio & Co" and mail.to == "ann@example.org"
    assert VALUES["link"] in mail.text and "https://x.example/#token=a&amp;b" in mail.html
    assert "<b>odd" not in mail.html and "{{" not in mail.text + mail.html


def test_without_a_mail_server_mails_are_files_in_order_that_only_the_operator_reads(tmp_path: Path) -> None:
    drop = FileDrop(tmp_path / "mail", "Marquetry <m@example.org>")
    for kind in ("confirm_email", "reset_password"):
        drop.send(render(kind, "ann@example.org", **VALUES))
    first, second = sorted((tmp_path / "mail").iterdir())
    assert first.stat().st_mode & 0o077 == 0
    message = email.message_from_bytes(second.read_bytes(), policy=default)
    assert message["To"] == "ann@example.org" and message["Subject"].startswith("Set a new password")
    assert [part.get_content_type() for part in message.walk()] == ["multipart/alternative", "text/plain", "text/html"]


def test_a_mail_server_gets_the_mail(peer: Peer) -> None:
    smtp = Smtp("127.0.0.1", peer.server_address[1], "Marquetry <m@example.org>", security="none")
    smtp.send(render("confirm_email", "änn@example.org".replace("ä", "a"), **VALUES))
    sender, recipient, message = peer.mails[0]
    assert "m@example.org" in sender and "ann@example.org" in recipient
    body = message.get_body(("plain",))
    assert body is not None and VALUES["link"] in body.get_content()


def test_what_the_mail_server_refuses_is_an_error(peer: Peer) -> None:
    peer.code = 550
    with pytest.raises(MailFailed):
        Smtp("127.0.0.1", peer.server_address[1], "m@example.org", security="none").send(render("confirm_email", "a@example.org", **VALUES))
    with pytest.raises(MailFailed):
        Smtp("127.0.0.1", 1, "m@example.org").send(render("confirm_email", "a@example.org", **VALUES))


def test_a_mail_is_never_sent_openly_where_encryption_is_wanted(peer: Peer) -> None:
    with pytest.raises(MailFailed):
        Smtp("127.0.0.1", peer.server_address[1], "m@example.org", security="starttls").send(
            render("confirm_email", "a@example.org", **VALUES)
        )
    assert peer.mails == []


async def test_passwords_from_breaches_are_refused_and_never_sent() -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(
            text="0018A45C4D1DEF81644B54AB7F969B88D65:1\r\n1E4C9B93F3F0682250B6CF8331B7EE68FD8:99\r\n" + "F" * 35 + ":0\r\n"
        )

    application = web.Application()
    application.router.add_get("/range/{prefix}", answer)
    async with TestServer(application) as server:
        url = str(server.make_url("/range/"))
        with pytest.raises(WeakPassword, match="breach"):
            await check_breaches(url, "password")
        await check_breaches(url, "another one entirely")
        assert asked[0] == "/range/5BAA6"
    await check_breaches("http://127.0.0.1:1/", "password")
