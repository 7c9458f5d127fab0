"""The cache of jars is filled once, whole, and whoever asks meanwhile waits. Maven is a stand-in here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infra.cluster.jars import Bundle, JarsMissing, cached, fetch
from tests.support.services import ROOT

BUNDLE = Bundle("thing", ("org.example:thing:1.0", "org.example:other:2.0"))


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the stand-in to act on: what `then` says it runs, and it notes each call in `calls`."""
    program = tmp_path / "bin" / "mvn"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\ngrep -q other pom.xml || exit 9\necho called >>"{tmp_path}/calls"\n. "{tmp_path}/then"\n'
    )
    program.chmod(0o755)
    (tmp_path / "then").write_text("mkdir jars; touch jars/thing.jar\n")
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("TIDINGS_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_jars_are_fetched_once(maven: Path) -> None:
    assert cached(BUNDLE) is None
    folder = fetch(BUNDLE)
    assert [jar.name for jar in folder.iterdir()] == ["thing.jar"]
    assert fetch(BUNDLE) == cached(BUNDLE) == folder
    assert (maven / "calls").read_text() == "called\n"


def test_another_version_has_another_folder(maven: Path) -> None:
    newer = Bundle("thing", ("org.example:thing:1.1", "org.example:other:2.0"))
    assert fetch(BUNDLE) != fetch(newer)


def test_two_who_fetch_at_once_call_maven_once(maven: Path) -> None:
    (maven / "then").write_text(f'while [ ! -e "{maven}/go" ]; do :; done; mkdir jars; touch jars/thing.jar\n')
    program = f"from infra.cluster.jars import *; print(fetch({BUNDLE!r}))"
    both = [
        subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    while not (maven / "calls").exists():
        pass
    (maven / "go").touch()
    folders = {each.communicate()[0].strip() for each in both}
    assert folders == {str(cached(BUNDLE))}
    assert (maven / "calls").read_text() == "called\n"


def test_a_fetch_that_fails_leaves_nothing_and_says_why(maven: Path) -> None:
    (maven / "then").write_text("mkdir jars; touch jars/half.jar; echo no route to anywhere; exit 1\n")
    with pytest.raises(JarsMissing, match="no route to anywhere"):
        fetch(BUNDLE)
    assert cached(BUNDLE) is None
    assert [left.name for left in (maven / "cache" / "jars").iterdir()] == ["fetch.lock"]


def test_what_a_killed_fetch_left_is_swept_up(maven: Path) -> None:
    left = maven / "cache" / "jars" / "unfinished-x" / "jars"
    left.mkdir(parents=True)
    fetch(BUNDLE)
    assert not left.exists()
