"""The Operations page in a real browser: what administrators see, and what they have done."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.conftest import People
from tests.support.browser import PHONE, Person
from tests.support.caller import Newcomers, newcomers
from tests.support.server import Server

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(180)]

SLOWLY_MS = 60_000
"""What is done is done by processes that have to start first."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose log has a record, of a chat of nobody else's, that cannot be folded."""
    running = Server(tmp_path_factory.mktemp("server") / "data")
    with running:
        with newcomers(running.url) as made:
            ana, ben = made("ana"), made("ben")
            chat_id = ana.direct(ben)
            ana.say(chat_id)
        running.stop()
        poison(running.data, chat_id)
        running.start()
        yield running


def poison(data: Path, chat_id: str) -> None:
    """Something that is no event, where a server that has been stopped goes on."""
    with sqlite3.connect(data / "log.db") as db:
        (place,) = db.execute("SELECT max(place) + 1 FROM records").fetchone()
        db.execute("INSERT INTO records VALUES (?, ?, ?, ?)", (place, 1_795_000_000_000, chat_id, b'{"no": "event"}'))


@pytest.fixture
def operator(server: Server, browser: Browser, newcomer: Newcomers) -> Iterator[Callable[..., Page]]:
    """The page of somebody with the role; no error of its scripts goes unseen."""
    made: list[Person] = []

    def open_page(**options: object) -> Page:
        person = Person(browser, newcomer("ops"), server.url, options.pop("size", None))  # type: ignore[arg-type]
        made.append(person)
        server.tidings("admin", "grant", person.username)
        person.sign_in()
        if options:
            person.page.emulate_media(**options)  # type: ignore[arg-type]
        person.page.goto("/admin")
        expect(person.page.get_by_role("heading", name="Operations")).to_be_visible()
        return person.page

    yield open_page
    faults = [fault for one in made for fault in one.faults]
    for one in made:
        one.context.close()
    assert faults == []


def card(page: Page, title: str) -> Locator:
    return page.get_by_role("region", name=title)


def generation(page: Page, number: int) -> Locator:
    return page.locator(f"[data-generation='{number}']")


def test_it_is_for_administrators(person: People) -> None:
    ana = person("Ana")
    ana.page.goto("/admin")
    expect(ana.page.get_by_role("status")).to_contain_text(f"tidings admin grant {ana.username}")
    expect(ana.page.locator(".tile")).to_have_count(0)


def test_who_is_not_signed_in_is_asked_to(browser: Browser, server: Server) -> None:
    page = browser.new_page(base_url=server.url)
    page.goto("/admin")
    expect(page.get_by_role("form", name="Log in")).to_be_visible()
    page.close()


def test_numbers_move(operator: Callable[..., Page], person: People) -> None:
    page = operator()
    expect(page.get_by_role("listitem").filter(has_text="log up")).to_be_visible()
    connections = page.get_by_role("group", name="Connections").locator(".tile-value")
    ana, ben = person("Ana"), person("Ben")
    expect(connections).to_have_text("2", timeout=SLOWLY_MS)
    chat_id = ana.caller.direct(ben.caller)
    end = card(page, "Partitions").locator('td[data-label="Log\'s end"]')
    before = end.inner_text()
    ana.caller.say(chat_id)
    expect(end).not_to_have_text(before)
    rate = page.get_by_role("group", name="Events a second").locator(".tile-value")
    expect(rate).to_have_text(re.compile(r"^[\d.,]+$"))
    expect(card(page, "Processes").get_by_role("cell", name="serve", exact=True)).to_be_visible()


def test_a_record_that_parks_a_chat_is_tried_again_and_discarded(operator: Callable[..., Page]) -> None:
    page = operator()
    letters = card(page, "Dead letters")
    expect(letters).to_contain_text("not an event")
    position = re.search(r"at (0:\d+)", letters.inner_text())
    assert position
    letters.get_by_role("button", name="Retry").click()
    done = card(page, "Done by administrators")
    expect(done).to_contain_text(f"it stands still again, at {position[1]}: not an event", timeout=SLOWLY_MS)

    letters.get_by_role("button", name="Discard").click()
    dialog = page.get_by_role("dialog", name="Discard this record?")
    expect(dialog).to_contain_text(f"at {position[1]} is passed over for ever")
    dialog.get_by_role("button", name="Cancel").click()
    expect(letters).to_contain_text("not an event")
    letters.get_by_role("button", name="Discard").click()
    dialog.get_by_role("button", name="Discard").click()
    expect(letters).to_contain_text("Nothing stands still.", timeout=SLOWLY_MS)
    expect(done).to_contain_text(f"discard {position[1]}")


def test_a_generation_is_built_compared_served_and_left_again(operator: Callable[..., Page]) -> None:
    page = operator()
    expect(generation(page, 1)).to_contain_text("served")
    page.get_by_role("button", name="Rebuild").click()
    expect(generation(page, 2)).to_contain_text("standby", timeout=SLOWLY_MS)
    expect(generation(page, 2)).to_contain_text("caught up", timeout=SLOWLY_MS)

    generation(page, 2).get_by_role("button", name="Verify").click()
    expect(generation(page, 2).locator(".flag").get_by_text("same", exact=True)).to_be_visible(timeout=SLOWLY_MS)
    expect(card(page, "Done by administrators")).to_contain_text("compared: the same")

    generation(page, 2).get_by_role("button", name="Switch").click()
    dialog = page.get_by_role("dialog", name="Switch to generation 2?")
    dialog.get_by_role("button", name="Cancel").click()
    expect(generation(page, 1)).to_contain_text("served")
    generation(page, 2).get_by_role("button", name="Switch").click()
    dialog.get_by_role("button", name="Switch").click()
    expect(generation(page, 2)).to_contain_text("served", timeout=SLOWLY_MS)

    page.get_by_role("button", name="Roll back to 1").click(timeout=SLOWLY_MS)
    page.get_by_role("dialog", name="Roll back?").get_by_role("button", name="Roll back").click()
    expect(generation(page, 1)).to_contain_text("served", timeout=SLOWLY_MS)

    generation(page, 2).get_by_role("button", name="Drop").click()
    page.get_by_role("dialog").get_by_role("button", name="Drop").click()
    expect(generation(page, 2)).to_have_count(0, timeout=SLOWLY_MS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_both_themes(operator: Callable[..., Page], scheme: str) -> None:
    page = operator(size=PHONE, color_scheme=scheme)
    expect(page.get_by_role("group", name="Behind")).to_be_visible()
    wide = page.evaluate("document.querySelector('.operations').scrollWidth <= innerWidth")
    assert wide, "the page scrolls sideways"
