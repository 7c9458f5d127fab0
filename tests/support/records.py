"""A log in memory that is only read: for tests of what is done with records, not of where they come from."""

from __future__ import annotations

from collections.abc import Iterator

from events.log import Record


class KeptLog:
    """See `streams.log_reader.LogReader`."""

    incarnation = "kept"

    def __init__(self, partitions: int = 1) -> None:
        self.partitions = partitions
        self._records: list[list[Record]] = [[] for _ in range(partitions)]

    def add(self, partition: int, key: str, value: bytes, timestamp_ms: int) -> Record:
        own = self._records[partition]
        own.append(Record(partition, len(own), timestamp_ms, key, value))
        return own[-1]

    def ends(self) -> dict[int, int]:
        return {partition: len(own) for partition, own in enumerate(self._records)}

    def records(self, partition: int, offset: int, limit: int) -> list[Record]:
        return self._records[partition][offset : offset + limit]

    def batches(self, partition: int, offset: int, end: int, key: str | None = None) -> Iterator[list[Record]]:
        wanted = [record for record in self._records[partition][offset:end] if key in (None, record.key)]
        for start in range(0, len(wanted), 1_000):
            yield wanted[start : start + 1_000]

    def offsets_at(self, at_ms: int) -> dict[int, int]:
        return {
            partition: next((record.offset for record in own if record.timestamp_ms >= at_ms), len(own))
            for partition, own in enumerate(self._records)
        }

    async def read(self, partition: int, offset: int, limit: int) -> list[Record]:
        return self.records(partition, offset, limit)

    def close(self) -> None:
        pass
