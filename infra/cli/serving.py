"""`tidings serve`: the server in the foreground, its address on stdout, its log on stderr."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import webbrowser

from infra.app import App
from infra.cli.faults import Fault
from infra.demo import demo_url
from infra.serve import PortTaken
from infra.serve import serve as run_server
from infra.settings import Settings

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve(settings: Settings, demo: bool, open_browser: bool) -> None:
    """Serve until SIGTERM or SIGINT. Raises Fault, and what the server raises."""
    if demo and settings.host not in LOOPBACK:
        raise Fault(
            f"--demo signs in whoever has the address, so it does not listen on {settings.host}",
            "leave --demo out, or take --host 127.0.0.1",
            2,
        )
    log_to_stderr(settings.log_level)

    async def announce(app: App, url: str) -> None:
        address = await demo_url(app, url) if demo else url
        print(address, flush=True)
        if open_browser and has_display():
            await asyncio.to_thread(webbrowser.open, address)

    try:
        run_server(settings, demo=demo, on_ready=announce)
    except PortTaken as error:
        raise Fault(str(error), "choose another port with --port, 0 for any free one") from error


def log_to_stderr(level: str) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=level.upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
    )
    if level != "debug":
        for chatty in ("uvicorn", "alembic", "picows"):
            logging.getLogger(chatty).setLevel(logging.WARNING)


def has_display() -> bool:
    """Whether a browser can show something: a terminal's own browser would take the terminal."""
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
