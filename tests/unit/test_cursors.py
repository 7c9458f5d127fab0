"""Cursors: opaque, and only taken back as they were given."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cursors import InboxCursor, MembersCursor, decode, encode
from commands.errors import BadCursor

CHAT = "0190a6b2-5a3c-7def-8123-456789abcdef"
PLACE = InboxCursor(1_700_000_000_000_000, CHAT)


@given(st.integers(-(2**62), 2**62), st.uuids())
def test_a_cursor_comes_back_as_it_was_given(at_us: int, chat_id: object) -> None:
    cursor = InboxCursor(at_us, str(chat_id))
    assert decode(encode(cursor), InboxCursor) == cursor


def test_a_cursor_is_safe_in_a_url() -> None:
    text = encode(PLACE)
    assert text.isascii()
    assert text.replace("-", "").replace("_", "").isalnum()


def packed(plain: str) -> str:
    return base64.urlsafe_b64encode(plain.encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "🙂",
        "\0",
        "%%%",
        packed("{}"),
        packed("[]"),
        packed("null"),
        packed('["inbox"]'),
        packed(f'["inbox",1.5,"{CHAT}"]'),
        packed(f'["inbox","1","{CHAT}"]'),
        packed(f'["inbox",{2**63},"{CHAT}"]'),
        packed('["inbox",1,"elsewhere"]'),
        packed(f'["inbox",1,"{CHAT.upper()}"]'),
        packed(f'["inbox",1,"{CHAT}",2]'),
        packed(f'["inbox", 1,"{CHAT}"]'),
        packed('["inbox",1,"\\ud83d"]'),
        encode(PLACE) + "=",
        encode(PLACE)[:-1],
        encode(PLACE) * 9,
        encode(MembersCursor(CHAT)),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadCursor):
        decode(text, InboxCursor)
