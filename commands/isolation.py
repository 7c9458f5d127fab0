"""Doing something with each of many, so that one that fails is left out and the others are served.

A loop that must not be slowed catches by itself and calls `left_out`; the others use `for_each`. The loops that this
holds for are listed in tests/unit/test_isolation.py, each with a member that raises.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")


def for_each(what: str, members: Iterable[T], act: Callable[[T], object]) -> bool:
    """`act` on every member, in order; the list is taken at the beginning, so members may come and go meanwhile.

    What one raises is logged with `what` (`"closing a sign-in's sockets"`) and keeps nobody else from their turn.
    False if that happened.
    """
    whole = True
    for member in list(members):
        try:
            act(member)
        except Exception:
            left_out(what)
            whole = False
    return whole


def left_out(what: str) -> None:
    """Called where an exception is being handled: log that one of many failed."""
    log.exception("%s failed for one; the others go on", what)
