"""The process's own log: one line for each entry on stderr, as text for people or as JSON for machines.

What an entry is about stands in fields of its own (`extra=` with the names below), never only in its words. Bodies of
messages and tokens have no place in it: nothing logs them, and what looks like a token is blotted out all the same.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import msgspec

from api.request_id import current as current_request
from infra.masking import masked

FIELDS = (
    "request_id",
    "user_id",
    "session_id",
    "chat_id",
    "message_id",
    "seq",
    "position",
    "partition",
    "generation",
    "event",
    "address",
    "limit",
)
"""Names of `extra` that are written; others are not."""
CHATTY = ("uvicorn", "alembic", "picows", "faust", "mode", "aiokafka", "cassandra", "urllib3", "opentelemetry")
"""Libraries of which only warnings are wanted."""

Format = Literal["text", "json"]

_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""What would begin a new line, colour it, or turn it round."""
_TOKEN = re.compile(r"eyJ[\w-]{6,}\.[\w-]+\.[\w-]+|tdr_[\w-]+\.[\w.-]+|(?<=[Bb]earer )[\w.~+/=-]{8,}")


def no_trace() -> None:
    """Nothing is traced."""


def log_to_stderr(
    level: str, form: Format = "text", node: str | None = None, trace_id: Callable[[], str | None] = no_trace
) -> None:
    """Set up logging for the whole process. `node`: its name; `trace_id`: of what is being done right now."""
    logging.basicConfig(level=level.upper(), handlers=[handler(sys.stderr, form, node, trace_id)], force=True)
    if level != "debug":
        for name in CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)


def handler(
    stream: TextIO, form: Format, node: str | None = None, trace_id: Callable[[], str | None] = no_trace
) -> logging.Handler:
    made = logging.StreamHandler(stream)
    made.setFormatter((_Json if form == "json" else _Text)(node, trace_id))
    return made


class _Fields(logging.Formatter):
    def __init__(self, node: str | None, trace_id: Callable[[], str | None]) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
        self._node = node
        self._trace_id = trace_id

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """What the entry is about, in the order of FIELDS."""
        told = {"request_id": current_request.get(), **record.__dict__}
        found = {name: told[name] for name in FIELDS if told.get(name) not in (None, "")}
        if trace := self._trace_id():
            found["trace_id"] = trace
        return found


class _Text(_Fields):
    def formatMessage(self, record: logging.LogRecord) -> str:
        about = "".join(f" {name}={value}" for name, value in self.fields(record).items())
        return _one_line(super().formatMessage(record) + about)

    def formatException(self, ei: Any) -> str:
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        return _indented(super().formatStack(stack_info))

    def format(self, record: logging.LogRecord) -> str:
        return _without_tokens(super().format(record))


class _Json(_Fields):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if self._node:
            entry["node"] = self._node
        entry |= {name: value if isinstance(value, int) else str(value) for name, value in self.fields(record).items()}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return _without_tokens(_one_line(msgspec.json.encode(entry).decode()))


def _one_line(text: str) -> str:
    """With escapes, as JSON and Python write them, for what does not print."""
    return _UNFIT.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _indented(text: str) -> str:
    """Lines that nobody takes for entries, whatever an exception says."""
    return "\n".join(f"  {_one_line(line)}" for line in text.split("\n"))


def _without_tokens(text: str) -> str:
    return masked(_TOKEN.sub("[token]", text))
