"""What a process of a cluster cannot do without is told at once and by name, and no secret is made up."""

from __future__ import annotations

import pytest

from infra.settings import BadSettings, load_settings
from infra.wanted import for_gateway, for_worker

SECRET = "ab" * 32
WHOLE = {
    "kafka": "k:9092",
    "cassandra": "c:9042",
    "redis": "redis://r:6379/0",
    "accounts_url": "postgresql://p/tidings",
    "master_key": SECRET,
    "jwt_secret": SECRET,
    "node": "worker-1",
}


def test_with_everything_set_both_know_what_they_need() -> None:
    settings = load_settings(WHOLE)
    assert for_gateway(settings).master == bytes.fromhex(SECRET)
    assert for_worker(settings).member == "worker-1"


@pytest.mark.parametrize("name", [name for name in WHOLE if name != "node"])
def test_a_gateway_names_what_it_lacks(name: str) -> None:
    given = {key: value for key, value in WHOLE.items() if key != name}
    with pytest.raises(BadSettings, match=f"^TIDINGS_{name.upper()}: not set"):
        for_gateway(load_settings(given))


@pytest.mark.parametrize("name", ["kafka", "cassandra", "redis", "node"])
def test_a_worker_names_what_it_lacks(name: str) -> None:
    given = {key: value for key, value in WHOLE.items() if key != name}
    with pytest.raises(BadSettings, match=f"^TIDINGS_{name.upper()}: not set"):
        for_worker(load_settings(given))


def test_everything_that_is_missing_is_told_together() -> None:
    with pytest.raises(BadSettings) as refused:
        for_gateway(load_settings())
    assert len(refused.value.errors) == 6


def test_gateways_cannot_share_a_file_of_sqlite() -> None:
    with pytest.raises(BadSettings, match="PostgreSQL"):
        for_gateway(load_settings({**WHOLE, "accounts_url": "sqlite:///accounts.db"}))
