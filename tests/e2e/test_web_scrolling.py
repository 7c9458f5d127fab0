"""Scrolling a chat as people do it: small wheel steps, fingers, keys; never by setting `scrollTop`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import People
from tests.support.browser import PHONE, Person
from tests.support.caller import Caller, Newcomers

pytestmark = pytest.mark.needs("chromium")

MANY = 180
Chat = Callable[..., tuple[Person, Caller, str]]


@pytest.fixture
def chat(person: People, newcomer: Newcomers) -> Chat:
    """A chat with many messages of unlike heights, read to its end: the reader, the other side, its id."""

    def make(size: dict[str, int] | None = None) -> tuple[Person, Caller, str]:
        ben = newcomer("Ben")
        ana = person("Ana", size=size)
        chat_id = ben.direct(ana.caller)
        for number in range(1, MANY + 1):
            ben.say(chat_id, f"message {number}" + "\nand more of it" * (number % 4 * (number > 1)))
        ana.open("Ben")
        ana.page.get_by_role("button", name="Go to the end").click()
        expect(ana.bubbles(f"message {MANY}")).to_be_in_viewport()
        rest(ana.page)
        return ana, ben, chat_id

    return make


def messages(page: Page) -> Locator:
    return page.get_by_role("log", name="Messages")


def place(page: Page) -> float:
    """px between the list's top and that of its newest message whose row is there: grows as one scrolls up."""
    found: float = messages(page).evaluate(
        """list => {
            const rows = [...list.querySelectorAll('.message')];
            const seen = rows.find(row => row.getBoundingClientRect().bottom > list.getBoundingClientRect().top);
            window.__seen ??= seen;
            return window.__seen.getBoundingClientRect().top - list.getBoundingClientRect().top;
        }"""
    )
    return found


def rest(page: Page) -> None:
    """Until the list has stood still for a while, as a smooth scroll does at its end."""
    page.evaluate(
        """() => new Promise(done => {
            const list = document.querySelector('.message-list .virtual-list');
            let last = list.scrollTop, still = 0;
            const look = () => {
                still = list.scrollTop === last ? still + 1 : 0;
                last = list.scrollTop;
                if (still > 25) done(); else requestAnimationFrame(look);
            };
            look();
        })"""
    )


def over_the_list(page: Page) -> tuple[float, float]:
    box = messages(page).bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def wheel(page: Page, step: float, times: int, between: Callable[[int], object] = lambda _: None) -> None:
    page.mouse.move(*over_the_list(page))
    for number in range(times):
        page.mouse.wheel(0, step)
        between(number)


def at_the_end(page: Page) -> bool:
    found: bool = messages(page).evaluate("list => list.scrollTop + list.clientHeight >= list.scrollHeight - 3")
    return found


def test_small_wheel_steps_lead_away_from_the_newest_message(chat: Chat) -> None:
    ana, _, _ = chat()
    before = place(ana.page)
    wheel(ana.page, -8, 40)
    rest(ana.page)
    assert place(ana.page) - before == pytest.approx(320, abs=2)


def test_a_single_small_step_is_kept_and_a_step_back_holds_the_end_again(chat: Chat) -> None:
    ana, ben, chat_id = chat()
    before = place(ana.page)
    wheel(ana.page, -8, 1)
    rest(ana.page)
    assert place(ana.page) - before == pytest.approx(8, abs=1)
    wheel(ana.page, 8, 1)
    rest(ana.page)
    ben.say(chat_id, "the newest")
    expect(ana.bubbles("the newest")).to_be_in_viewport(ratio=1)
    rest(ana.page)
    assert at_the_end(ana.page)


def test_steps_up_lead_away_also_while_messages_arrive(chat: Chat) -> None:
    ana, ben, chat_id = chat()
    before = place(ana.page)
    wheel(ana.page, -8, 40, lambda number: number % 4 == 0 and ben.say(chat_id, f"meanwhile {number}"))
    rest(ana.page)
    assert place(ana.page) - before == pytest.approx(320, abs=2)
    expect(ana.page.get_by_role("button", name="Go to the end")).to_be_visible()
    seen = place(ana.page)
    ben.say(chat_id, "one more\n" * 10)
    expect(ana.row("Ben")).to_contain_text("one more")
    rest(ana.page)
    assert place(ana.page) == pytest.approx(seen, abs=1)


def fingers(page: Page) -> Callable[..., None]:
    devtools = page.context.new_cdp_session(page)

    def touch(kind: str, x: float = 0, y: float = 0) -> None:
        points = [{"x": x, "y": y}] if kind in ("touchStart", "touchMove") else []
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    return touch


@pytest.mark.parametrize("busy", [False, True], ids=["quiet", "busy"])
def test_a_finger_drags_the_newest_message_down_by_small_moves(chat: Chat, busy: bool) -> None:
    ana, ben, chat_id = chat(PHONE)
    touch = fingers(ana.page)
    x, y = over_the_list(ana.page)
    y -= 150
    before = place(ana.page)
    touch("touchStart", x, y)
    for number in range(1, 61):
        touch("touchMove", x, y + number * 4)
        if busy and number % 10 == 0:
            ben.say(chat_id, f"meanwhile {number}")
    rest(ana.page)  # the finger does, still down
    moved = place(ana.page) - before
    assert 180 < moved <= 241  # the browser takes some px to tell a drag from a tap
    ben.say(chat_id, "while it rests")
    expect(
        ana.page.get_by_role("button", name="Go to the end, 1 new message" if not busy else "Go to the end")
    ).to_be_visible()
    assert place(ana.page) - before == pytest.approx(moved, abs=1)
    touch("touchEnd")
    rest(ana.page)
    assert place(ana.page) - before == pytest.approx(moved, abs=1)


