"""Passwords in URLs are blotted out, wherever the URL stands; nothing else is."""

from __future__ import annotations

import logging
from io import StringIO

import pytest

from infra.logs import handler
from infra.masking import masked
from infra.settings import BadSettings, load_settings

SECRET = "hunter2secret"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"redis://me:{SECRET}@host:1/0", "redis://me:***@host:1/0"),
        (f"redis://:{SECRET}@host", "redis://:***@host"),
        (f"at 'postgresql+psycopg://me:{SECRET}@host/db', twice", "at 'postgresql+psycopg://me:***@host/db', twice"),
        (f"two: http://a:{SECRET}@b https://c:{SECRET}@d.", "two: http://a:***@b https://c:***@d."),
        (f"pass with at: redis://me:p@{SECRET}@host", "pass with at: redis://me:***@host"),
        (f"me:{SECRET}@host:9092", "me:***@host:9092"),
        (f"host=db password={SECRET} user=me", "host=db password=*** user=me"),
        (f"postgresql://host/db?user=me&password={SECRET}&x=1", "postgresql://host/db?user=me&password=***&x=1"),
        (f"AWS_SECRET={SECRET}", "AWS_SECRET=***"),
        ("postgresql://user:password@host/database", "postgresql://user:password@host/database"),
        ("http://127.0.0.1:8000/v1, at 12:30: chat 0:42", "http://127.0.0.1:8000/v1, at 12:30: chat 0:42"),
        ("write to ana@example.org", "write to ana@example.org"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_log_shows_no_password_nor_do_tracebacks_in_it(form: str) -> None:
    stream = StringIO()
    logger = logging.Logger("test")
    logger.addHandler(handler(stream, form))  # type: ignore[arg-type]
    try:
        raise ValueError(f"cannot connect to redis://me:{SECRET}@host")
    except ValueError:
        logger.exception("away: %s", f"postgresql://me:{SECRET}@host")
    assert SECRET not in stream.getvalue()
    assert "***@host" in stream.getvalue()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIDINGS_KAFKA", f"me:{SECRET}@host:9092"),
        ("TIDINGS_CASSANDRA", f"me:{SECRET}@host:9042"),
        ("TIDINGS_REDIS", f"http://me:{SECRET}@host"),
        ("TIDINGS_REDIS", f"redis://me:{SECRET}@host:port"),
        ("TIDINGS_ACCOUNTS_URL", f"mysql://me:{SECRET}@host/db"),
        ("TIDINGS_ACCOUNTS_URL", f"postgresql://me:{SECRET}@host:port/db"),
        ("TIDINGS_ACCOUNTS_URL", f"me:{SECRET}@host"),
        ("TIDINGS_ACCOUNTS_REPLICA_URLS", f"postgresql://host/db,mysql://me:{SECRET}@host/db"),
        ("TIDINGS_CDN_URL", f"https://me:{SECRET}@cdn.example"),
        ("TIDINGS_S3_ENDPOINT", f"http://me:{SECRET}@host:1"),
        ("TIDINGS_FILES", f"s3://me:{SECRET}@bucket/files"),
        ("TIDINGS_CORS_ORIGINS", f"https://me:{SECRET}@host/x"),
        ("TIDINGS_MASTER_KEY", SECRET),
        ("TIDINGS_JWT_SECRET", SECRET),
    ],
)
def test_a_setting_that_is_refused_is_named_and_its_password_is_not(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSettings) as refused:
        load_settings()
    assert name in str(refused.value)
    assert SECRET not in str(refused.value)
