"""What others write, at its worst: it freezes nobody's page and turns nothing round."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.conftest import People
from tests.support.caller import Newcomers
from tests.support.server import Server

pytestmark = pytest.mark.needs("chromium")

LIMIT = 100_000
HARD = {
    "brackets": "http://a" + ")" * 30_000,
    "dots": "http://a" + "." * 90_000 + "x",
    "addresses": "http://a " * (LIMIT // 9),
    "other hosts": "http://" + "".join(chr(0x4E00 + number) for number in range(20_000)),
    "marks": "e" + "\u0301" * (LIMIT // 2),
    "families": "👨\u200d👩\u200d👧" * (LIMIT // 18),
    "overrides": "\u202e\u05d0\u2066" * (LIMIT // 8),
    "lines": "x\n" * (LIMIT // 2),
}
UNFOLDED_BY_THE_BROWSER = {"marks"}
"""Where what takes long is the shaping of glyphs, and only once a reader asks for all of it."""
FROZEN_MS = 3_000
"""No task of the page takes so long, on a machine that others use too."""

LONGEST_TASK = """
    window.__longest = 0;
    new PerformanceObserver(list => {
        for (const {duration} of list.getEntries()) window.__longest = Math.max(window.__longest, duration);
    }).observe({type: 'longtask', buffered: true});
"""


@pytest.mark.parametrize("kind", HARD)
def test_no_text_freezes_the_page_of_those_who_read_it(person: People, newcomer: Newcomers, kind: str) -> None:
    ana, ben = person("Ana"), newcomer("Ben")
    chat_id = ben.direct(ana.caller)
    ben.say(chat_id, HARD[kind])
    ben.say(chat_id, "and that was it")
    ana.page.add_init_script(LONGEST_TASK)
    ana.page.reload()
    ana.open("Ben")
    expect(ana.bubbles("and that was it")).to_be_visible()
    if kind not in UNFOLDED_BY_THE_BROWSER:
        for fold in ana.page.get_by_role("button", name="Show more").all():
            fold.click()
        expect(ana.page.get_by_role("button", name="Show more")).to_have_count(0)
    assert ana.page.evaluate("window.__longest") < FROZEN_MS


def test_a_direct_chat_whose_other_side_was_erased_names_nobody_and_is_closed(
    person: People, newcomer: Newcomers
) -> None:
    ana, ben = person("Ana"), newcomer("Ben")
    chat_id = ben.direct(ana.caller)
    ben.say(chat_id, "farewell")
    ana.open("Ben")
    expect(ana.composer).to_be_visible()
    ben.erase()
    expect(ana.page.locator(".conversation-title")).to_have_text("Deleted account")
    expect(ana.composer).to_be_hidden()
    expect(ana.page.locator(".notice")).to_contain_text("This account was deleted")
    ana.page.reload()
    expect(ana.page.locator(".conversation-title")).to_have_text("Deleted account")
    expect(ana.composer).to_be_hidden()


def test_an_empty_file_is_told_and_takes_no_other_with_it(person: People, newcomer: Newcomers) -> None:
    ana, ben = person("Ana"), newcomer("Ben")
    ben.direct(ana.caller)
    ana.open("Ben")
    files = [
        {"name": "empty.txt", "mimeType": "text/plain", "buffer": b""},
        {"name": "good.txt", "mimeType": "text/plain", "buffer": b"good"},
    ]
    ana.page.locator("input[type=file]").set_input_files(files)  # type: ignore[arg-type]
    expect(ana.page.get_by_text("may not be empty")).to_be_visible()
    expect(ana.page.get_by_role("button", name="Leave out good.txt")).to_be_visible()
    expect(ana.page.get_by_role("button", name="Leave out empty.txt")).to_have_count(0)


def test_a_file_that_misses_the_conversation_does_not_take_the_pages_place(person: People) -> None:
    ana = person("Ana")
    taken = ana.page.evaluate(
        """() => {
            const transfer = new DataTransfer();
            transfer.items.add(new File(["x"], "x.txt"));
            const event = new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true});
            return !document.querySelector(".pane").dispatchEvent(event);
        }"""
    )
    assert taken, "else the browser opens the file"


def test_a_username_that_is_not_taken_is_refused_in_words(browser: Browser, server: Server) -> None:
    page = browser.new_page()
    page.goto(server.url)
    page.get_by_role("button", name="Create an account").first.click()
    page.get_by_label("Username").fill("한글이름")
    page.locator("input[name=password]").fill("long enough")
    page.locator("form button[type=submit]").click()
    expect(page.get_by_role("alert")).to_contain_text("letters a to z")
    expect(page.get_by_role("alert")).not_to_contain_text("[a-z")
    page.close()
