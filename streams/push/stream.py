"""The push stream: takes notes and retries from their queues, sends, and sees to what becomes of each.

What is done with a batch is settled (tokens removed, retries and dead letters stored) before the queue hears that it is
done. So nothing is lost, and what a crash can repeat is what was under way: one batch of each partition.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import count, islice, takewhile
from random import random
from typing import Any, TypeVar

import msgspec

from commands.devices import Device, DeviceStore, Platform
from commands.errors import Unavailable
from events.ids import unix_ms
from events.log import NOTIFICATIONS_TOPIC, RETRIES_TOPIC
from projections.ports import Parked
from streams.dead_letters import DeadLetters
from streams.push.apart import sent_apart
from streams.push.backoff import GIVE_UP_S, LONGEST_S, delay_ms
from streams.push.notifier import WINDOW
from streams.push.plan import Wanted
from streams.push.ports import Outcome, Provider, Push
from streams.push.queues import Held, Item, Queue
from streams.push.records import Note, Retry, decode_note, decode_retry, encode_retry
from streams.push.together import Plans, Together

logger = logging.getLogger(__name__)

BATCH = 100
"""Notes that are decided about together."""
BATCHES = 2
"""Under way at once in a partition: while one waits for its provider, the next is made ready."""
PAUSES_S = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Before the second try at a store that is away, the third …; the last one for ever."""
VIEWS_S = 10.0
"""How long a note waits for the views to have its message; then it waits among the retries, and others go on."""
_LOOK_S = 0.01
_NAP_S = 0.5

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sent:
    """For the journal: a push and what became of it."""

    push: Push
    outcome: Outcome
    at: datetime


Journal = Callable[[Sequence[Sent]], Awaitable[None]]


@dataclass(slots=True)
class Counts:
    """Since the process began."""

    results: Counter[tuple[str, str]]
    """(platform, result) → how many."""
    notes: int = 0
    repeats: int = 0
    """Notes that had been stored before."""
    retries: int = 0
    dead: int = 0
    behind_s: float = 0.0
    """How old the last message was when its pushes were sent."""


