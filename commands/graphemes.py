"""Cutting texts where readers see one sign end: never inside a flag, a family, or a letter with its marks.

Signs are the extended grapheme clusters of Unicode's UAX #29, as the library `regex` finds them.
"""

from __future__ import annotations

import regex

_SIGN = regex.compile(r"\X")


def cut(text: str, longest: int) -> str:
    """The beginning of a text, at most `longest` characters (code points), and whole signs only.

    A single sign longer than that, which marks piled on a letter may be, is cut all the same. Between two characters
    of ASCII this costs two looks; else what stands after the last space before the end is walked through.
    """
    if len(text) <= longest:
        return text
    edge = text[longest - 1 : longest + 1]
    if edge.isascii() and edge != "\r\n":
        return text[:longest]
    begin = max(0, text.rfind(" ", 0, longest))
    end = begin
    # Whether a sign goes on is told by its next character, so one more than fits is enough.
    for found in _SIGN.finditer(text, begin, longest + 1):
        if found.end() > longest:
            break
        end = found.end()
    return text[: end or longest]


def tail(text: str, longest: int) -> str:
    """The end of a text, likewise."""
    begin = max(0, len(text) - longest)
    for found in _SIGN.finditer(text):
        if found.start() >= begin:
            return text[found.start() :]
    return text[begin:]
