"""Settings: what the environment may say, and how clearly nonsense is refused."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from pathlib import Path

import pytest

from infra.secrets import parse_secret
from infra.settings import BadSettings, load_settings


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in os.environ:
        if name.startswith("TIDINGS_"):
            monkeypatch.delenv(name)


def test_without_an_environment_everything_has_a_sensible_value() -> None:
    settings = load_settings()
    assert (settings.host, settings.port, settings.data) == ("127.0.0.1", 8000, Path("data").absolute())
    assert settings.cors_origins == ()
    assert settings.logins_per_minute == 10
    assert settings.registrations_per_minute >= 100
    assert (settings.sends_per_second, settings.sends_burst) == (100, 1000)
    assert (settings.commands_per_second, settings.commands_burst) == (10, 100)
    assert (settings.chats_per_hour, settings.approaches_per_hour) == (100, 200)


def test_folders_are_meant_from_where_the_process_was_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for overrides in ({}, {"data": "data"}, {"data": Path("./data")}):
        assert load_settings(overrides).data == tmp_path / "data"
    assert load_settings({"files": "kept"}).files == str(tmp_path / "kept")
    assert load_settings({"files": "s3://bucket/a"}).files == "s3://bucket/a"


def test_the_environment_is_read_and_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDINGS_PORT", "9000")
    monkeypatch.setenv("TIDINGS_HOST", "::1")
    monkeypatch.setenv("TIDINGS_LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("TIDINGS_DATA", "")
    settings = load_settings({"port": 9001, "host": None})
    assert (settings.port, settings.host, settings.log_level) == (9001, "::1", "debug")
    assert settings.data == Path("data").absolute()


def test_origins_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDINGS_CORS_ORIGINS", "https://a.example, http://localhost:3000")
    assert load_settings().cors_origins == ("https://a.example", "http://localhost:3000")


def test_the_services_of_a_cluster_are_lists_of_hosts_and_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (load_settings().kafka, load_settings().cassandra, load_settings().redis) == ((), (), None)
    monkeypatch.setenv("TIDINGS_KAFKA", "broker-1:9092, [::1]:9093")
    monkeypatch.setenv("TIDINGS_CASSANDRA", "node-1:9042,node-2:9042")
    monkeypatch.setenv("TIDINGS_REDIS", "redis://:secret@cache:6379/1")
    monkeypatch.setenv("TIDINGS_NODE", "worker-1")
    settings = load_settings()
    assert settings.kafka == ("broker-1:9092", "[::1]:9093")
    assert settings.cassandra == ("node-1:9042", "node-2:9042")
    assert (settings.redis, settings.node) == ("redis://:secret@cache:6379/1", "worker-1")
    assert settings.cassandra_keyspace == "tidings"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "70000"),
        ("LOG_LEVEL", "loud"),
        ("CORS_ORIGINS", "chat.example"),
        ("CORS_ORIGINS", "https://a.example/path"),
        ("MASTER_KEY", "short"),
        ("JWT_SECRET", "!" * 64),
        ("LOGINS_PER_MINUTE", "0"),
        ("ARGON2_TIME_COST", "-1"),
        ("KAFKA", "broker-1"),
        ("KAFKA", "broker-1:9092,kafka://broker-2:9092"),
        ("KAFKA", "broker-1:ninety"),
        ("CASSANDRA", "node-1:9042, node-2:9043"),
        ("CASSANDRA_KEYSPACE", "Tidings-Test"),
        ("REDIS", "127.0.0.1:6379"),
        ("NODE", "gateway 1"),
        ("PARTITIONS", "0"),
        ("REPLICATION", "0"),
        ("FILES_DAYS", "0"),
        ("FILES_QUOTA_MB", "much"),
        ("CDN_URL", "cdn.example"),
        ("S3_ENDPOINT", "127.0.0.1:8333"),
        ("UPLOADS_PER_MINUTE", "0"),
    ],
)
def test_nonsense_is_refused_by_the_name_of_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"TIDINGS_{name}", value)
    with pytest.raises(BadSettings, match=f"TIDINGS_{name}: "):
        load_settings()


def test_a_refused_secret_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDINGS_MASTER_KEY", "a-secret-too-short")
    with pytest.raises(BadSettings) as refused:
        load_settings()
    assert "a-secret-too-short" not in str(refused.value)


@pytest.mark.parametrize(
    "spell", [bytes.hex, lambda secret: b64encode(secret).decode(), lambda secret: urlsafe_b64encode(secret).decode()]
)
def test_secrets_are_given_in_hex_or_base64(monkeypatch: pytest.MonkeyPatch, spell) -> None:  # type: ignore[no-untyped-def]
    secret = bytes(range(224, 256))
    monkeypatch.setenv("TIDINGS_MASTER_KEY", spell(secret))
    assert load_settings().master_secret == secret
    assert parse_secret(spell(secret).rstrip("=") + "\n") == secret
    assert "224" not in repr(load_settings())
