"""Opening sealed bodies for whoever asks with --reveal: by the keys in SQL, and never without a trace of it.

The trace is a row beside the keys, written before the first key is read, and a line on stderr.
"""

from __future__ import annotations

import asyncio
import getpass
import socket
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from commands.sealing import Sealed, Sealer
from infra.cli.admin import opened_database
from infra.settings import Settings
from infra.sql.keys import SqlKeys
from infra.sql.reveals import Reveal, note_reveal


class Revealer:
    """Opens bodies, page by page. Made by `revealing`."""

    def __init__(self, runner: asyncio.Runner, sealer: Sealer) -> None:
        self._runner = runner
        self._sealer = sealer

    def texts(self, bodies: Collection[Sealed]) -> list[str | None]:
        """In their order; None where erased. Raises Unavailable, Corrupt."""
        return self._runner.run(self._sealer.opened(bodies))


@contextmanager
def revealing(settings: Settings, what: str) -> Iterator[Revealer]:
    """Note who reveals what, then open bodies until the block ends. Raises Fault, Corrupt, Unavailable."""
    reveal = Reveal(datetime.now(UTC), f"{getpass.getuser()}@{socket.gethostname()}", what)
    with asyncio.Runner() as runner:
        context = opened_database(settings)
        database, master_key = runner.run(context.__aenter__())
        try:
            runner.run(note_reveal(database, reveal))
            print(f"tidings: {reveal.who} reveals bodies; this is noted", file=sys.stderr)
            yield Revealer(runner, Sealer(SqlKeys(database, master_key)))
        finally:
            runner.run(context.__aexit__(None, None, None))
