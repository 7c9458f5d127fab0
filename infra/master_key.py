"""The master key: data keys are wrapped under it, and what must be kept but not readable is hashed with it."""

from __future__ import annotations

import hmac
import os
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from commands.errors import Corrupt

KEY_BYTES = 32
_FORMAT = b"\x01"


def derive(secret: bytes, purpose: str) -> bytes:
    """A 32-byte key for one purpose (HKDF-SHA256, RFC 5869), so that no key serves two."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=f"tidings {purpose}".encode()).derive(secret)


class MasterKey:
    """Never leaves the process; `fingerprint` tells whether a database was made with it."""

    def __init__(self, secret: bytes) -> None:
        self._wrapping = AESGCM(derive(secret, "data keys"))
        self._names = derive(secret, "names")
        self.fingerprint = derive(secret, "fingerprint")[:16]

    def wrap(self, user_id: str, key: bytes) -> bytes:
        """A data key as it is stored: format byte, nonce, AES-256-GCM with the owner as additional data."""
        nonce = os.urandom(12)
        return _FORMAT + nonce + self._wrapping.encrypt(nonce, key, user_id.encode())

    def unwrap(self, user_id: str, wrapped: bytes) -> bytes:
        """Raises Corrupt."""
        try:
            if wrapped[:1] != _FORMAT:
                raise ValueError("unknown format")
            return self._wrapping.decrypt(wrapped[1:13], wrapped[13:], user_id.encode())
        except (InvalidTag, ValueError) as error:
            raise Corrupt(f"the data key of user {user_id} does not open under this master key") from error

    def name_mac(self, username: str) -> bytes:
        """Recognises a username without telling it."""
        return hmac.digest(self._names, username.encode(), sha256)
