"""The accounts of a cluster are backed up while it is served, and restored under its log, which remembers erasures."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, func, select

from infra.cluster.services import Postgres
from infra.sql.tables import DataKeyRow, Table
from tests.support.caller import Newcomers
from tests.support.cluster import Cluster
from tests.support.postgres import empty_database
from tests.support.server import ROOT

pytestmark = [pytest.mark.needs("kafka", "cassandra", "redis", "postgres"), pytest.mark.timeout(180)]


def tidings(cluster: Cluster, data: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**cluster.gateways[0].environment(), **more, "TIDINGS_DATA": str(data)}
    return subprocess.run(
        [sys.executable, "-m", "infra.cli", *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_accounts_are_restored_under_the_log_of_the_cluster(
    cluster: Cluster, newcomers: Newcomers, postgres: Postgres, tmp_path: Path
) -> None:
    ana, ben, cleo = newcomers(), newcomers(), newcomers()
    ana.say(ana.direct(ben))
    cleo.say(cleo.direct(ben))
    cleo.erase()
    backup, data = tmp_path / "backup", tmp_path / "data"
    taken = tidings(cluster, data, "backup", str(backup))
    assert taken.returncode == 0, taken.stderr
    assert sorted(os.listdir(backup)) == ["accounts.db", "destroyed.ndjson", "manifest.json"]
    ana.erase()
    elsewhere = asyncio.run(empty_database(postgres))
    for status in (0, 1):
        done = tidings(cluster, data, "restore", str(backup), "--json", TIDINGS_ACCOUNTS_URL=elsewhere)
        assert done.returncode == status, done.stderr
        if status == 0:
            assert json.loads(done.stdout)["erased_again"] == 1, "Ana, who left Ben's chat erased"
    assert "accounts already" in done.stderr
    here, there = (
        create_engine(url.replace("+psycopg", "").replace("postgresql:", "postgresql+psycopg:"))
        for url in (cluster.settings["TIDINGS_ACCOUNTS_URL"], elsewhere)
    )
    with here.connect() as one, there.connect() as other:
        destroyed = select(DataKeyRow.user_id).where(DataKeyRow.destroyed_at.is_not(None)).order_by(DataKeyRow.user_id)
        assert {ana.user_id, cleo.user_id} <= set(other.scalars(destroyed))
        for table in Table.metadata.sorted_tables:
            counts = [db.scalar(select(func.count()).select_from(table)) for db in (one, other)]
            assert counts[0] == counts[1], table.name
        keys = select(DataKeyRow.user_id, DataKeyRow.wrapped).order_by(DataKeyRow.user_id)
        assert one.execute(keys).all() == other.execute(keys).all()
    here.dispose()
    there.dispose()
