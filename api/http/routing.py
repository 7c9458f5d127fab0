"""How routes of Tidings read JSON and say what can go wrong. Every router is made by `make_router`.

FastAPI's own reading of bodies is lenient (NaN, repeated keys, any size) and its errors are not problem
documents; so the body is read and parsed here, before FastAPI sees it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Sequence
from itertools import islice
from typing import Annotated, Any, NoReturn, get_args

from fastapi import APIRouter, Depends, Request, Response, params
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from api.errors import PROBLEM_TYPE, UnsupportedMediaType, row_of
from api.ratelimit import address_key
from api.services import Services
from commands.errors import BadJson, BadToken, FieldError, Forbidden, Invalid, TidingsError, TooLarge, UnknownField
from commands.sessions import Claims

MAX_BODY = 1024 * 1024
"""Bytes of a JSON body."""
MAX_UNSIGNED_BODY = 16 * 1024
"""The same where no token is needed."""
MAX_ERRORS = 20
"""Fields that one answer tells of."""
MAX_FIELD = 200
"""Characters of a field's name in an answer."""
_CLAIMS = "tidings.claims"
Responses = dict[int | str, dict[str, Any]]


class JsonRequest(Request):
    """A request whose JSON body has been read and checked."""

    _parsed: Any = None

    @classmethod
    async def read(cls, request: Request, most: int = MAX_BODY) -> JsonRequest:
        """`most`: bytes. Raises TooLarge, UnsupportedMediaType, BadJson, and Invalid for text that cannot be stored."""
        raw = await _read_body(request, most)
        if raw and not _says_json(request.headers.get("content-type", "")):
            raise UnsupportedMediaType("send the body with Content-Type: application/json")
        made = cls(request.scope, request.receive)
        made._body = raw
        if raw:
            made._parsed = parse_json(raw)
        return made

    async def json(self) -> Any:
        return self._parsed


class Route(APIRoute):
    max_body = MAX_BODY

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None or isinstance(self.body_field.field_info, params.Form):
            return handle

        known = _fields_of(self.body_field.field_info.annotation)
        needs_token = _depends_on(self.dependant, current_user)

        async def read_then_handle(request: Request) -> Response:
            if needs_token:  # who has none sends no more than a head
                request.scope[_CLAIMS] = _claims(request)
            read = await JsonRequest.read(request, self.max_body)
            check_known(await read.json(), known)
            return await handle(read)

        return read_then_handle


class UnsignedRoute(Route):
    max_body = MAX_UNSIGNED_BODY


def make_router(tag: str, kind: type[Route] = Route) -> APIRouter:
    """A router whose JSON bodies are read as the contract says. `kind`: UnsignedRoute where no token is needed."""
    return APIRouter(route_class=kind, tags=[tag])


def problems(*kinds: type[TidingsError]) -> Responses:
    """`responses` of a route, from the errors that are its own. Those that every route of a kind may give
    (400, 401, 413, 415, 422, 429, 500, 503) are documented by `api.http.openapi`."""
    codes: dict[int, list[str]] = {}
    for kind in kinds:
        row = row_of(kind)
        assert row is not None, f"{kind.__name__} has no row in api/errors.py"
        codes.setdefault(row.status, []).append(f"`{kind.code}`")
    return {status: problem_response(", ".join(names)) for status, names in codes.items()}


