"""Nonsense in every place that a request has: an answer below 500, and nothing that reads as a new log entry."""

from __future__ import annotations

import gzip
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from api.file_links import FileLinks
from api.http.routing import Operator, make_router
from commands.errors import BadToken
from tests.support.http import Web, check_problem, web
from tests.support.people import NOON, PASSWORD

NONSENSE = [
    *("é", "ü" * 30, "\u2028", "\x00", "%00", "../..", "a/b", "\U0001d518", "\u0663", "x" * 500, "\r\n"),
    *("%", "1e999", "-1", "[]"),
]


@pytest.fixture
async def our(tmp_path: Path) -> AsyncIterator[Web]:
    async with web(tmp_path, demo=True) as made:
        yield made


@pytest.mark.parametrize("nonsense", NONSENSE, ids=ascii)
async def test_no_nonsense_makes_an_error_of_ours(our: Web, nonsense: str) -> None:
    token = (await our.register())["access_token"]
    paths = (await our.get("/openapi.json")).json()["paths"]
    raw = nonsense.encode()
    for template, operations in paths.items():
        path = template
        while "{" in path:
            head, _, rest = path.partition("{")
            path = head + quote(nonsense, safe="") + rest.partition("}")[2]
        for method, operation in operations.items():
            if (method, template) == ("get", "/metrics"):
                continue
            names = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
            query = "&".join(f"{quote(name)}={quote(nonsense, safe='')}" for name in names)
            for credentials in (f"Bearer {token}".encode(), b"Bearer " + raw.replace(b"\r\n", b"").replace(b"\0", b"")):
                headers = [
                    (b"authorization", credentials),
                    (b"content-type", b"application/json"),
                    (b"tidings-min-position", raw.replace(b"\r\n", b"").replace(b"\0", b"")),
                    (b"if-none-match", raw.replace(b"\r\n", b"").replace(b"\0", b"")),
                    (b"range", b"bytes=" + raw.replace(b"\r\n", b"").replace(b"\0", b"")),
                ]
                for body in (b"", raw, b'{"username":"%s"}' % raw, b'{"refresh_token":"tdr_%s.1.x"}' % raw):
                    request = our.client.build_request(method.upper(), f"{path}?{query}", content=body)
                    request.headers = httpx.Headers([*request.headers.raw, *headers])
                    answer = await our.client.send(request)
                    assert answer.status_code < 500, (method, path, body, answer.text)


@pytest.mark.parametrize("signature", ["é" * 32, "\U0001d518", "x", "", "\ud800"])
def test_a_signature_of_any_letters_is_simply_wrong(signature: str) -> None:
    links = FileLinks(b"s" * 32, lambda: NOON)
    with pytest.raises(BadToken):
        links.seconds_left("/v1/files/f", 10**10, signature)


async def test_a_taken_role_counts_at_once(our: Web) -> None:
    router = make_router("test")

    @router.get("/only-for-administrators")
    async def only(caller: Operator) -> None: ...

    our.app.include_router(router)
    await our.register("ana")
    await our.its.accounts.grant("ana")
    answer = await our.post("/v1/auth/login", {"username": "ana", "password": PASSWORD})
    token = answer.json()["access_token"]
    assert (await our.get("/only-for-administrators", token)).status_code == 200
    await our.its.accounts.grant("ana", admin=False)
    check_problem(await our.get("/only-for-administrators", token), 403, "forbidden")
    assert our.services.security.counts["admin_refused"] == 1


async def test_events_of_sign_ins_are_told(our: Web, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "tidings.security"):
        made = await our.register("ana")
        await our.post("/v1/auth/login", {"username": "ana", "password": "wrong wrong"})
        await our.post("/v1/auth/refresh", {"refresh_token": made["refresh_token"]})
        await our.post("/v1/auth/refresh", {"refresh_token": made["refresh_token"]})
        for _ in range(12):
            await our.post("/v1/auth/login", {"username": "nobody", "password": "wrong wrong"})
    counts = our.services.security.counts
    assert (counts["registered"], counts["token_reused"], counts["sign_in_failed"], counts["limited"]) == (1, 1, 11, 2)
    assert {record.__dict__.get("address") for record in caplog.records} == {"192.0.2.1"}
    assert "wrong wrong" not in caplog.text


# --- compressed answers ---


async def raw(our: Web, path: str, accepted: str, token: str | None = None) -> tuple[httpx.Response, bytes]:
    headers = {"Accept-Encoding": accepted, **({"Authorization": f"Bearer {token}"} if token else {})}
    async with our.client.stream("GET", path, headers=headers) as answer:
        return answer, b"".join([chunk async for chunk in answer.aiter_raw()])


async def many_users(our: Web) -> str:
    token = ""
    for number in range(30):
        token = (await our.register(f"sam{number}"))["access_token"]
    return token


async def test_long_json_is_compressed_for_those_who_take_it(our: Web) -> None:
    token = await many_users(our)
    plain, whole = await raw(our, "/v1/users?query=sam", "identity", token)
    packed, small = await raw(our, "/v1/users?query=sam", "br, gzip", token)
    assert "content-encoding" not in plain.headers
    assert (packed.headers["content-encoding"], packed.headers["content-length"]) == ("gzip", str(len(small)))
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"
    assert gzip.decompress(small) == whole
    assert len(small) < len(whole) / 3


async def test_short_answers_and_tokens_are_not_compressed(our: Web) -> None:
    answer, _ = await raw(our, "/v1/info", "gzip")
    assert "content-encoding" not in answer.headers
    padding = {"username": "ana", "password": PASSWORD, "display_name": "A" * 64, "ext": {"a": "b" * 4_000}}
    made = await our.call("POST", "/v1/auth/register", json=padding, headers={"Accept-Encoding": "gzip"})
    assert made.status_code == 201
    assert "content-encoding" not in made.headers