class PushStream:
    """One for a process; it may hold several partitions."""

    def __init__(
        self,
        plans: Plans,
        providers: Mapping[Platform, Provider],
        devices: DeviceStore,
        retries: Queue,
        letters: Mapping[str, DeadLetters],
        tag: str,
        now: Callable[[], datetime],
        *,
        journal: Journal | None = None,
        chance: Callable[[], float] = random,
    ) -> None:
        """`letters`: topic → where its dead go. `tag`: of the log that is folded."""
        self._plans = Together(plans)
        self._providers = providers
        self._devices = devices
        self._retries = retries
        self._letters = letters
        self._tag = tag
        self._now = now
        self._journal = journal
        self._chance = chance
        self.counts = Counts(Counter())

    @property
    def works(self) -> dict[str, Callable[[Held], Coroutine[Any, Any, None]]]:
        """Topic → what to do with each of its partitions."""
        return {NOTIFICATIONS_TOPIC: self.notifications, RETRIES_TOPIC: self.retries}

    async def notifications(self, held: Held) -> None:
        """Until `held` is to be let go of."""
        # A fold that takes over may store notes again that were stored already.
        done = await _patiently(partial(held.before, WINDOW))
        seen = {note.key: None for item in done if (note := self._note(item)) is not None}
        under_way: deque[asyncio.Task[None]] = deque()
        try:
            async with asyncio.TaskGroup() as tasks:
                while not held.closing:
                    items = await _patiently(partial(held.take, BATCH))
                    tries = self._fresh_ones(items, seen)
                    before = under_way[-1] if under_way else None
                    under_way.append(tasks.create_task(self._try(NOTIFICATIONS_TOPIC, held, tries, items, before)))
                    if len(under_way) == BATCHES:
                        await under_way.popleft()
        except ExceptionGroup as group:
            raise group.exceptions[0] from group

    def _fresh_ones(self, items: Sequence[Item], seen: dict[tuple[str, int, str], None]) -> list[_Try]:
        """What is to be tried of these; adds to `seen`."""
        fresh = []
        now_ms = unix_ms(self._now())
        for item in items:
            note = self._note(item)
            if note is None:
                continue
            if note.key in seen:
                self.counts.repeats += 1
            else:
                seen[note.key] = None
                fresh.append(_Try(_fresh(note, now_ms), item.offset))
        for old in list(islice(seen, max(0, len(seen) - 2 * WINDOW))):
            del seen[old]
        return fresh

    async def retries(self, held: Held) -> None:
        """Until `held` is to be let go of."""
        waiting: list[Item] = []
        while not held.closing:
            if not waiting:
                waiting = list(await _patiently(partial(held.take, BATCH)))
                continue
            read = [(item, self._from_retry(item)) for item in waiting]
            now_ms = unix_ms(self._now())
            due = list(takewhile(partial(_is_due, now_ms), read))
            if not due:
                first = read[0][1]
                assert first is not None
                await asyncio.sleep(min(_NAP_S, (first.retry.due_ms - now_ms) / 1000))
                continue
            tries = [each for _, each in due if each is not None]
            await self._try(RETRIES_TOPIC, held, tries, [item for item, _ in due], None)
            self.counts.retries += len(tries)
            waiting = waiting[len(due) :]

    async def _try(
        self,
        topic: str,
        held: Held,
        tries: Sequence[_Try],
        items: Sequence[Item],
        before: asyncio.Task[None] | None,
    ) -> None:
        """Everything that is to be done about these items, to the end; `before` is what must be done first."""
        if items:
            pushes, again = await self._planned(tries)
            outcomes = await self._sent([push for _, push in pushes])
            await self._settle(topic, held.partition, pushes, outcomes, again)
        if before is not None:
            await asyncio.wait([before])
            before.result()
        if items:
            await _patiently(partial(held.done, items[-1].offset + 1))
            if topic == NOTIFICATIONS_TOPIC:
                self.counts.notes += len(tries)

    async def _planned(self, tries: Sequence[_Try]) -> tuple[list[tuple[_Try, Push]], list[tuple[_Try, str]]]:
        """Pushes, and what is to be tried again, with the reason."""
        loop = asyncio.get_running_loop()
        until = loop.time() + VIEWS_S
        rest = {each.wanted: each for each in tries}
        pushes: list[tuple[_Try, Push]] = []
        again: list[tuple[_Try, str]] = []
        while rest:
            found, late, failed = await _patiently(partial(self._plans.plan, list(rest)))
            pushes += [(rest[wanted], push) for wanted, push in found]
            again += [(rest[wanted], reason) for wanted, reason in failed]
            rest = {wanted: rest[wanted] for wanted in late}
            if rest and loop.time() > until:
                break
            if rest:
                await asyncio.sleep(_LOOK_S)
        return pushes, again + [(each, "no view has the message yet") for each in rest.values()]

    async def _sent(self, pushes: Sequence[Push]) -> list[Outcome]:
        by_provider: dict[Provider, list[int]] = {}
        for index, push in enumerate(pushes):
            by_provider.setdefault(self._providers[push.device.platform], []).append(index)
        answers = await asyncio.gather(
            *(sent_apart(provider.send, [pushes[index] for index in some]) for provider, some in by_provider.items())
        )
        outcomes: dict[int, Outcome] = {}
        for some, answer in zip(by_provider.values(), answers, strict=True):
            outcomes.update(zip(some, answer, strict=True))
        return [outcomes[index] for index in range(len(pushes))]

    async def _settle(
        self,
        topic: str,
        partition: int,
        pushes: Sequence[tuple[_Try, Push]],
        outcomes: Sequence[Outcome],
        to_repeat: Sequence[tuple[_Try, str]],
    ) -> None:
        now = self._now()
        queues: dict[int, list[tuple[str, bytes]]] = {}
        dead: list[Parked] = []
        again = [(each, each.retry, Outcome("busy", reason)) for each, reason in to_repeat]
        for (each, push), outcome in zip(pushes, outcomes, strict=True):
            self.counts.results[push.device.platform, outcome.result] += 1
            self.counts.behind_s = GIVE_UP_S - (push.expires_at - now).total_seconds()
            retry = _for_device(each.retry, push)
            match outcome.result:
                case "gone" if outcome.gone_since is None or push.device.updated_at <= outcome.gone_since:
                    await self._remove(push.device)
                case "busy":
                    again.append((each, retry, outcome))
                case "refused":
                    dead.append(_parked(each, partition, retry, outcome.detail))
        for each, retry, outcome in again:
            queue, following = self._following(retry, outcome)
            if following is None:
                dead.append(_parked(each, partition, retry, f"given up after {retry.attempts} tries: {outcome.detail}"))
            else:
                queues.setdefault(queue, []).append(encode_retry(following))
        for queue, items in queues.items():
            await _patiently(partial(self._retries.put, queue, items))
        if dead:
            self.counts.dead += len(dead)
            logger.error("%d pushes are given up, the first because: %s", len(dead), dead[0].error)
            await _patiently(partial(self._letters[topic].put, dead))
        if self._journal is not None and pushes:
            sent = [Sent(push, outcome, now) for (_, push), outcome in zip(pushes, outcomes, strict=True)]
            try:
                await _patiently(partial(self._journal, sent))
            except Exception:
                logger.exception("what became of %d pushes is not noted", len(sent))

    async def _remove(self, device: Device) -> None:
        try:
            await _patiently(partial(self._devices.remove_token, device))
        except Exception:
            # Its next push is answered in the same way; the others' outcomes are still to be stored.
            logger.exception("the dead token of device %s stays", device.device_id)

    def _following(self, retry: Retry, outcome: Outcome) -> tuple[int, Retry | None]:
        """(queue, the next retry), None where there is to be none."""
        now_ms = unix_ms(self._now())
        queue, wait_ms = delay_ms(retry.attempts + 1, outcome.retry_after_s, self._chance)
        if now_ms + wait_ms > retry.since_ms + GIVE_UP_S * 1000:
            return queue, None
        return queue, msgspec.structs.replace(
            retry, attempts=retry.attempts + 1, due_ms=now_ms + wait_ms, reason=outcome.detail
        )

    def _note(self, item: Item) -> Note | None:
        """None for what cannot be read, and for what another log had."""
        try:
            note = decode_note(item.key, item.value)
        except ValueError:
            logger.error("a note at %d cannot be read: %s", item.offset, item.value[:200])
            return None
        return note if note.log == self._tag else None

    def _from_retry(self, item: Item) -> _Try | None:
        try:
            retry = decode_retry(item.key, item.value)
        except ValueError:
            logger.error("a retry at %d cannot be read: %s", item.offset, item.value[:200])
            return None
        return _Try(retry, item.offset) if retry.log == self._tag else None


