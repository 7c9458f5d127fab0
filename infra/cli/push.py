"""`tidings push`: one push by hand, and what became of those that a server sent."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

from commands.devices import Device
from events.ids import from_us, uuid7
from infra.cli.admin import opened_database
from infra.cli.faults import Fault
from infra.layout import push_file
from infra.push.providers import open_providers
from infra.settings import Settings
from infra.sql.accounts import SqlAccounts
from infra.sql.devices import SqlDevices
from infra.sqlite.push_journal import read_journal
from streams.push.ports import Push

_SETTINGS = {"IOS": "TIDINGS_PUSH_APNS_KEY", "ANDROID": "TIDINGS_PUSH_FCM_ACCOUNT", "WEB": "TIDINGS_PUSH_FCM_ACCOUNT"}


def utc_now() -> datetime:
    return datetime.now(UTC)


async def send_test(settings: Settings, device_id: str, username: str | None) -> str:
    """What the provider said. Raises Fault, also where it was no success; BadSettings, Unavailable."""
    async with AsyncExitStack() as stack:
        database, master_key = await stack.enter_async_context(opened_database(settings))
        user_id = None
        if username is not None:
            account = await SqlAccounts(database, master_key).by_username(username.lower())
            if account is None:
                raise Fault(f"there is no user {username}", "tidings admin users lists them")
            user_id = account.user_id
        found = [device for device in await SqlDevices(database).named(device_id) if user_id in (None, device.user_id)]
        if not found:
            raise Fault(f"there is no device {device_id}", "the app names it with PUT /v1/devices/{device_id}")
        if len(found) > 1:
            raise Fault(f"{len(found)} users have a device {device_id}", "say whose with --user USER")
        (device,) = found
        providers = await open_providers(settings, utc_now, stack)
        (outcome,) = await providers[device.platform].send([_test_push(device)])
    match outcome.result:
        case "sent":
            return f"sent to {device_id} ({device.platform})"
        case "logged":
            raise Fault(f"no provider is set up for {device.platform}", f"set {_SETTINGS[device.platform]}")
        case "gone":
            raise Fault(f"the token of {device_id} is dead: {outcome.detail}", "the app must name the device anew")
        case _:
            raise Fault(f"not sent to {device_id}: {outcome.result}, {outcome.detail}", "")


def _test_push(device: Device) -> Push:
    now = utc_now()
    body = "This is a test: pushes reach this device."
    return Push(device, uuid7(now), 0, uuid7(now), "Tidings", body, 1, now + timedelta(minutes=10))


def show_log(settings: Settings, limit: int, as_json: bool) -> None:
    """Raises Fault, Unavailable."""
    path = push_file(settings.data)
    if not path.exists():
        raise Fault(f"no pushes are kept in {settings.data}", "name the data directory with --data DIR or TIDINGS_DATA")
    for line in read_journal(path, 0, limit):
        at = from_us(line.at_ms * 1000).isoformat(timespec="milliseconds")
        if as_json:
            shown = {"at": at, **{name: getattr(line, name) for name in line._fields[2:]}}
            print(json.dumps(shown, ensure_ascii=False))
        else:
            place = f"{line.chat_id}:{line.seq}"
            print(
                f"{at}  {line.result:<7}  {line.platform:<7}  {line.user_id}  {line.device_id}  {place}  {line.detail}"
            )
