"""E-mail addresses: which texts are some, and when two are the same."""

from __future__ import annotations

import re
import unicodedata

from marquetry.marketplace.accounts.errors import InvalidAccountInput

MAX_CHARACTERS = 254
FORM = re.compile(r"[^\s@<>()\[\],;:\\\"]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_][\w-]{0,61}[^\W_]")


def checked_email(text: str) -> str:
    """The address as it is kept. Raises InvalidAccountInput."""
    email = unicodedata.normalize("NFC", text).strip()
    if len(email) > MAX_CHARACTERS or not FORM.fullmatch(email) or ".." in email:
        raise InvalidAccountInput("that is not an e-mail address; an example: name@example.com", field="email")
    return email


def email_key(email: str) -> str:
    """What is compared: capitals make no difference."""
    return unicodedata.normalize("NFKC", email).casefold()[:MAX_CHARACTERS]
