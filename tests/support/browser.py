"""People who use the web client in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from time import time

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from tests.support.caller import PASSWORD, Caller, new_id

PATIENCE_MS = 10_000
WIDE = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}

# Root has no sandbox to go to; the rest keeps the browser from talking to anybody but the server.
_SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def chromium(executable: str) -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=_SWITCHES)
        try:
            yield browser
        finally:
            browser.close()


class Person:
    """A user at a browser of their own. `caller` is the same user over HTTP, to look behind the page."""

    def __init__(self, browser: Browser, caller: Caller, url: str, size: dict[str, int] | None = None) -> None:
        self.caller = caller
        me = caller.read("/me")
        self.name: str = me["display_name"]
        self.username: str = me["username"]
        self.context: BrowserContext = browser.new_context(viewport=size or WIDE, base_url=url)  # type: ignore[arg-type]
        self.context.set_default_timeout(PATIENCE_MS)
        self.faults: list[str] = []
        self.page = self.new_page()

    def new_page(self) -> Page:
        """Another tab; errors of its scripts and breaches of its policy become `faults`."""
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on(
            "console", lambda line: self.faults.append(line.text) if "Content Security Policy" in line.text else None
        )
        return self.page

    def sign_in(self) -> None:
        """Without the form, which one journey goes through: the page finds a session of its own."""
        answer = self.caller.call("POST", "/auth/login", {"username": self.username, "password": PASSWORD}).json()
        session = {
            "user": answer["user"],
            "accessToken": answer["access_token"],
            "expiresAt": (time() + answer["expires_in"]) * 1000,
            "refreshToken": answer["refresh_token"],
            "requestId": new_id(),
        }
        script = f"localStorage.setItem('tidings:session', {json.dumps(json.dumps(session))})"
        self.page.goto("/web/icon.svg")
        self.page.evaluate(script)
        self.page.goto("/")
        expect(self.page.get_by_role("button", name="New chat")).to_be_visible()

    def row(self, title: str) -> Locator:
        """A chat in the list."""
        titled = self.page.locator(".chat-title").get_by_text(title, exact=True)
        return self.page.locator(".chat-link").filter(has=titled)

    def open(self, title: str) -> None:
        self.row(title).click()
        expect(self.page.locator(".conversation-title")).to_have_text(title)

    @property
    def composer(self) -> Locator:
        return self.page.get_by_role("textbox", name="Message", exact=True)

    def say(self, text: str) -> None:
        self.composer.fill(text)
        self.composer.press("Enter")

    def bubbles(self, text: str) -> Locator:
        return self.page.locator(".message").filter(has=self.page.get_by_text(text, exact=True))

    def line(self, text: str) -> Locator:
        """What the conversation says of an event."""
        return self.page.locator(".event-line").get_by_text(text, exact=True)

    def tick(self, text: str) -> Locator:
        """The mark of one's own message."""
        return self.bubbles(text).locator(".tick")

    def expect_tick(self, text: str, state: str) -> None:
        """`state`: sending, sent, delivered, read or refused."""
        expect(self.tick(text)).to_have_attribute("data-state", state)

    def hurry_back(self) -> None:
        """Connect now, unless the client's own next attempt has been quicker: then the button is hidden."""
        self.page.locator(".bar button").dispatch_event("click")

    def panel(self, name: str) -> Locator:
        """Open a side panel by the name of its button."""
        self.page.get_by_role("button", name=name, exact=True).and_(self.page.locator("[aria-pressed=false]")).click()
        return self.page.get_by_role("complementary", name=name)

    def texts(self, chat_id: str) -> list[str]:
        """What the server has of a chat, oldest first."""
        return [message["text"] for message in self.caller.read(f"/chats/{chat_id}/messages")["items"]]

    def open_chat_id(self) -> str:
        found = re.search(r"#chat/([0-9a-f-]{36})$", self.page.url)
        assert found, self.page.url
        return found[1]
