"""Open-loop load: messages leave when the schedule says, however far behind the server is.

Latency counts from the intended time, so a server that stalls is charged for every message that it kept waiting
(no coordinated omission). The client looks at its schedule each millisecond, which adds half a millisecond to the
mean; the figures keep it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

import msgspec

from benchmarks.kit.latency import Percentiles, percentiles
from benchmarks.kit.people import Person, Room
from benchmarks.kit.processes import Cpu, cpu_of, cpu_of_all, machine_cpu, main_thread_cpu
from benchmarks.kit.sockets import Receiver, Socket, Trouble, open_all

_TICK_S = 0.001
_STALLED_S = 15.0
"""Without any progress for so long, what is still missing is given up."""
_LEAD_S = 0.1


class Step(msgspec.Struct, frozen=True):
    """One rate, measured over one window. Rates are per second, CPU is µs per message delivered in the window."""

    offered: float
    sent: float
    acked: float
    """The log had them durably, and the sender's socket was told."""
    delivered: float
    """The sockets of all recipients got them."""
    seconds: float
    cpu_us: float
    """Of all server processes together; `parts` has the same by their kind."""
    user_us: float
    system_us: float
    loop_us: float
    """Of the first threads of the first kind of process: its event loops."""
    server_busy: float
    """CPU time over elapsed time: 1 is one core."""
    client_busy: float
    others_busy: float
    """Of everything else on the machine, the hypervisor's share included."""
    latest_send_ms: float
    """By how much the client itself was late, at worst."""
    ack: Percentiles
    delivery: Percentiles
    unfinished: int
    """Sent in the whole step, but never acked or not delivered to everybody."""
    parts: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Snapshot:
    at: float
    sent: int
    acked: int
    delivered: int
    server: dict[str, Cpu]
    loop: Cpu
    client: Cpu
    machine: Cpu


