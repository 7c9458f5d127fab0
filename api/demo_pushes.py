"""What pushes said, for the demo's page: in memory alone, since the journal of pushes keeps nobody's words."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from functools import partial

from streams.push.stream import Journal, Sent

KEPT = 20
"""The newest of each user."""


class DemoPushes:
    def __init__(self) -> None:
        self._sent: defaultdict[str, deque[Sent]] = defaultdict(partial(deque, maxlen=KEPT))

    def of_user(self, user_id: str) -> Sequence[Sent]:
        """The oldest first."""
        return tuple(self._sent.get(user_id, ()))

    def after(self, journal: Journal | None) -> Journal:
        """A journal that also fills this, with what `journal` has taken."""

        async def note(sent: Sequence[Sent]) -> None:
            if journal is not None:
                await journal(sent)
            for each in sent:
                self._sent[each.push.device.user_id].append(each)

        return note
