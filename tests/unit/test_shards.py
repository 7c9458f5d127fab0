"""Shards: every test in exactly one, and what shares services together."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.shards import SECONDS, deal, group_of

ROOT = Path(__file__).resolve().parents[2]
FILES = [path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")]


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_every_file_has_one_shard_and_every_shard_has_files(shards: int) -> None:
    dealt = deal(FILES, shards)
    assert {group_of(path) for path in FILES} == set(dealt)
    assert set(dealt.values()) == set(range(shards))


def test_a_folder_of_live_tests_stays_together() -> None:
    assert group_of("tests/live/gateways/same/chats/test_it.py") == group_of("tests/live/gateways/test_losses.py")
    assert group_of("tests/unit/a/test_it.py") != group_of("tests/unit/a/test_other.py")


def test_the_order_of_files_changes_nothing() -> None:
    assert deal(FILES, 2) == deal(reversed(FILES), 2)


def test_what_is_known_to_take_long_is_still_there() -> None:
    assert set(SECONDS) <= {group_of(path) for path in FILES}


def test_shards_run_all_tests_between_them(pytester: pytest.Pytester) -> None:
    names = [f"test_{name}" for name in "abcde"]
    for name in names:
        pytester.makepyfile(**{name: f"def {name}(): pass"})
    plugin = ("-p", "tests.support.shards", "-v")
    pytester.syspathinsert(ROOT)
    ran = [
        line.split("::")[1].split()[0]
        for number in (1, 2)
        for line in pytester.runpytest_subprocess(*plugin, f"--shard={number}/2").outlines
        if "::" in line
    ]
    assert sorted(ran) == names
