"""Two gateways and two workers are one product."""

from __future__ import annotations

import httpx
import pytest

from tests.support.caller import newcomers
from tests.support.cluster import Cluster
from tests.support.prometheus import check_told, sample

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
