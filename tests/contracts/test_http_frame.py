"""What holds for every route: reading JSON, problems, headers, CORS, files, documents, health and metrics."""

from __future__ import annotations

import gzip
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from api.http.models import Body, Time
from api.http.routing import MAX_BODY, Route, make_router
from commands.errors import Corrupt, Unavailable
from tests.support.history import NOON
from tests.support.http import Web, check_problem, web

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Echo(Body):
    text: str = ""
    number: int = 0
    at: Time | None = None
    texts: list[str] | None = None


router = make_router("test")


@router.post("/echo")
async def echo(body: Echo) -> dict[str, Any]:
    return body.model_dump(mode="json", exclude={"ext"})


@router.get("/break")
async def break_down() -> None:
    raise RuntimeError("a secret of the inside")


@router.get("/corrupt")
async def corrupt() -> None:
    raise Corrupt("a secret of the inside")


@router.get("/away")
async def away() -> None:
    raise Unavailable("the log does not answer", retry_after_ms=1500)


FILES = {
    "index.html": b"<!doctype html>" + b"x" * 600,
    "demo.html": b"demo",
    "lib/store.js": b"export {};" * 100,
    "notes.txt": b"not served",
    "package.json": b"{}",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("site")
    for name, content in FILES.items():
        file = made / "web" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def our(folder: Path) -> AsyncIterator[Web]:
    """One app for all: nothing here changes what others see."""
    async with web(folder, routers=[router]) as made:
        yield made


async def send(our: Web, content: bytes | AsyncIterator[bytes], kind: str | None = "application/json") -> Any:
    headers = {} if kind is None else {"Content-Type": kind}
    return await our.call("POST", "/echo", content=content, headers=headers)


# --- reading bodies ---


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "application/x+json"])
async def test_a_json_body_is_read(our: Web, kind: str) -> None:
    answer = await send(our, '{"text": "grüße \\ud83c\\udf88", "ext": {"a": [1]}}'.encode(), kind)
    assert answer.status_code == 200
    assert answer.json()["text"] == "grüße 🎈"


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"",
        b"{'text': 'x'}",
        b'{"text": "x"} x',
        b'{"text": "x", "text": "y"}',
        b'{"ext": {"a": 1, "a": 1}}',
        b'{"number": NaN}',
        b'{"ext": {"a": Infinity}}',
        b'{"ext": {"a": -Infinity}}',
        b'{"text": "\xff"}',
        b'{"text": "\xed\xa0\x80"}',
        b'{"text": "a\nb"}',
        b"\xef\xbb\xbf{}",
        b"\x00",
        b"[" * 200_000,
        b'{"ext":' * 50_000,
        b'{"number": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda content: repr(content[:20]),
)
async def test_what_is_not_json_is_told_so(our: Web, content: bytes) -> None:
    answer = await send(our, content)
    if content:
        check_problem(answer, 400, "bad_json")
    else:
        check_problem(answer, 422, "invalid")


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "json", "application/xml"])
async def test_a_body_that_does_not_say_it_is_json_is_not_read(our: Web, kind: str | None) -> None:
    check_problem(await send(our, b"{}", kind), 415, "bad_json")


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b'{"text": "a\\u0000b"}', "text"),
        (b'{"text": "\\ud800"}', "text"),
        (b'{"text": "\\udc00\\ud800"}', "text"),
        (b'{"texts": ["x", "\\u0000"]}', "texts.1"),
        (b'{"more": {"a": {"b": ["\\ud800"]}}}', "more.a.b.0"),
        (b'{"\\ud800": 1}', ""),
        (b'{"more": {"\\u0000": 1}}', "more"),
    ],
)
async def test_nul_and_lone_surrogates_are_refused_wherever_they_stand(our: Web, content: bytes, field: str) -> None:
    document = check_problem(await send(our, content), 422, "invalid")
    assert [each["field"] for each in document["errors"]] == [field]


async def test_what_is_ignored_may_hold_anything(our: Web) -> None:
    assert (await send(our, b'{"ext": {"a\\u0000": ["\\ud800"]}}')).status_code == 200


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"null",
        b'"x"',
        b"7",
        b'{"text": 7}',
        b'{"text": null}',
        b'{"number": "7"}',
        b'{"number": 1.5}',
        b'{"number": true}',
        b'{"texts": "x"}',
    ],
)
async def test_a_wrong_type_is_not_bent_into_the_right_one(our: Web, content: bytes) -> None:
    assert check_problem(await send(our, content), 422, "invalid")["errors"]


