"""Presence that all gateways share.

What a gateway said of a user carries its time, and an older word never replaces a newer one: a server that stood
still carries out late what it was told before. Every key has a life of its own, so nothing stays for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple, TypeVar
from uuid import uuid4

import msgspec

from api.presence.port import ALIVE_S, TTL_S, Seen, SessionStatus
from commands.errors import Unavailable
from commands.isolation import left_out
from infra.redis.connection import Connection, Script
from infra.redis.line import Command

AT_ONCE = 500
LEASE_S = 5.0
"""Longer, and a crash of the gateway that has just swept would keep another gateway's crash unseen for too long."""
LAST_SEEN_S = 90 * 86_400.0
"""Who was not here for so long was never here."""

T = TypeVar("T")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_GONE = "gone"

_PREFACE = """
local words = redis.call('GET', KEYS[1])
words = words and cjson.decode(words) or {}
local function seen(at)
    local before = tonumber(redis.call('GET', KEYS[2]) or 0)
    if at > before then redis.call('SET', KEYS[2], string.format('%.0f', at), 'PX', ARGV[1]) end
end
"""
SAY = Script(
    _PREFACE
    + """
-- ARGV: life of last_seen, life of words, gateway, status, time; all times in ms.
local at, oldest = tonumber(ARGV[5]), tonumber(ARGV[5]) - tonumber(ARGV[2])
if words[ARGV[3]] and words[ARGV[3]][2] > at then return 0 end
for gateway, word in pairs(words) do
    if word[2] <= oldest then words[gateway] = nil end
end
words[ARGV[3]] = {ARGV[4], at}
redis.call('SET', KEYS[1], cjson.encode(words), 'PX', ARGV[2])
seen(at)
return 1
"""
)
"""Note what a gateway says of a user. KEYS: words, last_seen."""
FORGET = Script(
    _PREFACE
    + """
-- ARGV: life of last_seen, gateway, time of its word, time of its last sign of life.
local word = words[ARGV[2]]
if not word or word[2] > tonumber(ARGV[3]) then return 0 end
words[ARGV[2]] = nil
if next(words) then redis.call('SET', KEYS[1], cjson.encode(words), 'KEEPTTL')
else redis.call('DEL', KEYS[1]) end
seen(tonumber(ARGV[4]))
return 1
"""
)
"""Forget what a gateway said, unless it has spoken since. KEYS: words, last_seen."""
UNLIST = Script(
    """
for index = 1, #ARGV, 2 do
    if redis.call('ZSCORE', KEYS[1], ARGV[index]) == ARGV[index + 1] then redis.call('ZREM', KEYS[1], ARGV[index]) end
end
"""
)
"""Remove users from a gateway's list, unless they were listed anew. KEYS: list. ARGV: user, score, …"""
LEASE = Script(
    """
-- ARGV: who asks, now, until when, life of the key.
local held = redis.call('GET', KEYS[1])
if held then
    local who, till = held:match('^(%S+) (%S+)$')
    if who ~= ARGV[1] and tonumber(till) > tonumber(ARGV[2]) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[3], 'PX', ARGV[4])
return 1
"""
)
"""Take or prolong a lease. KEYS: lease."""
RETIRE = Script("if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end")
"""Remove a gateway, unless it has shown a sign of life since. KEYS: gateways. ARGV: gateway, its last sign."""
SCRIPTS = (SAY, FORGET, UNLIST, LEASE, RETIRE)

_words = msgspec.json.Decoder(dict[str, tuple[str, int]])


class _Gateway(NamedTuple):
    beat_ms: int
    alive_ms: int
    """Until when it is taken to live."""


