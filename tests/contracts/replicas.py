"""Replicas of rows with columns, as Cassandra keeps them.

Each cell carries a time of writing, and the later one stays. A mutation goes into a replica as a whole or not at all.
One that is acknowledged is on a quorum; what the others missed they may get later (a hint), or never. A read asks any
quorum and puts together what they say. Where they differ, readers with `BLOCKING` read repair write back to them the
columns that they asked for, and no others: with that a replica may have half a mutation.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from random import Random
from typing import Any

Key = tuple[str, Any, Any]
"""Table, partition, row."""
Columns = dict[str, Any]
Mutation = dict[Key, tuple[int, Columns | None]]
"""Rows of one partition → (write time, columns); None: the row is deleted."""
_Cells = dict[str, tuple[int, Any]]
_DELETED = "\0"
"""The column that says when a row was deleted."""
UNREPAIRED = ("chats", "members")
"""One table in Cassandra: the head is what its rows share."""


class Replicas:
    def __init__(self, count: int = 3, random: Random | None = None, unrepaired: Collection[str] = UNREPAIRED) -> None:
        """`random`: who gets what; without it everybody everything. `unrepaired`: tables without read repair."""
        self._nodes: list[dict[tuple[str, Any], dict[Any, _Cells]]] = [{} for _ in range(count)]
        """Each (table, partition) → row → cells."""
        self._quorum = count // 2 + 1
        self._random = random
        self._unrepaired = unrepaired
        self._hints: list[tuple[int, Mutation]] = []
        self.asked: Collection[int] | None = None
        """The nodes that answer, where a test says which."""

    def write(self, mutation: Mutation) -> None:
        """Acknowledged: a quorum has it."""
        some = self._some(at_least=self._quorum)
        for node in some:
            self._put(node, mutation)
        self._hints += [(node, mutation) for node in range(len(self._nodes)) if node not in some]

    def write_in_part(self, mutation: Mutation) -> None:
        """Whoever wrote it does not know who has it, if anybody. Without chance: nobody."""
        if self._random is not None:
            for node in self._some(at_least=0):
                self._put(node, mutation)

    def lose(self, key: Key) -> None:
        """Nobody has this row any more."""
        table, partition, row = key
        for node in self._nodes:
            node.get((table, partition), {}).pop(row, None)

    def read(self, table: str, partition: Any, columns: Collection[str] | None = None) -> dict[Key, Columns]:
        return self.read_together((table,), partition, columns)

    def read_together(
        self,
        tables: Collection[str],
        partition: Any,
        columns: Collection[str] | None = None,
        keys: Collection[Any] | None = None,
    ) -> dict[Key, Columns]:
        """Rows of one partition by their keys; `columns` and `keys`: those that are asked for."""
        self._deliver_a_hint()
        asked = self._asked()
        merged: dict[Key, _Cells] = {}
        for node in asked:
            for table in tables:
                for row, cells in self._nodes[node].get((table, partition), {}).items():
                    if keys is None or row in keys:
                        _merge(merged.setdefault((table, partition, row), {}), cells)
        for key, cells in merged.items():
            if key[0] not in self._unrepaired:
                wanted = {
                    name: cell for name, cell in cells.items() if name == _DELETED or columns is None or name in columns
                }
                for node in asked:
                    self._merge_into(node, key, wanted)
        rows = {}
        for key, cells in merged.items():
            deleted_at = cells.get(_DELETED, (-1, None))[0]
            there = {name: value for name, (at, value) in cells.items() if name != _DELETED and at > deleted_at}
            if there:
                rows[key] = there
        return rows

    def partitions(self, table: str) -> Iterator[Any]:
        return iter(sorted({partition for node in self._nodes for own, partition in node if own == table}))

    def _put(self, node: int, mutation: Mutation) -> None:
        for key, (at, columns) in mutation.items():
            written: Columns = {_DELETED: None} if columns is None else columns
            self._merge_into(node, key, {name: (at, value) for name, value in written.items()})

    def _merge_into(self, node: int, key: Key, cells: _Cells) -> None:
        table, partition, row = key
        _merge(self._nodes[node].setdefault((table, partition), {}).setdefault(row, {}), cells)

    def _deliver_a_hint(self) -> None:
        if self._hints and self._random is not None and self._random.random() < 0.1:
            self._put(*self._hints.pop(self._random.randrange(len(self._hints))))

    def _asked(self) -> Collection[int]:
        if self.asked is not None:
            return self.asked
        if self._random is None:
            return range(self._quorum)
        return self._random.sample(range(len(self._nodes)), self._quorum)

    def _some(self, at_least: int) -> Collection[int]:
        if self._random is None:
            return range(len(self._nodes))
        return self._random.sample(range(len(self._nodes)), self._random.randint(at_least, len(self._nodes)))


def _merge(cells: _Cells, more: _Cells) -> None:
    for name, cell in more.items():
        if name not in cells or cell[0] >= cells[name][0]:
            cells[name] = cell
