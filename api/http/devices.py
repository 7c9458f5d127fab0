"""One's devices, which pushes go to."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Depends
from pydantic import Field

from api.http.models import Answer, Body, Locale, Page, ShownTime, shown
from api.http.routing import Caller, Commander, Svc, make_router, problems
from commands.devices import MAX_TOKEN, TOKEN, Device, Devices
from commands.errors import NotFound

router = make_router("devices")


class PutDevice(Body):
    """`token`: what Firebase or Apple gave the app. Apple's test builds have `environment` sandbox."""

    platform: Literal["ANDROID", "IOS", "WEB"]
    token: Annotated[str, Field(max_length=MAX_TOKEN, pattern=TOKEN)]
    locale: Locale | None = None
    environment: Literal["production", "sandbox"] | None = None


class DeviceAnswer(Answer):
    """The token is not shown again."""

    device_id: str
    platform: Literal["ANDROID", "IOS", "WEB"]
    locale: str | None
    environment: Literal["production", "sandbox"]
    updated_at: ShownTime
    current: bool = Field(description="Whether this sign-in named it.")

    @classmethod
    def of(cls, device: Device, session_id: str) -> DeviceAnswer:
        return cls(
            device_id=device.device_id,
            platform=device.platform,
            locale=device.locale,
            environment=device.environment,
            updated_at=shown(device.updated_at),
            current=device.session_id == session_id,
        )


async def devices_of(services: Svc) -> Devices:
    assert services.devices is not None, "these routes are there only with devices"
    return services.devices


Own = Annotated[Devices, Depends(devices_of)]


@router.put("/v1/devices/{device_id}")
async def put_device(device_id: str, body: PutDevice, caller: Commander, devices: Own) -> DeviceAnswer:
    """Have pushes sent to this device while this sign-in lasts. A token moves with its device to the next user."""
    device = await devices.put(
        caller.user_id,
        caller.session_id,
        device_id,
        body.platform,
        body.token,
        body.locale,
        body.environment or "production",
    )
    return DeviceAnswer.of(device, caller.session_id)


@router.get("/v1/devices")
async def list_devices(caller: Caller, devices: Own) -> Page[DeviceAnswer]:
    """One's devices, the oldest first; never more than fit a page."""
    found = await devices.of_user(caller.user_id)
    return Page(items=[DeviceAnswer.of(device, caller.session_id) for device in found], next_cursor=None)


@router.delete("/v1/devices/{device_id}", status_code=204, responses=problems(NotFound))
async def remove_device(device_id: str, caller: Commander, devices: Own) -> None:
    """No pushes to this device any more."""
    await devices.remove(caller.user_id, device_id)
