"""Every error has an answer, and the answers are those of the contract."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

import api.errors
from api.errors import TABLE, Throttled, error_fields, problem, problem_headers, row_of
from commands import errors
from commands.errors import FieldError, TidingsError, error_for, leaves

NOW = datetime(2026, 3, 1, 12, 0, 0, 123_999, tzinfo=UTC)

CONTRACT = {
    400: "bad_json",
    401: "bad_credentials bad_token",
    403: "forbidden",
    404: "no_such_chat no_such_user no_such_message no_such_file",
    409: "username_taken chat_id_taken id_taken direct_chat group_full beyond_head",
    410: "expired",
    413: "too_large",
    422: "invalid unknown_field bad_cursor bad_reply id_from_future",
    429: "rate_limited",
    503: "unavailable not_yet",
}
STATUSES = [(status, code) for status, codes in CONTRACT.items() for code in codes.split()]


def make(kind: type[TidingsError], detail: str = "") -> TidingsError:
    return Throttled(detail, 1, {}) if issubclass(kind, Throttled) else kind(detail)


@pytest.mark.parametrize("kind", leaves()[1:], ids=lambda kind: kind.__name__)
def test_every_error_has_a_row_of_its_own_or_of_its_branch(kind: type[TidingsError]) -> None:
    assert row_of(kind) is not None, f"enter {kind.__name__} or its branch in api/errors.py"


def test_a_new_branch_has_no_row_by_accident() -> None:
    class NewBranch(TidingsError):
        pass

    assert row_of(NewBranch) is None
    assert TidingsError not in TABLE


@pytest.mark.parametrize(("status", "code"), STATUSES)
def test_the_codes_of_the_contract_have_its_statuses(status: int, code: str) -> None:
    document = problem(error_for(code, "why"), NOW)
    assert document["type"] == f"/problems/{code}"
    assert (document["status"], document["code"], document["detail"]) == (status, code, "why")
    assert document["title"]


def test_the_list_of_problems_has_every_code_of_the_contract_with_its_status() -> None:
    listed = {code: row.status for code, row in api.errors.every_problem().items()}
    assert listed.items() >= {code: status for status, code in STATUSES}.items()
    assert listed["internal"] == 500


def test_a_problem_without_a_detail_still_says_something() -> None:
    assert problem(errors.NoSuchChat(), NOW)["detail"]
    assert error_fields(errors.NoSuchChat(), NOW)["message"]


def test_a_problem_names_the_fields_that_were_refused() -> None:
    error = errors.Invalid("no", errors=(FieldError("a.b", "too long"),))
    assert problem(error, NOW)["errors"] == [{"field": "a.b", "message": "too long"}]
    assert "errors" not in problem(errors.Invalid("no"), NOW)


def test_an_id_from_the_future_is_told_the_time() -> None:
    assert problem(errors.IdFromFuture(), NOW)["server_time"] == "2026-03-01T12:00:00.123Z"
    assert error_fields(errors.IdFromFuture(), NOW)["server_time"] == "2026-03-01T12:00:00.123Z"
    assert "server_time" not in problem(errors.Invalid(), NOW)


def test_when_to_come_back_is_told_in_body_and_header() -> None:
    error = errors.RateLimited("slow down", retry_after_ms=1001)
    assert problem(error, NOW)["retry_after_ms"] == 1001
    assert error_fields(error, NOW) == {"code": "rate_limited", "message": "slow down", "retry_after_ms": 1001}
    assert problem_headers(error) == {"Retry-After": "2"}


@pytest.mark.parametrize("error", [errors.Corrupt("table x"), TidingsError("secret"), errors.TidingsError()])
def test_an_error_on_our_side_tells_nothing_of_the_inside(error: TidingsError) -> None:
    document = problem(error, NOW)
    assert (document["status"], document["code"]) == (500, "internal")
    assert error.detail == "" or error.detail not in str(document)
    assert error_fields(error, NOW) == {"code": "internal", "message": document["title"]}


@pytest.mark.parametrize(
    ("error", "challenge"),
    [
        (errors.BadToken(), "Bearer"),
        (errors.BadToken("run out"), 'Bearer error="invalid_token"'),
        (errors.BadCredentials("wrong"), "Bearer"),
    ],
)
def test_who_is_not_let_in_is_told_how_to_authenticate(error: TidingsError, challenge: str) -> None:
    assert problem_headers(error) == {"WWW-Authenticate": challenge}


def test_the_errors_of_the_transport_keep_to_the_tree() -> None:
    statuses = {
        kind.__name__: problem(make(kind), NOW)["status"] for kind in leaves() if kind.__module__ == api.errors.__name__
    }
    assert statuses == {
        "NoSuchPath": 404,
        "MethodNotAllowed": 405,
        "UnsupportedMediaType": 415,
        "OutOfRange": 416,
        "Throttled": 429,
    }


def test_what_is_for_operators_is_not_told_to_clients() -> None:
    class Damaged(errors.Unavailable):
        for_operators = True

    told = problem(Damaged("/srv/tidings/views-1.db is broken"), NOW)
    assert (told["status"], told["code"], told["detail"]) == (503, "unavailable", TABLE[errors.Unavailable].title)
    assert error_fields(Damaged("/srv/tidings/views-1.db is broken"), NOW)["message"] == told["detail"]
