"""Links to files that work without a token, for a while: what an `<img>` needs, and a CDN."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256

from commands.errors import BadToken

STEP_S = 15 * 60
"""A link lives for one to two steps. All links of one step are the same, so that browsers and a CDN keep what they
lead to."""


class FileLinks:
    """`secret`: 32 bytes that all gateways share. `base`: of a CDN that fetches from here, "" for links to this server.

    A link names nobody: whoever has it may read. So only those who may read are given one.
    """

    def __init__(self, secret: bytes, now: Callable[[], datetime], base: str = "") -> None:
        self._secret = secret
        self._now = now
        self._base = base.rstrip("/")

    @property
    def is_shared(self) -> bool:
        """Whether caches that serve many may keep what links lead to."""
        return bool(self._base)

    def make(self, path: str) -> tuple[str, datetime]:
        """The link to a path, and when it stops working."""
        until = (int(self._now().timestamp()) // STEP_S + 2) * STEP_S
        return f"{self._base}{path}?until={until}&signature={self._sign(path, until)}", datetime.fromtimestamp(
            until, UTC
        )

    def seconds_left(self, path: str, until: int, signature: str) -> int:
        """How long a link still works. Raises BadToken for one that was not made here or has run out."""
        left = until - int(self._now().timestamp())
        # As bytes: of text, compare_digest takes ASCII alone.
        if not hmac.compare_digest(self._sign(path, until).encode(), signature.encode("utf-8", "replace")):
            raise BadToken("this link was not made here")
        if left <= 0:
            raise BadToken("this link has run out: ask for a new one")
        return left

    def _sign(self, path: str, until: int) -> str:
        return urlsafe_b64encode(hmac.digest(self._secret, f"{path}\0{until}".encode(), sha256)[:24]).decode()
