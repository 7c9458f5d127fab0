"""What this server is and how it is: information, health, metrics."""

from __future__ import annotations

from fastapi import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.http.models import HealthAnswer, InfoAnswer, ReadyAnswer, shown
from api.http.routing import Svc, make_router, problems
from commands.errors import Unavailable

router = make_router("server")


@router.get("/v1/info")
async def info(services: Svc) -> InfoAnswer:
    """Version, features, limits and the server's time. Needs no token."""
    return InfoAnswer(
        version=services.version,
        features=list(services.features),
        limits=dict(services.public_limits),
        server_time=shown(services.now()),
    )


@router.get("/healthz")
async def healthz() -> HealthAnswer:
    """The process is alive."""
    return HealthAnswer(status="ok")


@router.get("/readyz", responses=problems(Unavailable))
async def readyz(services: Svc) -> ReadyAnswer:
    """Clients may be sent here. 503 only while draining or without the log."""
    degraded = await services.health.degraded()
    if not services.health.is_ready(degraded):
        raise Unavailable("draining" if services.health.draining else f"down: {', '.join(degraded)}")
    return ReadyAnswer.of(services.health)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Prometheus text", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(services: Svc) -> Response:
    """What Prometheus scrapes."""
    return Response(generate_latest(services.metrics), media_type=CONTENT_TYPE_LATEST)
