"""Planning of all partitions of a process put together: what a question costs views and SQL, all of them share.

While one plan is made the next one gathers, as in the group commit of a database, and each waits for a moment to gather
some more. By then the views mostly have what the notes speak of, which were stored before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from streams.push.apart import apart
from streams.push.plan import Wanted
from streams.push.ports import Push

LINGER_S = 0.05
MANY = 100
"""Messages that do not wait for more."""
MOST = 500
"""Messages that are planned together, if no partition alone has more."""

Plan = tuple[list[tuple[Wanted, Push]], list[Wanted]]
"""What is to be sent, and what the views do not have yet."""


Planned = tuple[list[tuple[Wanted, Push]], list[Wanted], list[tuple[Wanted, str]]]
"""The same, and what cannot be planned, with the reason."""


class Plans(Protocol):
    async def plan(self, wanted: Sequence[Wanted]) -> Plan:
        """Raises Unavailable."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    wanted: Sequence[Wanted]
    since: float
    plan: asyncio.Future[Planned] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Together:
    """Plans. Lives on one event loop."""

    def __init__(self, plans: Plans, *, linger_s: float = LINGER_S) -> None:
        self._plans = plans
        self._linger_s = linger_s
        self._waiting: list[_Waiting] = []
        self._many = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def plan(self, wanted: Sequence[Wanted]) -> Planned:
        """Raises Unavailable. A message with which planning fails by itself is told as such, and the others go on."""
        if not wanted:
            return [], [], []
        waiting = _Waiting(wanted, asyncio.get_running_loop().time())
        self._waiting.append(waiting)
        if sum(len(each.wanted) for each in self._waiting) >= MANY:
            self._many.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="plans of pushes")
        return await waiting.plan

    async def _run(self) -> None:
        while self._waiting:
            await self._moment()
            group = self._next_group()
            try:
                wanted = list(dict.fromkeys(one for each in group for one in each.wanted))
                plans, failed = await apart(self._plans.plan, wanted)
            except Exception as error:
                for each in group:
                    if not each.plan.done():
                        each.plan.set_exception(error)
            else:
                pushes = [push for _, (some, _) in plans for push in some]
                late = {one for _, (_, some) in plans for one in some}
                _hand_out(group, pushes, late, {one: f"it cannot be planned: {error!r}" for one, error in failed})

    async def _moment(self) -> None:
        """Wait for more, unless there are many or the first has waited long enough."""
        try:
            async with asyncio.timeout_at(self._waiting[0].since + self._linger_s):
                await self._many.wait()
        except TimeoutError:
            return

    def _next_group(self) -> list[_Waiting]:
        count = size = 0
        for each in self._waiting:
            size += len(each.wanted)
            if count and size > MOST:
                break
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        if sum(len(each.wanted) for each in self._waiting) < MANY:
            self._many.clear()
        return group


def _hand_out(
    group: Sequence[_Waiting], pushes: Sequence[tuple[Wanted, Push]], late: set[Wanted], failed: Mapping[Wanted, str]
) -> None:
    by_wanted: dict[Wanted, list[tuple[Wanted, Push]]] = {}
    for each in pushes:
        by_wanted.setdefault(each[0], []).append(each)
    for waiting in group:
        if not waiting.plan.done():
            mine = [each for one in waiting.wanted for each in by_wanted.get(one, ())]
            late_ones = [one for one in waiting.wanted if one in late]
            waiting.plan.set_result((mine, late_ones, [(one, failed[one]) for one in waiting.wanted if one in failed]))
