"""The HTTP app over real accounts, and a client that speaks to it without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi import APIRouter, FastAPI

from api.http.app import create_app
from api.services import DemoCodes, Health, Limits, Services
from tests.support.people import PASSWORD, Clock, Site, site


class Web:
    """An app under test. `get` and its like give the raw answer."""

    def __init__(self, its: Site, services: Services, app: FastAPI) -> None:
        self.its = its
        self.services = services
        self.app = app
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app, client=("192.0.2.1", 5000)), base_url="http://chat.example"
        )

    async def call(self, method: str, path: str, token: str | None = None, **more: Any) -> httpx.Response:
        headers = dict(more.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return await self.client.request(method, path, headers=headers, **more)

    async def get(self, path: str, token: str | None = None, **more: Any) -> httpx.Response:
        return await self.call("GET", path, token, **more)

    async def post(self, path: str, json: Any = None, token: str | None = None, **more: Any) -> httpx.Response:
        return await self.call("POST", path, token, json=json, **more)

    async def register(self, username: str = "ana", **more: Any) -> dict[str, Any]:
        """A new user's tokens."""
        body = {"username": username, "password": PASSWORD, **more}
        answer = await self.post("/v1/auth/register", body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made


@asynccontextmanager
async def web(
    folder: Path,
    *,
    demo: bool = False,
    cors_origins: Sequence[str] = (),
    routers: Sequence[APIRouter] = (),
    web_files: Path | None = None,
    **limits: int,
) -> AsyncIterator[Web]:
    """An app over a fresh site in the folder. `limits`: those of `Limits.make`."""
    clock = Clock()
    async with site(folder, clock) as its:
        services = Services(
            now=clock,
            accounts=its.accounts,
            sessions=its.sessions,
            tokens=its.tokens,
            limits=Limits.make(clock.monotonic, **limits),
            health=Health({"accounts": its.accounts.ping}),
            version="9.9.9",
            features=["chat"],
            public_limits={"text_bytes": 102_400},
            cors_origins=cors_origins,
            demo=DemoCodes(clock) if demo else None,
            devices=its.devices,
        )
        made = Web(its, services, create_app(services, routers, web=web_files or folder / "web"))
        async with made.client:
            yield made


def check_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Assert that an answer is this problem document, complete; gives it."""
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["type"] == f"/problems/{code}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    return document
