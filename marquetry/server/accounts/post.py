"""Post: mails go out in the background, three times at most. What can't be sent is in the log, without its content."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from marquetry.marketplace.accounts.mail import FileDrop, Mailer, MailFailed, Smtp, render
from marquetry.server.accounts.background import Background
from marquetry.server.settings import Settings

logger = logging.getLogger(__name__)
PAUSES_S = (2.0, 15.0)


class Post:
    """`send` returns at once."""

    def __init__(self, mailer: Mailer, background: Background, site: str, public_url: str, pauses_s: tuple[float, ...] = PAUSES_S) -> None:
        self._mailer = mailer
        self._background = background
        self._site = site
        self._public_url = public_url.rstrip("/")
        self._pauses_s = pauses_s

    def send(self, kind: str, to: str | None, path: str = "/", **values: Any) -> None:
        """Send a mail of a kind of `mail.SUBJECTS`, with a link to a page of this server."""
        if to:
            self._background.begin(self._deliver(kind, to, f"{self._public_url}{path}", values))

    async def _deliver(self, kind: str, to: str, link: str, values: dict[str, Any]) -> None:
        mail = await asyncio.to_thread(lambda: render(kind, to, site=self._site, link=link, **values))
        for pause_s in (*self._pauses_s, None):
            try:
                await asyncio.to_thread(self._mailer.send, mail)
                return
            except MailFailed as error:
                if pause_s is None:
                    logger.error("a mail (%s) was not sent: %s", kind, error.message)
                    return
                await asyncio.sleep(pause_s)


def mailer_of(settings: Settings) -> Mailer:
    """The mailer that the settings ask for."""
    mail = settings.accounts.mail
    if not mail.host:
        return FileDrop(settings.data / "mail", mail.sender)
    return Smtp(mail.host, mail.port, mail.sender, mail.user, mail.password.get_secret_value(), mail.security)


def public_url_of(settings: Settings) -> str:
    """Where people reach this server."""
    host = settings.host.partition(",")[0].strip()
    if host in ("0.0.0.0", "::", ""):
        host = "127.0.0.1"
    return settings.accounts.public_url or f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