async def test_an_unknown_field_is_named(our: Web) -> None:
    document = check_problem(await send(our, b'{"texd": "x"}'), 422, "unknown_field")
    assert document["errors"] == [{"field": "texd", "message": "is not known"}]


@pytest.mark.parametrize(
    ("at", "read"),
    [
        ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z"),
        ("2026-03-01t12:00:00.123456z", "2026-03-01T12:00:00.123456Z"),
        ("2026-03-01T12:00:00+02:00", "2026-03-01T10:00:00Z"),
        ("2026-03-01T12:00:00", None),
        ("2026-03-01", None),
        ("20260301T120000Z", None),
        ("2026-13-01T12:00:00Z", None),
        ("2026-02-30T12:00:00Z", None),
        ("٢٠٢٦-03-01T12:00:00Z", None),
        ("2026-03-01T12:00:00Z\n", None),
        (1_700_000_000, None),
    ],
)
async def test_a_time_is_rfc_3339_with_a_zone(our: Web, at: Any, read: str | None) -> None:
    answer = await our.post("/echo", {"at": at})
    if read is None:
        check_problem(answer, 422, "invalid")
    else:
        assert answer.json()["at"] == read


async def test_a_body_over_the_limit_is_not_read_to_its_end(our: Web) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65_536
            yield b" " * 65_536

    answer = await send(our, endless())
    check_problem(answer, 413, "too_large")
    assert answer.headers["connection"] == "close"
    assert sent <= MAX_BODY + 2 * 65_536


async def test_a_body_at_the_limit_is_read_and_one_byte_more_is_not(our: Web) -> None:
    at_limit = b'{"text": "' + b"x" * (MAX_BODY - 12) + b'"}'
    assert len(at_limit) == MAX_BODY
    assert (await send(our, at_limit)).status_code == 200
    check_problem(await send(our, at_limit + b" "), 413, "too_large")


async def test_every_route_reads_bodies_this_way(our: Web) -> None:
    """A router not made by `make_router` would read them as the framework does."""
    from api.http.app import ROUTERS

    routes = [route for each in ROUTERS for route in each.routes]
    assert routes
    assert [route for route in routes if not isinstance(route, Route)] == []


# --- problems ---