class RedisPresence:
    """See the port. `connection` must have been given SCRIPTS."""

    def __init__(self, connection: Connection, now: Callable[[], datetime], *, namespace: str) -> None:
        self._redis = connection
        self._now = now
        self._prefix = f"tidings:{namespace}"
        self._gateways = f"{self._prefix}:gateways"
        self._lease = f"{self._prefix}:sweeper"
        self._name = uuid4().hex

    async def beat(self, gateway_id: str, alive_s: float = ALIVE_S) -> bool:
        now = self._now_ms()
        before, _ = await self._redis.run_all(
            [
                ("HGET", self._gateways, gateway_id),
                ("HSET", self._gateways, gateway_id, f"{now} {now + _ms(alive_s)}"),
            ]
        )
        return before is not None and _gateway(before).alive_ms > now

    async def put(self, gateway_id: str, states: Mapping[str, SessionStatus]) -> None:
        now = self._now_ms()
        listed = self._list(gateway_id)
        for some in _chunks(states.items()):
            members = [part for user_id, _ in some for part in (now + _ms(TTL_S), user_id)]
            # Listed first: a list that names too many does no harm.
            await self._redis.run_all(
                [
                    ("ZADD", listed, *members),
                    ("PEXPIRE", listed, 2 * _ms(TTL_S)),
                    *(self._say(gateway_id, user_id, status, now) for user_id, status in some),
                ]
            )

    async def drop(self, gateway_id: str, user_ids: Collection[str]) -> None:
        now = self._now_ms()
        for some in _chunks(user_ids):
            says = [self._say(gateway_id, user_id, _GONE, now) for user_id in some]
            await self._redis.run_all([*says, ("ZREM", self._list(gateway_id), *some)])

    async def query(self, user_ids: Collection[str]) -> dict[str, Seen]:
        found: dict[str, Seen] = {}
        now = self._now_ms()
        for some in _chunks(dict.fromkeys(user_ids)):
            keys = [key for user_id in some for key in self._keys(user_id)]
            values, listed = await self._redis.run_all([("MGET", *keys), ("HGETALL", self._gateways)])
            gateways = {name.decode(): _gateway(value) for name, value in listed.items()}
            for user_id, words, last_seen in zip(some, values[::2], values[1::2], strict=True):
                found[user_id] = _seen(words, last_seen, gateways, now)
        return found

    async def sweep(self) -> list[str]:
        """Empty where another gateway holds the lease for sweeping."""
        ended: dict[str, None] = {}
        if not await self._take_lease():
            return []
        listed = await self._redis.run("HGETALL", self._gateways)
        for name, value in listed.items():
            try:
                if not await self._sweep_one(name.decode(), value, ended):
                    break
            except Unavailable:
                if not ended:
                    raise
                break  # the rest is swept next time; of these somebody has to be told
            except Exception:
                left_out("sweeping what a gateway said")
        return list(ended)

    async def _sweep_one(self, gateway_id: str, value: bytes, ended: dict[str, None]) -> bool:
        """Add to `ended` whom this gateway no longer keeps online. False where another sweeps by now."""
        gateway, now = _gateway(value), self._now_ms()
        is_dead = gateway.alive_ms <= now
        # What a gateway said after it was given up belongs to its next life.
        until = gateway.alive_ms + _ms(TTL_S) if is_dead else now
        while some := await self._listed(gateway_id, until):
            ended.update(dict.fromkeys(await self._forget(gateway_id, gateway, some)))
            if not await self._take_lease():
                return False
        if is_dead:
            await self._redis.run(*RETIRE.on([self._gateways], gateway_id, value))
        return True

    async def _take_lease(self) -> bool:
        now = self._now_ms()
        until = now + _ms(LEASE_S)
        taken = await self._redis.run(*LEASE.on([self._lease], self._name, now, until, _ms(LEASE_S)))
        return bool(taken)

    async def _listed(self, gateway_id: str, until_ms: int) -> list[tuple[str, int]]:
        """Some users whom a gateway named, with the end of its word, of those whose word ends by a time."""
        asked = ("ZRANGE", self._list(gateway_id), "-inf", until_ms, "BYSCORE", "LIMIT", 0, AT_ONCE, "WITHSCORES")
        return [(user.decode(), int(score)) for user, score in await self._redis.run(*asked)]

    async def _forget(self, gateway_id: str, gateway: _Gateway, some: Sequence[tuple[str, int]]) -> list[str]:
        forgets = [
            FORGET.on(self._keys(user_id), _ms(LAST_SEEN_S), gateway_id, until - _ms(TTL_S), gateway.beat_ms)
            for user_id, until in some
        ]
        pairs = [part for user_id, until in some for part in (user_id, until)]
        *forgotten, _ = await self._redis.run_all([*forgets, UNLIST.on([self._list(gateway_id)], *pairs)])
        return [user_id for (user_id, _), was in zip(some, forgotten, strict=True) if was]

    def _say(self, gateway_id: str, user_id: str, status: str, now: int) -> Command:
        return SAY.on(self._keys(user_id), _ms(LAST_SEEN_S), _ms(TTL_S), gateway_id, status, now)

    def _keys(self, user_id: str) -> tuple[str, str]:
        """Words and last_seen. The braces keep them together where keys are spread over servers."""
        return f"{self._prefix}:at:{{{user_id}}}", f"{self._prefix}:seen:{{{user_id}}}"

    def _list(self, gateway_id: str) -> str:
        return f"{self._prefix}:present:{gateway_id}"

    def _now_ms(self) -> int:
        return (self._now() - _EPOCH) // _MS


def _seen(words: bytes | None, last_seen: bytes | None, gateways: Mapping[str, _Gateway], now: int) -> Seen:
    latest = None if last_seen is None else int(last_seen)
    said: set[str] = set()
    for gateway_id, (status, at) in (_words.decode(words) if words else {}).items():
        gateway = gateways.get(gateway_id)
        if status == _GONE or gateway is None:
            continue
        latest = max(latest or 0, gateway.beat_ms)
        if gateway.alive_ms > now and at + _ms(TTL_S) > now:
            said.add(status)
    when = None if latest is None else _EPOCH + latest * _MS
    return Seen("online" if "online" in said else "away" if said else "offline", when)


def _gateway(value: bytes) -> _Gateway:
    beat, alive = value.split()
    return _Gateway(int(beat), int(alive))


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _chunks(values: Collection[T]) -> Iterator[list[T]]:
    rest = iter(values)
    while some := list(islice(rest, AT_ONCE)):
        yield some
