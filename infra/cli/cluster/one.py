"""`tidings cluster logs|start|stop|kill|drain`: what is done to one service."""

from __future__ import annotations

import os
from pathlib import Path

from infra.cli.cluster.faulty import found, mended
from infra.cli.console import remarks
from infra.cli.faults import Fault
from infra.cluster.local import LocalCluster
from infra.cluster.tidings import Gateway


def logs(folder: Path, name: str, lines: int, follow: bool) -> None:
    """Becomes `tail`, which knows about rotation, pipes and Ctrl-C. Raises Fault."""
    with mended(name):
        service = found(folder).service(name)
    if not service.log.exists():
        raise Fault(f"{name} has not been started yet", f"tidings cluster start {name}")
    following = ["--follow=name", "--retry"] if follow else []
    os.execvp("tail", ["tail", f"--lines={lines}", *following, str(service.log)])


def start(folder: Path, name: str) -> None:
    """Raises Fault."""
    cluster = found(folder)
    with mended(name):
        service = cluster.service(name)
        with remarks().status(f"{name} starts"):
            service.resume()
            service.start()
            if isinstance(service, Gateway):
                _let_in(cluster, service)
    remarks().print(f"{name} is ready.")


def stop(folder: Path, name: str) -> None:
    """Raises Fault."""
    with mended(name), remarks().status(f"{name} ends"):
        found(folder).service(name).stop()
    remarks().print(f"{name} is stopped.")


def kill(folder: Path, name: str) -> None:
    """Raises Fault."""
    with mended(name):
        found(folder).service(name).kill()
    remarks().print(f"{name} is dead.")


def drain(folder: Path, name: str) -> None:
    """Raises Fault."""
    cluster = found(folder)
    with mended(name):
        gateway = cluster.gateway(name)
        if gateway.pid is None:
            raise Fault(f"{name} does not run", f"tidings cluster start {name}")
        try:
            cluster.haproxy.set_state(name, "drain")
        except OSError as error:
            raise Fault("HAProxy does not answer", "tidings cluster start haproxy") from error
        with remarks().status(f"{name} sends its clients to the others"):
            gateway.stop()
    remarks().print(f"{name} is drained and has ended; tidings cluster start {name} brings it back.")


def _let_in(cluster: LocalCluster, gateway: Gateway) -> None:
    """Undo a drain. HAProxy forgets about those when it is started, so one that is away needs no telling."""
    if cluster.haproxy.pid is not None:
        cluster.haproxy.set_state(gateway.name, "ready")
