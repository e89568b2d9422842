"""Keys of this installation: they sign access tokens and encrypt what must be read again. The newest is used, older ones still understand
what they made. They are kept in a file that only its owner can read, or come from the operator's own store of secrets."""

from __future__ import annotations

import base64
import json
import os
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marquetry.marketplace.accounts.errors import TokenInvalid
from marquetry.marketplace.errors import NotConfigured

SECRET_BYTES = 32
ALGORITHM = "HS256"
KEPT_KEYS = 50
LEEWAY_S = 0


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `id` is written into the tokens that it signs."""

    id: str
    secret: bytes

    @classmethod
    def new(cls) -> Key:
        return cls(secrets.token_hex(8), secrets.token_bytes(SECRET_BYTES))


class Keys:
    """The keys, newest first. Raises NotConfigured for a text that holds none."""

    def __init__(self, keys: tuple[Key, ...]) -> None:
        if not keys:
            raise NotConfigured("there is no key to sign with; remove the empty keys file, and one is made")
        self.keys = keys
        self._by_id = {key.id: key for key in keys}

    @classmethod
    def parse(cls, text: str) -> Keys:
        try:
            entries = json.loads(text)["keys"]
            keys = tuple(Key(str(entry["id"]), base64.b64decode(entry["secret"], validate=True)) for entry in entries)
        except (ValueError, KeyError, TypeError) as error:
            raise NotConfigured('keys of accounts are written as {"keys": [{"id": "...", "secret": "BASE64"}]}, newest first') from error
        if any(len(key.secret) < SECRET_BYTES for key in keys):
            raise NotConfigured(f"each key of accounts has at least {SECRET_BYTES} bytes")
        return cls(keys)

    def text(self) -> str:
        """What `parse` reads."""
        entries = [{"id": key.id, "secret": base64.b64encode(key.secret).decode()} for key in self.keys]
        return json.dumps({"keys": entries}, indent=2)

    def with_new(self) -> Keys:
        """The keys after a rotation."""
        return Keys((Key.new(), *self.keys)[:KEPT_KEYS])

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A signed token."""
        import jwt

        newest = self.keys[0]
        return jwt.encode(dict(claims), newest.secret, ALGORITHM, headers={"kid": newest.id})

    def verify(self, token: str, use: str) -> dict[str, Any]:
        """The claims of a token that is for this use and not past its time. Raises TokenInvalid."""
        import jwt

        try:
            key = self._by_id.get(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                raise TokenInvalid("the access token is not known; refresh it or sign in again")
            claims: dict[str, Any] = jwt.decode(
                token, key.secret, [ALGORITHM], leeway=LEEWAY_S, options={"require": ["exp", "iat", "sub", "use"], "verify_aud": False}
            )
        except jwt.ExpiredSignatureError as error:
            raise TokenInvalid("the access token has expired; refresh it", expired=True) from error
        except jwt.InvalidTokenError as error:
            raise TokenInvalid("the access token is not sound; refresh it or sign in again") from error
        if claims["use"] != use:
            raise TokenInvalid("this token is for another use")
        return claims

    def seal(self, text: str) -> bytes:
        """Encrypt."""
        from cryptography.fernet import MultiFernet

        return MultiFernet([_fernet(key) for key in self.keys]).encrypt(text.encode())

    def unseal(self, sealed: bytes) -> str:
        """Raises TokenInvalid when none of the keys fits."""
        from cryptography.fernet import InvalidToken, MultiFernet

        try:
            return MultiFernet([_fernet(key) for key in self.keys]).decrypt(sealed).decode()
        except InvalidToken as error:
            raise TokenInvalid("what was encrypted can't be read: the key that it needs is gone") from error


class KeyFile:
    """Keys in a file; made when it is not there. Another process may rotate them: what changed on disk is read again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._stamp = -1
        self._keys: Keys | None = None

    def current(self) -> Keys:
        """The keys as they are now. Raises NotConfigured."""
        with self._lock:
            stamp = self._mtime()
            if self._keys is None or stamp != self._stamp:
                self._keys = self._read()
                self._stamp = self._mtime()
            return self._keys

    def rotate(self) -> Keys:
        """Put a new key first."""
        rotated = self.current().with_new()
        partial = self.path.with_suffix(f".{secrets.token_hex(4)}.partial")
        _write_private(partial, rotated.text())
        os.replace(partial, self.path)
        return self.current()

    def _read(self) -> Keys:
        try:
            return Keys.parse(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            pass
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(f".{secrets.token_hex(4)}.partial")
        _write_private(partial, Keys((Key.new(),)).text())
        try:
            os.link(partial, self.path)
        except FileExistsError:
            pass  # another process was faster; its keys are everybody's
        finally:
            partial.unlink()
        return Keys.parse(self.path.read_text(encoding="utf-8"))

    def _mtime(self) -> int:
        try:
            return self.path.stat().st_mtime_ns
        except FileNotFoundError:
            return -1


def _write_private(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)


def _fernet(key: Key) -> Any:
    from cryptography.fernet import Fernet
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"marquetry accounts: sealing").derive(key.secret)
    return Fernet(base64.urlsafe_b64encode(derived))