def problem_response(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


# --- what routes depend on ---

bearer = HTTPBearer(
    scheme_name="token", bearerFormat="JWT", description="The access token of a sign-in.", auto_error=False
)


async def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def current_user(request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> Claims:
    """Who calls. Raises BadToken."""
    known: Claims | None = request.scope.get(_CLAIMS)
    return known or _claims(request)


def _claims(request: Request) -> Claims:
    """What the access token says. Raises BadToken."""
    services: Services = request.app.state.services
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise BadToken
    return services.tokens.verify(token.strip())


def _depends_on(dependant: Dependant, call: Any) -> bool:
    return dependant.call is call or any(_depends_on(each, call) for each in dependant.dependencies)


def _fields_of(kind: Any) -> frozenset[str]:
    """The names that a body of this type may have; empty where they are not known."""
    for each in (kind, *get_args(kind)):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return frozenset(each.model_fields)
    return frozenset()


def check_known(parsed: Any, known: frozenset[str]) -> None:
    """Refuse a body of mostly unknown fields before each of them is looked at. Raises UnknownField."""
    if known and isinstance(parsed, dict) and len(parsed) > len(known) + MAX_ERRORS:
        unknown = list(islice((key for key in parsed if key not in known), MAX_ERRORS))
        errors = tuple(FieldError(cut(key), "is not known") for key in unknown)
        raise UnknownField(summary(errors, len(parsed) - len(known)), errors=errors)


def cut(name: str) -> str:
    return name if len(name) <= MAX_FIELD else f"{name[:MAX_FIELD]}…"


def summary(errors: Sequence[FieldError], count: int) -> str:
    """One sentence of the errors that are told, of so many."""
    told = "; ".join(f"{each.field}: {each.message}" for each in errors)
    return told if count <= len(errors) else f"{told}; and more"


Svc = Annotated[Services, Depends(services_of)]
Caller = Annotated[Claims, Depends(current_user)]


async def _commanding(caller: Caller, services: Svc) -> Claims:
    services.limits.commands.enforce(caller.user_id)
    return caller


async def _asking(caller: Caller, services: Svc) -> Claims:
    services.limits.queries.enforce(caller.user_id)
    return caller


async def _marking(caller: Caller, services: Svc) -> Claims:
    services.limits.marks.enforce(caller.user_id)
    return caller


async def administrator(request: Request, caller: Caller, services: Svc) -> Claims:
    """Who calls, if that is an administrator, by the account as it is now and not only by the token: a role that was
    taken counts at once. Raises BadToken, Forbidden, Throttled, Unavailable."""
    services.limits.operations.enforce(caller.user_id)
    if not caller.admin or not (await services.accounts.me(caller.user_id)).admin:
        services.security.tell(
            "admin_refused",
            user_id=caller.user_id,
            session_id=caller.session_id,
            address=address_of(request),
        )
        raise Forbidden("this is for administrators")
    return caller


Operator = Annotated[Claims, Depends(administrator)]
Commander = Annotated[Claims, Depends(_commanding)]
"""Who wants to change something. Raises Throttled where that was too often lately, as do the next two."""
Asker = Annotated[Claims, Depends(_asking)]
"""Who asks about people."""
Marker = Annotated[Claims, Depends(_marking)]
"""Who tells what was delivered, or read."""


def address_of(request: Request) -> str:
    """Where a request comes from, as rate limits count it."""
    return address_key(request.client.host) if request.client else ""


# --- reading ---


def parse_json(raw: bytes) -> Any:
    """JSON after RFC 8259 in UTF-8, no key twice. Raises BadJson, and Invalid for NUL and lone surrogates."""
    try:
        parsed = json.loads(raw.decode(), parse_constant=_no_constant, object_pairs_hook=_object)
        if b"\\u" in raw:  # the only way in for NUL and lone surrogates
            ignored = isinstance(parsed, dict) and "ext" in parsed
            _check_text({**parsed, "ext": None} if ignored else parsed, "")
        return parsed
    except UnicodeDecodeError as error:
        raise BadJson("the body is not UTF-8") from error
    except RecursionError as error:
        raise BadJson("the body is nested too deeply") from error
    except ValueError as error:
        raise BadJson(f"the body is not JSON: {error}") from error


async def _read_body(request: Request, most: int) -> bytes:
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > most:
        raise TooLarge(f"the body is over {most} bytes")
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            raise TooLarge(f"the body is over {most} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _says_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("an object has a key twice")
    return made


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _check_text(value: Any, path: str) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise _unfit(path, "must not contain NUL")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _unfit(path, "must not contain a lone surrogate") from None
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_text(key, path)
            _check_text(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _check_text(inner, f"{path}.{index}" if path else str(index))


def _unfit(path: str, message: str) -> Invalid:
    return Invalid(f"text {message}", errors=(FieldError(cut(path), message),))
