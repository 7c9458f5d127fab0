"""What a read model is: a name, a version, and a fold over events into rows of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from events.codec import Event
from events.log import Record


class Rows(Protocol):
    """Rows by key, as one partition's fold sees them. Values are what JSON can say."""

    def get(self, key: str) -> Any:
        """None where there is no such row."""

    def put(self, key: str, value: Any) -> None: ...


class ReadModel(Protocol):
    name: str
    """Lower-case, of letters and digits."""
    version: int
    """Another version is another model: it is folded from the beginning, beside the old one."""

    def fold(self, rows: Rows, record: Record, event: Event) -> Iterable[str]:
        """Take an event in. What it gives is told to people once the model is live, and to nobody before.

        Pure: the same records give the same rows, so no clock, no random number, nothing but `rows`. Rows of other
        partitions are not seen: partitions are folded each by itself, and `summary` puts them together.
        """

    def summary(self, rows: Iterable[tuple[str, Any]]) -> Iterable[dict[str, Any]]:
        """What people see, from (key, value) of all partitions."""
