"""What the client process is asked to do: register people, load the server, hold idle sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx
import msgspec

from benchmarks.kit.load import Load, Step
from benchmarks.kit.people import AT_ONCE, Person, Room, register_rooms
from benchmarks.kit.processes import rss_of
from benchmarks.kit.readback import ReadBack, read_back
from benchmarks.kit.sockets import Receiver, Trouble, open_all
from benchmarks.kit.workers import Report

_HTTP_S = 60.0
_FIRST_RATE = 1_000.0
_BOLD, _CAREFUL = 1.5, 1.25
"""By how much a search raises the rate: while the server is less than half busy, and then."""
_MOST_STEPS = 20
_KEEPS_UP = 0.97
_BUSY = 0.95
_P99_MS = 1_000.0
_WARM_SOCKETS = 100
_SETTLING_S = 60.0


def http_client(url: str) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    return httpx.AsyncClient(base_url=url, timeout=_HTTP_S, limits=limits, trust_env=False)


@dataclass(frozen=True, slots=True)
class Register:
    """Make rooms of so many users each; two have a direct chat."""

    url: str
    rooms: int
    size: int = 2

    async def run(self, report: Report) -> list[Room]:
        report.begin("registering users and their chats", self.rooms)
        async with http_client(self.url) as http:
            return await register_rooms(http, self.rooms, report.advance, size=self.size)


class Loaded(msgspec.Struct, frozen=True):
    """`saturation` is the most that was delivered per second, `half` the step at half of that; None without a
    search."""

    steps: list[Step]
    saturation: float | None
    half: Step | None
    check: ReadBack


@dataclass(frozen=True, slots=True)
class LoadServer:
    """Step through `rates`, or without any search for saturation and then measure half of it."""

    url: str
    ws_url: str
    processes: Mapping[str, Sequence[int]]
    """Pids of the server, by kind."""
    rooms: list[Room]
    text_bytes: int
    rates: tuple[float, ...]
    warm_up_s: float
    seconds: float
    cores: float
    """How much CPU time a second the server can have."""
    idle: Sequence[Room] = ()
    """Whose members hold sockets open and send nothing."""

    async def run(self, report: Report) -> Loaded:
        load = Load(self.rooms, self.text_bytes, self.processes)
        report.begin("opening sockets", sum(len(room.people) for room in (*self.rooms, *self.idle)))
        quiet = Quiet()
        await open_all(self.ws_url, sockets_of(self.idle), quiet, report.advance)
        await load.connect(self.ws_url, report.advance)
        steps: list[Step] = []
        saturation, half = None, None
        if not self.rates:
            saturation = await self._search(load, steps, report)
            half = await self._step(load, saturation / 2, report)
        for rate in self.rates:
            steps += [await self._step(load, rate, report)]
        await load.close()
        quiet.check()
        report.begin("reading everything back", len(self.rooms))
        async with http_client(self.url) as http:
            return Loaded(steps, saturation, half, await read_back(http, load, report.advance))

    async def _search(self, load: Load, steps: list[Step], report: Report) -> float:
        """Raise the rate until the server does not keep up; gives the most that it delivered a second."""
        rate = _FIRST_RATE
        while len(steps) < _MOST_STEPS:
            step = await self._step(load, rate, report)
            steps.append(step)
            if self._is_saturated(step):
                break
            rate *= _BOLD if step.server_busy < self.cores / 2 else _CAREFUL
        return max(step.delivered for step in steps)

    def _is_saturated(self, step: Step) -> bool:
        late = step.delivered < step.offered * _KEEPS_UP or step.delivery.p99 > _P99_MS
        return late or step.server_busy >= self.cores * _BUSY

    async def _step(self, load: Load, rate: float, report: Report) -> Step:
        seconds = int(self.warm_up_s + self.seconds)
        report.begin(f"{rate:,.0f} messages/s", seconds)
        ticking = asyncio.create_task(_tick(seconds, report))
        try:
            step = await load.step(rate, self.warm_up_s, self.seconds)
        finally:
            ticking.cancel()
        report.say(
            f"  {rate:,.0f}/s: {step.delivered:,.0f} delivered, {step.cpu_us:.0f} µs of server CPU each, "
            f"p50 {step.delivery.p50:.1f}, p99 {step.delivery.p99:.1f} ms"
        )
        return step


class Idle(msgspec.Struct, frozen=True):
    """Memory in bytes."""

    sockets: int
    before: int
    """With a hundred sockets open, so that what the first ones bring is not counted."""
    after: int

    @property
    def kib_each(self) -> float:
        return (self.after - self.before) / self.sockets / 1024


@dataclass(frozen=True, slots=True)
class HoldSockets:
    """Open a socket for everybody and see what they add to the server's memory while nothing is sent."""

    ws_url: str
    server_pid: int
    rooms: list[Room]
    settle_s: float
    """Memory counts once it has not moved for so long."""

    async def run(self, report: Report) -> Idle:
        receiver = Quiet()
        wanted = sockets_of(self.rooms)
        warm = min(_WARM_SOCKETS, len(wanted) // 2)
        report.begin("opening idle sockets", len(wanted))
        sockets = await open_all(self.ws_url, wanted[:warm], receiver, report.advance)
        before = await _settled(self.server_pid, self.settle_s)
        sockets += await open_all(self.ws_url, wanted[warm:], receiver, report.advance)
        after = await _settled(self.server_pid, self.settle_s)
        receiver.check()
        return Idle(len(wanted) - warm, before, after)


class Quiet(Receiver):
    """Of sockets on which nothing should happen."""

    def __init__(self) -> None:
        self.troubles: list[str] = []

    def check(self) -> None:
        """Raises Trouble if something did."""
        if self.troubles:
            raise Trouble("; ".join(self.troubles[:3]))

    def on_ack(self, reply_to: str) -> None:
        self.troubles.append(f"an ack of {reply_to}")

    def on_event(self, number: int, seq: int, message_id: str) -> None:
        self.troubles.append(f"an event on socket {number}")

    def on_trouble(self, what: str) -> None:
        self.troubles.append(what)


def sockets_of(rooms: Sequence[Room]) -> list[tuple[int, Person, str]]:
    """A number, the person and the chat for everybody in these rooms."""
    people = [(person, room.chat_id) for room in rooms for person in room.people]
    return [(number, person, chat_id) for number, (person, chat_id) in enumerate(people)]


async def _settled(pid: int, same_for_s: float) -> int:
    """The server's memory in bytes once it has not moved for `same_for_s`, or after a minute."""
    began = since = time.monotonic()
    last = rss_of(pid)
    while time.monotonic() - since < same_for_s and time.monotonic() - began < _SETTLING_S:
        await asyncio.sleep(0.25)
        now = rss_of(pid)
        if abs(now - last) > last // 1000:
            last, since = now, time.monotonic()
    return rss_of(pid)


async def _tick(seconds: int, report: Report) -> None:
    for _ in range(seconds):
        await asyncio.sleep(1)
        report.advance()