class Load(Receiver):
    """Sends from all members of all rooms in turn, and notes what comes of every message.

    `processes` are the server's, by kind: pids whose CPU time is counted together.
    """

    def __init__(self, rooms: list[Room], text_bytes: int, processes: Mapping[str, Sequence[int]]) -> None:
        self.rooms = rooms
        self.sent = 0
        self.acked = 0
        self.delivered = 0
        self.acked_at = array("d")
        """By message number, from the intended time in seconds; negative while it has not come."""
        self.delivered_at = array("d")
        self.troubles: list[str] = []
        self.broken_order: list[str] = []
        """What a socket got twice, too early or not at all."""
        self._intended = array("d")
        self._missing = array("l")
        """By message number: how many recipients have not got it."""
        self._processes = processes
        self._first: list[int] = []
        """By room: the number of its first socket."""
        self._sockets: list[Socket] = []
        self.seqs: list[int] = []
        self._run = uuid4().hex
        self._text_bytes = text_bytes
        self._late = 0.0

    async def connect(self, ws_url: str, advanced: Callable[[], None]) -> None:
        """Open a socket for everybody. Raises Trouble, TimeoutError."""
        wanted: list[tuple[int, Person, str]] = []
        for room in self.rooms:
            self._first.append(len(wanted))
            wanted += [(len(wanted) + side, person, room.chat_id) for side, person in enumerate(room.people)]
        self._sockets = await open_all(ws_url, wanted, self, advanced)
        self.seqs = [socket.head_seq for socket in self._sockets]

    async def close(self) -> None:
        for socket in self._sockets:
            await socket.close()

    # --- one step ------------------------------------------------------------------------------------------

    async def step(self, rate: float, warm_up_s: float, seconds: float) -> Step:
        """Send `rate` messages a second. Raises Trouble."""
        first = self.sent
        measured = first + int(rate * warm_up_s)
        last = measured + int(rate * seconds)
        self._late = 0.0
        gc.collect()
        gc.disable()
        try:
            start = time.monotonic() + _LEAD_S
            sending = asyncio.create_task(self._send(start, rate, last))
            await _until(start + warm_up_s)
            begin = self._snapshot()
            await _until(start + warm_up_s + seconds)
            end = self._snapshot()
            await sending
            await self._drain()
        finally:
            gc.enable()
        self.check()
        return self._result(rate, begin, end, first, measured, last)

    async def _send(self, start: float, rate: float, last: int) -> None:
        """Send everything that is due, each millisecond, until message number `last`."""
        loop = asyncio.get_running_loop()
        first = self.sent
        done: asyncio.Future[None] = loop.create_future()

        def tick() -> None:
            now = time.monotonic()
            due = min(last, first + int((now - start) * rate) + 1) if now >= start else first
            if self.sent < due:
                self._late = max(self._late, now - start - (self.sent - first) / rate)
            while self.sent < due:
                self._send_one(start + (self.sent - first) / rate)
            if self.sent < last and not self.troubles:
                loop.call_later(_TICK_S, tick)
            elif not done.done():
                done.set_result(None)

        tick()
        await done

    def _send_one(self, intended: float) -> None:
        number = self.sent
        room = self.rooms[number % len(self.rooms)]
        frame = (
            f'{{"type":"send","id":"{number}","chat_id":"{room.chat_id}","message_id":"{self.message_id(number)}",'
            f'"kind":"TEXT","text":"{self.text(number)}"}}'
        )
        self._intended.append(intended)
        self.acked_at.append(-1.0)
        self.delivered_at.append(-1.0)
        self._missing.append(len(room.people) - 1)
        self.sent = number + 1
        self._sockets[self._sender(number)].send(frame.encode())

    def _sender(self, number: int) -> int:
        """The number of the socket that sends a message: the members of a room take turns."""
        turn, room = divmod(number, len(self.rooms))
        return self._first[room] + turn % len(self.rooms[room].people)

    def message_id(self, number: int) -> str:
        """A UUIDv7 that carries the message's number in its last part and this run in its middle."""
        ms = int(time.time() * 1000)
        run = self._run
        return f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7{run[:3]}-8{run[3:6]}-{number:012x}"

    def number_of(self, message_id: str) -> int | None:
        """The number that a message id carries, or None where it is not one of this run's."""
        if message_id[15:18] != self._run[:3] or message_id[20:23] != self._run[3:6]:
            return None
        return int(message_id[24:], 16)

    def text(self, number: int) -> str:
        """ASCII of the wanted length, different for each message."""
        return f"{number:x} ".ljust(self._text_bytes, "x")[: self._text_bytes]

    # --- what comes back -----------------------------------------------------------------------------------

    def on_ack(self, reply_to: str) -> None:
        number = int(reply_to)
        if self.acked_at[number] >= 0:
            self.broken_order.append(f"message {number} was acknowledged twice")
        self.acked_at[number] = time.monotonic() - self._intended[number]
        self.acked += 1

    def on_event(self, number: int, seq: int, message_id: str) -> None:
        if seq != self.seqs[number] + 1:
            self.broken_order.append(f"socket {number} got seq {seq} after {self.seqs[number]}")
        self.seqs[number] = seq
        message = self.number_of(message_id)
        if message is not None and self._sender(message) != number:
            self._missing[message] -= 1
            if self._missing[message] == 0:
                self.delivered_at[message] = time.monotonic() - self._intended[message]
                self.delivered += 1

    def on_trouble(self, what: str) -> None:
        self.troubles.append(what)

    def check(self) -> None:
        """Raises Trouble if a socket closed, was refused something, or got events out of order."""
        wrong = self.troubles + self.broken_order
        if wrong:
            raise Trouble(f"{len(wrong)} faults, the first: {'; '.join(wrong[:3])}")

    # --- figures -------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Wait until everything sent is acked and delivered, or nothing comes any more."""
        seen, since = -1, time.monotonic()
        while (got := self.acked + self.delivered) < 2 * self.sent and not self.troubles:
            if got != seen:
                seen, since = got, time.monotonic()
            elif time.monotonic() - since > _STALLED_S:
                return
            await asyncio.sleep(_TICK_S)

    def _snapshot(self) -> _Snapshot:
        groups = self._processes
        loops = [main_thread_cpu(pid) for pid in next(iter(groups.values()))]
        return _Snapshot(
            time.monotonic(),
            self.sent,
            self.acked,
            self.delivered,
            {kind: cpu_of_all(pids) for kind, pids in groups.items()},
            _sum(loops),
            cpu_of(os.getpid()),
            machine_cpu(),
        )

    def _result(self, rate: float, begin: _Snapshot, end: _Snapshot, first: int, measured: int, last: int) -> Step:
        seconds = end.at - begin.at
        delivered = end.delivered - begin.delivered
        parts = {kind: cpu - begin.server[kind] for kind, cpu in end.server.items()}
        server, loop = _sum(parts.values()), end.loop - begin.loop
        client, machine = end.client - begin.client, end.machine - begin.machine
        each_us = 1e6 / max(1, delivered)
        return Step(
            offered=rate,
            sent=(end.sent - begin.sent) / seconds,
            acked=(end.acked - begin.acked) / seconds,
            delivered=delivered / seconds,
            seconds=seconds,
            cpu_us=server.total_s * each_us,
            user_us=server.user_s * each_us,
            system_us=server.system_s * each_us,
            loop_us=loop.total_s * each_us,
            server_busy=server.total_s / seconds,
            client_busy=client.total_s / seconds,
            others_busy=max(0.0, machine.total_s - server.total_s - client.total_s) / seconds,
            latest_send_ms=self._late * 1000,
            ack=percentiles(value for value in self.acked_at[measured:last] if value >= 0),
            delivery=percentiles(value for value in self.delivered_at[measured:last] if value >= 0),
            unfinished=sum(
                acked < 0 or delivered < 0
                for acked, delivered in zip(self.acked_at[first:last], self.delivered_at[first:last], strict=True)
            ),
            parts={kind: cpu.total_s * each_us for kind, cpu in parts.items()},
        )


def _sum(parts: Iterable[Cpu]) -> Cpu:
    each = list(parts)
    return Cpu(sum(cpu.user_s for cpu in each), sum(cpu.system_s for cpu in each))


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.monotonic()))
