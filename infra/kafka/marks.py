"""What is done, of all partitions that a process holds, committed together."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition

MARK_S = 0.05
"""How long what is done waits for more that is."""


class Marks:
    """Each request costs as much as some pushes do, so one waits for the one before it, and a moment for more."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._waiting: list[tuple[TopicPartition, int, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def put(self, tp: TopicPartition, offset: int) -> None:
        """Return once it is committed. Raises what the consumer does."""
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((tp, offset, committed))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="what is done of pushes")
        await committed

    async def _run(self) -> None:
        while self._waiting:
            await asyncio.sleep(MARK_S)
            group, self._waiting = [each for each in self._waiting if not each[2].done()], []
            if not group:
                return
            try:
                await self._consumer.commit({tp: offset for tp, offset, _ in group})
            except Exception:
                # One of them may be another holder's by now; that is no matter of the others.
                for tp, offset, committed in group:
                    await self._alone(tp, offset, committed)
            else:
                for *_, committed in group:
                    _settle(committed)

    async def _alone(self, tp: TopicPartition, offset: int, committed: asyncio.Future[None]) -> None:
        try:
            await self._consumer.commit({tp: offset})
        except Exception as error:
            _settle(committed, error)
        else:
            _settle(committed)


def _settle(future: asyncio.Future[None], error: Exception | None = None) -> None:
    if future.done():
        return  # nobody waits any more
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