@pytest.mark.parametrize("path", ["/nope", "/v1", "/v1/", "/v1/me/", "/web/nope.js", "/web/", "/web/../api", "/%00"])
async def test_an_unknown_path_is_not_found(our: Web, path: str) -> None:
    check_problem(await our.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/me", "DELETE, GET, HEAD, PATCH"),
        ("OPTIONS", "/v1/me", "DELETE, GET, HEAD, PATCH"),
        ("GET", "/v1/auth/login", "POST"),
        ("HEAD", "/v1/auth/login", "POST"),
        ("DELETE", "/", "GET, HEAD"),
        ("TRACE", "/openapi.json", "GET, HEAD"),
        ("BREW", "/v1/sessions/x", "DELETE"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(our: Web, method: str, path: str, allow: str) -> None:
    answer = await our.call(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allow
    if method != "HEAD":
        check_problem(answer, 405, "method_not_allowed")


@pytest.mark.parametrize("host", ["[", "a b", "", "x" * 300, "evil.example"])
async def test_no_host_header_upsets_an_answer(our: Web, host: str) -> None:
    check_problem(await our.call("PUT", "/v1/me", headers={"Host": host}), 405, "method_not_allowed")
    assert (await our.get("/v1/info", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("path", ["/break", "/corrupt"])
async def test_our_own_failure_is_logged_in_full_and_tells_the_client_nothing(
    our: Web, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = await our.get(path)
    check_problem(answer, 500, "internal")
    assert "secret" not in answer.text
    assert "a secret of the inside" in caplog.text
    assert "Traceback" in caplog.text
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_who_must_come_back_is_told_when(our: Web) -> None:
    answer = await our.get("/away")
    assert check_problem(answer, 503, "unavailable")["retry_after_ms"] == 1500
    assert answer.headers["retry-after"] == "2"


# --- headers ---


@pytest.mark.parametrize("path", ["/", "/v1/info", "/v1/me", "/nope", "/docs", "/break"])
async def test_every_answer_carries_the_security_headers(our: Web, path: str) -> None:
    headers = (await our.get(path)).headers
    assert headers["content-security-policy"] == (
        "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data: blob:; frame-src 'self'; "
        "frame-ancestors 'self'; object-src 'none'; base-uri 'none'; form-action 'self'"
    )
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "SAMEORIGIN"


async def test_scripts_and_styles_carry_what_counts_for_them_alone(our: Web) -> None:
    headers = (await our.get("/docs/style.css")).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "content-security-policy" not in headers


async def test_answers_with_private_content_are_not_kept(our: Web) -> None:
    assert (await our.get("/v1/info")).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/v1/info", "/openapi.json", "/healthz"])
async def test_head_is_get_without_the_body(our: Web, path: str) -> None:
    got, head = await our.get(path), await our.call("HEAD", path)
    assert (head.status_code, head.content) == (200, b"")
    for each in (got, head):
        assert each.headers.pop("x-request-id")
    assert dict(head.headers) == dict(got.headers)


async def test_without_being_told_otherwise_other_origins_get_no_permission(our: Web) -> None:
    answer = await our.get("/v1/info", headers={"Origin": "https://friend.example"})
    assert "access-control-allow-origin" not in answer.headers


async def test_named_origins_may_call_and_read_the_headers_that_matter(tmp_path: Path) -> None:
    async with web(tmp_path, cors_origins=["https://friend.example"]) as our:
        origin = {"Origin": "https://friend.example"}
        preflight = await our.call(
            "OPTIONS",
            "/v1/me",
            headers={
                **origin,
                "Access-Control-Request-Method": "PATCH",
                "Access-Control-Request-Headers": "authorization, content-type, tidings-min-position",
            },
        )
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == "https://friend.example"
        refused = await our.get("/v1/me", headers=origin)
        check_problem(refused, 401, "bad_token")
        assert refused.headers["access-control-allow-origin"] == "https://friend.example"
        assert "Retry-After" in refused.headers["access-control-expose-headers"]
        stranger = await our.get("/v1/info", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in stranger.headers


# --- files of the web client ---


@pytest.mark.parametrize(
    ("path", "file", "kind"),
    [
        ("/", "index.html", "text/html; charset=utf-8"),
        ("/web/index.html", "index.html", "text/html; charset=utf-8"),
        ("/demo", "demo.html", "text/html; charset=utf-8"),
        ("/web/lib/store.js", "lib/store.js", "text/javascript; charset=utf-8"),
    ],
)
async def test_files_are_served_and_kept_by_their_etag(our: Web, path: str, file: str, kind: str) -> None:
    answer = await our.get(path, headers={"Accept-Encoding": "identity"})
    assert (answer.status_code, answer.content) == (200, FILES[file])
    assert answer.headers["content-type"] == kind
    assert answer.headers["cache-control"] == "no-cache"
    etag = answer.headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = await our.get(path, headers={"Accept-Encoding": "identity", "If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    changed = await our.get(path, headers={"Accept-Encoding": "identity", "If-None-Match": '"other"'})
    assert changed.status_code == 200


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("*", True),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("gzip;q=x", False),
        ("br", False),
    ],
)
async def test_files_are_compressed_for_those_who_take_it(our: Web, accepted: str, packed: bool) -> None:
    plain = await our.get("/", headers={"Accept-Encoding": "identity"})
    async with our.client.stream("GET", "/", headers={"Accept-Encoding": accepted}) as answer:
        raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert answer.headers["vary"] == "Accept-Encoding"
    assert (answer.headers.get("content-encoding") == "gzip") is packed
    assert (gzip.decompress(raw) if packed else raw) == FILES["index.html"]
    assert (answer.headers["etag"] != plain.headers["etag"]) is packed


@pytest.mark.parametrize("path", ["/web/notes.txt", "/web/package.json", "/web/lib", "/web//index.html"])
async def test_nothing_else_of_the_folder_is_served(our: Web, path: str) -> None:
    check_problem(await our.get(path), 404, "not_found")


# --- documents ---


async def test_the_openapi_document_describes_problems_and_tokens(our: Web) -> None:
    document = (await our.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1.")
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    register = document["paths"]["/v1/auth/register"]["post"]
    assert set(register["responses"]) == {"201", "400", "409", "413", "415", "422", "429", "500", "503"}
    assert "security" not in register
    me = document["paths"]["/v1/me"]["get"]
    assert me["security"] == [{"token": []}]
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert me["responses"]["401"]["content"] == problem
    assert "HTTPValidationError" not in str(document)


async def test_every_reference_of_the_document_leads_somewhere(our: Web) -> None:
    document = (await our.get("/openapi.json")).json()

    def references(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for inner in node.values():
                yield from references(inner)
        elif isinstance(node, list):
            for inner in node:
                yield from references(inner)

    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    found = set(references(document))
    assert found
    assert found <= known


async def test_the_documents_page_names_every_call_and_needs_nothing_from_elsewhere(our: Web) -> None:
    page = (await our.get("/docs")).text
    paths = (await our.get("/openapi.json")).json()["paths"]
    assert [path for path in paths if path not in page] == []
    assert "<script" not in page
    assert "style=" not in page
    assert "//" not in page.replace("<!doctype", "")
    assert (await our.get("/docs/style.css")).headers["content-type"] == "text/css; charset=utf-8"


async def test_the_type_of_a_problem_leads_to_what_it_means(our: Web) -> None:
    kind = (await our.get("/v1/me")).json()["type"]
    answer = await our.get(kind)
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs#problem-bad_token")
    assert 'id="problem-bad_token"' in (await our.get("/docs")).text
    check_problem(await our.get("/problems/made_up"), 404, "not_found")


# --- information, health, metrics ---


async def test_information_needs_no_token(our: Web) -> None:
    assert (await our.get("/v1/info")).json() == {
        "version": "9.9.9",
        "features": ["chat"],
        "limits": {"text_bytes": 102_400},
        "server_time": "2026-03-01T12:00:00.000Z",
    }


async def test_the_process_is_alive(our: Web) -> None:
    assert (await our.get("/healthz")).json() == {"status": "ok"}


async def test_readiness_tells_what_is_down_and_fails_without_the_log_or_while_draining(
    our: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    from api.services import Health

    async def up() -> None:
        return

    async def down() -> None:
        raise Unavailable

    async def stuck() -> None:
        import asyncio

        await asyncio.Event().wait()

    def health(**checks: Any) -> Health:
        made = Health(checks, patience_s=0.01, now=lambda: NOON)
        monkeypatch.setattr(our.services, "health", made)
        return made

    health(log=up, accounts=up)
    told = {"up": True, "since": "2026-03-01T12:00:00.000Z"}
    assert (await our.get("/readyz")).json() == {
        "degraded": [],
        "dependencies": [{"name": "accounts", **told}, {"name": "log", **told}],
    }
    health(log=up, accounts=down, views=stuck)
    answer = await our.get("/readyz")
    assert (answer.status_code, answer.json()["degraded"]) == (200, ["accounts", "views"])
    assert [each["up"] for each in answer.json()["dependencies"]] == [False, True, False]
    health(log=down, accounts=up)
    check_problem(await our.get("/readyz"), 503, "unavailable")
    health(log=up).draining = True
    check_problem(await our.get("/readyz"), 503, "unavailable")


async def test_answers_are_counted_by_route_and_status(our: Web) -> None:
    def count(method: str, route: str, status: int) -> float:
        found = our.services.metrics.get_sample_value(
            "tidings_http_requests_total", {"method": method, "route": route, "status": str(status)}
        )
        return found or 0

    kinds = [("DELETE", "/v1/sessions/{session_id}", 401), ("other", "other", 404)]
    before = [count(*kind) for kind in kinds]
    await our.call("DELETE", "/v1/sessions/a")
    await our.call("DELETE", "/v1/sessions/b")
    await our.call("BREW", "/nope")
    assert [count(*kind) - past for kind, past in zip(kinds, before, strict=True)] == [2, 1]
    answer = await our.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'tidings_http_requests_total{method="DELETE",route="/v1/sessions/{session_id}",status="401"}' in answer.text
    assert "tidings_http_request_seconds_bucket" in answer.text
