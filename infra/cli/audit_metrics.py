"""`tidings audit --continuous --port`: what the audit finds, told to Prometheus."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack

from infra.cli import auditing
from infra.cli.console import remarks
from infra.cli.faults import Fault
from infra.cli.generations import standings
from infra.estate import Estate
from infra.metrics.auditing import AuditMetrics, told_at

LOOK_EVERY_S = 15.0
"""How generations stand is told anew so often, but not while a round reads: that has the process to itself."""


async def continuously(estate: Estate, every_s: float, as_json: bool, host: str | None, port: int) -> bool:
    """Until interrupted: what is wrong is told, and may be mended meanwhile. Raises Fault where the port is taken."""
    with ExitStack() as stack:
        try:
            metrics, url = stack.enter_context(told_at(host or "127.0.0.1", port))
        except OSError as error:
            raise Fault(f"cannot listen on port {port}: {error.strerror}", "take another --port", 2) from error
        remarks().print(f"metrics at {url}")
        standing = asyncio.create_task(_watch(estate, metrics))
        auditor = asyncio.create_task(auditing.continuously(estate, every_s, as_json, metrics.note))
        try:
            # Neither ends, but by an error.
            done, _ = await asyncio.wait([standing, auditor], return_when=asyncio.FIRST_COMPLETED)
            done.pop().result()
        finally:
            standing.cancel()
            auditor.cancel()
            await asyncio.gather(standing, auditor, return_exceptions=True)
    return False


async def _watch(estate: Estate, metrics: AuditMetrics) -> None:
    while True:
        metrics.stand(await standings(estate, time.time()))
        await asyncio.sleep(LOOK_EVERY_S)
