"""`tidings cluster up`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from infra.cli.cluster.faulty import fault_of, mended
from infra.cli.cluster.show import progress
from infra.cli.console import answers, remarks
from infra.cli.faults import Fault
from infra.cluster import programs
from infra.cluster.jars import CASSANDRA_JARS, KAFKA_JARS, cached, fetch
from infra.cluster.local import LocalCluster
from infra.cluster.plan import Plan, read_plan, write_plan
from infra.cluster.starting import start, stop

PATIENCE_S = 30.0
"""How long HAProxy may take to see a gateway that is ready."""
_POLL_S = 0.05


def up(folder: Path, asked: Mapping[str, int | None], port: int | None) -> None:
    """The whole command. Raises Fault."""
    try:
        with mended():
            cluster = start_all(folder, asked, port)
    except KeyboardInterrupt:
        raise Fault(
            "interrupted; what was started goes on running",
            "tidings cluster up brings up the rest, tidings cluster down ends it",
            130,
        ) from None
    out = answers()
    out.print(cluster.url)
    remarks().print(
        f"{len(cluster.services)} services run. See tidings cluster status; tidings cluster down ends them."
    )


def start_all(folder: Path, asked: Mapping[str, int | None], port: int | None) -> LocalCluster:
    """Raises Fault, and what `mended` mends."""
    look_for_programs()
    before = read_plan(folder)
    plan = (before or Plan()).changed(**asked)
    write_plan(folder, plan)
    for bundle in (KAFKA_JARS, CASSANDRA_JARS):
        if cached(bundle) is None:
            remarks().print(f"fetching what {bundle.name} runs from (once; a minute or so)")
            fetch(bundle)
    cluster = LocalCluster(folder, plan, port=port)
    if before is not None:
        _take_down_surplus(LocalCluster(folder, before), cluster)
    services = cluster.services
    with progress(list(services)).shown() as display:
        failed = display.follow(start(list(services.values()), cluster.needs))
    if failed:
        names = ", ".join(report.name for report in failed)
        for report in failed:
            assert report.error is not None
            remarks().print(str(fault_of(report.error, report.name)), markup=False)
        raise Fault(
            f"{names} did not start",
            "the others go on running: tidings cluster up tries again, tidings cluster down ends them",
        )
    until = time.monotonic() + PATIENCE_S
    while not cluster.is_served():
        if time.monotonic() > until:
            raise Fault(f"no gateway answers at {cluster.url}/readyz", "tidings cluster logs gateway-1 may say why")
        time.sleep(_POLL_S)
    return cluster


def look_for_programs() -> None:
    """Raises Fault that names all that is missing."""
    finders: list[Callable[[], object]] = [
        programs.find_java,
        programs.find_redis,
        programs.find_postgres,
        programs.find_haproxy,
    ]
    if cached(KAFKA_JARS) is None or cached(CASSANDRA_JARS) is None:
        finders.append(programs.find_maven)
    missing = []
    for find in finders:
        try:
            find()
        except programs.ProgramMissing as error:
            missing.append(str(error))
    if missing:
        raise Fault("\n".join(missing), "")


def _take_down_surplus(before: LocalCluster, now: LocalCluster) -> None:
    """End what the new plan has no room for, and HAProxy if it has to learn of other gateways."""
    surplus = [service for name, service in before.services.items() if name not in now.services]
    if now.haproxy.pid is not None and not now.haproxy.is_current():
        surplus.append(now.haproxy)
    for report in stop(surplus):
        if report.error is not None:
            raise report.error
