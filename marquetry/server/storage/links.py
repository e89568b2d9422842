"""Links: addresses of files that are good for a while for whoever has them, signed by this server (HMAC-SHA-256)."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from urllib.parse import urlencode

from marquetry.server.http.errors import Forbidden

SECRET_BYTES = 32
KEY_FILE = "signing.key"
CONTENT, THUMBNAIL = "content", "thumbnail"


class LinkRefused(Forbidden):
    """The address was signed for something else, or its time is over."""

    code = "link_refused"


class Links:
    """Signs and checks. `minutes` is how long an address is good."""

    def __init__(self, secret: bytes, minutes: int) -> None:
        self._secret = secret
        self.seconds = minutes * 60

    def address(self, file_id: str, now_ms: int, kind: str = CONTENT, **more: str) -> str:
        """A signed address of a file's bytes, or of its thumbnail."""
        expires = now_ms // 1000 + self.seconds
        return f"/api/v1/files/{file_id}/{kind}?" + urlencode({"expires": expires, "signature": self._sign(kind, file_id, expires), **more})

    def check(self, file_id: str, expires: int, signature: str, now_ms: int, kind: str = CONTENT) -> None:
        """Raises LinkRefused."""
        if not hmac.compare_digest(self._sign(kind, file_id, expires), signature):
            raise LinkRefused("the signature of this address does not fit; ask for a new one")
        if expires * 1000 < now_ms:
            raise LinkRefused("the time of this address is over; ask for a new one")

    def _sign(self, kind: str, file_id: str, expires: int) -> str:
        return hmac.new(self._secret, f"{kind}\n{file_id}\n{expires}".encode(), hashlib.sha256).hexdigest()


def signing_secret(given: str | None, folder: Path) -> bytes:
    """The secret of the settings, or the one of this installation, which is made when it is first needed."""
    if given is not None:
        return hashlib.sha256(b"marquetry file links\0" + given.encode()).digest()
    path = folder / KEY_FILE
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f".{secrets.token_hex(8)}.partial"
    try:
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
        os.link(made, path)
    except FileExistsError:
        pass
    finally:
        made.unlink(missing_ok=True)
    return path.read_bytes()
