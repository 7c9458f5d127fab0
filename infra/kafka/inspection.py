"""A look at Kafka that changes nothing."""

from __future__ import annotations

import asyncio

from confluent_kafka.admin import AdminClient

from events.log import CHAT_TOPIC
from infra.kafka.client import ANSWER_S, answer, settings, translated


async def look_at(bootstrap: str) -> str:
    """What there is, in a few words. Raises Unavailable."""
    admin = AdminClient(settings(bootstrap))
    nodes = len((await answer(admin.describe_cluster(request_timeout=ANSWER_S))).nodes)
    with translated():
        found = (await asyncio.to_thread(admin.list_topics, timeout=ANSWER_S)).topics.get(CHAT_TOPIC)
    there = f"{nodes} broker{'' if nodes == 1 else 's'}"
    if found is None:
        return f"{there}; no log yet, it is made at the first start"
    return f"{there}; the log has {len(found.partitions)} partitions"
