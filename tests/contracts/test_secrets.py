"""The secrets of an installation: made once, kept, and never replaced in silence."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from commands.errors import Corrupt
from infra.secrets import load_secrets


def test_secrets_are_made_on_first_start_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    made = load_secrets(folder)
    again = load_secrets(folder)
    assert (made.master, made.jwt) == (again.master, again.jwt)
    assert len(made.master) == len(made.jwt) == 32
    assert made.master != made.jwt
    assert sorted(file.name for file in folder.iterdir()) == ["jwt.secret", "master.key"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_given_secrets_win_and_make_no_files(tmp_path: Path) -> None:
    given = load_secrets(tmp_path, master=b"m" * 32, jwt=b"j" * 32)
    assert (given.master, given.jwt) == (b"m" * 32, b"j" * 32)
    assert list(tmp_path.iterdir()) == []


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    secrets = load_secrets(tmp_path)
    assert repr(secrets.master) not in repr(secrets)


@pytest.mark.parametrize("step", ["write", "fsync", "link"])
def test_a_death_at_any_step_leaves_a_whole_secret_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, step, die)
        with pytest.raises(KeyboardInterrupt):
            load_secrets(tmp_path)
    assert not (tmp_path / "master.key").exists()
    made = load_secrets(tmp_path)
    assert load_secrets(tmp_path).master == made.master


def test_the_secret_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def noted(name: str) -> Callable[..., object]:
        real = getattr(os, name)

        def call(*args: object) -> object:
            calls.append(name)
            return real(*args)

        return call

    for name in ("write", "fsync", "link"):
        monkeypatch.setattr(os, name, noted(name))
    load_secrets(tmp_path, jwt=b"j" * 32)
    assert calls == ["write", "fsync", "link", "fsync"]


def test_of_two_first_starts_at_once_both_get_the_same_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.link

    def another_was_first(source: str, target: Path) -> None:
        monkeypatch.setattr(os, "link", real)
        another.append(load_secrets(tmp_path))
        real(source, target)

    another: list[object] = []
    monkeypatch.setattr(os, "link", another_was_first)
    mine = load_secrets(tmp_path)
    assert another == [mine]


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff" * 40])
def test_a_file_without_a_secret_is_an_error_and_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "master.key").write_bytes(content)
    with pytest.raises(Corrupt, match=r"master\.key"):
        load_secrets(tmp_path)
    assert (tmp_path / "master.key").read_bytes() == content


def test_accounts_without_their_master_key_are_not_given_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "accounts.db").touch()
    with pytest.raises(Corrupt, match="TIDINGS_MASTER_KEY"):
        load_secrets(tmp_path)
    assert not (tmp_path / "master.key").exists()
    assert load_secrets(tmp_path, master=b"m" * 32).master == b"m" * 32
