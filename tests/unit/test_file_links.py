"""Links to files: they work for a while, for one path, and are the same for everybody in that time."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from api.file_links import STEP_S, FileLinks
from commands.errors import BadToken
from tests.support.history import NOON, Clock

PATH = "/v1/files/1"


def parts(url: str) -> tuple[str, int, str]:
    split = urlsplit(url)
    query = parse_qs(split.query)
    return split.path, int(query["until"][0]), query["signature"][0]


def test_a_link_works_until_it_runs_out() -> None:
    clock = Clock()
    links = FileLinks(b"s" * 32, clock)
    url, until = links.make(PATH)
    assert parts(url)[0] == PATH
    assert timedelta(seconds=STEP_S) <= until - NOON <= timedelta(seconds=2 * STEP_S)
    assert links.seconds_left(*parts(url)) == (until - NOON).total_seconds()
    clock.move((until - NOON).total_seconds() - 1)
    assert links.seconds_left(*parts(url)) == 1
    clock.move(1)
    with pytest.raises(BadToken):
        links.seconds_left(*parts(url))


def test_a_link_is_good_for_its_path_its_time_and_its_server_alone() -> None:
    links = FileLinks(b"s" * 32, Clock())
    path, until, signature = parts(links.make(PATH)[0])
    for other in ((f"{path}/thumbnail", until, signature), (path, until + 900, signature), (path, until, "")):
        with pytest.raises(BadToken):
            links.seconds_left(*other)
    with pytest.raises(BadToken):
        FileLinks(b"t" * 32, Clock()).seconds_left(path, until, signature)


def test_links_of_one_quarter_of_an_hour_are_the_same() -> None:
    clock = Clock()
    links = FileLinks(b"s" * 32, clock, "https://cdn.example/files/")
    first = links.make(PATH)
    assert first[0].startswith(f"https://cdn.example/files{PATH}?")
    clock.move(STEP_S - 1)
    assert links.make(PATH) == first
    clock.move(1)
    assert links.make(PATH) != first
