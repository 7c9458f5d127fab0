"""`tidings audit`: whether the served views account for every record of the log."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import asdict

from rich.table import Table

from infra.cli.console import answers, progress
from infra.cli.faults import Fault
from infra.estate import Estate
from streams.audit import Audit, audit

Hear = Callable[[Audit, float], None]
"""Of a round that has ended: what it found, and how many seconds it took."""


async def once(estate: Estate, as_json: bool, hear: Hear | None = None) -> bool:
    """One audit; whether all is well. Raises Fault for a damaged file, Unavailable."""
    started = time.monotonic()
    if damage := await estate.damage():
        raise Fault(damage, "")
    served = (await estate.registry.read()).served
    views = await estate.views(served)
    with progress() as bars:
        task = bars.add_task("Counting records", total=sum((await views.positions()).values()))
        found = await audit(views, estate.log, lambda records: bars.advance(task, records))
    if hear is not None:
        hear(found, time.monotonic() - started)
    _tell(served, found, as_json)
    return found.mismatched == 0


async def continuously(estate: Estate, every_s: float, as_json: bool, hear: Hear | None = None) -> bool:
    """One audit after the other, until interrupted or something is wrong; with `hear`, which is told, that goes on."""
    while True:
        if not await once(estate, as_json, hear) and hear is None:
            return False
        await asyncio.sleep(every_s)


def _tell(served: int, found: Audit, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"generation": served, **asdict(found)}), flush=True)
        return
    table = Table(box=None, pad_edge=False)
    names = ("partition", "chats", "events", "applied", "void", "repeats", "parked")
    for name in names:
        table.add_column(name, justify="right")
    for each in found.partitions:
        table.add_row(*(str(getattr(each, name)) for name in names))
    answers().print(table)
    for mismatch in found.mismatches:
        print(f"chat {mismatch.chat_id}: {mismatch.what}")
    print(f"generation {served}: " + (f"{found.mismatched} chats MISMATCHED" if found.mismatched else "all is counted"))
