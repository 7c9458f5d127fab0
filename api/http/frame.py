"""What stands around every route: security headers, metrics, HEAD, and an answer for every exception."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from time import perf_counter
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import PROBLEM_TYPE, MethodNotAllowed, NoSuchPath, Throttled, problem_body, problem_headers, status_of
from api.http.routing import MAX_ERRORS, address_of, cut, summary
from api.request_id import HEADER, current, request_id
from api.security import SecurityEvents
from commands.errors import BadJson, Corrupt, FieldError, Invalid, TidingsError, TokenReused, TooLarge, UnknownField

CSP = (
    "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data: blob:{files}; frame-src 'self'; "
    "frame-ancestors 'self'; object-src 'none'; base-uri 'none'; form-action 'self'"
)
"""`files`: origins besides ours that pictures come from, each after a space."""
HEADERS = {
    b"cache-control": b"no-store",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
}
"""On every answer that does not set them itself."""
OF_DOCUMENTS = {
    b"cross-origin-opener-policy": b"same-origin",
    b"x-frame-options": b"SAMEORIGIN",
}
"""Beside the policy, on everything but scripts and styles: a browser opens neither as a document, and the web client
has so many of them that this makes a sixth of its first load."""
_PARTS = (b"text/javascript", b"text/css")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_Now = Callable[[], datetime]

log = logging.getLogger(__name__)


class Frame:
    """The outermost middleware. An exception that nobody expected becomes a 500 problem and a traceback in the
    process's log."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry, now: _Now, file_origins: Sequence[str] = ()) -> None:
        policy = CSP.format(files="".join(f" {origin}" for origin in file_origins))
        self._on_documents = {**HEADERS, **OF_DOCUMENTS, b"content-security-policy": policy.encode()}
        self._app = app
        self._now = now
        self._requests = Counter(
            "tidings_http_requests",
            "HTTP answers by method, route and status.",
            ("method", "route", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "tidings_http_request_seconds", "Time to the end of an HTTP answer.", ("route",), registry=registry
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        name = request_id(scope["headers"])
        current.set(name)
        method: str = scope["method"]
        status = 0
        inner = scope
        if method == "HEAD":  # answered as GET is, without the body
            inner = {**scope, "method": "GET", "tidings.is_head": True}

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = dict(message["headers"])
                is_part = status == 200 and present.get(b"content-type", b"").startswith(_PARTS)
                wanted = HEADERS if is_part else self._on_documents
                missing = [header for header in wanted.items() if header[0] not in present]
                # Nobody looks for a script's request in a log: that too would be a fortieth of the first load.
                named = () if is_part else ((HEADER, name.encode()),)
                message["headers"] = [*message["headers"], *missing, *named]
            elif method == "HEAD":
                message["body"] = b""
            await send(message)

        try:
            await self._app(inner, receive, send_on)
        except ClientDisconnect:
            log.debug("a client went away during %s %s", method, scope["path"])
            return
        except Exception as error:
            log.exception("%s %s failed", method, scope["path"])
            if status:
                raise  # too late for another answer: the server breaks the connection off
            await answer(TidingsError(str(error)), self._now())(inner, receive, send_on)
        route = getattr(inner.get("route"), "path", "other")
        log.debug("%s %s: %d", method, route, status)
        self._requests.labels(method if method in _METHODS else "other", route, status).inc()
        self._seconds.labels(route).observe(perf_counter() - started)


class Paths:
    """Which methods a path takes, over all routers: what `Allow` says."""

    def __init__(self) -> None:
        self._methods: list[tuple[re.Pattern[str], set[str]]] = []

    def add(self, router: APIRouter) -> None:
        for route in router.routes:
            if isinstance(route, Route):
                self._methods.append((route.path_regex, set(route.methods or ())))

    def allowed(self, path: str) -> str:
        found: set[str] = set()
        for pattern, methods in self._methods:
            if pattern.match(path):
                found |= methods
        if "GET" in found:
            found.add("HEAD")
        return ", ".join(sorted(found))


def answer(error: TidingsError, now: datetime, headers: dict[str, str] | None = None) -> Response:
    """The problem document of an error as an HTTP answer."""
    own = problem_headers(error) | (headers or {})
    if isinstance(error, TooLarge):
        own["Connection"] = "close"  # the rest of the body is not read
    return Response(problem_body(error, now), status_of(error), own, PROBLEM_TYPE)


def handle_errors(app: FastAPI, now: _Now, paths: Paths) -> None:
    """Turn what routes and the framework raise into problem documents."""

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, TidingsError)
        security: SecurityEvents = app.state.services.security
        if isinstance(error, Throttled):
            security.tell("limited", limit=error.limit, address=address_of(request))
        elif isinstance(error, TokenReused):
            security.tell("token_reused", address=address_of(request))
        if status_of(error) == 500:
            log.error("%s %s failed", request.method, request.scope["path"], exc_info=error)
        return answer(error, now())

    async def not_valid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer(refusal(error.errors()), now())

    async def of_the_framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        match error.status_code:
            case 404:
                return answer(NoSuchPath("there is nothing at this path"), now())
            case 405:
                allow = paths.allowed(request.scope["path"])
                return answer(MethodNotAllowed(f"this path takes {allow}"), now(), {"Allow": allow})
            case 400:
                return answer(BadJson(str(error.detail)), now())
            case 413:
                return answer(TooLarge(str(error.detail)), now())
        log.error("%s %s: unexpected answer of the framework", request.method, request.scope["path"], exc_info=error)
        return answer(Corrupt(), now())

    app.add_exception_handler(TidingsError, ours)
    app.add_exception_handler(RequestValidationError, not_valid)
    app.add_exception_handler(HTTPException, of_the_framework)


def refusal(problems: Sequence[Any]) -> Invalid:
    """What pydantic found, as one error: an unknown field is told as such, for it explains missing ones."""
    errors = tuple(
        FieldError(
            cut(".".join(map(str, problem["loc"][1:])) or str(problem["loc"][0])),
            "is not known" if problem["type"] == "extra_forbidden" else cut(problem["msg"]),
        )
        for problem in problems[:MAX_ERRORS]
    )
    kind = UnknownField if any(problem["type"] == "extra_forbidden" for problem in problems) else Invalid
    return kind(summary(errors, len(problems)), errors=errors)
