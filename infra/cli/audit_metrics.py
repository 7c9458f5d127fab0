"""`tidings audit --continuous --port`: what the audit finds, told to Prometheus."""

from __future__ import annotations

from contextlib import ExitStack

from infra.cli import auditing
from infra.cli.console import remarks
from infra.cli.faults import Fault
from infra.estate import Estate
from infra.metrics.auditing import told_at


async def continuously(estate: Estate, every_s: float, as_json: bool, host: str | None, port: int) -> bool:
    """Until interrupted: what is wrong is told, and may be mended meanwhile. Raises Fault where the port is taken."""
    with ExitStack() as stack:
        try:
            metrics, url = stack.enter_context(told_at(host or "127.0.0.1", port))
        except OSError as error:
            raise Fault(f"cannot listen on port {port}: {error.strerror}", "take another --port", 2) from error
        remarks().print(f"metrics at {url}")
        return await auditing.continuously(estate, every_s, as_json, metrics.note)
