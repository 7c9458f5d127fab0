"""What strace saw: the calls of a process, in the order in which they began and ended."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WRITES = ("write", "writev", "pwrite64", "pwritev", "pwritev2", "sendto", "sendmsg", "sendmmsg")
SYNCS = ("fsync", "fdatasync")

_ENTRY = re.compile(r"^(?P<pid>\d+) +(?P<name>\w+)\((?P<fd>\d+)<(?P<path>[^>]*)>(?P<rest>.*)$")
_RESUMED = re.compile(r"^(?P<pid>\d+) +<\.\.\. (?P<name>\w+) resumed>(?P<rest>.*)$")
_RESULT = re.compile(r"= (?P<result>-?\d+)(?: [A-Z].*)?$")
_UNFINISHED = " <unfinished ...>"


def strace(program: str, output: Path) -> list[str]:
    """The command that goes before another one. It stays out of the way: the pid is the traced program's."""
    calls = ",".join((*WRITES, *SYNCS))
    # Strings whole: a socket write or a page of the log is looked through for message ids.
    return [program, "-D", "-f", "-y", "-s", "1000000", "-e", f"trace={calls}", "-e", "signal=none", "-o", str(output)]


@dataclass
class Call:
    """A call on a file or socket. `began` and `ended` are line numbers: their order is the order of events."""

    name: str
    path: str
    """Of the file; `socket:[…]` for a socket."""
    arguments: str
    """As strace prints them: in strings, quotes are escaped by a backslash."""
    began: int
    ended: int | None = None
    result: int | None = None

    @property
    def is_sync(self) -> bool:
        return self.name in SYNCS

    @property
    def is_to_socket(self) -> bool:
        return self.path.startswith("socket:")


def read_calls(lines: list[str]) -> list[Call]:
    """The calls in the order in which they began; one that never ended has no `ended`."""
    return list(_calls(lines))


def _calls(lines: list[str]) -> Iterator[Call]:
    open_calls: dict[str, Call] = {}
    for number, line in enumerate(lines):
        if entry := _ENTRY.match(line):
            rest = entry["rest"]
            call = Call(entry["name"], entry["path"], rest.removesuffix(_UNFINISHED), number)
            if rest.endswith(_UNFINISHED):
                open_calls[entry["pid"]] = call
            else:
                _end(call, rest, number)
            yield call
        elif resumed := _RESUMED.match(line):
            call_of_thread = open_calls.pop(resumed["pid"], None)
            if call_of_thread is not None:
                _end(call_of_thread, resumed["rest"], number)


def _end(call: Call, rest: str, number: int) -> None:
    if result := _RESULT.search(rest):
        call.ended, call.result = number, int(result["result"])


def durable_before_told(calls: list[Call], log_wal: str, message_id: str) -> str | None:
    """Why this message was told to anybody before the log had it on disk, or None where it was not.

    It must be written to the log, then synced there, and only then may any socket carry its id.
    """
    on_log = [call for call in calls if call.path == log_wal]
    written = next((call for call in on_log if message_id in call.arguments and not call.is_sync), None)
    told = next((call for call in calls if call.is_to_socket and message_id in call.arguments), None)
    if told is None:
        return "it was told to nobody"
    if written is None or written.ended is None:
        return "it was not written to the log"
    for call in on_log:
        if call.is_sync and call.result == 0 and written.ended < call.began and call.ended is not None:
            return None if call.ended < told.began else f"told in line {told.began}, synced in line {call.ended}"
    return "the log was not synced after it"
