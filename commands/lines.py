"""One line of text by which others know somebody or something: display names, titles, what a client says it is.

Such a line stands inside sentences that are not its author's: in lists, pushes and logs of other people. So it stays
on its line, leaves the text around it in its direction, and can be seen. Beyond that it is its author's, in any
script, and kept exactly as typed. Only commands ask this: what stands in the log was once allowed, and stays.
"""

from __future__ import annotations

import re
import unicodedata

from commands.errors import FieldError, Invalid

MAX_TITLE = 200
"""Characters."""
MAX_DISPLAY_NAME = 64

UNFIT = (
    r"\x00-\x1f\x7f-\x9f"  # controls
    r"\u2028\u2029"  # ends of lines and paragraphs
    r"\u202a-\u202e\u2066-\u2069"  # what turns the direction of reading of all that follows
    r"\u206a-\u206f\ufff9-\ufffb"  # deprecated controls of shaping, and annotations between lines
    r"\ufdd0-\ufdef\ufffe\uffff"  # no characters
)
"""The inside of a character class, as JavaScript reads it too, so without what is beyond the first plane."""

_NO_CHARACTERS = "".join(chr(plane << 16 | end) for plane in range(1, 17) for end in (0xFFFE, 0xFFFF))
_UNFIT = re.compile(rf"[{UNFIT}\ud800-\udfff{_NO_CHARACTERS}]")
_BLANK = re.compile(
    "[\u115f\u1160\u3164\uffa0"  # fillers of Hangul, which are letters
    "\u2800\ufffc\U0001d159\U00013441\U00013442"  # Braille without dots and other blank signs
    "\u2065\ufff0-\ufff8\U000e0000-\U000e0fff]"  # ignored by whatever shows them, now and when they are assigned
)
_SHOWN_FORMATS = re.compile("[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd]")
"""Format characters that are seen: they stand under or around numbers."""


def line_fault(text: str) -> str | None:
    """What keeps a text from being such a line, None where nothing does."""
    if _UNFIT.search(text):
        return "no control characters, line breaks or characters that turn the direction of reading"
    return None if any(map(is_seen, text)) else "something visible"


def is_seen(char: str) -> bool:
    """Whether a character shows by itself: no space, no mark on another one, nothing that is ignored or blank.

    Unassigned ones count as seen, so that emoji newer than this Python are names too.
    """
    if char.isascii():
        return "!" <= char <= "~"
    category = unicodedata.category(char)
    if category[0] in "ZM" or category in ("Cc", "Cs"):
        return False
    if category == "Cf":
        return _SHOWN_FORMATS.match(char) is not None
    return _BLANK.match(char) is None


def check_line(field: str, text: str, longest: int) -> None:
    """Raises Invalid; `longest` in characters."""
    fault = line_fault(text) if 1 <= len(text) <= longest else f"1 to {longest} characters"
    if fault is not None:
        raise Invalid(f"{field}: {fault}", errors=(FieldError(field, fault),))


def without_unfit(text: str) -> str:
    """The rest of a text, for what is shown but was not written by hand, such as a User-Agent."""
    return _UNFIT.sub("", text)
