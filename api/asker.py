"""Whose work is being done, as far as the use of scarce things is shared out fairly."""

from __future__ import annotations

from contextvars import ContextVar

asker: ContextVar[str] = ContextVar("asker", default="")
"""The address, as rate limits count it, on whose behalf a password is hashed."""