@dataclass(frozen=True, slots=True)
class _Try:
    retry: Retry
    offset: int
    """Of the item that it comes from."""

    @property
    def wanted(self) -> Wanted:
        return Wanted(self.retry.chat_id, self.retry.seq, self.retry.user_id, self.retry.device_id)


def _is_due(now_ms: int, read: tuple[Item, _Try | None]) -> bool:
    """What is due later than anything may be was stored while the clock was wrong: it must not hold up the others."""
    return read[1] is None or not now_ms < read[1].retry.due_ms <= now_ms + LONGEST_S * 1000


def _fresh(note: Note, now_ms: int) -> Retry:
    """A note as the first of all tries."""
    return Retry(note.chat_id, note.seq, note.log, None, None, 0, now_ms, now_ms, "")


def _for_device(retry: Retry, push: Push) -> Retry:
    return msgspec.structs.replace(retry, user_id=push.device.user_id, device_id=push.device.device_id)


def _parked(each: _Try, partition: int, retry: Retry, error: str) -> Parked:
    key, value = encode_retry(retry)
    return Parked(key, partition, each.offset, error, value)


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    """What `call` gives, tried again for as long as it raises Unavailable."""
    for failures in count():
        try:
            return await call()
        except Unavailable as error:
            pause = PAUSES_S[min(failures, len(PAUSES_S) - 1)]
            logger.warning("pushes wait: %s", error)
        await asyncio.sleep(pause)
    raise AssertionError("count() ends")
