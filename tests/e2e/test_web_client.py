"""Journeys through the web client: real pages in a real browser, over a real server."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.conftest import People
from tests.support.browser import PHONE, Person
from tests.support.caller import Newcomers, new_id
from tests.support.gate import Gate
from tests.support.server import Server

FIRST_LOAD_BYTES = 100 * 1024
MANY = 210
"""More than the 200 events that a replay holds."""
MOST_ROWS = 120

pytestmark = pytest.mark.needs("chromium")


def talking(ana: Person, ben: Person) -> str:
    """A chat of the two, open at both; its id."""
    chat_id = ana.caller.direct(ben.caller)
    ana.open(ben.name)
    ben.open(ana.name)
    return chat_id


def test_two_users_talk_and_their_ticks_become_read(person: People) -> None:
    ana, ben = person("Ana"), person("Ben")

    ana.page.get_by_label("Search chats and people").fill(ben.username)
    ana.page.get_by_role("button", name=f"@{ben.username}").click()
    ana.say("Are you there?")

    ana.expect_tick("Are you there?", "delivered")
    expect(ben.row("Ana")).to_contain_text("Are you there?")
    expect(ben.row("Ana")).to_contain_text("1 unread message")
    expect(ben.page).to_have_title("(1) Tidings")
    expect(ben.page.get_by_role("status").filter(has_text="Ana: Are you there?")).to_be_attached()

    ben.open("Ana")
    ana.expect_tick("Are you there?", "read")
    expect(ben.page).to_have_title("Tidings")
    expect(ben.page.locator(".new-line")).to_be_visible()

    ben.composer.press_sequentially("I am")
    expect(ana.page.locator(".conversation-status")).to_have_text("Ben is typing…")
    ben.say("I am here")
    expect(ana.bubbles("I am here")).to_have_count(1)
    expect(ana.page.locator(".conversation-status")).to_have_text("online")
    ben.expect_tick("I am here", "read")


def test_words_of_others_are_never_markup(person: People) -> None:
    ana, ben = person("Ana"), person("Ben")
    talking(ana, ben)
    hostile = '<img src=x onerror="document.title=1"><b>bold</b> javascript:alert(1)'

    ana.say(hostile)
    ana.say("see https://example.org/a?b=<c>")

    expect(ben.bubbles(hostile)).to_have_count(1)
    expect(ben.page.locator(".text img, .text b")).to_have_count(0)
    link = ben.page.locator(".text a")
    expect(link).to_have_attribute("href", "https://example.org/a?b=")
    expect(link).to_have_attribute("rel", re.compile("noopener"))


def test_offline_messages_wait_and_are_sent_exactly_once_and_missed_ones_arrive(server: Server, person: People) -> None:
    with Gate(server.port) as gate:
        ana, ben = person("Ana", url=gate.url), person("Ben")
        chat_id = talking(ana, ben)
        ana.say("before")
        ana.expect_tick("before", "read")

        gate.shut()
        for text in ("one", "two", "three"):
            ana.say(text)
        bar = ana.page.locator(".bar")
        expect(bar).to_contain_text("Offline. 3 messages will be sent when you are back")
        ana.expect_tick("three", "sending")
        ben.say("meanwhile")
        ben.expect_tick("meanwhile", "sent")

        gate.open()
        ana.hurry_back()
        expect(bar).to_be_hidden()
        ana.expect_tick("three", "read")
        expect(ana.bubbles("meanwhile")).to_have_count(1)
        for text in ("one", "two", "three"):
            expect(ana.bubbles(text)).to_have_count(1)
            expect(ben.bubbles(text)).to_have_count(1)
        assert ana.texts(chat_id) == ["before", "meanwhile", "one", "two", "three"]


def test_what_was_written_offline_survives_the_page(server: Server, person: People) -> None:
    with Gate(server.port) as gate:
        ana, ben = person("Ana", url=gate.url), person("Ben")
        chat_id = talking(ana, ben)
        gate.shut()
        ana.say("kept through a closed page")
        expect(ana.page.locator(".bar")).to_contain_text("1 message will be sent")
        ana.composer.fill("half a thou")
        ana.page.close()

        gate.open()
        ana.new_page().goto(f"/#chat/{chat_id}")
        ana.expect_tick("kept through a closed page", "read")
        expect(ana.composer).to_have_value("half a thou")
        assert ana.texts(chat_id) == ["kept through a closed page"]


def test_a_group_is_made_and_its_members_are_managed(person: People, newcomer: Newcomers) -> None:
    ana, ben = person("Ana"), person("Ben")
    chi = newcomer("Chiara")

    ana.page.get_by_role("button", name="New chat").click()
    dialog = ana.page.get_by_role("dialog")
    dialog.get_by_role("radio", name="A group").check()
    dialog.get_by_label("Title").fill("Harbour")
    dialog.get_by_label("Search people").fill(ben.username)
    dialog.get_by_role("option", name="Ben").click()
    dialog.get_by_role("button", name="Create the group").click()
    ben.open("Harbour")
    expect(ben.line("Ana created the group “Harbour”")).to_be_visible()

    details = ana.panel("Details")
    details.get_by_role("button", name="Add people").click()
    dialog.get_by_label("Search people").fill(chi.read("/me")["username"])
    dialog.get_by_role("option", name="Chiara").click()
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(details.get_by_text("3 members")).to_be_visible()
    expect(ben.line("Ana added Chiara")).to_be_visible()

    details.get_by_role("button", name="Rename the group").click()
    details.get_by_role("textbox", name="Title").fill("Quay")
    details.get_by_role("button", name="Save").click()
    expect(ben.page.locator(".conversation-title")).to_have_text("Quay")

    details.get_by_role("button", name="Actions for Ben").click()
    details.get_by_role("button", name="Make admin").click()
    expect(details.locator(".member").filter(has_text="Ben")).to_contain_text("admin")
    expect(ben.line("Ana made you an admin")).to_be_visible()

    details.get_by_role("button", name="Actions for Ben").click()
    details.get_by_role("button", name="Remove").click()
    ana.page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(ben.page.get_by_text("You were removed from this chat.")).to_be_visible()
    expect(ben.composer).to_be_hidden()
    ana.say("He is gone")
    ana.expect_tick("He is gone", "sent")
    expect(ben.bubbles("He is gone")).to_have_count(0)


def test_the_event_log_shows_events_as_they_arrive_and_their_envelopes(person: People) -> None:
    ana, ben = person("Ana"), person("Ben")
    talking(ana, ben)
    log = ana.panel("Event log")
    types = log.locator(".event-type")
    expect(types).to_have_text(["chat.created"])

    ben.say("look at the log")
    expect(types).to_have_text(["chat.created", "message.sent"])
    row = log.get_by_role("button", name=re.compile("message.sent"))
    expect(row).to_contain_text("#2")
    expect(row).to_contain_text("Ben")

    row.click()
    expect(row).to_have_attribute("aria-expanded", "true")
    envelope = json.loads(log.locator(".envelope").inner_text())
    assert envelope["seq"] == 2
    assert envelope["n"] == 1
    assert envelope["event"]["type"] == "message.sent"
    assert envelope["event"]["actor_id"] == ben.caller.user_id
    assert envelope["event"]["data"]["text"] == "look at the log"


def test_the_time_slider_shows_the_chat_as_it_was(person: People, newcomer: Newcomers) -> None:
    ana, ben = person("Ana"), person("Ben")
    chi = newcomer("Chiara")
    chat_id = ana.caller.group(ben.caller, title="Harbour")  # event 1
    ana.caller.say(chat_id, "one")
    ana.caller.call("PATCH", f"/chats/{chat_id}", {"title": "Lisbon"})
    ana.caller.call("POST", f"/chats/{chat_id}/members", {"user_ids": [chi.user_id]})
    ana.caller.say(chat_id, "two")  # event 5
    ana.open("Lisbon")
    log = ana.panel("Event log")
    slider = log.get_by_role("slider", name="The chat as it was after event")
    banner = ana.page.get_by_role("group", name="Time travel")
    title, status = ana.page.locator(".conversation-title"), ana.page.locator(".conversation-status")
    expect(slider).to_have_attribute("aria-valuetext", "now")
    expect(banner).to_be_hidden()
    ana.composer.fill("a draft")

    slider.press("ArrowLeft")
    expect(banner).to_contain_text("after event 4")
    expect(ana.bubbles("two")).to_have_count(0)
    expect(ana.composer).to_be_hidden()
    expect(status).to_have_text("Ben, Chiara and you")
    slider.press("ArrowLeft")
    expect(status).to_have_text("Ben and you")
    expect(title).to_have_text("Lisbon")
    slider.press("ArrowLeft")
    expect(title).to_have_text("Harbour")
    expect(ana.bubbles("one")).to_have_count(1)
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"^2 of 5, .+ at \d"))
    expect(log.locator("[aria-current] .event-seq")).to_have_text("#2")
    slider.press("Home")
    expect(ana.bubbles("one")).to_have_count(0)

    ben.open("Lisbon")
    ben.say("meanwhile")
    expect(log.get_by_text("6 events")).to_be_visible()
    expect(ana.row("Lisbon")).to_contain_text("1 unread message")  # what was looked back from is not read
    expect(ana.bubbles("meanwhile")).to_have_count(0)
    expect(title).to_have_text("Harbour")

    banner.get_by_role("button", name="Back to now").click()
    expect(banner).to_be_hidden()
    expect(ana.bubbles("meanwhile")).to_have_count(1)
    expect(title).to_have_text("Lisbon")
    expect(ana.composer).to_be_focused()
    expect(ana.composer).to_have_value("a draft")
    expect(slider).to_have_value("6")

    log.get_by_role("button", name=re.compile("#2")).click()
    log.get_by_role("button", name="The chat as it was here").click()
    expect(title).to_have_text("Harbour")
    ana.page.keyboard.press("Escape")
    expect(title).to_have_text("Lisbon")
    expect(log).to_be_visible()


def test_a_phone_looks_back_from_the_details(person: People) -> None:
    ana, ben = person("Ana", size=PHONE), person("Ben")
    chat_id = ana.caller.direct(ben.caller)
    for text in ("one", "two"):
        ben.caller.say(chat_id, text)
    ana.open("Ben")
    details = ana.panel("Details")
    details.get_by_role("button", name="Look back").click()

    slider = ana.page.get_by_role("slider", name="The chat as it was after event")
    expect(slider).to_be_focused()
    expect(ana.bubbles("two")).to_have_count(0)
    expect(ana.bubbles("one")).to_have_count(1)
    assert ana.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    box = slider.bounding_box()
    assert box
    ana.page.mouse.move(box["x"] + box["width"] * 2 / 3, box["y"] + box["height"] / 2)
    ana.page.mouse.down()
    ana.page.mouse.move(box["x"] + 4, box["y"] + box["height"] / 2, steps=3)
    expect(ana.bubbles("one")).to_have_count(0)  # while it is held
    ana.page.mouse.up()
    expect(slider).to_have_value("1")
    slider.press("End")
    expect(slider).to_be_hidden()
    expect(ana.bubbles("two")).to_have_count(1)
    expect(ana.composer).to_be_visible()


def test_looking_far_back_fetches_what_tells_the_title_and_the_members(person: People) -> None:
    ana, ben = person("Ana"), person("Ben")
    chat_id = ana.caller.group(ben.caller, title="Harbour")
    ana.caller.call("PATCH", f"/chats/{chat_id}", {"title": "Lisbon"})
    for number in range(MANY):
        ana.caller.say(chat_id, f"message {number}")
    ana.caller.call("DELETE", f"/chats/{chat_id}/members/{ben.caller.user_id}")
    ana.open("Lisbon")
    slider = ana.panel("Event log").get_by_role("slider")

    slider.fill("120")
    expect(ana.bubbles("message 117")).to_be_visible()
    expect(ana.page.locator(".conversation-status")).to_have_text("Ben and you")
    slider.fill("1")
    expect(ana.page.locator(".conversation-title")).to_have_text("Harbour")


def test_everything_that_matters_works_without_a_mouse(browser: Browser, server: Server, newcomer: Newcomers) -> None:
    ana = Person(browser, newcomer("Ana"), server.url)
    ben = newcomer("Ben")
    chat_id = ana.caller.direct(ben)
    ana.caller.group(title="Elsewhere")
    ben.say(chat_id, "first")
    keys = ana.page.keyboard
    ana.page.goto("/")
    keys.type(ana.username)  # the first field has the focus
    keys.press("Tab")
    keys.type("correct horse")
    keys.press("Enter")
    expect(ana.row("Ben")).to_be_visible()

    keys.press("Control+k")
    keys.type("be")
    keys.press("Enter")
    expect(ana.page.locator(".conversation-title")).to_have_text("Ben")
    expect(ana.composer).to_be_focused()
    keys.type("one line")
    keys.press("Shift+Enter")
    keys.type("and another")
    keys.press("Enter")
    expect(ana.page.locator(".text").last).to_have_text("one line\nand another")
    expect(ana.composer).to_have_value("")

    keys.press("ArrowUp")  # from the empty composer to the messages
    keys.press("ArrowUp")
    keys.press("ArrowUp")
    expect(ana.bubbles("first")).to_be_focused()
    keys.press("r")
    keys.type("an answer")
    keys.press("Enter")
    expect(ana.page.locator(".message").last.locator(".quote")).to_contain_text("first")

    keys.press("Escape")
    expect(ana.row("Ben")).to_be_focused()
    keys.press("ArrowDown")
    expect(ana.row("Elsewhere")).to_be_focused()
    keys.press("Enter")
    expect(ana.page.locator(".conversation-title")).to_have_text("Elsewhere")
    assert ana.faults == []
    ana.context.close()


def test_a_refused_message_says_why_and_can_be_taken_back(person: People) -> None:
    ana, ben = person("Ana"), person("Ben")
    chat_id = ben.caller.group(ana.caller, title="Harbour")
    ana.open("Harbour")
    # A message that quotes what is not there is refused for good.
    ana.page.evaluate(f"tidings.send('{chat_id}', 'an answer to nothing', '{new_id()}')")

    ana.expect_tick("an answer to nothing", "refused")
    row = ana.page.locator(".row").filter(has_text="an answer to nothing")
    expect(row).to_contain_text("Not sent. The message that this answers is not there.")
    row.get_by_role("button", name="Edit").click()
    expect(ana.composer).to_have_value("an answer to nothing")
    expect(ana.page.locator(".refusal")).to_have_count(0)
    ana.composer.press("Enter")
    ana.expect_tick("an answer to nothing", "delivered")
    assert ana.texts(chat_id) == ["an answer to nothing"]


def test_more_than_a_replay_holds_is_caught_up_with_and_a_long_chat_keeps_few_rows(
    server: Server, person: People, newcomer: Newcomers
) -> None:
    with Gate(server.port) as gate:
        ana, ben = person("Ana", url=gate.url), newcomer("Ben")
        chat_id = ben.direct(ana.caller)
        expect(ana.row("Ben")).to_be_visible()
        gate.shut()
        for number in range(1, MANY + 1):
            ben.say(chat_id, f"message {number}")
        gate.open()
        ana.hurry_back()
        expect(ana.row("Ben")).to_contain_text(f"{MANY} unread messages")

        ana.open("Ben")
        rows = ana.page.locator(".message-list .row")
        # It opens where reading ended, not at the end.
        expect(ana.page.locator(".new-line")).to_be_in_viewport()
        expect(ana.bubbles("message 1")).to_be_in_viewport()
        ana.page.get_by_role("button", name=re.compile("Go to the end")).click()
        expect(ana.bubbles(f"message {MANY}")).to_be_in_viewport()
        assert rows.count() < MOST_ROWS
        expect(ana.row("Ben")).not_to_contain_text("unread")

        ana.page.locator(".message-list .virtual-list").evaluate("list => { list.scrollTop = 0; }")
        expect(ana.bubbles("message 1")).to_be_in_viewport()
        assert rows.count() < MOST_ROWS
        ben.say(chat_id, "while Ana reads the beginning")
        expect(ana.page.get_by_role("button", name="Go to the end, 1 new message")).to_be_visible()
        expect(ana.bubbles("message 1")).to_be_in_viewport()


def test_on_a_phone_there_is_one_pane_at_a_time(person: People, newcomer: Newcomers) -> None:
    ana, ben = person("Ana", size=PHONE), newcomer("Ben")
    ana.caller.direct(ben)
    chats = ana.page.get_by_role("navigation", name="Chats")
    conversation = ana.page.get_by_role("main")
    expect(conversation).to_be_hidden()
    ana.open("Ben")
    expect(chats).to_be_hidden()
    assert ana.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    ana.page.get_by_role("button", name="Details", exact=True).click()
    expect(conversation).to_be_hidden()
    ana.page.get_by_role("button", name="Close the details").click()
    ana.page.get_by_role("button", name="Back to the chats").click()
    expect(chats).to_be_visible()


def test_one_is_told_when_signed_out_elsewhere(person: People) -> None:
    ana = person("Ana")
    sessions = ana.caller.read("/sessions")["items"]
    others = [session["session_id"] for session in sessions if not session["current"]]
    for session_id in others:
        assert ana.caller.call("DELETE", f"/sessions/{session_id}").status_code == 204
    expect(ana.page.get_by_text("You were signed out elsewhere.")).to_be_visible()
    expect(ana.page.get_by_role("button", name="Log in")).to_be_visible()


def test_an_erased_account_leaves_no_words(person: People, newcomer: Newcomers) -> None:
    ana, ben = person("Ana"), newcomer("Ben")
    chat_id = ben.group(ana.caller, title="Harbour")
    ben.say(chat_id, "my secret")
    ana.open("Harbour")
    expect(ana.bubbles("my secret")).to_be_visible()
    ben.erase()
    expect(ana.bubbles("Message erased")).to_be_visible()
    expect(ana.page.get_by_text("my secret")).to_have_count(0)


def test_registering_settings_and_the_first_load_weigh_little(browser: Browser, server: Server) -> None:
    context = browser.new_context(base_url=server.url)
    page = context.new_page()
    sent: list[int] = []
    devtools = context.new_cdp_session(page)
    devtools.send("Network.enable")
    devtools.on("Network.loadingFinished", lambda event: sent.append(event["encodedDataLength"]))
    page.goto("/")
    page.get_by_role("button", name="Create an account").click()
    assert 0 < sum(sent) < FIRST_LOAD_BYTES

    username = f"zoe.{new_id()[-8:]}"
    page.get_by_label("Username").fill(username)
    page.get_by_label("Name that others see").fill("Zoë")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Create the account").click()
    expect(page.get_by_text("No chats yet.")).to_be_visible()

    page.get_by_role("button", name="Settings").click()
    settings = page.get_by_role("dialog", name="Settings")
    settings.get_by_role("radio", name="Dark").check()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    settings.get_by_label("Display name").fill("Zoë Z")
    settings.get_by_role("button", name="Save").click()
    expect(settings.get_by_text("Saved.")).to_be_visible()
    expect(settings.locator(".sessions li")).to_have_count(1)
    settings.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    context.close()


def test_the_demo_signs_two_people_in_side_by_side_and_survives_a_reload(browser: Browser, server: Server) -> None:
    url = re.search(r"http://\S+/demo#\S+", server.printed())
    assert url, server.printed()
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(url[0])
    for _ in range(2):
        for slot in ("ana", "ben"):
            frame = page.frame_locator(f"iframe[data-slot={slot}]")
            expect(frame.locator(".chat-link").first).to_be_visible()
        assert "#" not in page.url
        page.reload()

    # Whose pane does not show is away, and hears of what is written on a phone.
    ana, ben = (page.frame_locator(f"iframe[data-slot={slot}]") for slot in ("ana", "ben"))
    expect(ben.locator(".chat-link").first).to_be_visible()
    pushes = page.get_by_role("list", name="Ben's phone").get_by_role("listitem")
    ana.locator(".chat-link").filter(has_text="Ben").first.click()
    page.get_by_role("radio", name="Ana").check(force=True)
    composer = ana.get_by_role("textbox", name="Message", exact=True)
    expect(ana.locator(".conversation-status")).to_have_text("away")
    composer.fill("Where are you?")
    composer.press("Enter")
    expect(pushes).to_have_count(1)
    expect(pushes).to_contain_text("Push to Ben's phone")
    expect(pushes.locator(".push-title")).to_have_text("Ana")
    expect(pushes.locator(".push-body")).to_have_text("Where are you?")
    expect(pushes.locator(".push-result")).to_have_text("not sent: no push provider is set up")
    expect(page.get_by_role("list", name="Ana's phone").get_by_role("listitem")).to_have_count(0)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    pushes.get_by_role("button", name="Dismiss").click()
    expect(pushes).to_have_count(0)
    context.close()
