"""Two gateways and two workers are one product."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.live.gateways.conftest import OpenLine
from tests.support.caller import PASSWORD, Caller, Newcomers, new_id, succeeded
from tests.support.cluster import Cluster
from tests.support.server import Server

pytestmark = [pytest.mark.needs("kafka", "cassandra", "redis", "postgres"), pytest.mark.timeout(240)]

EACH = 30


def at(gateway: Server, caller: Caller) -> httpx.Client:
    """The same user at another gateway."""
    headers = {"Authorization": f"Bearer {caller.token}"}
    return httpx.Client(base_url=f"{gateway.url}/v1", headers=headers, timeout=30)


async def test_a_chat_over_two_gateways_has_one_order(cluster: Cluster, newcomers: Newcomers, line: OpenLine) -> None:
    here, there = cluster.gateways
    ana, ben = newcomers.some("ana", "ben")
    chat_id = ana.direct(ben)
    lines = [await line(here, ana), await line(there, ben)]
    for number in range(EACH):
        for one in lines:
            one.say("send", id=f"s{number}", chat_id=chat_id, message_id=new_id(), kind="TEXT", text=str(number))
    for one in lines:
        while len(one.of("event")) < 2 * EACH or len(one.of("ack")) < EACH:
            await one.next()
    seen = [[(frame["seq"], frame["event"]["data"]["message_id"]) for frame in one.of("event")] for one in lines]
    assert seen[0] == seen[1]
    assert [seq for seq, _ in seen[0]] == list(range(2, 2 * EACH + 2))
    with at(there, ana) as elsewhere:
        positions = ",".join(frame["position"] for one in lines for frame in one.of("ack"))
        answer = elsewhere.get(
            f"/chats/{chat_id}/messages?limit={2 * EACH}", headers={"Tidings-Min-Position": positions}
        )
    assert [item["seq"] for item in succeeded(answer)["items"]] == [seq for seq, _ in seen[0]]


async def test_receipts_typing_and_presence_reach_the_other_gateway(
    cluster: Cluster, newcomers: Newcomers, line: OpenLine
) -> None:
    here, there = cluster.gateways
    ana, ben = newcomers.some("ana", "ben")
    chat_id = ana.direct(ben)
    one = await line(here, ana)
    assert (await one.ask("presence.watch", user_ids=[ben.user_id]))["type"] == "ack"
    assert (await one.hear("presence"))["status"] == "offline"
    other = await line(there, ben)
    assert (await one.hear("presence"))["status"] == "online"
    sent = await one.ask("send", chat_id=chat_id, message_id=new_id(), kind="TEXT", text="hello")
    assert sent["type"] == "ack"
    seq = (await other.hear("event"))["seq"]
    other.say("typing", chat_id=chat_id)
    assert (await one.hear("typing"))["user_id"] == ben.user_id
    assert (await other.ask("read", chat_id=chat_id, up_to_seq=seq))["type"] == "ack"
    receipt = await one.hear("receipt", user_id=ben.user_id)
    assert (receipt["delivered_seq"], receipt["read_seq"]) == (seq, seq)
    await other.close()
    assert (await one.hear("presence"))["status"] == "offline"


async def test_a_sign_in_that_ends_at_one_gateway_ends_at_the_other(
    cluster: Cluster, newcomers: Newcomers, line: OpenLine
) -> None:
    there = cluster.gateways[1]
    ana = newcomers("ana")
    opened = await line(there, ana)
    session_id = opened.heard[0]["session_id"]
    ended = await asyncio.to_thread(ana.call, "DELETE", f"/sessions/{session_id}")
    assert ended.status_code == 204
    assert await opened.closed() == 4401
    with at(there, ana) as elsewhere:
        assert elsewhere.get("/me").status_code == 401


async def test_an_erasure_at_one_gateway_holds_at_the_other(
    cluster: Cluster, newcomers: Newcomers, line: OpenLine
) -> None:
    there = cluster.gateways[1]
    ana, ben = newcomers.some("ana", "ben")
    chat_id = ben.group(ana)
    said = ben.say(chat_id, "my words")
    other = await line(there, ana)
    with at(there, ana) as elsewhere:
        before = elsewhere.get(f"/chats/{chat_id}/messages/{said['message_id']}")
        assert succeeded(before)["message"]["text"] == "my words"
        answer = await asyncio.to_thread(ben.call, "DELETE", "/me", {"password": PASSWORD})
        assert answer.status_code == 204, answer.text
        while (await other.hear("event"))["event"]["type"] != "member.left":
            pass
        after = elsewhere.get(f"/chats/{chat_id}/messages/{said['message_id']}")
    message = succeeded(after)["message"]
    assert (message["text"], message["erased"]) == (None, True)


def test_processes_tell_how_they_are(cluster: Cluster) -> None:
    for node in cluster.nodes:
        ready = httpx.get(f"{node.url}/readyz")
        assert (ready.status_code, ready.json()["degraded"]) == (200, []), node.name
        assert httpx.get(f"{node.url}/healthz").json() == {"status": "ok"}
