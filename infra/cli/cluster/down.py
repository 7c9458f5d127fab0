"""`tidings cluster down`."""

from __future__ import annotations

import shutil
from pathlib import Path

from infra.cli.cluster.faulty import fault_of, mended
from infra.cli.cluster.show import progress
from infra.cli.console import remarks
from infra.cli.faults import Fault
from infra.cluster.local import LocalCluster, opened
from infra.cluster.plan import read_plan
from infra.cluster.service import Service
from infra.cluster.starting import stop


def down(folder: Path, erase: bool) -> None:
    """The whole command. Raises Fault."""
    if read_plan(folder) is None:
        remarks().print(f"There is no cluster in {folder}.")
        return
    with mended():
        cluster = opened(folder)
        stop_all(cluster)
        if erase:
            shutil.rmtree(cluster.folder)


def stop_all(cluster: LocalCluster) -> None:
    """Clients first, so that gateways can still write what they were given. Raises Fault."""
    waves: list[list[Service]] = [[*cluster.gateways], [*cluster.workers, cluster.haproxy], cluster.stores]
    with progress(list(cluster.services)).shown() as display:
        failed = [report for wave in waves for report in display.follow(stop(wave))]
    for report in failed:
        if report.error is not None:
            raise Fault(
                f"{report.name} did not end: {fault_of(report.error, report.name)}", "try tidings cluster down again"
            )
