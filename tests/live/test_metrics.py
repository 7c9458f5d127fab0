"""What a real server tells at /metrics and /readyz."""

from __future__ import annotations

import httpx
import pytest

from tests.support.caller import newcomers
from tests.support.prometheus import check_told, sample
from tests.support.server import Server

pytestmark = pytest.mark.timeout(60)


def test_a_server_tells_all_that_the_catalogue_says(server: Server) -> None:
    before = httpx.get(f"{server.url}/metrics").text
    with newcomers(server.url) as made:
        ana, ben = made(), made()
        ana.say(ana.direct(ben), "hello")
    text = httpx.get(f"{server.url}/metrics").text
    check_told(text, "serve")

    def grew(name: str, **labels: str) -> float:
        return sample(text, name, **labels) - sample(before, name, **labels)

    assert grew("tidings_log_end", partition="0") >= 2
    assert grew("tidings_fold_batch_records_sum") >= 2
    assert grew("tidings_log_commit_records_sum") >= 2
    assert sample(text, "tidings_projection_lag", partition="0") == 0
    assert sample(text, "tidings_projection_lag_seconds", partition="0") == 0
    for name in ("accounts", "log", "views"):
        assert sample(text, "tidings_dependency_up", name=name) == 1


def test_readiness_names_every_dependency(server: Server) -> None:
    told = httpx.get(f"{server.url}/readyz").json()
    assert told["degraded"] == []
    assert {each["name"] for each in told["dependencies"]} >= {"accounts", "log", "views"}
    assert all(each["up"] for each in told["dependencies"])
