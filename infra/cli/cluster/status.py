"""`tidings cluster status` and `env`."""

from __future__ import annotations

import json
import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from infra.cli.cluster.faulty import found, mended
from infra.cli.console import answers, remarks
from infra.cluster.local import LocalCluster, opened
from infra.cluster.plan import read_plan
from infra.cluster.service import Service

_STYLE = {"running": "green", "starting": "yellow", "paused": "yellow", "stopped": "red"}


def status(folder: Path, as_json: bool) -> None:
    """The whole command."""
    if read_plan(folder) is None:
        if as_json:
            print(json.dumps({"url": None, "services": []}))
        remarks().print(f"There is no cluster in {folder}; tidings cluster up makes one.")
        return
    with mended():
        cluster = opened(folder)
    seen = look(cluster)
    if as_json:
        print(json.dumps(seen, indent=2))
    else:
        _table(seen)


def look(cluster: LocalCluster) -> dict[str, Any]:
    """`{url, services: [{name, pid, ports, state}]}`; ports: purpose → number, the one for clients first."""
    services = list(cluster.services.values())
    with ThreadPoolExecutor(len(services)) as threads:
        return {"url": cluster.url, "services": list(threads.map(_seen, services))}


def _seen(service: Service) -> dict[str, Any]:
    pid, state = service.pid, str(service.state)
    if state == "running" and not service.is_ready():
        # It has been started and does not answer: it is about to, or hangs.
        state = "starting"
    return {"name": service.name, "pid": pid, "ports": service.ports, "state": state}


def _table(seen: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in ("service", "state", "pid", "ports"):
        table.add_column(column, overflow="fold")
    for service in seen["services"]:
        ports = ", ".join(f"{purpose} {number}" for purpose, number in service["ports"].items())
        table.add_row(
            service["name"], Text(service["state"], _STYLE[service["state"]]), str(service["pid"] or ""), ports
        )
    out = answers()
    out.print(seen["url"])
    out.print(table)


def env(folder: Path) -> None:
    """The whole command. Raises Fault."""
    cluster = found(folder)
    for name, value in {**cluster.addresses(), **cluster.secrets()}.items():
        print(f"export {name}={shlex.quote(value)}")
