"""Take the picture of the real page anew: .venv/bin/python docs/images/take.py"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, urlsplit

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

TARGET = Path(__file__).with_name("tidings.png")
CHAT = "Lisbon in May"


def main() -> None:
    with tempfile.TemporaryDirectory() as data:
        command = [sys.executable, "-m", "infra.cli", "serve", "--demo", "--port", "0", "--data", data]
        environment = {**os.environ, "TIDINGS_LOG_LEVEL": "error"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
            assert server.stdout is not None
            try:
                take(urlsplit(server.stdout.readline().strip()))
            finally:
                server.terminate()


def take(address: SplitResult) -> None:
    codes = parse_qs(address.fragment)
    site = f"{address.scheme}://{address.netloc}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        ben, ana = (signed_in(browser, site, name, codes[name][0]) for name in ("ben", "ana"))
        say(ben, "I put a note on it: wear the other coat.")
        say(ana, "Then the four of us are set.")
        ana.get_by_role("button", name="Event log", exact=True).click()
        expect(ana.get_by_text("12 events")).to_be_visible()
        composer(ben).press_sequentially("See you at the")
        expect(ana.locator(".conversation-status")).to_have_text("Ben is typing…")
        ana.mouse.move(0, 0)
        ana.screenshot(path=TARGET)
        browser.close()


def signed_in(browser: Browser, site: str, name: str, code: str) -> Page:
    context = browser.new_context(viewport={"width": 1360, "height": 800}, device_scale_factor=1.25, locale="en-GB")
    page = context.new_page()
    page.goto(f"{site}/?demo=1&slot={name}#code={code}")
    page.locator(".chat-title").get_by_text(CHAT, exact=True).click()
    expect(page.locator(".conversation-title")).to_have_text(CHAT)
    return page


def composer(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Message", exact=True)


def say(page: Page, text: str) -> None:
    composer(page).fill(text)
    composer(page).press("Enter")


main()
