"""Bodies at rest are sealed under a key of their author, so that destroying one key erases a person's words.

A sealed body is one format byte, a random 12-byte nonce and AES-256-GCM ciphertext with its tag; the
additional data names chat, message and author, so a body cannot be moved to another place. Log, fold and
views hold sealed bytes; only the edges open them.
"""

from __future__ import annotations

import logging
import os
import time
from asyncio import sleep
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from heapq import nsmallest
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from commands.errors import BadToken, Corrupt, Invalid, Unavailable
from commands.isolation import left_out

KEY_BYTES = 32
LIFE_S = 600.0
"""How long a process may use a key without asking whether it still exists, while SQL answers."""
SWEEP_S = 30.0
CAPACITY = 50_000
"""Authors whose keys one process holds, about 1 KB each."""

_FORMAT = b"\x01"
_NONCE_END = 13
_LOAD_AT_ONCE = 500
_NEVER = float("inf")

Sealed = tuple[str, str, str, bytes]
"""Chat id, message id, author id, sealed body."""

log = logging.getLogger(__name__)


class Keys(Protocol):
    """Where the authors' data keys live. A key is made in the transaction that registers its author."""

    async def load(self, author_ids: Collection[str]) -> Mapping[str, bytes | None]:
        """Author → 32-byte key, or None where it was destroyed; unknown authors are absent.

        Raises Unavailable, and Corrupt for a key that the master key does not open.
        """


class _Held:
    __slots__ = ("aead", "seen_at", "until", "used_at")

    def __init__(self, aead: AESGCM | None, seen_at: float, until: float, used_at: float) -> None:
        self.aead = aead  # None: destroyed
        self.seen_at = seen_at
        self.until = until
        self.used_at = used_at


def _nonces() -> Iterator[bytes]:
    """Random nonces, taken from the system 256 at a time: one call for each would cost a third of a seal.

    A forked copy would repeat them, but then an event loop does not survive a fork either.
    """
    while True:
        block = os.urandom(12 * 256)
        for start in range(0, len(block), 12):
            yield block[start : start + 12]


