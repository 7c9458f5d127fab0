"""When what a node of Cassandra has acknowledged is on its disk: see ADR 0023.

With `commitlog_sync: batch` or `group` that is at once. With `periodic` a node syncs its commit log each so many
milliseconds, and once it is late (`periodic_commitlog_sync_lag_block`, by default one and a half of them) no more
writes are acknowledged. So whoever waits for that long and then has a write acknowledged knows that all before the wait
is on the disk.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from cassandra import InvalidRequest, Unauthorized
from cassandra.query import SimpleStatement

from infra.cassandra.errors import DRIVER_ERRORS

logger = logging.getLogger(__name__)

LONGEST_S = 0.05
"""Nobody waits longer than this for a disk. By default a node syncs each ten seconds."""
_LAG = 1.5
_ASK_S = 5.0
_NAMES = (
    "commitlog_sync",
    "commitlog_sync_period",
    "commitlog_sync_period_in_ms",
    "periodic_commitlog_sync_lag_block",
    "periodic_commitlog_sync_lag_block_in_ms",
)
_QUERY = f"SELECT name, value FROM system_views.settings WHERE name IN {_NAMES}"
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"(\d+)\s*(ns|us|µs|ms|s|m|h|d)?")


def lag_s(settings: Mapping[str, str | None]) -> float:
    """How long after its acknowledgement a write may not be on the disk of a node with these settings, in seconds."""
    if settings.get("commitlog_sync") != "periodic":
        return 0.0
    lag = _first(settings, "periodic_commitlog_sync_lag_block", "periodic_commitlog_sync_lag_block_in_ms")
    period = _first(settings, "commitlog_sync_period", "commitlog_sync_period_in_ms")
    return lag if lag is not None else _LAG * (period or 0.0)


def wait_s(cluster: Any, session: Any) -> float:
    """How long to wait, after an acknowledgement from any of the nodes, until it is on their disks, in seconds.

    0 where they say that they sync at once, have no settings to show, or take so long that nobody would wait; of the
    latter the operator is told. Nodes that cannot be asked now are taken to be like the others. Blocks. Raises the
    driver's error where not one of them answers: an order on the disk is not given up for a node that is slow to start.
    """
    longest, answered, failure = 0.0, False, None
    for host in cluster.metadata.all_hosts():
        if not host.is_up:
            continue
        try:
            rows = session.execute(SimpleStatement(_QUERY), host=host, timeout=_ASK_S)
        except (InvalidRequest, Unauthorized) as error:
            # Some of those that speak Cassandra's protocol have no such table, or show it to nobody.
            logger.info("Cassandra at %s does not tell how it syncs its commit log: %s", host.address, error)
            answered = True
            continue
        except DRIVER_ERRORS as error:
            logger.warning("Cassandra at %s did not say how it syncs its commit log: %s", host.address, error)
            failure = error
            continue
        answered = True
        lag = lag_s(dict(rows))
        if lag > LONGEST_S:
            logger.warning(
                "Cassandra at %s may lose, with its power, what it acknowledged in the last %g s. Unless each row has "
                "replicas elsewhere, set commitlog_sync_period: 2ms there (docs/operating.md)",
                host.address,
                lag,
            )
        else:
            longest = max(longest, lag)
    if failure is not None and not answered:
        raise failure
    return longest


def _first(settings: Mapping[str, str | None], *names: str) -> float | None:
    """A duration in seconds; a bare number is in milliseconds, and a negative one means none."""
    for name in names:
        if found := _DURATION.fullmatch(settings.get(name) or ""):
            return int(found[1]) * _UNITS[found[2] or "ms"]
    return None
