"""Passwords that stand in URLs, blotted out of whatever people, logs and probes get to see."""

from __future__ import annotations

import re
import sys
import traceback
from types import TracebackType

# As far as the last "@" before the path: a password may hold one, whatever it should.
_USERINFO = re.compile(r"(?P<before>(?:\w[\w+.-]*://)?[^\s:/?#'\"<>(){}\[\]|,=@]*:)(?!password@)[^\s/?#'\"<>]+@")
_NAMED = re.compile(
    r"(?P<before>\b(?:\w*(?:password|passwd|secret|signature|credential)|access_key|api_key|sslkey)\s?[=:]\s?)"
    r"[^\s&;,'\"]+",
    re.IGNORECASE,
)


def masked(text: str) -> str:
    """`redis://me:pass@host/0` is `redis://me:***@host/0`, and `?password=pass` is `?password=***`."""
    if "@" in text:
        text = _USERINFO.sub(r"\g<before>***@", text)
    return _NAMED.sub(r"\g<before>***", text) if "=" in text else text


def mask_tracebacks() -> None:
    """Have what ends the process be told without passwords: exceptions of drivers may hold a whole URL."""

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.stderr.write(masked("".join(traceback.format_exception(kind, error, trace))))

    sys.excepthook = show
