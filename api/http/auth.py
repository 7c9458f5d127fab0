"""Registering, signing in and out, and renewing tokens."""

from __future__ import annotations

from fastapi import Request, Response

from api.http.models import Login, Logout, Refresh, Register, TokensAnswer
from api.http.routing import Svc, address_of, make_router, problems
from commands.errors import BadCredentials, BadToken, RateLimited, UsernameTaken

router = make_router("auth")


def _client(request: Request) -> str | None:
    return request.headers.get("user-agent")


@router.post("/v1/auth/register", status_code=201, responses=problems(UsernameTaken, RateLimited))
async def register(body: Register, request: Request, response: Response, services: Svc) -> TokensAnswer:
    """Make an account and sign in."""
    response.headers.update(services.limits.registrations.enforce(address_of(request)))
    return TokensAnswer.of(
        await services.accounts.register(body.username, body.password, body.display_name, _client(request))
    )


@router.post("/v1/auth/login", responses=problems(BadCredentials, RateLimited))
async def login(body: Login, request: Request, response: Response, services: Svc) -> TokensAnswer:
    """Sign in. Attempts are limited by username and address together."""
    key = f"{address_of(request)} {body.username.lower()}"
    response.headers.update(services.limits.logins.enforce(key))
    return TokensAnswer.of(await services.accounts.login(body.username, body.password, _client(request)))


@router.post("/v1/auth/refresh", responses=problems(BadToken))
async def refresh(body: Refresh, services: Svc) -> TokensAnswer:
    """New tokens. Each refresh token works once; using an old one ends the session."""
    return TokensAnswer.of(await services.sessions.refresh(body.refresh_token, body.request_id))


@router.post("/v1/auth/logout", status_code=204, responses=problems(BadToken))
async def logout(body: Logout, services: Svc) -> None:
    """End the session of a refresh token; its sockets close."""
    await services.sessions.end_by(body.refresh_token)
