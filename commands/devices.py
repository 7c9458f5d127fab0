"""Devices that pushes go to. A device is signed in or it is not a device: it goes with the sign-in that named it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from commands.errors import BadToken, FieldError, Invalid, NotFound
from commands.isolation import left_out

Platform = Literal["ANDROID", "IOS", "WEB"]
Environment = Literal["production", "sandbox"]
"""Which of Apple's two services knows the token; the others have one."""

DEVICE_ID = r"^[A-Za-z0-9_.:-]{1,64}$"
"""The client's own name of the device, among those of its user."""
TOKEN = r"^[\x21-\x7e]+$"
"""What the provider gave: letters, digits and signs, no spaces."""
MAX_TOKEN = 4_096
MAX_DEVICES = 20
"""Of a user: with one more, the one that was named longest ago goes."""


@dataclass(frozen=True, slots=True)
class Device:
    user_id: str
    device_id: str
    platform: Platform
    token: str
    session_id: str
    """The sign-in that named it, and whose end is its own."""
    updated_at: datetime
    locale: str | None = None
    environment: Environment = "production"


@dataclass(frozen=True, slots=True)
class Addressee:
    """A device with what its user has chosen. `locale` is the device's own, else the user's."""

    device: Device
    push_preview: bool
    locale: str | None


class DeviceStore(Protocol):
    """All raise Unavailable."""

    async def put(self, device: Device) -> bool:
        """Store or replace; a token that another device has moves to this one. False if the sign-in has ended."""

    async def of_user(self, user_id: str) -> Sequence[Device]:
        """Those whose sign-in has not ended, the oldest first."""

    async def remove(self, user_id: str, device_id: str) -> bool:
        """False if there was none."""

    async def remove_token(self, device: Device) -> bool:
        """Remove the device unless it was named anew since it was read, with whatever token."""

    async def addressees(self, user_ids: Collection[str], at: datetime) -> Sequence[Addressee]:
        """All devices of these users whose sign-ins live at this time, in no order."""

    async def muted(self, pairs: Collection[tuple[str, str]], at: datetime) -> set[tuple[str, str]]:
        """Those of the (chat, user) in which the user has muted the chat beyond this time."""

    async def any(self) -> bool:
        """Whether there is a device at all."""


class Devices:
    """Handlers."""

    def __init__(self, store: DeviceStore, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now
        self.observers: list[Callable[[bool], Awaitable[None]]] = []
        """Hear that a device was named, and whether there was none at all before; the answer waits for them. Must not
        raise."""

    async def put(
        self,
        user_id: str,
        session_id: str,
        device_id: str,
        platform: Platform,
        token: str,
        locale: str | None = None,
        environment: Environment = "production",
    ) -> Device:
        """Name a device, or name it anew. Raises Invalid, BadToken if the sign-in has ended, Unavailable."""
        _check("device_id", DEVICE_ID, device_id, "1 to 64 of letters, digits, '_', '.', ':' and '-'")
        _check("token", TOKEN, token, f"1 to {MAX_TOKEN} visible characters of ASCII")
        device = Device(user_id, device_id, platform, token, session_id, self._now(), locale, environment)
        is_first = not await self._store.any()
        if not await self._store.put(device):
            raise BadToken("this sign-in has ended")
        for observer in self.observers:
            try:
                await observer(is_first)
            except Exception:  # the device is stored, whoever could not be told
                left_out("telling of a device")
        return device

    async def of_user(self, user_id: str) -> Sequence[Device]:
        """Raises Unavailable."""
        return await self._store.of_user(user_id)

    async def remove(self, user_id: str, device_id: str) -> None:
        """Raises NotFound, Unavailable."""
        if re.match(DEVICE_ID, device_id) is None or not await self._store.remove(user_id, device_id):
            raise NotFound("there is no such device")


def _check(field: str, pattern: str, value: str, meaning: str) -> None:
    if len(value) > MAX_TOKEN or re.match(pattern, value) is None or value.endswith("\n"):
        raise Invalid(f"{field}: {meaning}", errors=(FieldError(field, meaning),))
