"""Mail: rendered as text and HTML, and handed to a mailer: a folder in which the operator finds it, or an SMTP server."""

from __future__ import annotations

import os
import secrets
import smtplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from marquetry.marketplace.errors import MarketError

if TYPE_CHECKING:
    from jinja2 import Environment

TIMEOUT_S = 20
MAX_DROPPED = 10_000
SUBJECTS: Mapping[str, str] = {
    "confirm_email": "Confirm your e-mail address",
    "already_registered": "You have an account already",
    "reset_password": "Set a new password",
    "password_changed": "Your password was changed",
    "change_email": "Confirm your new e-mail address",
    "email_changed": "Your e-mail address was changed",
    "sessions_ended": "You were signed out everywhere",
    "security_alert": "Something unusual happened",
    "payment_failed": "Your payment did not work",
    "subscription_ended": "Your subscription has ended",
}
"""Every mail, with what it is about; `mails/` has a text and a page for each."""


class MailFailed(MarketError):
    """The mail server did not take a mail."""

    code = "mail_failed"


@dataclass(frozen=True, slots=True)
class Mail:
    """A rendered mail to one address."""

    to: str
    subject: str
    text: str
    html: str


class Mailer(Protocol):
    """Takes mails. It may block: call it in a thread."""

    def send(self, mail: Mail) -> None:
        """Raises MailFailed."""
        ...


def render(kind: str, to: str, **values: Any) -> Mail:
    """A mail of a kind of `SUBJECTS`."""
    subject = SUBJECTS[kind]
    given = {"subject": subject, **values}
    text = _templates(False).get_template(f"{kind}.txt").render(given)
    html = _templates(True).get_template(f"{kind}.html").render(given)
    return Mail(to, f"{subject} - {values['site']}", text, html)


class FileDrop:
    """Writes each mail as a file, `.eml` as mail programs open it. For servers without a mail server, and for tests."""

    def __init__(self, folder: Path, sender: str) -> None:
        self._folder = folder
        self._sender = sender

    def send(self, mail: Mail) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept = sorted(self._folder.glob("*.eml"))
        for path in kept[: max(0, len(kept) - MAX_DROPPED + 1)]:
            path.unlink(missing_ok=True)
        message = _message(mail, self._sender)
        number = max((int(path.name.partition("-")[0]) for path in kept[-1:] if path.name.partition("-")[0].isdecimal()), default=0) + 1
        path = self._folder / f"{number:08}-{secrets.token_hex(4)}.eml"
        partial = path.with_suffix(".partial")
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(message.as_bytes())
        os.replace(partial, path)


@dataclass(frozen=True)
class Smtp:
    """Sends through a mail server. `security`: starttls, tls from the beginning, or none for a server on this machine."""

    host: str
    port: int
    sender: str
    user: str = ""
    password: str = ""
    security: str = "starttls"

    def send(self, mail: Mail) -> None:
        try:
            with self._connect() as server:
                if self.security == "starttls":
                    server.starttls(context=ssl.create_default_context())
                if self.user:
                    server.login(self.user, self.password)
                server.send_message(_message(mail, self.sender))
        except (OSError, smtplib.SMTPException) as error:
            raise MailFailed(f"the mail server {self.host} did not take a mail: {type(error).__name__}") from error

    def _connect(self) -> smtplib.SMTP:
        if self.security == "tls":
            return smtplib.SMTP_SSL(self.host, self.port, timeout=TIMEOUT_S, context=ssl.create_default_context())
        return smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_S)


def _message(mail: Mail, sender: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, mail.to, mail.subject
    message["Date"] = formatdate(usegmt=True)
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2].rstrip(">") or "localhost")
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    return message


@cache
def _templates(escaped: bool) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).parent / "mails"
    return Environment(loader=FileSystemLoader(folder), autoescape=escaped, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
