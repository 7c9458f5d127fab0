"""Partitions of queues in Kafka in the hands of their one holder: see `streams.push.queues`.

A consumer group says who holds a partition. There is no view that could keep positions, so here, unlike for folds, the
group's committed offsets count.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import ConsumerRecord

from commands.errors import Unavailable
from infra.kafka.marks import Marks
from streams.push.queues import Held, Item

logger = logging.getLogger(__name__)

GATHER_S = 0.1
GATHERED = 10_000
"""So long, or until there are so many bytes, the broker waits for more to send: what comes alone costs most."""
HAND_OVER_S = 15.0
"""How long a partition that is taken away may finish what is under way: a provider may be slow to answer."""
_TAKE_MS = 100
"""How long one request for more may wait, and with it a partition that has just become hungry."""
_AT_ONCE = 1_000
"""Items that a partition has in hand; with fewer it is hungry."""
_A_DAY_MS = 86_400_000

Work = Callable[[Held], Coroutine[Any, Any, None]]


class Lost(Exception):
    """The partition has gone to another holder."""


class KafkaHolder:
    def __init__(self, bootstrap: str, group: str, member: str, *, session_timeout_s: float = 10.0) -> None:
        """`member`: static; who comes back under it within the session's timeout gets the same partitions at once."""
        self._bootstrap = bootstrap
        self._group = group
        self._member = member
        self._session_ms = int(session_timeout_s * 1000)

    async def hold(self, works: Mapping[str, Work]) -> None:
        """Raises Unavailable while there is no Kafka to begin with."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            client_id=f"tidings-push-{self._member}",
            group_id=self._group,
            group_instance_id=self._member,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=self._session_ms,
            heartbeat_interval_ms=self._session_ms // 5,
            rebalance_timeout_ms=int(max(self._session_ms, HAND_OVER_S * 2_000)),
            fetch_max_wait_ms=int(GATHER_S * 1000),
            fetch_min_bytes=GATHERED,
            # A provider that is away is no reason to take partitions from who waits for it.
            max_poll_interval_ms=_A_DAY_MS,
        )
        hands = _Hands(consumer, works)
        consumer.subscribe(list(works), listener=hands)
        try:
            with _translated():
                await consumer.start()
            await hands.failure
        finally:
            hands.stop()
            await hands.let_go(list(hands.tasks))
            await consumer.stop()


class _Hands(ConsumerRebalanceListener):  # type: ignore[misc]
    """The partitions that this process has, each with its task."""

    def __init__(self, consumer: AIOKafkaConsumer, works: Mapping[str, Work]) -> None:
        self.tasks: dict[TopicPartition, tuple[_Held, asyncio.Task[None]]] = {}
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._consumer = consumer
        self._marks = Marks(consumer)
        self._works = works
        self._hungry = asyncio.Event()
        self._feeding = asyncio.create_task(self._feed(), name="what is to be pushed")

    def stop(self) -> None:
        """Give the partitions nothing any more."""
        self._feeding.cancel()

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        await self.let_go(revoked)

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        await self.let_go(list(self.tasks))
        logger.info("pushes of %s", ", ".join(f"{tp.topic}:{tp.partition}" for tp in sorted(assigned)))
        for tp in assigned:
            held = _Held(self._consumer, tp, self._marks, self._hungry)
            task = asyncio.create_task(self._run(self._works[tp.topic], held), name=f"{tp.topic} {tp.partition}")
            self.tasks[tp] = held, task

    async def let_go(self, partitions: Sequence[TopicPartition]) -> None:
        going = [self.tasks.pop(tp) for tp in partitions if tp in self.tasks]
        for held, _ in going:
            held.close()
        tasks = [task for _, task in going]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=HAND_OVER_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _feed(self) -> None:
        """One request for all partitions: a waiting request of each would wake up for what the others get."""
        try:
            while True:
                hungry = {tp: held for tp, (held, _) in self.tasks.items() if held.is_hungry}
                self._hungry.clear()
                if not hungry:
                    await self._hungry.wait()
                    continue
                with _translated():
                    given = await self._consumer.getmany(*hungry, timeout_ms=_TAKE_MS, max_records=_AT_ONCE)
                for tp, records in given.items():
                    hungry[tp].feed(map(_item, records))
        except Lost as lost:
            self._fail(Unavailable(str(lost)))
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if not self.failure.done():
            self.failure.set_exception(error)

    async def _run(self, work: Work, held: _Held) -> None:
        try:
            await work(held)
        except Lost as lost:
            logger.warning("%s", lost)
        except Exception as error:
            self._fail(error)


class _Held:
    def __init__(self, consumer: AIOKafkaConsumer, tp: TopicPartition, marks: Marks, hungry: asyncio.Event) -> None:
        """`hungry` is set when this becomes so."""
        self.partition: int = tp.partition
        self.closing = False
        self._consumer = consumer
        self._tp = tp
        self._marks = marks
        self._hungry = hungry
        self._is_taking = False
        self._food: deque[Item] = deque()
        self._fed = asyncio.Event()

    @property
    def is_hungry(self) -> bool:
        return self._is_taking and not self.closing and len(self._food) < _AT_ONCE

    def feed(self, items: Iterable[Item]) -> None:
        self._food.extend(items)
        self._fed.set()

    def close(self) -> None:
        self.closing = True
        self._fed.set()

    async def before(self, limit: int) -> Sequence[Item]:
        with _translated():
            at = await self._consumer.position(self._tp)
            first = (await self._consumer.beginning_offsets([self._tp]))[self._tp]
            if at <= first:
                return []
            self._consumer.seek(self._tp, max(first, at - limit))
            found: list[Item] = []
            while not self.closing and (not found or found[-1].offset < at - 1):
                given = await self._consumer.getmany(self._tp, timeout_ms=_TAKE_MS, max_records=limit)
                found += map(_item, given.get(self._tp, ()))
            self._consumer.seek(self._tp, at)
        return [item for item in found if item.offset < at]

    async def take(self, limit: int) -> Sequence[Item]:
        while not self.closing:
            if self._food:
                return [self._food.popleft() for _ in range(min(limit, len(self._food)))]
            self._is_taking = True
            self._hungry.set()
            self._fed.clear()
            await self._fed.wait()
        return []

    async def done(self, offset: int) -> None:
        with _translated():
            await self._marks.put(self._tp, offset)


def _item(record: ConsumerRecord) -> Item:
    return Item(record.offset, (record.key or b"").decode(errors="replace"), record.value or b"")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (CommitFailedError, IllegalStateError) as error:
        raise Lost(f"the partition has gone to another holder: {error}") from error
    except KafkaError as error:
        raise Unavailable(f"Kafka answers: {error}") from error
