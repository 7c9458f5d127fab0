"""What the routes of chats take."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from api.http.models import LINE, Body, Line, Time
from commands.lines import MAX_TITLE
from events.types import History, MessageKind, Role

MAX_SEQ = 2**53 - 1
"""Every number fits a JavaScript number."""
MAX_WATCHED = 1_000
UUID7 = r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"


def _whole(value: object) -> object:
    """JSON has one kind of number: 5.0 is the integer 5."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Seq = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=MAX_SEQ)]
Title = Annotated[str, Field(min_length=1, max_length=MAX_TITLE, description=LINE), Line]
MintedId = Annotated[str, Field(pattern=UUID7, json_schema_extra={"format": "uuid7"})]
"""An id that the client mints: a UUIDv7 in lower case, its time at most two minutes ahead of the server's."""


class NoFields(Body):
    """Nothing is needed; the body may be left out."""


class NewGroup(Body):
    """`history`: what who joins later may see; absent, `all` in an open chat, else `since_join`."""

    title: Title
    member_ids: list[str]
    open: bool = False
    history: History | None = None
    chat_id: MintedId | None = Field(default=None, description="Makes the call repeatable.")


class ChatPatch(Body):
    """What is absent stays as it is."""

    # The factories only keep the fields optional without allowing null: what they give is never looked at.
    title: Title = Field(default_factory=str)
    open: bool = Field(default_factory=bool)


class NewMembers(Body):
    user_ids: list[str]


class NewRole(Body):
    """`owner` hands the chat over: the caller becomes an admin."""

    role: Role


_TEXT_OR_FILE = {
    "anyOf": [
        {
            "properties": {"kind": {"const": "TEXT"}, "text": {"type": "string", "minLength": 1}},
            "required": ["text"],
        },
        {
            "properties": {"kind": {"enum": ["IMAGE", "FILE"]}, "file_id": {"type": "string"}},
            "required": ["file_id"],
        },
    ]
}


class NewMessage(Body, json_schema_extra=_TEXT_OR_FILE):
    """`TEXT` needs `text`, of 1 to 102,400 bytes in UTF-8; `IMAGE` and `FILE` need `file_id`, and `text` is
    their caption."""

    message_id: MintedId
    kind: MessageKind
    text: str | None = None
    file_id: str | None = None
    reply_to_message: str | None = Field(default=None, description="The message_id that this one answers.")


class UpTo(Body):
    up_to_seq: Seq


class Mute(Body):
    """`until` null, or a time that is past, ends it."""

    until: Time | None


class PresenceQuery(Body):
    user_ids: Annotated[list[str], Field(max_length=MAX_WATCHED)]
