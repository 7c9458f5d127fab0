"""Old shapes of events, lifted to the newest on read, one version at a time.

An upcaster maps the plain `data` of one version to that of the next. It must be total and pure: what it
gives decides what every fold sees, on every rebuild, for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Plain = dict[str, Any]
Upcaster = Callable[[Plain], Plain]


def _chat_created_1_to_2(data: Plain) -> Plain:
    """Version 1 had no `history`: a chat's openness decided what newcomers saw."""
    return {**data, "history": "all" if data["open"] else "since_join"}


def _message_sent_1_to_2(data: Plain) -> Plain:
    """Version 1 had no `file`, which is optional."""
    return data


UPCASTERS: dict[tuple[str, int], Upcaster] = {
    ("chat.created", 1): _chat_created_1_to_2,
    ("message.sent", 1): _message_sent_1_to_2,
}
"""(type, version) → the step to version + 1."""


def upcast(kind: str, version: int, newest: int, data: Plain) -> Plain:
    """Lift `data` from `version` to `newest`. Raises KeyError where a step is missing."""
    for step in range(version, newest):
        data = UPCASTERS[kind, step](data)
    return data
