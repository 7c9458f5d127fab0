"""How a process that serves no clients is: the same three questions as a server's, by the same names."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from api.http.models import ReadyAnswer
from api.services import Health


def status_app(health: Health, is_well: Callable[[], bool], metrics: CollectorRegistry) -> FastAPI:
    """`is_well` says no where only a restart helps."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        return JSONResponse({"status": "ok"}) if is_well() else JSONResponse({"status": "stalled"}, 503)

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        degraded = await health.degraded()
        told = ReadyAnswer.of(health).model_dump(mode="json")
        return JSONResponse(told, 200 if health.is_ready(degraded) else 503)

    @app.get("/metrics")
    async def show() -> Response:
        return Response(generate_latest(metrics), media_type=CONTENT_TYPE_LATEST)

    return app
