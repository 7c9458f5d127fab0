"""A Faust worker: partitions come and go with the consumer group, and each is folded by itself.

One agent takes batches off the stream and puts each into its partition's slot; batches of a partition are folded one
after the other, those of different partitions beside each other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import faust
from faust.types import TP

from commands.errors import Unavailable
from events.codec import trace_of
from events.log import CHAT_TOPIC, Record
from streams.faust_worker.slot import Slot
from streams.faust_worker.transport import SCHEME, BatchConsumer, BatchScheduler, BatchSchema
from streams.lag import LagWatch
from streams.partition import PartitionFold
from streams.ports import Fanout

logger = logging.getLogger(__name__)

READY_S = 1.0
"""How long an assignment waits for the views' positions; then partitions follow one by one."""
HAND_OVER_S = 5.0
"""How long a partition that is taken away may finish its batch."""
_POLL_RECORDS = 2_000
_AHEAD = 16
"""Batches that Faust itself may hold."""
LOOK_S = 2.0
"""Between two looks at whether positions move."""
STALL_S = 60.0
"""So long behind without a move, and not for a store's sake, and the worker ends; a new one begins better."""
_A_DAY_S = 86_400.0


class WorkerFailed(Exception):
    """The worker has stopped and must not go on by itself; the cause says why."""


@dataclass(frozen=True, slots=True)
class Membership:
    """How a worker takes part in its group."""

    bootstrap: str
    """`host:port` of brokers, by commas."""
    group: str
    """One for each generation of the views."""
    member: str
    """Static: who comes back under the same name within the session timeout gets the same partitions, at once."""
    topic: str = CHAT_TOPIC
    session_timeout_s: float = 10.0


