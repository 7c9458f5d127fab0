"""`tidings doctor` on a cluster: what answers, what is missing, and how to mend it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.cluster import Cluster
from tests.support.server import ROOT, free_port

pytestmark = [pytest.mark.needs("kafka", "cassandra", "redis", "postgres"), pytest.mark.timeout(240)]


def examined(cluster: Cluster, **settings: str) -> dict[str, dict[str, str]]:
    """Name → check."""
    environment = {**cluster.gateways[0].environment(), **settings}
    run = subprocess.run(
        [sys.executable, "-m", "infra.cli", "doctor", "--json"], cwd=ROOT, env=environment, capture_output=True
    )
    return {check["name"]: check for check in json.loads(run.stdout)}


def test_all_that_a_cluster_stands_on_answers(cluster: Cluster) -> None:
    found = examined(cluster)
    for name in ("settings", "kafka", "cassandra", "redis", "accounts"):
        assert found[name]["state"] == "ok", found[name]
    assert found["cassandra"]["found"].endswith("generation 1 served")
    assert found["kafka"]["found"].endswith("4 partitions")


def test_what_is_missing_is_named_with_its_mend(cluster: Cluster) -> None:
    found = examined(cluster, TIDINGS_REDIS=f"redis://127.0.0.1:{free_port()}/0", TIDINGS_MASTER_KEY="")
    assert found["redis"]["state"] == "fail"
    assert "TIDINGS_REDIS" in found["redis"]["mend"]
    assert found["TIDINGS_MASTER_KEY"]["state"] == "fail"
    assert found["kafka"]["state"] == "ok"
