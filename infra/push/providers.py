"""Which provider brings pushes to which devices, from the settings."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime

from commands.devices import Platform
from commands.errors import FieldError
from infra.push.logged import Logged
from infra.settings import PREFIX, BadSettings, Settings
from streams.push.ports import Provider


async def open_providers(
    settings: Settings, now: Callable[[], datetime], stack: AsyncExitStack
) -> dict[Platform, Provider]:
    """Those that are set up; what has none is only logged. Their libraries are imported only then. Raises BadSettings,
    and Invalid for a key file that is none.
    """
    providers: dict[Platform, Provider] = dict.fromkeys(("ANDROID", "IOS", "WEB"), Logged())
    if settings.push_fcm_account is not None:
        try:
            from infra.push.fcm import Fcm
        except ImportError as error:
            raise _without_extra("PUSH_FCM_ACCOUNT") from error
        fcm = Fcm(settings.push_fcm_account, now, url=settings.push_fcm_url)
        stack.push_async_callback(fcm.close)
        providers["ANDROID"] = providers["WEB"] = fcm
    if settings.push_apns_key is not None:
        try:
            from infra.push.apns import Apns, ApnsKey
        except ImportError as error:
            raise _without_extra("PUSH_APNS_KEY") from error
        key_id, team_id, topic = settings.push_apns_key_id, settings.push_apns_team_id, settings.push_apns_topic
        if key_id is None or team_id is None or topic is None:
            names = [f"{PREFIX}PUSH_APNS_{name}" for name in ("KEY_ID", "TEAM_ID", "TOPIC")]
            missing = tuple(FieldError(name, "goes with the key file") for name in names)
            raise BadSettings(f"with {PREFIX}PUSH_APNS_KEY set {', '.join(names)} too", errors=missing)
        tls = None
        if settings.push_apns_ca is not None:
            tls = ssl.create_default_context(cafile=str(settings.push_apns_ca))
        key = ApnsKey.read(settings.push_apns_key, key_id, team_id, topic)
        apns = Apns(key, now, url=settings.push_apns_url, tls=tls)
        stack.push_async_callback(apns.close)
        providers["IOS"] = apns
    return providers


def _without_extra(name: str) -> BadSettings:
    field = PREFIX + name
    message = 'needs the extra "push": pip install "tidings[push]"'
    return BadSettings(f"{field} {message}", errors=(FieldError(field, message),))
