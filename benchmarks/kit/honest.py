"""The honest user beside an attacker: sends, reads and signs in at an unhurried rate, and notes how long each takes."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

import httpx
import msgspec
from PIL import Image

from benchmarks.kit.jobs import http_client
from benchmarks.kit.latency import Percentiles, percentiles
from benchmarks.kit.load import Load
from benchmarks.kit.people import Room, register_rooms
from benchmarks.kit.sockets import Trouble
from benchmarks.kit.workers import Report

RATE = 20.0
"""Messages a second, between two people."""
WARM_UP_S = 1.0
"""Not counted: what is loaded or compiled with the first call is not the attacker's doing."""
ASKS_S = 0.5
"""Between two calls over HTTP, each on a connection of its own."""
_NAMES = 12
"""Who signs in: in turn, since a name may do so some ten times a minute."""
_PASSWORD = "only for a benchmark"
_BOUND_S = 20.0
"""What takes longer counts as so long, and as failed."""


@dataclass(frozen=True, slots=True)
class Honest:
    """Two people with a chat, and names that sign in."""

    room: Room
    names: tuple[str, ...]


class Felt(msgspec.Struct, frozen=True):
    """What an honest user felt. Milliseconds."""

    delivery: Percentiles
    inbox: Percentiles
    sign_in: Percentiles
    photo: Percentiles
    failed: dict[str, int]
    """What did not succeed, or not within 20 s → how often."""


class _Chat(Load):
    """Others may put an honest user into chats, and type there."""

    def ignores(self, frame: bytes) -> bool:
        return msgspec.json.decode(frame)["type"] in ("chat", "typing", "receipt")

    def on_event(self, number: int, seq: int, message_id: str) -> None:
        if message_id:
            super().on_event(number, seq, message_id)


@dataclass(frozen=True, slots=True)
class Arrive:
    """Register the honest ones."""

    url: str

    async def run(self, report: Report) -> Honest:
        async with http_client(self.url) as http:
            (room,) = await register_rooms(http, 1, report.advance)
            names = tuple(f"h{uuid4().hex[:24]}" for _ in range(_NAMES))
            for name in names:
                answer = await http.post("/v1/auth/register", json={"username": name, "password": _PASSWORD})
                answer.raise_for_status()
        return Honest(room, names)


@dataclass(frozen=True, slots=True)
class Feel:
    """Use the server for some seconds."""

    url: str
    ws_url: str
    pid: int
    honest: Honest
    seconds: float

    async def run(self, report: Report) -> Felt:
        """Never fails: what goes wrong is the figure."""
        failed: dict[str, int] = {}
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(base_url=self.url, timeout=_BOUND_S, limits=limits, trust_env=False) as http:
            delivery, inbox, sign_in, photo = await asyncio.gather(
                self._chat(failed),
                self._ask("inbox", partial(self._inbox, http), failed),
                self._ask("sign-in", partial(self._sign_in, http), failed),
                self._ask("photo", partial(self._photo, http), failed),
            )
        return Felt(delivery, percentiles(inbox), percentiles(sign_in), percentiles(photo), failed)

    async def _chat(self, failed: dict[str, int]) -> Percentiles:
        load = _Chat([self.honest.room], 100, {"server": [self.pid]})
        try:
            await load.connect(self.ws_url, lambda: None)
            step = await load.step(RATE, WARM_UP_S, self.seconds)
        except (Trouble, TimeoutError, OSError) as error:
            failed[f"chat: {error}"[:100]] = 1
            return percentiles(value for value in load.delivered_at if value >= 0)
        if step.unfinished:
            failed["messages not delivered"] = step.unfinished
        await load.close()
        return step.delivery

    async def _ask(
        self, what: str, call: Callable[[int], Awaitable[httpx.Response]], failed: dict[str, int]
    ) -> list[float]:
        """Open loop: a call leaves when its time has come, however long those before it take."""

        async def one(turn: int) -> float:
            began = time.monotonic()
            try:
                answer = await call(turn)
                if not answer.is_success:
                    failed[f"{what}: {answer.status_code}"] = failed.get(f"{what}: {answer.status_code}", 0) + 1
            except httpx.HTTPError as error:
                failed[f"{what}: {type(error).__name__}"] = failed.get(f"{what}: {type(error).__name__}", 0) + 1
                return _BOUND_S
            return time.monotonic() - began

        tasks = []
        for turn in range(max(1, int((WARM_UP_S + self.seconds) / ASKS_S))):
            tasks.append(asyncio.create_task(one(turn)))
            await asyncio.sleep(ASKS_S)
        took = await asyncio.gather(*tasks)
        return took[int(WARM_UP_S / ASKS_S) :]

    def _mine(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.honest.room.people[0].token}"}

    async def _inbox(self, http: httpx.AsyncClient, turn: int) -> httpx.Response:
        return await http.get("/v1/chats", headers=self._mine())

    async def _sign_in(self, http: httpx.AsyncClient, turn: int) -> httpx.Response:
        name = self.honest.names[turn % len(self.honest.names)]
        return await http.post("/v1/auth/login", json={"username": name, "password": _PASSWORD})

    async def _photo(self, http: httpx.AsyncClient, turn: int) -> httpx.Response:
        if turn % 4:  # a photo now and then: their number a minute is limited
            return await http.get("/v1/info")
        kept = io.BytesIO()
        Image.linear_gradient("L").convert("RGB").save(kept, "JPEG")
        return await http.post(
            "/v1/files", files={"file": ("photo.jpg", kept.getvalue(), "image/jpeg")}, headers=self._mine()
        )
