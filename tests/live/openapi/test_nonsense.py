"""Nonsense in every place that a request has, on every route of a real server: never an error of ours."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.server import Server

NONSENSE = ["é", "\u2028", "\x00", "\U0001d518", "\u0663", "1e999", "9" * 5_000, "../.."]
LEFT_OUT = {("get", "/metrics"), ("delete", "/v1/me"), ("post", "/v1/me/password")}


def ask(server: Server, method: str, path: str, body: bytes | None, headers: dict[str, Any]) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)) as line:
        line.request(method, path, body, headers)
        answer = line.getresponse()
        return answer.status, answer.read()


@pytest.fixture(scope="module")
def token(server: Server) -> str:
    body = json.dumps({"username": "nonsense", "password": "correct horse"}).encode()
    status, answer = ask(server, "POST", "/v1/auth/register", body, {"Content-Type": "application/json"})
    assert status == 201
    return str(json.loads(answer)["access_token"])


@pytest.mark.parametrize("nonsense", NONSENSE, ids=lambda text: ascii(text[:9]))
def test_no_route_fails_on_nonsense(server: Server, token: str, nonsense: str) -> None:
    _, document = ask(server, "GET", "/openapi.json", None, {})
    raw = nonsense.encode().replace(b"\0", b"")
    known: dict[str, Any] = dict.fromkeys(("text", "message_id", "title", "until"), nonsense)
    body = json.dumps(
        {**known, "kind": "TEXT", "member_ids": [nonsense], "user_ids": [nonsense], "up_to_seq": 10**400}
    ).encode()
    headers = {
        "Content-Type": "application/json",
        "If-None-Match": raw,
        "Range": b"bytes=" + raw,
        "Tidings-Min-Position": raw,
    }
    failed = []
    for template, operations in json.loads(document)["paths"].items():
        path = template
        while "{" in path:
            head, _, rest = path.partition("{")
            path = head + quote(nonsense, safe="") + rest.partition("}")[2]
        for method, operation in operations.items():
            if (method, template) in LEFT_OUT:
                continue
            names = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
            query = "&".join(f"{name}={quote(nonsense, safe='')}" for name in names)
            for credentials in (token.encode(), raw):
                given = {**headers, "Authorization": b"Bearer " + credentials}
                status, answer = ask(server, method.upper(), f"{path}?{query}", body, given)
                if status >= 500:
                    failed.append((method, template, status, answer))
    assert failed == []