def test_a_flick_goes_on_by_itself_and_never_jumps_back(chat: Chat) -> None:
    ana, ben, chat_id = chat(PHONE)
    touch = fingers(ana.page)
    x, y = over_the_list(ana.page)
    y -= 200
    before = place(ana.page)
    ana.page.evaluate(
        """() => {
            window.__places = [];
            const list = document.querySelector('.message-list .virtual-list');
            const look = () => {
                if (!window.__seen.isConnected) return;
                window.__places.push(window.__seen.getBoundingClientRect().top - list.getBoundingClientRect().top);
                requestAnimationFrame(look);
            };
            look();
        }"""
    )
    touch("touchStart", x, y)
    for number in range(1, 12):
        touch("touchMove", x, y + number * 30)
    touch("touchEnd")
    ben.say(chat_id, "while it flies")
    rest(ana.page)
    places = ana.page.evaluate("window.__places")
    assert max(places) - before > 330 + 100  # farther than the finger went
    assert all(later - earlier > -1.5 for earlier, later in pairwise(places)), places


def test_a_resting_finger_keeps_the_end_and_so_does_a_keyboard_that_comes_and_goes(chat: Chat) -> None:
    ana, ben, chat_id = chat(PHONE)
    touch = fingers(ana.page)
    x, y = over_the_list(ana.page)
    touch("touchStart", x, y)
    ben.say(chat_id, "under the finger")
    touch("touchEnd")
    expect(ana.bubbles("under the finger")).to_be_in_viewport(ratio=1)
    rest(ana.page)
    assert at_the_end(ana.page)
    for height in (450, PHONE["height"], 500, PHONE["height"]):
        ana.page.set_viewport_size({"width": PHONE["width"], "height": height})
        rest(ana.page)
        assert at_the_end(ana.page)
    ben.say(chat_id, "after the keyboard")
    expect(ana.bubbles("after the keyboard")).to_be_in_viewport(ratio=1)


def test_keys_lead_up_and_back(chat: Chat) -> None:
    ana, ben, chat_id = chat()
    newest = ana.bubbles(f"message {MANY}")
    messages(ana.page).focus()
    ana.page.keyboard.press("PageUp")
    expect(newest).not_to_be_in_viewport()
    ben.say(chat_id, "meanwhile")
    expect(ana.row("Ben")).to_contain_text("meanwhile")
    rest(ana.page)
    expect(newest).not_to_be_in_viewport()
    ana.page.keyboard.press("Home")
    expect(ana.bubbles("message 1")).to_be_in_viewport()
    ana.page.keyboard.press("End")
    expect(ana.bubbles("meanwhile")).to_be_in_viewport()

    ana.composer.focus()  # from where one writes, too
    ana.page.keyboard.press("PageUp")
    expect(newest).not_to_be_in_viewport()
    expect(ana.composer).to_be_focused()
    ana.page.keyboard.press("PageDown")
    expect(ana.bubbles("meanwhile")).to_be_in_viewport()


def test_rows_that_turn_out_otherwise_than_guessed_do_not_move_what_is_read(chat: Chat) -> None:
    ana, _, _ = chat()
    # Every step through rows that were never measured moves what shows by exactly that step.
    for _ in range(12):
        ana.page.evaluate("window.__seen = undefined")
        before = place(ana.page)
        wheel(ana.page, -150, 1)
        rest(ana.page)
        assert place(ana.page) - before == pytest.approx(150, abs=2)


def test_what_one_scrolls_to_is_loaded_while_one_scrolls(chat: Chat) -> None:
    ana, _, _ = chat()
    ana.page.reload()
    expect(ana.bubbles(f"message {MANY}")).to_be_in_viewport()
    devtools = ana.page.context.new_cdp_session(ana.page)
    devtools.send("Network.enable")
    slow = {"offline": False, "latency": 80, "downloadThroughput": -1, "uploadThroughput": -1}
    devtools.send("Network.emulateNetworkConditions", slow)
    ana.page.evaluate(
        """() => {
            window.__shares = [];
            const list = document.querySelector('.message-list .virtual-list');
            const look = () => {
                const box = list.getBoundingClientRect();
                const rows = [...list.querySelectorAll('.row')].filter(row => {
                    const {top, bottom} = row.getBoundingClientRect();
                    return bottom > box.top && top < box.bottom;
                });
                window.__shares.push(rows.filter(row => row.classList.contains('row-hole')).length / rows.length);
                requestAnimationFrame(look);
            };
            look();
        }"""
    )
    x, y = over_the_list(ana.page)
    # One small wheel step a frame, without a pause.
    gesture: dict[str, Any] = {"x": x, "y": y, "yDistance": 9000, "speed": 2500, "gestureSourceType": "mouse"}
    devtools.send("Input.synthesizeScrollGesture", gesture)
    shares = ana.page.evaluate("window.__shares")
    empty = sum(share > 0.5 for share in shares)
    assert empty < len(shares) / 10, shares
