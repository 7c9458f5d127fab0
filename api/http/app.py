"""The HTTP app: routers, and what stands around them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import RedirectResponse

from api.errors import NoSuchPath, every_problem
from api.http import admin, auth, demo, devices, files, info, me, past, static, users
from api.http.chat_routes import ROUTERS as CHAT_ROUTERS
from api.http.chat_schemas import schema_components
from api.http.docs import STYLE, page
from api.http.frame import Frame, Paths, handle_errors
from api.http.openapi import document
from api.http.packed import Packed
from api.http.routing import make_router
from api.http.static import Asset, read_assets
from api.services import Services
from api.ws import asyncapi

WEB = Path(__file__).parents[1] / "web"
ROUTERS = (auth.router, me.router, users.router, info.router, static.router)


def create_app(
    services: Services,
    more: Sequence[APIRouter] = (),
    more_schemas: Mapping[str, Any] | None = None,
    web: Path = WEB,
) -> FastAPI:
    """An app over these services, which the caller starts and closes. `more`: routers made by `make_router`;
    `more_schemas`: components of the OpenAPI document that they refer to by name.

    Its state holds `services`; `app.openapi()` gives the document that `/openapi.json` serves.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.services = services
    app.state.assets = read_assets(web)
    made: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not made:
            made.update(document(app, services.version, {**chat_schemas, **(more_schemas or {})}))
        return made

    app.openapi = openapi  # type: ignore[method-assign]
    paths = Paths()
    routers = [*ROUTERS, *more, _documents(app)]
    chat_schemas: dict[str, Any] = {}
    if services.chats is not None:
        routers += CHAT_ROUTERS
        chat_schemas = schema_components()
    if services.time_machine is not None:
        routers.append(past.router)
    if services.devices is not None:
        routers.append(devices.router)
    if services.files is not None:
        routers.append(files.router)
    if services.operations is not None:
        routers.append(admin.router)
    if services.demo is not None:
        routers.append(demo.router)
    for router in routers:
        app.include_router(router)
        paths.add(router)
    handle_errors(app, services.now, paths)
    app.add_middleware(Packed)
    if services.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(services.cors_origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Tidings-Min-Position"],
            expose_headers=[
                "Allow",
                "RateLimit",
                "RateLimit-Policy",
                "Retry-After",
                "WWW-Authenticate",
                "X-Request-ID",
            ],
            max_age=3600,
        )
    origins = () if services.files is None else services.files.origins
    app.add_middleware(Frame, registry=services.metrics, now=services.now, file_origins=origins)
    return app


def _documents(app: FastAPI) -> APIRouter:
    """Routes for the OpenAPI document and its page for people; both are made when first asked for."""
    router = make_router("server")
    made: dict[str, Asset] = {"docs.css": Asset.of(STYLE.encode(), ".css")}

    @router.get("/openapi.json", include_in_schema=False)
    async def openapi_json(request: Request) -> Response:
        if "openapi.json" not in made:
            made["openapi.json"] = Asset.of(json.dumps(app.openapi(), ensure_ascii=False).encode(), ".json")
        return made["openapi.json"].answer(request)

    @router.get("/asyncapi.json", include_in_schema=False)
    async def asyncapi_json(request: Request) -> Response:
        if "asyncapi.json" not in made:
            made["asyncapi.json"] = Asset.of(json.dumps(asyncapi.document(), ensure_ascii=False).encode(), ".json")
        return made["asyncapi.json"].answer(request)

    @router.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        if "docs" not in made:
            made["docs"] = Asset.of(page(app.openapi(), every_problem()).encode(), ".html")
        return made["docs"].answer(request)

    @router.get("/docs/style.css", include_in_schema=False)
    async def style(request: Request) -> Response:
        return made["docs.css"].answer(request)

    @router.get("/problems/{code}", include_in_schema=False)
    async def problem(code: str) -> Response:
        """Where the `type` of a problem document leads."""
        if code not in every_problem():
            raise NoSuchPath("there is no such problem")
        return RedirectResponse(f"/docs#problem-{code}")

    return router