class FaustWorker:
    """Runs on the current event loop."""

    def __init__(
        self,
        membership: Membership,
        make_fold: Callable[[int], PartitionFold],
        ends: Callable[[], Awaitable[Mapping[int, int]]],
        fanout: Fanout | None = None,
        *,
        hand_over_s: float = HAND_OVER_S,
        look_s: float = LOOK_S,
        stall_s: float = STALL_S,
    ) -> None:
        """`make_fold` gives a fold for a partition number, a fresh one for each assignment. `ends` asks the log, not by
        way of Faust, for partition → the offset after its last record; it may raise Unavailable.
        """
        self.slots: dict[int, Slot] = {}
        """Partition → what is done with it, for those that are assigned right now."""
        self._topic = membership.topic
        self._make_fold = make_fold
        self._fanout = fanout
        self._ends = ends
        self._hand_over_s = hand_over_s
        self._look_s = look_s
        self._stall_s = stall_s
        self.watch = LagWatch(asyncio.get_running_loop().time)
        self._changing = asyncio.Lock()
        """Held while partitions come or go."""
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._app = _app(membership)
        self._app.on_partitions_revoked.connect(self._on_revoked, weak=False)
        self._app.on_partitions_assigned.connect(self._on_assigned, weak=False)
        self._app.agent(self._app.topic(self._topic, schema=BatchSchema()), concurrency=1, name="fold")(self._consume)

    async def run(self) -> None:
        """Work until cancelled. Raises WorkerFailed."""
        await self._app.start()
        watching = [asyncio.create_task(self._app.wait_until_stopped()), asyncio.create_task(self._look_after())]
        try:
            await asyncio.wait([*watching, self._failure], return_when=asyncio.FIRST_COMPLETED)
            if self._failure.done():
                self._failure.result()
            raise WorkerFailed("Faust has stopped")
        finally:
            for task in watching:
                task.cancel()
            await self._close_slots(list(self.slots))
            await self._app.stop()

    @property
    def is_healthy(self) -> bool:
        """Whether every partition moves, has nothing to do, or waits for a store and says so."""
        return not self._stalled()

    async def _look_after(self) -> None:
        """Faust can lose what it fetched, or stall, without dying."""
        while True:
            await asyncio.sleep(self._look_s)
            try:
                ends = await self._ends()
            except Unavailable:
                continue
            positions = {number: slot.fold.next_offset for number, slot in self.slots.items() if slot.ready.is_set()}
            for partition, standing in self.watch.look(positions, ends).items():
                if standing.still_s >= self._look_s and partition in self.slots:
                    await self.slots[partition].again()
            if stalled := self._stalled():
                self._failed(
                    WorkerFailed(f"partitions {stalled} do not move for {self._stall_s:.0f} s, with records to fold")
                )

    def _stalled(self) -> list[int]:
        return [
            partition
            for partition, standing in self.watch.standings.items()
            if standing.still_s >= self._stall_s
            and partition in self.slots
            and self.slots[partition].fold.waits_for is None
        ]

    async def _consume(self, stream: Any) -> None:
        async for event in stream.noack().events():
            records = event.value
            slot = self.slots.get(records[0].partition)
            if slot is not None:
                await slot.put([_record(each) for each in records], event.ack)

    async def _on_assigned(self, _: Any, /, *arguments: Any, **options: Any) -> None:
        """Every partition is taken over anew, also one that was ours before: others may have had it meanwhile."""
        assigned: Iterable[TP] = arguments[0]
        async with self._changing:
            await self._begin([tp.partition for tp in assigned if tp.topic == self._topic])

    async def take_over_again(self) -> None:
        """Give up every partition and take it over at once, with a fold that is made now."""
        async with self._changing:
            await self._begin(list(self.slots))

    async def _begin(self, partitions: Sequence[int]) -> None:
        await self._close_slots(list(self.slots))
        for partition in partitions:
            seek = self._seek_in(TP(self._topic, partition))
            self.slots[partition] = Slot(self._make_fold(partition), seek, self._failed)
        if self.slots:
            logger.info("partitions %s", ", ".join(map(str, sorted(self.slots))))
            ready = [asyncio.ensure_future(slot.ready.wait()) for slot in self.slots.values()]
            await asyncio.wait(ready, timeout=READY_S)
            for waiting in ready:
                waiting.cancel()

    async def _on_revoked(self, _: Any, /, *arguments: Any, **options: Any) -> None:
        revoked: Iterable[TP] = arguments[0]
        async with self._changing:
            await self._close_slots([tp.partition for tp in revoked if tp.topic == self._topic])

    async def _close_slots(self, partitions: Iterable[int]) -> None:
        closing = [(partition, self.slots.pop(partition)) for partition in partitions if partition in self.slots]
        await asyncio.gather(*(slot.close(self._hand_over_s) for _, slot in closing))
        if self._fanout is not None:
            for partition, _ in closing:
                self._fanout.release(partition)

    def _seek_in(self, tp: TP) -> Callable[[int], Any]:
        async def seek(offset: int) -> None:
            consumer = self._app.consumer
            assert isinstance(consumer, BatchConsumer)
            await consumer._thread.seek_wait({tp: offset})

        return seek

    def _failed(self, error: BaseException) -> None:
        logger.critical("the worker stops: %s", error, exc_info=error)
        if not self._failure.done():
            failure = WorkerFailed(str(error))
            failure.__cause__ = error
            self._failure.set_exception(failure)


def _app(membership: Membership) -> faust.App:
    hosts = membership.bootstrap.split(",")
    session_s = membership.session_timeout_s
    return faust.App(
        membership.group,
        broker=";".join(f"kafka://{host}" for host in hosts),
        broker_consumer=";".join(f"{SCHEME}://{host}" for host in hosts),
        broker_client_id=f"tidings-{membership.member}",
        broker_session_timeout=session_s,
        broker_heartbeat_interval=session_s / 5,
        broker_rebalance_timeout=max(session_s, 3 * HAND_OVER_S),
        broker_request_timeout=max(session_s, 30.0),
        # A worker that waits for its store takes no records, for however long; it is not to be replaced for that.
        broker_max_poll_interval=_A_DAY_S,
        broker_max_poll_records=_POLL_RECORDS,
        broker_commit_interval=1.0,
        consumer_group_instance_id=membership.member,
        consumer_auto_offset_reset="earliest",
        ConsumerScheduler=BatchScheduler,
        store="memory://",
        # Made at every start, and without tables never filled: else it lies in whatever folder a worker starts in.
        datadir=str(Path(gettempdir()) / "tidings-faust"),
        stream_buffer_maxsize=_AHEAD,
        stream_wait_empty=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )


def _record(record: Any) -> Record:
    """Ours for aiokafka's."""
    return Record(
        record.partition,
        record.offset,
        record.timestamp,
        (record.key or b"").decode(errors="replace"),
        record.value or b"",
        trace_of(record.headers),
    )
