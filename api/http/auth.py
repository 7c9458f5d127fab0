"""Registering, signing in and out, and renewing tokens."""

from __future__ import annotations

from fastapi import Request, Response

from api.asker import asker
from api.http.models import Login, Logout, Refresh, Register, TokensAnswer
from api.http.routing import Svc, UnsignedRoute, address_of, make_router, problems
from api.signins import attempt_key
from commands.errors import BadCredentials, BadToken, RateLimited, UsernameTaken

router = make_router("auth", UnsignedRoute)


def _client(request: Request) -> str | None:
    return request.headers.get("user-agent")


@router.post("/v1/auth/register", status_code=201, responses=problems(UsernameTaken, RateLimited))
async def register(body: Register, request: Request, response: Response, services: Svc) -> TokensAnswer:
    """Make an account and sign in."""
    address = address_of(request)
    response.headers.update(services.limits.registrations.enforce(address))
    asker.set(address)
    made = await services.accounts.register(body.username, body.password, body.display_name, _client(request))
    services.limits.sign_ins.succeeded(made.user.username, address)
    services.security.tell("registered", user_id=made.user.user_id, address=address)
    return TokensAnswer.of(made)


@router.post("/v1/auth/login", responses=problems(BadCredentials, RateLimited))
async def login(body: Login, request: Request, response: Response, services: Svc) -> TokensAnswer:
    """Sign in. Attempts are limited by username and address together, those that fail by each of them as well."""
    address = address_of(request)
    response.headers.update(services.limits.logins.enforce(attempt_key(address, body.username)))
    try:
        with services.limits.sign_ins.attempt(body.username, address):
            signed_in = await services.accounts.login(body.username, body.password, _client(request))
    except BadCredentials:
        services.security.tell("sign_in_failed", address=address)
        raise
    services.security.tell("signed_in", user_id=signed_in.user.user_id, address=address)
    return TokensAnswer.of(signed_in)


@router.post("/v1/auth/refresh", responses=problems(BadToken, RateLimited))
async def refresh(body: Refresh, request: Request, services: Svc) -> TokensAnswer:
    """New tokens. Each refresh token works once; using an old one ends the session."""
    services.limits.refreshes.enforce(address_of(request))
    return TokensAnswer.of(await services.sessions.refresh(body.refresh_token, body.request_id))


@router.post("/v1/auth/logout", status_code=204, responses=problems(BadToken, RateLimited))
async def logout(body: Logout, request: Request, services: Svc) -> None:
    """End the session of a refresh token; its sockets close."""
    services.limits.refreshes.enforce(address_of(request))
    await services.sessions.end_by(body.refresh_token)
