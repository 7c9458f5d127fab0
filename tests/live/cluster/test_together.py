"""Two gateways and two workers are one product."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import pytest

from tests.support.caller import PASSWORD, newcomers
from tests.support.cluster import PARTITIONS, Cluster, await_views
from tests.support.line import Line
from tests.support.otlp import collecting
from tests.support.prometheus import check_told, sample
from tests.support.traces import chain

PATIENCE_S = 60.0
ROUTE = "POST /v1/chats/{chat_id}/messages"
pytestmark = [pytest.mark.needs("kafka", "cassandra", "redis", "postgres"), pytest.mark.timeout(240)]


def test_what_is_written_at_one_gateway_is_read_at_the_other(cluster: Cluster) -> None:
    here, there = cluster.gateways
    with newcomers(here.url) as made:
        ana, ben = made(), made()
        chat_id = ana.direct(ben)
        message = ana.say(chat_id, "hello")
        with httpx.Client(base_url=there.url, headers={"Authorization": f"Bearer {ben.token}"}) as other:
            position = ana.post(f"/chats/{chat_id}/read", {"up_to_seq": message["seq"]}).json()["position"]
            page = other.get(f"/v1/chats/{chat_id}/messages", headers={"Tidings-Min-Position": position}).json()
        assert [item["text"] for item in page["items"]] == ["hello"]


def test_a_file_that_came_in_at_one_gateway_is_read_at_the_other_by_those_who_may(
    cluster: Cluster,
) -> None:
    here, there = cluster.gateways
    with newcomers(here.url) as made, httpx.Client(base_url=there.url) as other:
        ana, ben, cleo = made(), made(), made()
        chat_id = ana.direct(ben)
        file = ana.upload(b"the plan", "plan.txt")

        def read(token: str) -> httpx.Response:
            return other.get(f"/v1/files/{file['file_id']}", headers={"Authorization": f"Bearer {token}"})

        assert read(ben.token).status_code == 404
        assert ana.say(chat_id, "", kind="FILE", file_id=file["file_id"])["file"] == file
        assert read(ben.token).content == b"the plan"
        assert read(cleo.token).status_code == 404
        # A link of one gateway works at the other: they share the secret that it is signed with.
        assert other.get(ben.read(f"/files/{file['file_id']}/url")["url"]).content == b"the plan"
        ana.erase()
        assert read(ben.token).status_code == 404


def test_gateways_and_workers_tell_all_that_the_catalogue_says(cluster: Cluster) -> None:
    here, _ = cluster.gateways
    with newcomers(here.url) as made:
        ana, ben = made(), made()
        ana.say(ana.direct(ben), "hello")
    check_told(httpx.get(f"{here.url}/metrics").text, "gateway")
    folded = 0.0
    for worker in cluster.workers:
        text = httpx.get(f"{worker.url}/metrics").text
        check_told(text, "worker")
        folded += sample(text, "tidings_fold_batch_records_count")
    assert folded > 0


def test_the_audit_and_duckdb_count_the_same_records(cluster: Cluster, tmp_path: Path) -> None:
    here, _ = cluster.gateways
    with newcomers(here.url) as made:
        ana, ben = made(), made()
        then = ana.post(f"/chats/{ana.direct(ben)}/read", {"up_to_seq": 1}).json()["position"]
        ana.say(ana.group(ben), "hello")
    await_views(here.url)
    audited = json.loads(here.tidings("audit", "--json"))
    assert (audited["mismatched"], audited["mismatches"]) == (0, [])
    out = str(tmp_path / "export")
    here.tidings("events", "export", "--out", out, "--workers", "1")
    query = (
        "SELECT partition, count(*) AS events FROM (SELECT partition FROM events UNION ALL "
        "SELECT partition FROM unreadable) GROUP BY partition"
    )
    rows = [json.loads(line) for line in here.tidings("sql", query, "--export", out, "--output", "json").splitlines()]
    counted = {each["partition"]: each["events"] for each in audited["partitions"] if each["events"]}
    assert {row["partition"]: row["events"] for row in rows} == counted
    assert counted[int(then.partition(":")[0])] >= 1


def test_one_of_the_workers_pushes_to_who_is_away_once(cluster: Cluster) -> None:
    def pushed() -> float:
        told = [httpx.get(f"{worker.url}/metrics").text for worker in cluster.workers]
        name = 'tidings_pushes_total{result="logged"}'  # no provider is set up here
        return sum(float(line.split()[-1]) for text in told for line in text.splitlines() if line.startswith(name))

    here, _ = cluster.gateways
    with newcomers(here.url) as made:
        ana, ben = made(), made()
        device = {"platform": "IOS", "token": f"token-of-{ben.user_id}"}
        assert ben.put("/devices/phone", device).status_code == 200
        before = pushed()
        chat_id = ana.direct(ben)
        for _ in range(5):
            ana.say(chat_id)
        until = monotonic() + 60
        while pushed() < before + 5:
            assert monotonic() < until, "no worker pushes"
            sleep(0.1)
        assert pushed() == before + 5


async def test_one_trace_spans_gateway_worker_and_delivery(cluster: Cluster) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="the extra `tracing` is not installed")
    with collecting() as collector:
        settings = {
            "TIDINGS_TRACING": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        gateway = cluster.node("gateway", 7, **settings)
        # Under the names of the plain ones, so that they have all partitions at once.
        workers = [cluster.node("worker", number + 1, **settings) for number in range(len(cluster.workers))]
        for plain in cluster.workers:
            plain.kill()
        try:
            for node in (*workers, gateway):
                node.start(wait=False)
            for node in (*workers, gateway):
                node.wait_ready()
            await asyncio.to_thread(await_views, gateway.url)
            with newcomers(gateway.url) as made:
                ana, ben = made(), made()
                chat_id = ana.direct(ben)
                line = await Line.open(gateway)
                await line.connect(ben.token)
                message_id = ana.say(chat_id)["message_id"]
                await line.hear("event")
                trace = collector.trace_of(ROUTE, "tell session", "fold", **{"tidings.message_id": message_id})
                line.hang_up()
        finally:
            for node in (*workers, gateway):
                node.kill()
            cluster.start()
    (told,) = [span for span in trace if span.name == "tell session"]
    assert chain(trace, told) == [
        ROUTE,
        "command send",
        "append message.sent",
        "fold",
        "deliver",
        "tell session",
    ]
    nodes = {span.name: span.node for span in trace}
    assert (nodes["append message.sent"], nodes["deliver"]) == ("gateway-7", "gateway-7")
    assert nodes["fold"] in ("worker-1", "worker-2")


def folded_in(told: dict[str, Any]) -> set[int]:
    return {number for process in told["processes"] for number in process["partitions"]}


def overview(http: httpx.Client) -> dict[str, Any]:
    """As soon as every partition has its worker again, and the worker has said so."""
    until = monotonic() + PATIENCE_S
    while True:
        told: dict[str, Any] = http.get("/v1/admin/overview").json()
        if len(folded_in(told)) == PARTITIONS or monotonic() > until:
            return told
        sleep(0.2)


def test_operators_see_the_whole_cluster_at_any_gateway(cluster: Cluster) -> None:
    here, there = cluster.gateways
    await_views(here.url)  # the workers may have started a moment ago
    with newcomers(here.url) as made:
        ops, ana, ben = made("ops"), made(), made()
        ana.say(ana.direct(ben))
        username = ops.read("/me")["username"]
        here.tidings("admin", "grant", username)
        body = {"username": username, "password": PASSWORD}
        token = made.http.post("/v1/auth/login", json=body).json()["access_token"]
    with httpx.Client(base_url=there.url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as anybody:
        told = overview(anybody)
    names = {process["name"] for process in told["processes"]}
    assert names >= {"gateway-1", "gateway-2", "worker-1", "worker-2"}
    assert folded_in(told) == {each["partition"] for each in told["partitions"]} == set(range(PARTITIONS))
    (generation,) = [each for each in told["generations"] if each["state"] == "served"]
    assert generation["end"] > 0
    # One that nobody has read from yet has asked for no generation.
    serving = {process["generation"] for process in told["processes"] if process["name"] == "gateway-1"}
    assert serving == {generation["generation"]}
