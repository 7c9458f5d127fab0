"""What only a demo has: signing in by code, with a phone at once, and seeing what that phone was sent."""

from __future__ import annotations

from fastapi import Request, Response

from api.http.models import Answer, DemoLogin, ShownTime, TokensAnswer, shown
from api.http.routing import Caller, Svc, UnsignedRoute, address_of, make_router
from streams.push.ports import Result
from streams.push.stream import Sent

router = make_router("demo", UnsignedRoute)

PHONE = "demo-phone"


class DemoPush(Answer):
    """A push, and what became of it; without a provider it is only `logged`."""

    at: ShownTime
    device_id: str
    chat_id: str
    seq: int
    title: str | None
    body: str
    badge: int
    result: Result
    detail: str

    @classmethod
    def of(cls, sent: Sent) -> DemoPush:
        push, outcome = sent.push, sent.outcome
        return cls(
            at=shown(sent.at),
            device_id=push.device.device_id,
            chat_id=push.chat_id,
            seq=push.seq,
            title=push.title,
            body=push.body,
            badge=push.badge,
            result=outcome.result,
            detail=outcome.detail,
        )


class DemoPushes(Answer):
    """The newest of one's pushes since the server started, the oldest first."""

    items: list[DemoPush]


@router.post("/v1/demo/login", include_in_schema=False)
async def demo_login(body: DemoLogin, request: Request, response: Response, services: Svc) -> TokensAnswer:
    """Sign a demo user in with a code from the URL that `./dev run` prints."""
    assert services.demo is not None, "this route is only there in a demo"
    response.headers.update(services.limits.logins.enforce(f"{address_of(request)} demo"))
    user_id = services.demo.redeem(body.code)
    signed_in = await services.accounts.sign_in(user_id, request.headers.get("user-agent"))
    if services.devices is not None:
        # So that there is somewhere to push to. Web, since no real phone is meant.
        session_id = services.tokens.verify(signed_in.access_token).session_id
        await services.devices.put(user_id, session_id, PHONE, "WEB", f"{PHONE}-{user_id}")
    return TokensAnswer.of(signed_in)


@router.get("/v1/demo/pushes", include_in_schema=False)
async def demo_pushes(caller: Caller, services: Svc) -> DemoPushes:
    """What one's devices were sent, with its words."""
    return DemoPushes(items=[DemoPush.of(sent) for sent in services.demo_pushes.of_user(caller.user_id)])