class Sealer:
    """Seals and opens with cached keys, without waiting. One instance serves a process, on its event loop.

    While SQL answers, a key is used for at most `life_s` after it was last seen there; while SQL is away,
    keys held stay in use, so known users go on sending. `forget` makes an erasure hold in this process at
    once: call it for erasures here and for those that other gateways announce.
    """

    def __init__(
        self,
        keys: Keys,
        *,
        life_s: float = LIFE_S,
        capacity: int = CAPACITY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._life_s = life_s
        self._capacity = capacity
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._nonces = _nonces()

    def ready(self, author_id: str) -> bool:
        """Whether `seal` and `open` answer for this author right now."""
        held = self._held.get(author_id)
        return held is not None and held.until >= self._clock()

    async def warm(self, author_ids: Iterable[str]) -> None:
        """Make these authors ready; unknown ones, and those whose key cannot be read, stay as they are. Raises
        Unavailable."""
        wanted, now = [], self._clock()
        for author_id in dict.fromkeys(author_ids):
            held = self._held.get(author_id)
            if held is None or held.until < now:
                wanted.append(author_id)
            else:
                held.used_at = now  # or the keys that come might push out one that is about to be used
        for start in range(0, len(wanted), _LOAD_AT_ONCE):
            found, _ = await self._load(wanted[start : start + _LOAD_AT_ONCE])
            for author_id, key in found.items():
                self._hold(author_id, key)

    async def _load(self, author_ids: Sequence[str]) -> tuple[Mapping[str, bytes | None], set[str]]:
        """The keys that the store has, and the authors whose key it cannot read. Raises Unavailable."""
        try:
            return await self._keys.load(author_ids), set()
        except Unavailable:
            raise
        except Exception:
            if len(author_ids) == 1:
                log.exception("the sealing key of user %s cannot be read", author_ids[0])
                return {}, {author_ids[0]}
        # One of them spoils the answer for all: ask for each alone.
        found: dict[str, bytes | None] = {}
        unread: set[str] = set()
        for author_id in author_ids:
            some, none = await self._load([author_id])
            found.update(some)
            unread |= none
        return found, unread

    def seal(self, chat_id: str, message_id: str, author_id: str, text: str) -> bytes:
        """Raises BadToken (author erased), Invalid (lone surrogate), Unavailable (not ready)."""
        aead = self._aead(author_id)
        if aead is None:
            raise BadToken("this account was erased")
        try:
            body = text.encode()
        except UnicodeEncodeError as error:
            raise Invalid("text contains a lone surrogate") from error
        nonce = next(self._nonces)
        return _FORMAT + nonce + aead.encrypt(nonce, body, f"{chat_id}\0{message_id}\0{author_id}".encode())

    def open(self, chat_id: str, message_id: str, author_id: str, sealed: bytes) -> str | None:
        """The text, or None where it was erased. Raises Corrupt (tampered with), Unavailable (not ready)."""
        aead = self._aead(author_id)
        if aead is None:
            return None
        if sealed[:1] != _FORMAT:
            raise Corrupt(f"message {message_id} of chat {chat_id} has an unknown seal")
        aad = f"{chat_id}\0{message_id}\0{author_id}".encode()
        try:
            return aead.decrypt(sealed[1:_NONCE_END], sealed[_NONCE_END:], aad).decode()
        except (InvalidTag, ValueError) as error:
            raise Corrupt(f"message {message_id} of chat {chat_id} fails its seal") from error

    async def opened(self, bodies: Collection[Sealed]) -> list[str | None]:
        """The texts of a page, in its order, None where erased. Raises what `warm` and `open` raise."""
        await self.warm(author_id for _, _, author_id, _ in bodies)
        return [self.open(*body) for body in bodies]

    def forget(self, author_id: str) -> None:
        """The author's key was destroyed: from now on everything of theirs reads as erased here."""
        now = self._clock()
        self._held[author_id] = _Held(None, now, _NEVER, now)
        self._evict()

    async def refresh(self) -> None:
        """Ask again for keys in use that are past half their life, and drop those that ran out unused.

        With SQL away every key held gets a new life.
        """
        now = self._clock()
        due, ending = [], []
        for author_id, held in self._held.items():
            left = held.until - now
            if held.used_at > held.seen_at and left < self._life_s / 2:
                due.append(author_id)
            elif left < 2 * SWEEP_S:
                ending.append(author_id)
        # Without any due, one that is about to run out tells whether SQL is away.
        asked = due or ending[:1]
        for start in range(0, len(asked), _LOAD_AT_ONCE):
            batch = asked[start : start + _LOAD_AT_ONCE]
            try:
                found, unread = await self._load(batch)
            except Unavailable:
                log.warning("sealing keys cannot be asked for: %d cached ones stay in use", len(self._held))
                self._extend()
                return
            for author_id in batch:
                if author_id in unread:
                    continue  # what is held of it stays good until it runs out
                try:
                    self._renew(author_id, found, wanted=bool(due))
                except Exception:
                    left_out("refreshing a sealing key")
        for author_id in ending:
            if author_id in self._held and self._held[author_id].until < now:
                del self._held[author_id]

    def _renew(self, author_id: str, found: Mapping[str, bytes | None], *, wanted: bool) -> None:
        key = found.get(author_id)
        if author_id not in found:
            self._held.pop(author_id, None)
        elif key is None:
            self.forget(author_id)
        elif wanted and author_id in self._held:
            self._hold(author_id, key)

    async def run(self) -> None:
        """Refresh for ever; the composition root runs this as a task and cancels it."""
        while True:
            await sleep(SWEEP_S)
            try:
                await self.refresh()
            except Exception:
                log.exception("sealing keys cannot be refreshed")

    def _aead(self, author_id: str) -> AESGCM | None:
        held = self._held.get(author_id)
        now = self._clock()
        if held is None or held.until < now:
            raise Unavailable("the author's sealing key is not at hand")
        held.used_at = now
        return held.aead

    def _hold(self, author_id: str, key: bytes | None) -> None:
        before = self._held.get(author_id)
        if before is not None and before.aead is None:
            return  # destroyed while SQL was being asked: the answer is older than the erasure
        if key is None:
            self.forget(author_id)
            return
        now = self._clock()
        used_at = now if before is None else before.used_at
        self._held[author_id] = _Held(AESGCM(key), now, now + self._life_s, used_at)
        self._evict()

    def _extend(self) -> None:
        until = self._clock() + self._life_s
        for held in self._held.values():
            held.until = max(held.until, until)

    def _evict(self) -> None:
        """Over capacity, drop a tenth, those used longest ago: so the cost of choosing is spread."""
        if len(self._held) > self._capacity:
            spare = len(self._held) - self._capacity + self._capacity // 10
            for author_id in nsmallest(spare, self._held, key=lambda author_id: self._held[author_id].used_at):
                del self._held[author_id]
