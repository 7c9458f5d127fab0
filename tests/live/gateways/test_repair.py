"""A chat that Cassandra has wrong is mended beside running gateways and workers."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from infra.cassandra.connection import Connection
from infra.cassandra.keyspace import Keyspace
from infra.cassandra.serialise import write_time
from tests.support.caller import Newcomers
from tests.support.cluster import Cluster
from tests.support.server import ROOT

pytestmark = [pytest.mark.needs("kafka", "cassandra", "redis", "postgres"), pytest.mark.timeout(180)]


def tidings(cluster: Cluster, *arguments: str) -> tuple[int, dict[str, Any]]:
    node = cluster.gateways[0]
    done = subprocess.run(
        [sys.executable, "-m", "infra.cli", *arguments, "--json"],
        cwd=ROOT, env=node.environment(), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, told


def test_a_chat_is_mended_while_it_is_served(
    cluster: Cluster, newcomers: Newcomers, cassandra_connection: Connection
) -> None:
    ana, ben = newcomers(), newcomers()
    chat_id = ana.direct(ben)
    seqs = [ana.say(chat_id, f"{n}")["seq"] for n in range(4)]
    views = Keyspace(cassandra_connection, f"{cluster.settings['TIDINGS_CASSANDRA_KEYSPACE']}_g1")
    place = f"chat_id = '{chat_id}' AND bucket = 0"
    [(offset,)] = views.read_now(f"SELECT offset FROM {views.name}.timeline WHERE {place} AND seq = {seqs[1]}")
    at = write_time(offset)
    [*_] = views.read_now(f"DELETE FROM {views.name}.timeline USING TIMESTAMP {at} WHERE {place} AND seq = {seqs[1]}")
    status, audited = tidings(cluster, "audit")
    assert (status, [each["chat_id"] for each in audited["mismatches"]]) == (1, [chat_id])
    status, told = tidings(cluster, "repair", chat_id)
    assert (status, told["problems"]) == (0, [])
    assert {each["seq"] for each in told["differences"]} == {seqs[1]}
    assert 0 < told["held_s"] < 30
    status, audited = tidings(cluster, "audit")
    assert (status, audited["mismatched"]) == (0, 0)
    assert ben.say(chat_id, "and on")["seq"] == seqs[-1] + 1
    shown = ben.read(f"/chats/{chat_id}/messages")["items"]
    assert [each["text"] for each in shown if each["sender_id"] == ana.user_id] == ["0", "1", "2", "3"]
