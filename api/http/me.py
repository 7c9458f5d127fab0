"""The caller's own account and sign-ins."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, cast

from fastapi import Query, Request

from api.cursors import Cursor, Id, decode, encode
from api.http.models import ChangePassword, EraseMe, Limit, MeAnswer, Page, ProfilePatch, SessionAnswer
from api.http.routing import Caller, Commander, Svc, address_of, make_router, problems
from api.services import Services
from api.signins import attempt_key
from commands.errors import BadCredentials, BadCursor, NotFound, RateLimited
from commands.users import ProfileChanges

router = make_router("me")


class SessionsCursor(Cursor, frozen=True, tag="sessions"):
    session_id: Id


@asynccontextmanager
async def _guess(services: Services, request: Request, user_id: str) -> AsyncIterator[None]:
    """Who holds a token may not guess the password with it any faster, or oftener, than by signing in."""
    address = address_of(request)
    services.limits.logins.enforce(attempt_key(address, user_id))
    username = (await services.accounts.me(user_id)).username
    try:
        with services.limits.sign_ins.attempt(username, address):
            yield
    except BadCredentials:
        services.security.tell("password_refused", user_id=user_id, address=address)
        raise


@router.get("/v1/me")
async def me(caller: Caller, services: Svc) -> MeAnswer:
    """One's own account."""
    return MeAnswer.of_account(await services.accounts.me(caller.user_id))


@router.patch("/v1/me")
async def change_me(body: ProfilePatch, caller: Commander, services: Svc) -> MeAnswer:
    """Change what is given; the rest stays."""
    given = body.model_dump(include=body.model_fields_set - {"ext"})
    return MeAnswer.of_account(await services.accounts.update(caller.user_id, cast(ProfileChanges, given)))


@router.delete("/v1/me", status_code=204, responses=problems(BadCredentials, RateLimited))
async def erase_me(body: EraseMe, request: Request, caller: Caller, services: Svc) -> None:
    """Erase oneself, for good: everything one wrote reads as erased everywhere, and one leaves all chats."""
    async with _guess(services, request, caller.user_id):
        await services.accounts.erase(caller.user_id, body.password)
    services.security.tell("erased", user_id=caller.user_id)


@router.post("/v1/me/password", status_code=204, responses=problems(BadCredentials, RateLimited))
async def change_password(body: ChangePassword, request: Request, caller: Caller, services: Svc) -> None:
    """Change the password; all other sessions end."""
    async with _guess(services, request, caller.user_id):
        await services.accounts.change_password(caller.user_id, caller.session_id, body.old, body.new)
    services.security.tell("password_changed", user_id=caller.user_id, session_id=caller.session_id)


@router.get("/v1/sessions", responses=problems(BadCursor))
async def sessions(
    caller: Caller,
    services: Svc,
    cursor: Annotated[str | None, Query()] = None,
    limit: Annotated[Limit, Query()] = 50,
) -> Page[SessionAnswer]:
    """One's sign-ins, newest first."""
    before = None if cursor is None else decode(cursor, SessionsCursor).session_id
    found = await services.sessions.of_user(caller.user_id, before, limit + 1)
    page = found[:limit]
    return Page(
        items=[SessionAnswer.of(session, caller.session_id) for session in page],
        next_cursor=encode(SessionsCursor(page[-1].session_id)) if len(found) > limit else None,
    )


@router.delete("/v1/sessions/{session_id}", status_code=204, responses=problems(NotFound))
async def end_session(session_id: str, caller: Commander, services: Svc) -> None:
    """End a sign-in; its tokens stop working at once and its sockets close."""
    await services.sessions.end(caller.user_id, session_id)
    services.security.tell("sign_in_ended", user_id=caller.user_id, session_id=session_id)
